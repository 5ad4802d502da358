"""Frames from Rust to Python: the Rust program of `slipring-bench` sends as it always does, and Python receives in groups.

The patterns are those of the Rust kit, one for each message; NumPy adds up the words of a whole group at once.
"""

import io
import os
import time

import numpy as np
import slipring

from harness import drive
from harness.host import Job, System, path_of, seconds
from harness.payload import LAST_SEED, STEP, Damaged

_MASK = (1 << 64) - 1
_AT_ONCE = 256
"""Messages that are taken together: as many as stay in the cache until they are looked at."""


class FromRust(System):
    """The following end."""

    WORKS = ("stream",)
    WAITS = ("spin", "adaptive", "park")

    def __init__(self, job: Job) -> None:
        if job["payload"] % 8:
            raise ValueError("messages are of whole words here")
        self._words = job["payload"] // 8
        self._number = 0
        self._joined = io.BytesIO()
        steps = sum(STEP * at for at in range(self._words)) & _MASK
        self._constant = np.uint64(steps)
        self._last = np.uint64((self._words * LAST_SEED + steps) & _MASK)
        self._bus = slipring.Bus.listen(path_of(job), timeout=seconds(job), wait=job["wait"])

    @staticmethod
    def version() -> str:
        return slipring.__version__

    @staticmethod
    def lead_program() -> list[str]:
        return [os.environ["SLIPRING_BENCH"], "ours"]

    def _some(self) -> tuple[int, bool]:
        """Receives and checks what has come: how many messages, and whether the last one ends the block."""
        batch = self._bus.recv_many(_AT_ONCE)
        count = len(batch)
        self._joined.seek(0)
        self._joined.writelines([message.data for message in batch])
        with self._joined.getbuffer() as view:
            words = np.frombuffer(view, "<u8", count * self._words)
            sums = words.reshape(count, self._words).sum(axis=1, dtype=np.uint64)
            del words
        numbers = np.arange(self._number + 1, self._number + count + 1, dtype=np.uint64)
        right = sums == numbers * np.uint64(self._words) + self._constant
        over = bool(sums[-1] == self._last)
        if not right[: count - over].all():
            raise Damaged(f"one of the messages {self._number + 1} to {self._number + count} is lost or damaged")
        self._number += count - over
        return count, over

    def receive_block(self) -> drive.Report:
        """One block; what comes first starts the clock, and does not count."""
        (_, over), messages = self._some(), 0
        begin = time.perf_counter_ns()
        while not over:
            count, over = self._some()
            messages += count
        return drive.report([], messages, time.perf_counter_ns() - begin if messages else 0)
