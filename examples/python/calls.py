"""Functions of another process: called by message type, and what it looks like when one fails.

``python examples/python/calls.py``
"""

import multiprocessing
import os

import slipring


@slipring.rpc(msg_type=1)
def upper(text: memoryview) -> bytes:
    """Answers in capitals."""
    return text.tobytes().upper()


@slipring.rpc(msg_type=2)
def root(number: memoryview) -> bytes:
    """The square root, of what has one."""
    return str(float(number.tobytes()) ** 0.5 if float(number.tobytes()) >= 0 else 1 / 0).encode()


def serve(name: str) -> None:
    """The second process serves until its client closes."""
    dispatcher = slipring.RpcDispatcher()
    dispatcher.register(upper)
    dispatcher.register(root)
    with slipring.RpcBus.listen(name, timeout=10) as bus:
        dispatcher.serve_forever(bus)


def main() -> None:
    """The first calls."""
    name = f"calls-{os.getpid()}"
    # A process that is forked would inherit nothing of use: ends belong to the process that opens them.
    server = multiprocessing.get_context("forkserver").Process(target=serve, args=(name,))
    server.start()
    with slipring.RpcBus.connect(name, timeout=10) as bus:
        print(upper.call(bus, b"loud", timeout=5).decode())
        print("the root of 2 is", root.call(bus, b"2", timeout=5).decode())
        try:
            root.call(bus, b"-1", timeout=5)
        except slipring.RemoteError as error:
            print(f"message type {error.msg_type} failed, and nothing else did")
        # Any number may be under way; replies are taken in whatever order.
        calls = [bus.call(word, msg_type=1) for word in (b"a", b"b", b"c")]
        for call in reversed(calls):
            with bus.wait(call, timeout=5) as reply:
                print(reply.data.decode(), end=" ")
        print()
    server.join()


if __name__ == "__main__":
    main()
