"""Bad luck: ends that are collected, forked or stopped at the wrong moment, in every order."""

import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import warnings
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import slipring
from helpers import SOON, buses, rpcs, shared_memory_at, start

LONG = 64 << 10


def everything(name: str) -> list[object]:
    """One object of each kind, most of them in use, with the cycles that users make of them."""
    things: list[Any] = []
    with buses(f"{name}-b") as (sender, receiver), rpcs(f"{name}-r") as (caller, callee):
        for size in (10, LONG):
            sender.send(b"x" * size, shared=[slipring.SharedBuffer.from_bytes(b"shared")])
            sender.send(b"y" * size)
            message = receiver.recv(timeout=SOON)
            rx = receiver.recv_zero_copy(timeout=SOON)
            tx = sender.send_zero_copy(size)
            call = caller.call_zero_copy(size)
            things += [message, rx, tx, call, np.frombuffer(message, "u1"), memoryview(rx), memoryview(tx)]
            things += [np.from_dlpack(message), message.shared]
            things.append(caller.call(b"z" * size))
            things.append(callee.serve(timeout=SOON))
        sender.send_many([b"a", b"b"])
        things += [receiver.drain_batch(2, timeout=SOON), sender.empty(100), caller.empty(LONG, "u1")]
        poller = slipring.Poller()
        things += [
            poller,
            poller.notifier(),
            iter(receiver),
            slipring.SharedBuffer(100),
            sender,
            receiver,
            caller,
            callee,
        ]
        dispatcher = slipring.RpcDispatcher()
        cycle: list[object] = [caller, poller]
        dispatcher.register(slipring.RpcEndpoint(lambda _, cycle=cycle: b"", 1))
        cycle.append(dispatcher)
        dispatcher.serve_while_waiting(caller)
        poller.close()
        things.append(cycle)
    return things


def test_everything_is_collected_in_any_order(name: str) -> None:
    chance = random.Random(20)
    for number in range(20):
        things = everything(f"{name}-{number}")
        chance.shuffle(things)
        for thing in list(things):
            # Some are kept by a cycle alone, which only the collector ends.
            if chance.random() < 0.3:
                cycle: list[object] = [thing]
                cycle.append(cycle)
        while things:
            things.pop()
            if chance.random() < 0.3:
                gc.collect()
        gc.collect()
        # Whatever memory was in use is unmapped again with the last of them.
        with open("/proc/self/maps") as maps:
            assert not [line for line in maps if "slipring-test" in line]


AT_THE_END = """
import atexit, gc, random, sys, threading, time, weakref
sys.path.insert(0, sys.argv[1])
import slipring
from test_bad_luck import everything
kept = everything(sys.argv[2])
random.Random(int(sys.argv[3])).shuffle(kept)
class Late:
    def __del__(self, kept=kept):
        for thing in kept:
            try:
                bytes(memoryview(thing))
            except Exception:
                pass
slipring.late = Late()
sys.modules["late"] = kept
# A thread that waits when the interpreter ends.
bus = slipring.Listener(sys.argv[2] + "-late")
threading.Thread(target=lambda: bus.accept_bus(), daemon=True).start()
time.sleep(0.05)
print("ends")
"""


@pytest.mark.parametrize("seed", range(3))
def test_an_interpreter_ends_with_everything_alive(name: str, seed: int) -> None:
    tests = os.path.dirname(__file__)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AT_THE_END, tests, name, str(seed)],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "ends\n"), ran.stderr


def be_stopped(name: str) -> None:
    with slipring.Bus.listen(name, 4096, timeout=SOON) as bus:
        bus.recv()
        signal.pause()


def test_a_stopped_reader_makes_a_sender_wait_and_nothing_more(name: str) -> None:
    child = start(be_stopped, name)
    with slipring.Bus.connect(name, timeout=SOON, memory_limit=1 << 20) as bus:
        bus.send(b"first")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        for call in (
            lambda: [bus.send(b"x" * 200, timeout=0.05) for _ in range(100)],
            lambda: [bus.send_many([b"x" * 200] * 100, timeout=0.05)],
            lambda: [bus.send(b"l" * 300_000, timeout=0.05) for _ in range(10)],
            lambda: [bus.empty(300_000, "u1", timeout=0.05) for _ in range(10)],
        ):
            with pytest.raises(slipring.Timeout):
                call()
        assert bus.state == "open"
        os.kill(child.pid, signal.SIGCONT)
        child.kill()
        with pytest.raises(slipring.PeerDied):
            while True:
                bus.send(b"x" * 200, timeout=SOON)
    child.join(SOON)


