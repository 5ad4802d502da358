"""The harness of the benchmarks: its processes, driven by the lines that `slipring-bench compare` would write."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RIVAL = Path(__file__).resolve().parents[3] / "bench" / "python" / "rival.py"

pytestmark = pytest.mark.skipif(not RIVAL.exists(), reason="the benchmarks are not part of the distribution")

BLOCK = {"block": {"span": {"secs": 10, "nanos": 0}, "count": 200, "gap": {"secs": 0, "nanos": 0}}}
STREAM = {"block": {"span": {"secs": 0, "nanos": 1_000_000}, "count": 2**64 - 1, "gap": {"secs": 0, "nanos": 0}}}


class Member:
    """One process of a system."""

    def __init__(self, system: str, job: dict[str, Any]) -> None:
        command = [sys.executable, str(RIVAL), system]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell({"open": job})

    def tell(self, told: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def __enter__(self) -> "Member":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def job(role: str, directory: Path, **more: object) -> dict[str, Any]:
    usual = {"parent": os.getpid(), "role": role, "work": "call", "wait": "park", "payload": 32, "reply": 32}
    usual |= {"dir": str(directory), "name": "end", "cpus": None, "damage": 0, "patience": {"secs": 20, "nanos": 0}}
    return usual | more


def play(system: str, directory: Path, block: dict[str, Any], **more: object) -> tuple[Any, Any]:
    """Two blocks: what the leading and the following process say of the second."""
    with (
        Member(system, job("follow", directory, **more)) as follow,
        Member(system, job("lead", directory, **more)) as lead,
    ):
        assert (follow.hear(), lead.hear()) == ("ready", "ready")
        for _ in range(2):
            follow.tell(block)
            assert follow.hear() == "started"
            lead.tell(block)
            said = lead.hear(), follow.hear()
            if any("failed" in each for each in said):
                break
        return said


@pytest.mark.parametrize(
    "system", ["slipring-python", "slipring-python-request", "slipring-aio", "mp-pipe", "unix-stream-python"]
)
def test_calls_are_counted_and_checked(system: str, tmp_path: Path) -> None:
    more = {"wait": "adaptive"} if system == "slipring-aio" else {}
    lead, follow = play(system, tmp_path, BLOCK, **more)
    [seen] = lead["done"]
    assert sum(count for _, count in seen["counts"]) == seen["moved"]["messages"] == 200
    assert follow["done"][0]["counts"] == []


@pytest.mark.parametrize("system", ["slipring-python", "mp-pipe", "unix-stream-python"])
def test_a_stream_is_counted_where_it_arrives(system: str, tmp_path: Path) -> None:
    lead, follow = play(system, tmp_path, STREAM, work="stream")
    assert lead["done"][0]["moved"]["messages"] == 0
    assert follow["done"][0]["moved"]["messages"] > 0


@pytest.mark.parametrize(("work", "block"), [("call", BLOCK), ("stream", STREAM)])
@pytest.mark.parametrize("system", ["slipring-python", "slipring-python-request", "mp-pipe"])
def test_a_spoiled_message_is_found(system: str, work: str, block: dict[str, Any], tmp_path: Path) -> None:
    _, follow = play(system, tmp_path, block, work=work, damage=7)
    assert follow["failed"]["code"] == 3, follow


def test_what_a_system_cannot_is_refused(tmp_path: Path) -> None:
    with Member("mp-pipe", job("lead", tmp_path, wait="spin")) as member:
        assert member.hear() == {"refused": "no such wait"}
