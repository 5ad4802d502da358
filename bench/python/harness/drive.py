"""The patterns of traffic: one block of calls, or of a stream, on either side, for whatever system.

Time is read right before a request is written and right after its reply was read in full; whether the reply was the right one is
looked at after that. It is `CLOCK_MONOTONIC`, as in the Rust kit.
"""

import time
from collections import Counter
from typing import Any, Protocol

from .payload import Damaged, Turns

Report = dict[str, Any]


class Calls(Protocol):
    """One end for requests and replies."""

    def ask(self, payload: bytes) -> bytes:
        """Sends a request and answers with its reply, read in full."""

    def serve(self, turns: Turns) -> None:
        """Answers the requests that are due with their replies, until the one that ends the block, which has a reply too."""


class Streams(Protocol):
    """One end for messages one way."""

    def send_many(self, batch: list[bytes]) -> None:
        """Sends messages."""

    def receive_some(self) -> list[bytes]:
        """Waits until something has come, and answers with what has: at most `payload.GROUP` messages, each read in full."""


class Loops(Protocol):
    """One end for requests and replies in an event loop."""

    async def ask(self, payload: bytes) -> bytes:
        """As `Calls.ask`."""

    async def serve(self, turns: Turns) -> None:
        """As `Calls.serve`."""


def report(times: list[int], messages: int = 0, took: int = 0) -> Report:
    """What one side saw of a block."""
    return {"counts": sorted(Counter(times).items()), "moved": {"messages": messages, "time": duration(took)}}


def duration(ns: int) -> dict[str, int]:
    """A time as the harness writes it."""
    return {"secs": ns // 1_000_000_000, "nanos": ns % 1_000_000_000}


def nanoseconds(told: dict[str, int]) -> int:
    """A time that the harness has told."""
    return told["secs"] * 1_000_000_000 + told["nanos"]


def _finish(turns: Turns, reply: bytes) -> None:
    if reply != next(turns.pairs)[1]:
        raise Damaged("the last reply of a block is lost or damaged")


def ask_block(end: Calls, turns: Turns, block: dict[str, Any]) -> Report:
    """Calls one after the other, until the time is over."""
    ask, now = end.ask, time.perf_counter_ns
    times: list[int] = []
    begin = now()
    until, most = begin + nanoseconds(block["span"]), block["count"]
    for payload, due in turns.pairs:
        start = now()
        found = ask(payload)
        stop = now()
        times.append(stop - start)
        if found != due:
            raise Damaged(f"the reply to request {len(times)} of a block is lost or damaged")
        if stop >= until or len(times) >= most:
            break
    _finish(turns, ask(turns.last))
    return report(times, len(times), stop - begin)


async def ask_block_in_loop(end: Loops, turns: Turns, block: dict[str, Any]) -> Report:
    """The same in an event loop."""
    ask, now = end.ask, time.perf_counter_ns
    times: list[int] = []
    begin = now()
    until, most = begin + nanoseconds(block["span"]), block["count"]
    for payload, due in turns.pairs:
        start = now()
        found = await ask(payload)
        stop = now()
        times.append(stop - start)
        if found != due:
            raise Damaged(f"the reply to request {len(times)} of a block is lost or damaged")
        if stop >= until or len(times) >= most:
            break
    _finish(turns, await ask(turns.last))
    return report(times, len(times), stop - begin)


def send_block(end: Streams, turns: Turns, block: dict[str, Any]) -> Report:
    """Sends as fast as there is room, until the time is over."""
    until = time.perf_counter_ns() + nanoseconds(block["span"])
    if block["count"]:
        end.send_many(turns.take())
    while block["count"] and time.perf_counter_ns() < until:
        end.send_many(turns.take())
    end.send_many([turns.last])
    return report([])


def receive_block(end: Streams, turns: Turns) -> Report:
    """Reads and checks all. What comes first starts the clock, and does not count."""
    over, messages = turns.check(end.receive_some()), 0
    begin = time.perf_counter_ns()
    while not over:
        batch = end.receive_some()
        over = turns.check(batch)
        messages += len(batch)
    return report([], messages, time.perf_counter_ns() - begin if messages else 0)
