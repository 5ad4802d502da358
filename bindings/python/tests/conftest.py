"""What every test has: a runtime directory of its own, an address of its own, and a watchdog."""

import asyncio
import faulthandler
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from helpers import SOON

WATCHDOG = 60.0
"""Seconds after which a test that hangs ends the run, with the stacks of all its threads."""

_numbers = itertools.count()

# Whoever starts this in the background may have it ignore interrupts, and then its children would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def runtime_dir() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="slipring-test-") as directory:
        os.environ["SLIPRING_RUNTIME_DIR"] = directory
        yield


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def name() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine, on each kind of event loop."""
    loops = pytest.importorskip("uvloop", reason="uvloop is not here") if request.param == "uvloop" else asyncio

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
            return runner.run(asyncio.wait_for(main, SOON))

    return run
