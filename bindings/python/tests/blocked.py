"""A program that blocks in one call, is interrupted there, and says so: `blocked.py NAME STRATEGY CALL`.

The signal is delivered to another thread than the one that waits, which is the harder case: no system call of the waiter's ends by it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import slipring

SOON = 20.0
LONG = b"l" * 400_000
"""Of which the ends have memory for two at most."""

name, wait, call = sys.argv[1:]
options: dict[str, Any] = {"wait": wait, "memory_limit": 1 << 20}
shared = slipring.SharedBuffer.from_bytes(b"shared")
kept: list[object] = []


def pair(kind: str) -> tuple[Any, Any]:
    """Both ends of a session with little room: the connecting one, the listening one."""
    with slipring.Listener(name, capacity=4096, in_flight=2, **options) as listener:
        accepted: list[Any] = []
        accept = listener.accept_rpc if kind == "rpc" else listener.accept_bus
        worker = threading.Thread(target=lambda: accepted.append(accept(timeout=SOON)))
        worker.start()
        connect = slipring.RpcBus.connect if kind == "rpc" else slipring.Bus.connect
        ends = connect(name, timeout=SOON, **options)
        worker.join()
    kept.extend([ends, accepted[0]])
    return ends, accepted[0]


def forever(function: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        while True:
            function()

    return run


def bus(block: Callable[[Any, Any], Callable[[], object]]) -> Callable[[], Callable[[], object]]:
    return lambda: block(*pair("bus"))


def rpc(block: Callable[[Any, Any], Callable[[], object]]) -> Callable[[], Callable[[], object]]:
    return lambda: block(*pair("rpc"))


def unread(sender: slipring.Bus) -> Callable[[], object]:
    sender.send(b"unread")
    return lambda: sender.close(linger=None)


def unread_call(caller: slipring.RpcBus) -> Callable[[], object]:
    caller.call(b"unread")
    return lambda: caller.close(linger=None)


def out_of_memory(end: Any) -> None:
    """Takes all the memory that an end may have for long payloads."""
    while True:
        try:
            kept.append(end.empty(len(LONG), "u1", timeout=0))
        except slipring.Timeout:
            return


def without_memory(end: Any, block: Callable[[], object]) -> Callable[[], object]:
    out_of_memory(end)
    return block


def replying(caller: slipring.RpcBus, callee: slipring.RpcBus, **more: Any) -> Callable[[], object]:
    out_of_memory(callee)
    # A part of the memory is kept for replies. One takes that, and is looked at.
    first = caller.call(b"")
    callee.reply(callee.serve(timeout=SOON).correlation_id, LONG, timeout=SOON)
    kept.append(caller.wait(first, timeout=SOON))
    caller.call(b"")
    request = callee.serve(timeout=SOON)
    return lambda: callee.reply(request.correlation_id, LONG, timeout=None, **more)


def slowly_read(sender: slipring.Bus, receiver: slipring.Bus) -> Callable[[], object]:
    def read() -> None:
        while True:
            receiver.recv()
            time.sleep(0.005)

    threading.Thread(target=read, daemon=True).start()
    return lambda: sender.send_many([b"x" * 40] * 100_000)


def kept_busy(caller: slipring.RpcBus, callee: slipring.RpcBus) -> Callable[[], object]:
    dispatcher = slipring.RpcDispatcher()
    dispatcher.register(slipring.RpcEndpoint(bytes, 1))
    threading.Thread(target=forever(lambda: caller.request(b"", 1)), daemon=True).start()
    return lambda: dispatcher.serve_forever(callee)


def serving_while_it_waits(caller: slipring.RpcBus, callee: slipring.RpcBus) -> Callable[[], object]:
    slipring.RpcDispatcher().serve_while_waiting(caller)
    return lambda: caller.request(b"")


def stopped(connect: Callable[..., object]) -> Callable[[], Callable[[], object]]:
    """A listener that does not answer a client that it has heard of."""

    def block() -> Callable[[], object]:
        kept.append(slipring.Listener(name))
        return lambda: connect(name, timeout=None)

    return block


def poll() -> Callable[[], object]:
    poller = slipring.Poller(wait=wait)
    kept.append(poller)
    return poller.wait


def accept(kind: str) -> Callable[[], Callable[[], object]]:
    def block() -> Callable[[], object]:
        listener = slipring.Listener(name)
        kept.append(listener)
        return getattr(listener, f"accept_{kind}")

    return block


CALLS: dict[str, Callable[[], Callable[[], object]]] = {
    "Bus.listen": lambda: lambda: slipring.Bus.listen(name, wait=wait),
    "Bus.connect": lambda: lambda: slipring.Bus.connect(name, timeout=None, wait=wait),
    "RpcBus.listen": lambda: lambda: slipring.RpcBus.listen(name, wait=wait),
    "RpcBus.connect": lambda: lambda: slipring.RpcBus.connect(name, timeout=None, wait=wait),
    "Observer.connect": lambda: lambda: slipring.Observer.connect(name, timeout=None),
    "Listener.accept_bus": accept("bus"),
    "Listener.accept_rpc": accept("rpc"),
    "Poller.wait": poll,
    "Bus.recv": bus(lambda a, b: b.recv),
    "Bus.__next__": bus(lambda a, b: lambda: next(b)),
    "Bus.recv_zero_copy": bus(lambda a, b: b.recv_zero_copy),
    "Bus.recv_many": bus(lambda a, b: b.recv_many),
    "Bus.drain_batch": bus(lambda a, b: b.drain_batch),
    "Bus.send": bus(lambda a, b: forever(lambda: a.send(b"x" * 100))),
    "Bus.send, long": bus(lambda a, b: without_memory(a, lambda: a.send(LONG))),
    "Bus.send, shared": bus(lambda a, b: forever(lambda: a.send(b"x" * 100, shared=[shared]))),
    "Bus.send_many": bus(slowly_read),
    "Bus.send_zero_copy": bus(lambda a, b: without_memory(a, lambda: a.send_zero_copy(len(LONG)))),
    "Bus.empty": bus(lambda a, b: without_memory(a, lambda: a.empty(len(LONG), "u1"))),
    "Bus.close": bus(lambda a, b: unread(a)),
    "RpcBus.call": rpc(lambda a, b: forever(lambda: a.call(b""))),
    "RpcBus.call, shared": rpc(lambda a, b: forever(lambda: a.call(b"", shared=[shared]))),
    "RpcBus.call, long": rpc(lambda a, b: without_memory(a, lambda: a.call(LONG))),
    "RpcBus.note": rpc(lambda a, b: forever(lambda: a.note(b""))),
    "RpcBus.wait": rpc(lambda a, b: lambda: a.wait(a.call(b""))),
    "RpcBus.request": rpc(lambda a, b: lambda: a.request(b"")),
    "RpcBus.request, shared": rpc(lambda a, b: lambda: a.request(b"", shared=[shared])),
    "RpcBus.request, serving": rpc(serving_while_it_waits),
    "RpcBus.request_view": rpc(lambda a, b: lambda: a.request_view(b"")),
    "RpcBus.call_zero_copy": rpc(lambda a, b: without_memory(a, lambda: a.call_zero_copy(len(LONG)))),
    "RpcBus.empty": rpc(lambda a, b: without_memory(a, lambda: a.empty(len(LONG), "u1"))),
    "RpcBus.serve": rpc(lambda a, b: b.serve),
    "RpcBus.reply": rpc(replying),
    "RpcBus.reply, shared": rpc(lambda a, b: replying(a, b, shared=[shared])),
    "RpcBus.reply_zero_copy": rpc(lambda a, b: without_memory(b, lambda: b.reply_zero_copy(1, len(LONG)))),
    "RpcBus.close": rpc(lambda a, b: unread_call(a)),
    "RpcDispatcher.serve_once": rpc(lambda a, b: lambda: slipring.RpcDispatcher().serve_once(b)),
    "RpcDispatcher.serve_forever": rpc(lambda a, b: lambda: slipring.RpcDispatcher().serve_forever(b)),
    "RpcDispatcher.serve_forever, busy": rpc(kept_busy),
}
"""Everything that may wait, and how it comes to."""

TO_THE_PROCESS = {
    "Bus.connect, unanswered": stopped(slipring.Bus.connect),
    "RpcBus.connect, unanswered": stopped(slipring.RpcBus.connect),
    "Observer.connect, unanswered": stopped(slipring.Observer.connect),
}
"""A handshake that has begun ends by its own time, or by a signal to the thread that waits: the kernel prefers the main one."""


def interrupt() -> None:
    time.sleep(0.2)
    if call in TO_THE_PROCESS:
        os.kill(os.getpid(), signal.SIGINT)
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.raise_signal(signal.SIGINT)


def main() -> None:
    blocks = (CALLS | TO_THE_PROCESS)[call]()
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        blocks()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        print("not interrupted", flush=True)
    os._exit(0)


if __name__ == "__main__":
    # Whoever starts this in the background may have it ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
