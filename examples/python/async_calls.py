"""A thousand calls at once from one task loop to another, in two processes and two threads.

``python examples/python/async_calls.py``
"""

import asyncio
import multiprocessing
import os

import slipring
from slipring import aio


async def double(number: memoryview) -> bytes:
    """A handler may wait for what it likes; others run meanwhile."""
    await asyncio.sleep(0.001)
    return str(int(number.tobytes()) * 2).encode()


async def serve(name: str) -> None:
    """Serves until the client closes."""
    dispatcher = slipring.RpcDispatcher()
    dispatcher.register(slipring.rpc(msg_type=1)(double))
    async with await aio.RpcBus.listen(name, timeout=10) as bus:
        await bus.serve_forever(dispatcher)


async def call(name: str) -> None:
    """Calls, and gathers the replies."""
    async with await aio.RpcBus.connect(name, timeout=10) as bus:
        replies = await asyncio.gather(*(bus.request(str(n).encode(), 1, timeout=10) for n in range(1000)))
    print(f"{len(replies)} replies, the last is {replies[-1].decode()}")


def serve_here(name: str) -> None:
    """The second process."""
    asyncio.run(serve(name))


def main() -> None:
    """The first."""
    name = f"async-calls-{os.getpid()}"
    server = multiprocessing.get_context("spawn").Process(target=serve_here, args=(name,))
    server.start()
    asyncio.run(call(name))
    server.join()


if __name__ == "__main__":
    main()
