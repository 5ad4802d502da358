"""What has no counterpart elsewhere: an array that is handed over where it was written, and an import."""

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import slipring

Row = dict[str, Any]

ARRAY = 64 << 20
_PATIENCE = 20.0
_WARM = 6
"""Arrays before the ones that count: the arena has made its regions by then, and both sides have mapped them."""


def rows(*, quick: bool) -> Iterator[Row]:
    """All of it."""
    yield row("handover", "slipring-python", handover(3 if quick else 60), payload=ARRAY, wait="spin")
    bare, whole = imports(2 if quick else 15)
    yield row("import", "python", bare)
    yield row("import", "slipring-python", [with_it - without for with_it, without in zip(whole, bare, strict=True)])


def row(work: str, system: str, times: list[int], *, payload: int | None = None, wait: str | None = None) -> Row:
    """A row as `slipring-bench` writes it, of times in nanoseconds."""
    times = sorted(times)
    found = {"work": work, "system": system, "payload": payload, "wait": wait, "samples": len(times)}
    found |= {"p50_ns": int(statistics.median(times)), "p90_ns": times[len(times) * 9 // 10], "max_ns": times[-1]}
    return found | {"verified": True, "status": "ok", "why": None}


def handover(count: int) -> list[int]:
    """What handing an array over takes beyond writing it: until it can be written, and from then until the other process has it.

    Each is written in full by this process, and read in full by the other, outside these times.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="slipring-bench-python-") as folder:
        path = os.path.join(folder, "arrays")
        reader = context.Process(target=_read_arrays, args=(path, theirs, _WARM + count), daemon=True)
        reader.start()
        try:
            with slipring.Bus.connect(path, timeout=_PATIENCE, wait="spin") as bus:
                _pin(0)
                return [_hand_over(bus, ours, number) for number in range(_WARM + count)][_WARM:]
        finally:
            ours.close()
            reader.join(_PATIENCE)
            reader.kill()


def _hand_over(bus: slipring.Bus, other: Connection, number: int) -> int:
    now = time.perf_counter_ns
    start = now()
    array = bus.empty(ARRAY // 8, np.uint64)
    writes = now()
    array[:] = number
    written = now()
    bus.send(array)
    if not other.poll(_PATIENCE):
        raise TimeoutError("the reader says nothing")
    has_it, total = other.recv()
    if total != number * (ARRAY // 8):
        raise ValueError(f"array {number} was damaged on its way")
    return int((writes - start) + (has_it - written))


def _read_arrays(path: str, other: Connection, count: int) -> None:
    """The other process: has each array as soon as its last element can be looked at."""
    _pin(1)
    with slipring.Bus.listen(path, timeout=_PATIENCE, wait="spin") as bus:
        for _ in range(count):
            with bus.recv_zero_copy(timeout=_PATIENCE) as rx:
                array = np.frombuffer(rx, np.uint64)
                _last = array[-1]
                has_it = time.perf_counter_ns()
                total = int(array.sum())
                del array
            other.send((has_it, total))


def _pin(which: int) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[which % len(cpus)]})


def imports(count: int) -> tuple[list[int], list[int]]:
    """How long a Python takes that does nothing, and one that imports slipring, in turns."""
    bare, whole = [], []
    for _ in range(count + 1):
        bare.append(_run("pass"))
        whole.append(_run("import slipring"))
    # The first of each reads files that the others find in memory.
    return bare[1:], whole[1:]


def _run(code: str) -> int:
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter_ns() - start
