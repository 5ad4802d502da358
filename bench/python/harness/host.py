"""The life of a process that is measured: it opens what it is told to, does one block after the other, and ends with its input.

The lines of JSON are those of `bench/kit/src/rival/protocol.rs`; `slipring-bench compare` drives these processes as it drives those in
Rust. Between two blocks a process sleeps on its standard input.
"""

import abc
import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from . import drive
from .payload import Damaged, Turns

Job = dict[str, Any]
_PR_SET_PDEATHSIG = 1
_DAMAGE, _OTHER = 3, 1
_MOST = (1 << 64) - 1


class System(abc.ABC):
    """A system that is measured: one end of it."""

    NAME = ""
    NEEDS = ""
    """The module that has to be there."""
    WORKS: tuple[str, ...] = ("call",)
    WAITS: tuple[str, ...] = ("park",)
    LONGEST = 1 << 20
    """Bytes of a message at the most."""
    IN_LOOP = False
    """Whether its end is used in an event loop."""

    @abc.abstractmethod
    def __init__(self, job: Job) -> None:
        """Opens the end that `job` tells of."""

    @staticmethod
    def version() -> str:
        """Its own version."""
        return ""

    @staticmethod
    def lead_program() -> list[str] | None:
        """The program that leads, where it is not this one."""
        return None


def path_of(job: Job) -> str:
    """A path that both ends share and nobody else has."""
    return os.path.join(job["dir"], job["name"])


def seconds(job: Job) -> float:
    """The longest that any wait may take."""
    return drive.nanoseconds(job["patience"]) / 1e9


def why_not(system: type[System], job: Job) -> str | None:
    """Why it cannot do the job; None if it can."""
    if job["work"] not in system.WORKS:
        return "no such work here"
    if job["wait"] not in system.WAITS:
        return "no such wait"
    if max(job["payload"], job["reply"]) > system.LONGEST:
        return f"messages end at {system.LONGEST} bytes here"
    return None


def main(system: type[System]) -> int:
    """The whole program of a system."""
    if sys.argv[-1] == "describe":
        print(json.dumps({"name": system.NAME, "version": system.version(), "in_process": False}), flush=True)
        return 0
    line = _first_line()
    if not line:
        return 0
    job = json.loads(line)["open"]
    program = system.lead_program() if job["role"] == "lead" else None
    if program is not None:
        _become(program, line)
    mouth = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    code = _OTHER
    try:
        _serve(system, job, mouth)
        return 0
    except Damaged as error:
        code, why = _DAMAGE, str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    _say(mouth, {"failed": {"code": code, "why": why}})
    return code


def _say(mouth: Any, said: object) -> None:
    mouth.write(json.dumps(said) + "\n")
    mouth.flush()


def _first_line() -> bytes:
    """What is told first, and not a byte more: the rest may be for another program."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _become(program: list[str], line: bytes) -> None:
    """Goes on as another program that is told the same, by way of a process that passes on what comes."""
    told, tell = os.pipe()
    if os.fork() == 0:
        # Who listens to what this process says must hear it end.
        os.close(1)
        os.close(told)
        os.write(tell, line)
        while more := os.read(0, 65536):
            os.write(tell, more)
        os._exit(0)
    os.dup2(told, 0)
    os.close(told)
    os.close(tell)
    os.execv(program[0], program)


def _serve(system: type[System], job: Job, mouth: Any) -> None:
    _stay_with(job["parent"])
    why = why_not(system, job)
    if why is not None:
        return _say(mouth, {"refused": why})
    follows = job["role"] == "follow"
    if job["cpus"] is not None:
        os.sched_setaffinity(0, {job["cpus"][1 if follows else 0]})
    # Both sides know what is due; only the one that leads may be told to spoil a message.
    turns = Turns(job["payload"], job["reply"], 0 if follows else job["damage"])
    with asyncio.Runner() as runner:
        end = system(job)
        _say(mouth, "ready")
        for told in sys.stdin.buffer:
            block = json.loads(told)["block"]
            before = _used()
            if follows:
                _say(mouth, "started")
            found = _block(end, job, turns, block, runner)
            found["used"] = _since(before)
            found["grown"] = {"rss": 0, "pss": 0}
            _say(mouth, {"done": [found]})


def _block(end: Any, job: Job, turns: Turns, block: dict[str, Any], runner: asyncio.Runner) -> drive.Report:
    if job["role"] != "follow":
        if end.IN_LOOP:
            return runner.run(drive.ask_block_in_loop(end, turns, block))
        lead = drive.send_block if job["work"] == "stream" else drive.ask_block
        return lead(end, turns, block)
    if hasattr(end, "receive_block"):
        found: drive.Report = end.receive_block()
        return found
    if job["work"] == "stream":
        return drive.receive_block(end, turns)
    if end.IN_LOOP:
        runner.run(end.serve(turns))
    else:
        end.serve(turns)
    return drive.report([])


def _used() -> tuple[int, int]:
    return time.process_time_ns(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def _since(before: tuple[int, int]) -> dict[str, Any]:
    cpu, wakeups = _used()
    return {"cpu": drive.duration(cpu - before[0]), "wakeups": wakeups - before[1]}


def _stay_with(parent: int) -> None:
    """Dies with `parent`, whatever it dies of."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
