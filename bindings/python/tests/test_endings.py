"""Death, signals, threads, fork and forgetting."""

import gc
import os
import random
import signal
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
