"""Ten thousand rounds leave nothing behind."""

import contextlib
import gc
import logging
import os
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import slipring
from helpers import SOON, buses, rpcs, thread

ROUNDS = 10_000
MEMORY = 1 << 20
"""Bytes for payloads: so little that a session never has a second region, which a loaded machine may make it want."""
SPANS = 4
"""What a round leaves, every span of rounds leaves again; what the interpreter takes for itself, hardly any does twice."""


def resources() -> tuple[int, int]:
    with open("/proc/self/maps") as maps:
        return len(os.listdir("/proc/self/fd")), sum("slipring" in line or "memfd" in line for line in maps)


def flat(round_: Callable[[int], object], rounds: int = ROUNDS) -> None:
    for number in range(rounds // 10):
        round_(number)
    gc.collect()
    before = resources()
    tracemalloc.start()
    for number in range(rounds // 10):
        round_(number)
    gc.collect()
    grown = []
    for _ in range(SPANS):
        base = tracemalloc.get_traced_memory()[0]
        for number in range(rounds // SPANS):
            round_(number)
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0] - base)
    tracemalloc.stop()
    assert resources() == before
    # A reference that each round left would be eight bytes and more.
    assert min(grown) < max(8 * (rounds // SPANS), 1024), f"bytes more in each of {SPANS} spans: {grown}"


def test_messages_and_views(name: str) -> None:
    with buses(name, memory_limit=MEMORY) as (sender, receiver):

        def once(number: int) -> None:
            sender.send(b"s" * (number % 100))
            sender.send(b"l" * 5000)
            with sender.send_zero_copy(3000) as tx:
                memoryview(tx)[:2] = b"zc"
            array = sender.empty(1000, np.uint8)
            sender.send(array)
            receiver.recv(timeout=SOON)
            with receiver.recv_zero_copy(timeout=SOON) as rx, memoryview(rx) as view:
                assert view[0] == ord("l")
            with receiver.drain_batch(2, timeout=SOON):
                pass
            sender.empty(10)
            assert receiver.try_recv() is None or number >= 0

        flat(once)


def test_failures(name: str) -> None:
    with buses(name) as (sender, receiver):

        def once(number: int) -> None:
            for call in (
                lambda: sender.send("text"),
                lambda: sender.send(b"", -1),
                lambda: receiver.recv(timeout=0),
                lambda: sender.send(memoryview(b"abcd")[::2]),
                lambda: sender.send_many([b"x", 5]),
            ):
                with contextlib.suppress(TypeError, slipring.SlipringError):
                    call()
            assert receiver.try_recv() is None

        flat(once, ROUNDS // 4)


def test_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is logged is kept by the test runner.
    monkeypatch.setattr(logging.getLogger("slipring.rpc"), "disabled", True)
    dispatcher = slipring.RpcDispatcher()
    dispatcher.register(slipring.rpc(msg_type=1)(lambda payload: payload))
    with rpcs(name, wait="park", memory_limit=MEMORY) as (caller, callee):

        def once(number: int) -> None:
            caller.request(b"p" * (number * 37 % 3000), 1, timeout=SOON)
            if number % 10 == 0:
                with contextlib.suppress(slipring.RemoteError):
                    caller.request(b"", 2, timeout=SOON)

        with thread(dispatcher.serve_forever, callee):
            flat(once, ROUNDS // 4)
            caller.close()


def test_sessions(name: str) -> None:
    shared = slipring.SharedBuffer.from_bytes(b"shared")

    def once(number: int) -> None:
        with buses(f"{name}-{number % 7}", capacity=4096) as (sender, receiver):
            sender.send(b"l" * 2000, shared=[shared])
            assert receiver.recv(timeout=SOON).shared[0].size == 6

    flat(once, 400)
