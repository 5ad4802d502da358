"""Second processes, and pairs of ends in one process."""

import contextlib
import multiprocessing
import multiprocessing.process
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import slipring

SOON = 20.0
"""Seconds within which what a test waits for has happened, on a loaded machine too."""

_spawn = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def process(function: Callable[..., None], *args: object) -> Iterator[multiprocessing.process.BaseProcess]:
    """A second process that runs `function` beside the block, and must have ended well some time after it."""
    child = start(function, *args)
    try:
        yield child
        child.join(SOON)
        assert child.exitcode == 0, f"the other process ended with {child.exitcode}"
    finally:
        child.kill()
        child.join()


def start(function: Callable[..., None], *args: object) -> multiprocessing.process.BaseProcess:
    """A second process that may end in whatever way."""
    child = _spawn.Process(target=function, args=args, daemon=True)
    child.start()
    return child


@contextlib.contextmanager
def thread(function: Callable[..., object], *args: object) -> Iterator[list[object]]:
    """A second thread beside the block; what it answered, once it has ended. What it raised is raised."""
    answers: list[object] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(function(*args))
        except BaseException as error:
            raised.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    yield answers
    worker.join(SOON)
    assert not worker.is_alive(), "the other thread hangs"
    if raised:
        raise raised[0]


@contextlib.contextmanager
def buses(name: str, capacity: int | None = None, **options: Any) -> Iterator[tuple[slipring.Bus, slipring.Bus]]:
    """Both ends of a stream in this process: the one that sends, the one that receives."""
    with slipring.Listener(name, capacity=capacity, **options) as listener:
        with thread(lambda: listener.accept_bus(timeout=SOON)) as accepted:
            sender = slipring.Bus.connect(name, timeout=SOON, **options)
    receiver = accepted[0]
    assert isinstance(receiver, slipring.Bus)
    with sender, receiver:
        yield sender, receiver


@contextlib.contextmanager
def rpcs(name: str, **options: Any) -> Iterator[tuple[slipring.RpcBus, slipring.RpcBus]]:
    """Both ends of a session for calls in this process: the one that connected, the one that listened."""
    with slipring.Listener(name, **options) as listener:
        with thread(lambda: listener.accept_rpc(timeout=SOON)) as accepted:
            caller = slipring.RpcBus.connect(name, timeout=SOON, **options)
    callee = accepted[0]
    assert isinstance(callee, slipring.RpcBus)
    with caller, callee:
        yield caller, callee


def shared_memory_at(address: int) -> bool:
    """Whether a mapping of this library's is at an address of this process."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) .*(slipring|memfd)", line)
            if found and int(found[1], 16) <= address < int(found[2], 16):
                return True
    return False
