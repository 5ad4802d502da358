"""What ends tell of themselves and of each other: counters, observers, placement, and the log."""

import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import slipring
from helpers import SOON, buses, rpcs, thread


@contextmanager
def accepting(listener: slipring.Listener) -> Iterator[None]:
    """A thread beside the block in which the listener answers whoever asks."""
    over = threading.Event()

    def accept() -> None:
        while not over.is_set():
            assert listener.try_accept_bus() is None
            time.sleep(0.001)

    with thread(accept):
        try:
            yield
        finally:
            over.set()


def test_each_end_sees_what_the_other_has_counted(name: str) -> None:
    with buses(name) as (sender, receiver):
        for _ in range(5):
            sender.send(b"12345")
            receiver.recv(timeout=SOON)
        shown = receiver.peer_stats()
        assert shown is not None
        assert shown.keys() == sender.stats().keys()
        # Asking for one's own shows them, too.
        mine = sender.stats()
        shown = receiver.peer_stats()
        assert shown is not None
        assert (shown["frames_sent"], shown["bytes_sent"]) == (mine["frames_sent"], mine["bytes_sent"]) == (5, 25)
    with rpcs(name, counters=False) as (caller, callee):
        assert caller.peer_stats() is None
        assert callee.peer_stats() is None


def test_an_observer_sees_the_sessions_of_a_listener(name: str) -> None:
    with slipring.Listener(name) as listener:
        with thread(lambda: listener.accept_bus(timeout=SOON)) as accepted:
            sender = slipring.Bus.connect(name, timeout=SOON)
        receiver = accepted[0]
        assert isinstance(receiver, slipring.Bus)
        with sender, receiver:
            with accepting(listener):
                observer = slipring.Observer.connect(name, timeout=SOON)
            sender.send(b"seen")
            receiver.recv(timeout=SOON)
            receiver.stats()
            (seen,) = observer.sessions()
            assert (seen.session, seen.kind, seen.pid, seen.uid) == (1, "bus", os.getpid(), os.getuid())
            assert seen.age >= 0
            assert seen.ours["frames_received"] == 1
            assert seen.theirs is not None
            look = observer.look()
            assert (look.opened, look.open, look.unshown, look.torn) == (1, 1, 0, 0)
            assert [again.session for again in look.sessions] == [1]
            # Any number of threads may look.
            with thread(observer.sessions), thread(observer.sessions):
                observer.sessions()
            with pytest.raises(TypeError, match="a Observer belongs to the process"):
                pickle.dumps(observer)
    assert observer.look().opened == 1
    with pytest.raises(slipring.NotFound):
        slipring.Observer.connect(name)


def test_placement_tells_what_became_of_each_wish(name: str) -> None:
    with buses(name) as (sender, receiver):
        at = sender.placement()
        assert at.bytes >= 4096
        assert (at.numa_node.outcome, at.huge_pages.outcome, at.lock_memory.outcome) == ("not asked",) * 3
        sender.set_numa_node(0)
        at = sender.placement()
        assert at.numa_node.outcome in ("got", "partly", "refused")
        assert (at.numa_node.why is None) == (at.numa_node.outcome == "got")
        assert sum(at.nodes.values()) <= at.bytes
        with pytest.raises(slipring.InvalidArgument, match="node 4000, where there is 0"):
            receiver.set_numa_node(4000)
        with pytest.raises(slipring.InvalidArgument, match="from 0 to"):
            receiver.set_numa_node(-1)
    with rpcs(name, numa_node=0, huge_pages=True, lock_memory=True) as (caller, callee):
        caller.request_max  # noqa: B018
        for end in (caller, callee):
            at = end.placement()
            for wish in (at.numa_node, at.huge_pages, at.lock_memory):
                assert wish.outcome in ("got", "partly", "refused")
                assert wish.outcome == "got" or wish.why
    with pytest.raises(slipring.InvalidArgument, match="NUMA node 4000"):
        slipring.Listener(name, numa_node=4000)
    for option in ("huge_pages", "lock_memory", "counters"):
        with pytest.raises(TypeError, match=f"{option} is a bool, not str"):
            slipring.Listener(name, **{option: "yes"})  # type: ignore[arg-type]


def test_a_thread_is_pinned_and_let_go() -> None:
    before = sorted(os.sched_getaffinity(0))

    def pin() -> None:
        pinned = slipring.pin_thread([before[0]])
        assert (pinned.cpus, pinned.before) == ([before[0]], before)
        assert slipring.pin_thread(pinned.before).cpus == before
        with pytest.raises(slipring.InvalidArgument, match="at least one"):
            slipring.pin_thread([])
        with pytest.raises(slipring.InvalidArgument, match="100000 is not among"):
            slipring.pin_thread([100_000])

    with thread(pin):
        pass
    assert sorted(os.sched_getaffinity(0)) == before


def say_nothing_and_leave(address: str) -> None:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(address)
    client.send(b"garbage that is no hello of any version" * 4)
    client.close()


def test_the_log_says_what_the_core_saw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = str(tmp_path / "logged.sock")
    with caplog.at_level(logging.DEBUG, "slipring"):
        with slipring.Listener(address) as listener:
            say_nothing_and_leave(address)
            with pytest.raises(slipring.Timeout):
                listener.accept_bus(timeout=0.2)
    records = [record for record in caplog.records if record.name == "slipring.session.listener"]
    assert records, caplog.text
    assert records[0].levelno == logging.DEBUG
    assert "a handshake came to nothing" in records[0].getMessage()


def test_nothing_is_said_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = str(tmp_path / "unlogged.sock")
    with slipring.Listener(address) as listener:
        say_nothing_and_leave(address)
        with pytest.raises(slipring.Timeout):
            listener.accept_bus(timeout=0.2)
    assert caplog.records == []


def test_a_program_that_sets_up_no_log_sees_none(name: str) -> None:
    quiet = (
        "import slipring, logging; logging.getLogger('slipring').warning('no'); slipring.Listener('"
        + name
        + "').close()"
    )
    ran = subprocess.run([sys.executable, "-c", quiet], capture_output=True, text=True, timeout=SOON, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_a_log_handler_that_fails_harms_no_call(tmp_path: Path) -> None:
    class Fails(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("on purpose")

    logger, handler = logging.getLogger("slipring"), Fails()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    raised: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda found: raised.append(found.exc_value)
    try:
        address = str(tmp_path / "failing.sock")
        with slipring.Listener(address) as listener:
            say_nothing_and_leave(address)
            with pytest.raises(slipring.Timeout):
                listener.accept_bus(timeout=0.2)
    finally:
        sys.unraisablehook = hook
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert [str(error) for error in raised] == ["on purpose"] * len(raised)
    assert raised
