#!/usr/bin/env python3
"""slipring's Python package beside other ways for Python processes to talk: one command, one record.

    bench/python/compare.py                 says what is missing, measures the rest, and prints tables
    bench/python/compare.py --record DIR    the same, kept as DIR/python.jsonl and DIR/python.txt
    bench/python/compare.py --quick         only sees that the harness works, with what needs no installation

`slipring-bench compare` drives all processes, in turns, with its floors beside them; what has no counterpart elsewhere (an array
that is handed over, an import) is measured by this program itself. Run it by the Python whose slipring is to be measured.
"""

import argparse
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alone
import systems

HERE = Path(__file__).resolve().parent

Row = dict[str, Any]


@dataclass
class Contest:
    """Systems that do the same work, and the one of ours that the others are held against."""

    ours: str
    others: tuple[str, ...]
    work: str
    waits: str
    payloads: str

    def names(self) -> list[str]:
        """All of them."""
        return [self.ours, *self.others]


KERNEL = ("mp-pipe", "unix-stream-python", "pyzmq")
TACHYON = ("tachyon-python", "tachyon-python-dispatcher")
CONTESTS = (
    Contest("slipring-python", TACHYON, "rpc", "spin", "32,1024,65536"),
    Contest("slipring-python-request", TACHYON, "rpc", "spin", "32,1024,65536"),
    # By views, because the shorter way is so fast that a reply often comes in the first looks, before anybody sleeps.
    Contest("slipring-python", (*KERNEL, "shm-rpc-bridge"), "rpc", "park", "32"),
    Contest("slipring-python-request", (*KERNEL, "shm-rpc-bridge", "tachyon-python"), "rpc", "adaptive", "32"),
    Contest("slipring-python", ("tachyon-python",), "stream", "spin", "32"),
    Contest("slipring-python", ("tachyon-python", *KERNEL), "stream", "adaptive", "32"),
    Contest("slipring-from-rust", (), "stream", "spin,adaptive", "1024"),
    Contest("slipring-aio", ("asyncio-unix-stream",), "rpc", "adaptive", "32"),
)


def main() -> int:
    """Measures everything; the code of the worst thing that happened."""
    args = arguments()
    names = [name for name in systems.NAMES if not args.quick or systems.comes_along(name)]
    left_out = {name: module for name in names if (module := systems.missing(name))}
    for name, module in left_out.items():
        print(f"left out {name}: there is no module {module} here", file=sys.stderr)
    if "slipring-python" in left_out:
        print("there is nothing to measure: ci/python.sh builds the package into .venv", file=sys.stderr)
        return 1
    rows: list[Row] = []
    present = [name for name in names if name not in left_out]
    code = max(compete(contest, present, args, rows) for contest in CONTESTS)
    for row in alone.rows(quick=args.quick):
        # The keys of all rows, and what they have in common.
        same = {key: rows[0][key] if key in ("commit", "cpus") else None for key in rows[0]} if rows else {}
        rows.append(same | row)
        print(table([row]), flush=True)
    if args.record is not None:
        args.record.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row) + "\n" for row in rows]
        (args.record / "python.jsonl").write_text("".join(lines))
        (args.record / "python.txt").write_text(machine() + "\n\n" + table(rows) + "\n")
    return code


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="DIR", help="where the rows are kept")
    parser.add_argument("--seconds", default="1.5", metavar="S", help="measured time of each system in each row (1.5)")
    parser.add_argument("--quick", action="store_true", help="three short blocks each")
    parser.add_argument("--damage", default="0", metavar="N", help="spoil this message, to see that it is found")
    parser.add_argument("--bench", default=default_bench(), metavar="FILE", help="the program slipring-bench")
    return parser.parse_args()


def default_bench() -> str:
    """Where cargo puts it."""
    return str(Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target")) / "release" / "slipring-bench")


def wrap(folder: Path, names: list[str]) -> None:
    """Programs that `slipring-bench` can start, one for each system."""
    for name in names:
        program = folder / name
        command = shlex.join([sys.executable, "-u", str(HERE / "rival.py"), name])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)


def compete(contest: Contest, present: list[str], args: argparse.Namespace, rows: list[Row]) -> int:
    """One contest: its rows are added to `rows`."""
    names = [name for name in contest.names() if name in present]
    if contest.ours not in names:
        return 0
    command = [args.bench, "compare", "--json", "--ours", contest.ours, "--systems", ",".join(names)]
    command += ["--works", contest.work, "--waits", contest.waits, "--payload", contest.payloads]
    command += ["--damage", args.damage, *(["--quick"] if args.quick else ["--seconds", args.seconds])]
    with tempfile.TemporaryDirectory(prefix="slipring-bench-python-") as programs:
        wrap(Path(programs), names)
        environment = os.environ | {"SLIPRING_BENCH_RIVALS": programs, "SLIPRING_BENCH": args.bench}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as harness:
            said, _ = harness.communicate()
    found = [json.loads(line) for line in said.splitlines()]
    rows += found
    print(table(found), flush=True)
    for left in glob.glob(f"/dev/shm/*slipring-bench-{harness.pid}-*"):
        # Semaphores and memory of processes that had to be ended.
        Path(left).unlink(missing_ok=True)
    failed = any(row["system"].startswith("slipring") and row["status"] != "ok" for row in found)
    return harness.returncode if failed or not found or harness.returncode == 3 else 0


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = []
    for row in rows:
        what = f"{row['work']} {row['payload'] or ''} {row['wait'] or ''}"
        time, rate = row["p50_ns"], row.get("msgs_per_s")
        figure = f"{rate / 1e6:.3f} M/s" if rate else f"{time / 1e3:.3f} us" if time else ""
        ratio = ""
        if row.get("ratio") is not None:
            ratio = f"{row['ratio']:.3f} x {row['against']} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f})"
        status = "" if row["status"] == "ok" else f"{row['status']}: {row['why']}"
        lines.append(f"{what:24} {row['system']:26} {figure:>14}  {ratio}{status}".rstrip())
    return "\n".join(lines)


def machine() -> str:
    """What belongs to every number."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    lines = [model.replace("\t", ""), f"cpus {os.cpu_count()}", f"kernel {os.uname().release}"]
    lines += [f"python {sys.version.split()[0]}", f"commit {commit.stdout.strip() or 'unknown'}"]
    return "\n".join([*lines, f"command {shlex.join(sys.argv)}"])


if __name__ == "__main__":
    sys.exit(main())