def in_a_worker(name: str, number: int) -> int:
    with slipring.RpcBus.connect(name, timeout=SOON) as bus:
        return int.from_bytes(bus.request(number.to_bytes(4, "big"), timeout=SOON), "big")


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_of_every_kind_call_back(name: str, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context(method).Pool(1) as pool:
            results = [pool.apply_async(in_a_worker, (name, number)) for number in range(3)]
            for _ in results:
                with slipring.RpcBus.listen(name, timeout=SOON) as bus:
                    with bus.serve(timeout=SOON) as request:
                        number = int.from_bytes(request.data, "big")
                        bus.reply(request.correlation_id, (number * 2).to_bytes(4, "big"))
                    bus.close(linger=SOON)
            assert [result.get(SOON) for result in results] == [0, 2, 4]


def test_every_handle_refuses_to_be_pickled(name: str) -> None:
    kinds = {}
    for thing in everything(name):
        if type(thing).__module__.startswith("slipring"):
            kinds[type(thing).__name__] = thing
    with slipring.Listener(f"{name}-l") as listener:
        kinds["Listener"] = listener
        kinds.pop("Message")
        assert {"Bus", "RpcBus", "Poller", "Notifier", "RxGuard", "TxGuard", "RxBatchGuard", "SharedBuffer"} <= set(
            kinds
        )
        for kind, thing in kinds.items():
            with pytest.raises(TypeError, match=f"a {kind} belongs to the process"):
                pickle.dumps(thing)


class Calls(RuleBasedStateMachine):
    """Both ends of a session for calls, used in any order, closed ends too: each call answers or raises what it may."""

    def __init__(self) -> None:
        super().__init__()
        self.context = rpcs(f"calls-{os.getpid()}-{id(self)}", in_flight=4, memory_limit=1 << 20)
        self.caller, self.callee = self.context.__enter__()
        self.calls: dict[int, bytes] = {}
        self.requests: dict[int, bytes] = {}
        self.replied: set[int] = set()
        self.kept: list[tuple[memoryview, bytes]] = []

    @rule(payload=st.sampled_from([b"", b"short", b"l" * 5000, b"m" * 100_000]))
    def call(self, payload: bytes) -> None:
        call = self.caller.try_call(payload)
        if call is not None:
            self.calls[call] = payload

    @rule()
    def serve(self) -> None:
        request = self.callee.try_serve()
        if request is not None:
            self.requests[request.correlation_id] = request.data
            if len(self.kept) < 4:
                self.kept.append((memoryview(request), request.data))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), fails=st.booleans())
    def reply(self, data: st.DataObject, fails: bool) -> None:
        call = data.draw(st.sampled_from(sorted(self.requests)))
        payload = self.requests.pop(call)
        if fails:
            self.callee.reply_error(call, 3, "on purpose")
        else:
            try:
                self.callee.reply(call, payload)
            except slipring.OutOfMemory:
                fails = True
        with pytest.raises(slipring.InvalidArgument):
            self.callee.reply(call, b"twice")

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted(self.calls)))
        try:
            reply = self.caller.try_wait(call)
        except (slipring.RemoteError, slipring.OutOfMemory):
            del self.calls[call]
            return
        if reply is not None:
            assert reply.data == self.calls.pop(call)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted(self.calls)))
        self.caller.cancel(call)
        del self.calls[call]
        with pytest.raises(slipring.InvalidArgument):
            self.caller.wait(call, timeout=0)

    @rule()
    def wrong(self) -> None:
        for call in (
            lambda: self.caller.wait(0xFFFF_FFFF, timeout=0),
            lambda: self.callee.reply(0xFFFF_FFFF, b""),
            lambda: self.caller.call(memoryview(b"abcd")[::2]),
        ):
            with pytest.raises(slipring.InvalidArgument):
                call()

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.kept.pop(data.draw(st.integers(0, len(self.kept) - 1)))

    @invariant()
    def what_is_kept_stays_what_it_was(self) -> None:
        for view, payload in self.kept:
            assert view == payload

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)


Calls.TestCase.settings = hypothesis.settings(max_examples=25, stateful_step_count=40, deadline=None)
TestCalls = Calls.TestCase


def test_arrays_in_place_are_what_they_are_said_to_be(name: str) -> None:
    with buses(name) as (sender, receiver):
        array = sender.empty(LONG, "u1")
        array[:] = 1
        sender.send(array)
        assert shared_memory_at(np.frombuffer(receiver.recv(timeout=SOON), "u1").ctypes.data)
