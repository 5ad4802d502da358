"""Death, signals, threads, fork and forgetting."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

import slipring
from helpers import SOON, buses, process, rpcs, start, thread


def die_holding(name: str, kind: str) -> None:
    end = (slipring.Bus if kind == "bus" else slipring.RpcBus).connect(name, timeout=SOON)
    if isinstance(end, slipring.Bus):
        end.send(b"said before")
        end.send(b"l" * 100_000)
    else:
        end.call(b"said before")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("wait", list(slipring.Wait))
def test_what_was_said_before_death_is_heard_and_then_the_death(name: str, wait: slipring.Wait) -> None:
    child = start(die_holding, name, "bus")
    with slipring.Bus.listen(name, wait=wait, timeout=SOON) as bus:
        assert bus.recv(timeout=SOON).data == b"said before"
        message = bus.recv(timeout=SOON)
        for _ in range(2):
            with pytest.raises(slipring.PeerDied, match="the peer died"):
                bus.recv(timeout=SOON)
        with pytest.raises(slipring.PeerDied):
            next(bus)
        assert bus.state == "peer-died"
        assert memoryview(message)[-1] == ord("l")
    child.join(SOON)


def test_a_server_hears_of_death(name: str) -> None:
    child = start(die_holding, name, "rpc")
    dispatcher = slipring.RpcDispatcher()
    with slipring.RpcBus.listen(name, timeout=SOON) as callee:
        with pytest.raises(slipring.PeerDied):
            dispatcher.serve_forever(callee)
    child.join(SOON)


def be_stopped(name: str) -> None:
    with slipring.RpcBus.connect(name, timeout=SOON) as rpc:
        rpc.serve()


def test_a_stopped_peer_is_waited_for_until_the_timeout(name: str) -> None:
    child = start(be_stopped, name)
    with slipring.RpcBus.listen(name, timeout=SOON) as rpc:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(slipring.Timeout):
            rpc.request(b"", timeout=0.2)
        assert rpc.state == "open"
        child.kill()
        with pytest.raises(slipring.PeerDied):
            rpc.request(b"", timeout=SOON)
    child.join(SOON)


BLOCKED = """
import os, signal, sys, threading, time, slipring
name, wait, what = sys.argv[1:]
rpc = what in ("serve", "request", "wait_reply", "dispatch")
listener = slipring.Listener(name, capacity=1024, memory_limit=1 << 20)
accepted = []
accept = listener.accept_rpc if rpc else listener.accept_bus
worker = threading.Thread(target=lambda: accepted.append(accept(timeout=20)))
worker.start()
connect = slipring.RpcBus.connect if rpc else slipring.Bus.connect
a = connect(name, timeout=20, wait=wait)
worker.join()
b = accepted[0]
b.set_wait(wait)
poller = slipring.Poller(wait=wait)
def fill():
    while True:
        a.send(b"x" * 100)
def fill_blocks():
    kept = []
    while True:
        a.send(b"x" * 100_000)
blocked = {
    "recv": b.recv if not rpc else None,
    "iterate": lambda: next(b),
    "drain": lambda: b.drain_batch(),
    "many": lambda: b.recv_many(5),
    "send": fill,
    "send_blocks": fill_blocks,
    "accept": lambda: listener.accept_bus(),
    "listen": lambda: slipring.Bus.listen(name + "-l", wait=wait),
    "connect": lambda: slipring.Bus.connect(name + "-c", timeout=None, wait=wait),
    "poll": lambda: poller.wait(),
    "serve": lambda: b.serve(),
    "request": lambda: a.request(b""),
    "wait_reply": lambda: a.wait(a.call(b"")),
    "dispatch": lambda: slipring.RpcDispatcher().serve_forever(b),
}[what]
def interrupt():
    time.sleep(0.3)
    interrupt.at = time.monotonic()
    # To this thread, as the kernel may choose any.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.raise_signal(signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    blocked()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - interrupt.at)
    os._exit(0 if sys.stdout.flush() is None else 1)
