"""Every call that may wait ends by Ctrl-C, whatever the strategy, and whatever thread the signal is delivered to."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slipring
from helpers import SOON, buses, thread

PROGRAM = Path(__file__).with_name("blocked.py")
CALLS = re.findall(r'^    "([A-Z][^"]*)": ', PROGRAM.read_text(), re.MULTILINE)
STUB = Path(slipring.__file__).with_name("_native.pyi")


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupt_is_heard(name: str, call: str) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, PROGRAM, f"{name}-{wait}", wait, call],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for wait in slipring.Wait
    ]
    try:
        for wait, program in zip(slipring.Wait, programs, strict=True):
            out, err = program.communicate(timeout=2 * SOON)
            assert (program.returncode, out) == (0, "interrupted\n"), (wait, err)
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def test_every_call_that_may_wait_is_among_them() -> None:
    tested = {call.split(",")[0] for call in CALLS}
    waits = set()
    for cls in ast.parse(STUB.read_text()).body:
        if isinstance(cls, ast.ClassDef):
            for method in cls.body:
                if not isinstance(method, ast.FunctionDef) or method.name.startswith(("_", "try_")):
                    continue
                if {"timeout", "linger"} & {arg.arg for arg in method.args.kwonlyargs}:
                    names = ["Bus", "RpcBus"] if cls.name == "_Session" else [cls.name]
                    waits |= {f"{name}.{method.name}" for name in names}
    assert waits - tested == set()


def test_a_handler_that_returns_does_not_end_a_wait(name: str) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with buses(name) as (sender, receiver):

            def bother() -> None:
                for _ in range(3):
                    time.sleep(0.05)
                    os.kill(os.getpid(), signal.SIGUSR1)
                sender.send(b"after the signals")

            with thread(bother):
                assert receiver.recv(timeout=SOON).data == b"after the signals"
        assert heard
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_goodbye_is_said_whatever_ends_the_wait_before_it(name: str) -> None:
    class OnPurpose(Exception):
        pass

    def give_up(number: int, frame: object) -> None:
        raise OnPurpose

    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with buses(name) as (sender, receiver):
            sender.send(b"unread")
            with pytest.raises(slipring.Timeout):
                sender.close(linger=0.01)
            assert sender.closed
            assert [message.data for message in receiver] == [b"unread"]
        with buses(name) as (sender, receiver):
            sender.send(b"unread")

            def bother() -> None:
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGUSR1)

            with thread(bother), pytest.raises(OnPurpose):
                sender.close(linger=None)
            assert sender.closed
            assert [message.data for message in receiver] == [b"unread"]
    finally:
        signal.signal(signal.SIGUSR1, before)
