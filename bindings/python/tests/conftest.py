"""What every test has: a runtime directory of its own, an address of its own, and a watchdog."""

import faulthandler
import itertools
import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

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