"""

BLOCKING = [
    "recv",
    "iterate",
    "drain",
    "many",
    "send",
    "send_blocks",
    "accept",
    "listen",
    "connect",
    "poll",
    "serve",
    "request",
    "wait_reply",
    "dispatch",
]


@pytest.mark.parametrize("what", BLOCKING)
def test_every_wait_hears_a_keyboard_interrupt_whatever_thread_gets_it(name: str, what: str) -> None:
    for wait in slipring.Wait if what in ("recv", "send", "request") else [slipring.Wait.SPIN]:
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED, f"{name}-{wait}", wait, what],
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
        assert (done.returncode, done.stdout.split()[:1]) == (0, ["interrupted"]), (wait, done.stdout, done.stderr)


def test_a_handler_that_returns_does_not_end_a_wait(name: str) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with buses(name) as (sender, receiver):

            def bother() -> None:
                for _ in range(3):
                    time.sleep(0.05)
                    os.kill(os.getpid(), signal.SIGUSR1)
                sender.send(b"after the signals")

            with thread(bother):
                assert receiver.recv(timeout=SOON).data == b"after the signals"
        assert heard
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_second_thread_is_told(name: str) -> None:
    with rpcs(name) as (caller, callee):
        with thread(lambda: callee.serve(timeout=SOON).data) as served:
            deadline = time.monotonic() + SOON
            with pytest.raises(slipring.WrongThread, match="another thread is inside a call on this RpcBus"):
                while time.monotonic() < deadline:
                    callee.stats()
                    time.sleep(0.001)
            caller.note(b"ends the wait")
        assert served == [b"ends the wait"]
        callee.stats()


def test_a_forked_child_has_no_part_in_it(name: str) -> None:
    with buses(name) as (sender, receiver):
        sender.send(b"l" * 100_000)
        message = receiver.recv(timeout=SOON)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                for call in (lambda: sender.send(b""), receiver.try_recv, lambda: sender.send_zero_copy(5)):
                    with pytest.raises(slipring.Forked, match="belongs to the process that forked"):
                        call()
                assert message.data[:1] == b"l"
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sender.send(b"goes on")
        assert receiver.recv(timeout=SOON).data == b"goes on"


def test_what_was_never_closed_is_warned_of(name: str) -> None:
    with buses(name) as (sender, receiver):
        pass
    del sender, receiver
    listener = slipring.Listener(name)
    with pytest.warns(ResourceWarning, match="unclosed slipring Listener"):
        del listener
        gc.collect()
    with slipring.Listener(name) as listener:
        with thread(lambda: listener.accept_bus(timeout=SOON)) as accepted:
            sender = slipring.Bus.connect(name, timeout=SOON)
        with pytest.warns(ResourceWarning, match="unclosed slipring Bus"):
            del sender
            gc.collect()
        end = accepted.pop()
        assert isinstance(end, slipring.Bus)
        end.close()


def test_everything_can_be_forgotten_in_any_order(name: str) -> None:
    chance = random.Random(7)
    for number in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            with buses(f"{name}-{number}") as (sender, receiver):
                things: list[object] = [sender.send_zero_copy(n) for n in (10, 5000)]
                things += [sender.empty(1000), sender.empty((5, 5))]
                for size in (5, 5000):
                    sender.send(b"x" * size)
                    sender.send(b"y" * size)
                    things.append(receiver.recv_zero_copy(timeout=SOON))
                    things.append(receiver.recv(timeout=SOON))
                things += [memoryview(thing) for thing in things[2:]]  # type: ignore[arg-type]
                things += [slipring.SharedBuffer(100), slipring.SharedBuffer.from_bytes(b"abc")]
                things += [sender, receiver]
                sender.close()
            poller = slipring.Poller()
            things.append(poller)
            poller.close()
            del sender, receiver, poller
            chance.shuffle(things)
            while things:
                things.pop()
                if chance.random() < 0.2:
                    gc.collect()


def close_at_once(name: str) -> None:
    slipring.Bus.connect(name, timeout=SOON).close()


def test_a_clean_close_is_no_death(name: str) -> None:
    with process(close_at_once, name):
        with slipring.Bus.listen(name, timeout=SOON) as bus:
            with pytest.raises(slipring.Closed, match="closed the session"):
                bus.recv(timeout=SOON)


def test_waits_end_when_the_other_end_goes_in_another_thread(name: str) -> None:
    with buses(name) as (sender, receiver):
        timer = threading.Timer(0.05, sender.close)
        timer.start()
        with pytest.raises(slipring.Closed):
            receiver.recv(timeout=SOON)
        timer.join()
