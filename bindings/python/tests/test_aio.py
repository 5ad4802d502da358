"""The same ends for asyncio."""

import asyncio
import threading

import pytest
from looped import buses, rpcs

import slipring
from helpers import SOON, process, start
from slipring import RpcDispatcher, aio, rpc


def send_numbers(name: str) -> None:
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        for number in range(200):
            bus.send(str(number).encode())


def test_messages_of_another_process(name: str, run) -> None:
    async def main() -> None:
        async with await aio.Bus.listen(name, timeout=SOON) as bus:
            assert [message.data async for message in bus] == [str(n).encode() for n in range(200)]
            with pytest.raises(slipring.Closed):
                await bus.recv()

    with process(send_numbers, name):
        run(main())


def test_sending_waits_for_room(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(name, capacity=1024)
        async with sender, receiver:

            async def send() -> None:
                for number in range(1000):
                    await sender.send(number.to_bytes(4, "big") * 10, timeout=SOON)

            sending = asyncio.ensure_future(send())
            for number in range(1000):
                assert (await receiver.recv(timeout=SOON)).data == number.to_bytes(4, "big") * 10
            await sending
            with pytest.raises(slipring.Timeout):
                await receiver.recv(timeout=0.01)
            while sender.native.try_send(b"full"):
                pass
            with pytest.raises(slipring.Timeout):
                await sender.send(b"full", timeout=0.01)

    run(main())


@rpc(msg_type=1)
def echo(payload: memoryview) -> bytes:
    return payload.tobytes()


async def slow(payload: memoryview) -> bytes:
    await asyncio.sleep(0.01)
    return payload.tobytes() * 2


async def fails(payload: memoryview) -> bytes:
    raise ValueError("on purpose")


def test_any_number_of_calls_at_once(name: str, run) -> None:
    async def main() -> None:
        caller, callee = await rpcs(name)
        dispatcher = RpcDispatcher()
        dispatcher.register(echo)
        dispatcher.register(rpc(msg_type=2)(slow))
        dispatcher.register(rpc(msg_type=3)(fails))
        async with callee:
            serving = asyncio.ensure_future(callee.serve_forever(dispatcher))
            async with caller:
                threads = threading.active_count()
                payloads = [str(n).encode() for n in range(1000)]
                asking = [asyncio.ensure_future(caller.request(p, 1 + n % 2)) for n, p in enumerate(payloads)]
                await asyncio.sleep(0)
                assert threading.active_count() <= threads
                assert await asyncio.gather(*asking) == [p * (1 + n % 2) for n, p in enumerate(payloads)]
                for msg_type in (3, 4):
                    with pytest.raises(slipring.RemoteError) as raised:
                        await caller.request(b"", msg_type)
                    assert raised.value.msg_type == msg_type
                long = b"l" * 100_000
                assert await caller.request(long, 1) == long
                assert caller.native.in_flight == 0
            await serving

    run(main())


def test_a_thousand_waits_are_no_threads(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(name)
        async with sender, receiver:
            threads = threading.active_count()
            waiting = [asyncio.ensure_future(receiver.recv()) for _ in range(1000)]
            await asyncio.sleep(0.05)
            assert threading.active_count() <= threads
            sender.native.send_many([b"x"] * 1000)
            assert len(await asyncio.gather(*waiting)) == 1000

    run(main())


def test_cancelling_loses_nothing(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(name)
        async with sender, receiver:
            for number in range(50):
                waiting = asyncio.ensure_future(receiver.recv())
                await asyncio.sleep(0)
                sender.native.send(bytes([number]))
                if number % 2:
                    await asyncio.sleep(0)
                waiting.cancel()
                try:
                    message = await waiting
                except asyncio.CancelledError:
                    message = await receiver.recv(timeout=SOON)
                assert message.data == bytes([number])

    run(main())


def test_cancelling_a_server_loses_no_request(name: str, run) -> None:
    async def main() -> None:
        caller, callee = await rpcs(name)
        async with caller, callee:
            for number in range(50):
                serving = asyncio.ensure_future(callee.serve())
                await asyncio.sleep(0)
                asking = asyncio.ensure_future(caller.request(bytes([number])))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                serving.cancel()
                try:
                    request = await serving
                except asyncio.CancelledError:
                    request = await callee.serve(timeout=SOON)
                assert request.data == bytes([number])
                callee.reply(request.correlation_id, request.data)
                assert await asking == bytes([number])

    run(main())


def test_a_call_that_is_given_up_is_cancelled(name: str, run) -> None:
    async def main() -> None:
        caller, callee = await rpcs(name)
        async with caller, callee:
            with pytest.raises(slipring.Timeout):
                await caller.request(b"", timeout=0.02)
            asking = asyncio.ensure_future(caller.request(b""))
            await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            call = await caller.call(b"kept")
            with pytest.raises(slipring.Timeout):
                await caller.wait(call, timeout=0.01)
            # A request that was cancelled may have been served before word of that came.
            while (request := await callee.serve(timeout=SOON)).data != b"kept":
                callee.reply(request.correlation_id, b"")
            callee.reply(request.correlation_id, b"yes")
            with await caller.wait(call, timeout=SOON) as reply:
                assert reply.data == b"yes"

    run(main())


def die(name: str) -> None:
    import os
    import signal

    bus = slipring.RpcBus.connect(name, timeout=SOON)
    bus.call(b"last words")
    os.kill(os.getpid(), signal.SIGKILL)


def test_death_ends_every_wait(name: str, run) -> None:
    async def main() -> None:
        async with await aio.RpcBus.listen(name, timeout=SOON) as bus:
            assert (await bus.serve(timeout=SOON)).data == b"last words"
            with pytest.raises(slipring.PeerDied):
                await bus.serve(timeout=SOON)

    child = start(die, name)
    run(main())
    child.join(SOON)


def test_closing_ends_every_wait(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(name)
        waiting = asyncio.ensure_future(receiver.recv())
        await asyncio.sleep(0.01)
        receiver.close()
        with pytest.raises(slipring.Closed, match="closed here"):
            await waiting
        sender.close()
        assert sender.closed

    run(main())


def test_another_loop_is_told(name: str, run) -> None:
    async def open_both() -> tuple[aio.Bus, aio.Bus]:
        return await buses(name)

    sender, receiver = run(open_both())

    async def first() -> None:
        with pytest.raises(slipring.Timeout):
            await receiver.recv(timeout=0.01)

    run(first())
    with pytest.raises(slipring.InvalidArgument, match="another event loop"):
        run(receiver.recv())
    sender.close()
    receiver.close()


def test_nobody_listens(name: str, run) -> None:
    async def main() -> None:
        with pytest.raises(slipring.NotFound):
            await aio.Bus.connect(name)
        with pytest.raises(slipring.Timeout):
            await aio.RpcBus.connect(name, timeout=0.05)
        with pytest.raises(slipring.Timeout):
            await aio.RpcBus.listen(name, timeout=0.05)

    run(main())
