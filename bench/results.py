#!/usr/bin/env python3
"""Writes the results of the newest record, or of the folder that is named, into the README and docs/COMPARE.md; with --check it
only says whether they are what the newest record says.

What other systems did (compared.py) comes from the newest record that has it. Each line of the table of our own picks rows of
the record by their keys; its ratio is to the floor measured in turns with it, to another row of the same run, or to a limit.
What is not in the record is left out, and said so on standard error.
"""

import json
import pathlib
import re
import sys

import compared
from figures import rate, size, speed, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20


class Record:
    """The rows of one folder."""

    def __init__(self, folder):
        files = [*folder.glob("*.jsonl"), *folder.glob("python/python.jsonl")]
        self.rows = {path.stem: [json.loads(line) for line in path.open()] for path in files}

    def find(self, work, **keys):
        """The first row of ours with these keys."""
        for row in self.rows.get(work, []):
            if row["system"] == "slipring" and all(row.get(key) == value for key, value in keys.items()):
                return row
        raise LookupError(f"{work} {keys}")

    def python(self, system, **keys):
        """The same in the record of the Python package, which has several systems of ours."""
        for row in self.rows.get("python", []):
            if row["system"] == system and row["status"] == "ok" and all(row[key] == value for key, value in keys.items()):
                return row
        raise LookupError(f"python: {system} {keys}")


# What a line shows: ours, what it is held against, and the ratio of the two. Each takes the record.


def latency(work, part="p50_ns", **keys):
    def look(record):
        row = record.find(work, **keys)
        floor = row["floor_p99_ns"] if part == "p99_ns" else row["floor_p50_ns"]
        return time(row[part]), f"{row['floor']}: {time(floor)}", row[part] / floor

    return look


def message(**keys):
    def look(record):
        row = record.find("stream", hold=0, floor="F", **keys)
        each = 1e9 / row["msgs_per_s"]
        return time(each), f"F: {time(row['floor_p50_ns'])}", each / row["floor_p50_ns"]

    return look


def bandwidth(floor, payload, **keys):
    def look(record):
        row = record.find("stream", floor=floor, payload=payload, **keys)
        theirs = payload * 1e9 / row["floor_p50_ns"]
        return speed(row["bytes_per_s"]), f"{floor}: {speed(theirs)}", row["bytes_per_s"] / theirs

    return look


def against(work, part, show, one, other):
    """A row beside another of the same command."""

    def look(record):
        ours, theirs = record.find(work, **one)[part], record.find(work, **other)[part]
        return show(ours), show(theirs), ours / theirs

    return look


def within(work, part, show, limit, **keys):
    def look(record):
        value = record.find(work, **keys)[part]
        return show(value), f"limit: {show(limit)}", value / limit

    return look


def slowest(record):
    share = record.find("fanin", wait="adaptive", clients=8, idle=0)["slowest_share"]
    return f"{share:.2f} of the mean", "the mean", share


def beside_sleepers(record):
    row, sleeper = (record.find("rtt", wait=wait, gap_ns=10_000_000) for wait in ("adaptive", "park"))
    floor = sleeper["floor_p50_ns"]
    return time(row["p50_ns"]), f"W: {time(floor)}", row["p50_ns"] / floor


def beside_a_crowd(record):
    row = record.find("rtt", clients=101)
    rows = record.rows["rtt"]
    alone = rows[rows.index(row) - 1]
    return time(row["p99_ns"]), time(alone["p99_ns"]), row["p99_ns"] / alone["p99_ns"]


def counted(work, part, show, **keys):
    def look(record):
        off = record.find(work, counters="off", **keys)
        rows = record.rows[work]
        on = rows[rows.index(off) - 1]
        return show(on[part]), show(off[part]), on[part] / off[part]

    return look


def beside(system, other, part="p50_ns", **keys):
    """A Python system of ours and another, whose ratio is the median over pairs of blocks."""

    def look(record):
        ours = record.python(system, against=other, **keys)
        theirs = record.python(other, work=keys["work"], payload=keys["payload"], wait=ours["wait"])
        show = rate if part == "msgs_per_s" else time
        return show(ours[part]), f"{other}: {show(theirs[part])}", ours["ratio"]

    return look


def python_within(system, limit, part="p50_ns", **keys):
    def look(record):
        value, show = record.python(system, **keys)[part], rate if part == "msgs_per_s" else time
        return show(value), f"limit: {show(limit)}", value / limit

    return look


def python_lines():
    """Those of the Python package."""
    ways = (("by views", "slipring-python", 2.4e3, 0.6), ("`request` and a dispatcher", "slipring-python-request", 1.8e3, 0.45))
    for way, system, limit, share in ways:
        short = {"work": "rpc", "wait": "spin", "payload": 32}
        yield f"Python: call, 32 B each way, {way}, both spin: p50", python_within(system, limit, **short), 1, False
        yield "the same", beside(system, "tachyon-python", **short), share, False
        for payload, size_of in ((1024, "1 KiB"), (65536, "64 KiB")):
            longer = {"work": "rpc", "wait": "spin", "payload": payload}
            yield f"Python: call, {size_of} each way, {way}", beside(system, "tachyon-python", **longer), 0.5, False
    parked = {"work": "rpc", "wait": "park", "payload": 32}
    yield "Python: call, 32 B each way, both park: p50", beside("slipring-python", "mp-pipe", **parked), 1.1, False
    asleep = {"work": "rpc", "wait": "adaptive", "payload": 32}
    yield "Python: the same in asyncio", beside("slipring-aio", "asyncio-unix-stream", **asleep), 0.7, False
    stream = {"work": "stream", "wait": "spin", "payload": 32}
    yield "Python: stream, 32 B, in groups", python_within("slipring-python", 5e6, "msgs_per_s", **stream), 1, True
    frames = {"work": "stream", "wait": "spin", "payload": 1024}
    yield "Rust to Python: stream, 1 KiB", python_within("slipring-from-rust", 2e6, "msgs_per_s", **frames), 1, True
    handed = python_within("slipring-python", 50e3, work="handover", payload=64 * MIB)
    yield "Python: an array of 64 MiB handed over, beyond its writing: p50", handed, 1, False
    yield "Python: import: p50", python_within("slipring-python", 60e6, work="import"), 1, False


def lines():
    """All lines: a title, what to look up, a target, and whether that is a least one."""
    apart = {"fence": "auto", "clients": 1, "payload": 32}
    trip = "round trip, 32 B"
    yield f"{trip}, both spin, copied: p50", latency("rtt", **apart, wait="spin", api="copy"), 1.15, False
    yield "the same: p99", latency("rtt", "p99_ns", **apart, wait="spin", api="copy"), 1.25, False
    yield f"{trip}, both spin, claimed: p50", latency("rtt", **apart, wait="spin", api="claim"), 1.15, False
    yield "the same: p99", latency("rtt", "p99_ns", **apart, wait="spin", api="claim"), 1.25, False
    yield f"{trip}, adaptive, back to back: p50", latency("rtt", **apart, wait="adaptive", gap_ns=0), 1.15, False
    yield f"{trip}, both spin, untrusted: p50", latency("rtt", trust="untrusted"), None, False
    yield f"{trip}, both park, back to back: p50", latency("rtt", **apart, wait="park", gap_ns=0), 1.15, False
    yield f"{trip}, both park, 3 ms apart: p50", latency("wake", wait="park"), 1.15, False
    yield f"{trip}, both park, 10 ms apart: p50", latency("rtt", wait="park", gap_ns=10_000_000), 1.15, False
    yield f"{trip}, adaptive, 10 ms apart: p50", beside_sleepers, None, False
    yield f"{trip}: p99 beside 100 sessions that park up to 1,000 times a second; alone", beside_a_crowd, 1.2, False
    yield f"{trip}, both spin: p50 with counters; without", counted("rtt", "p50_ns", time), 1.01, False
    call = {"inflight": 1, "reply": 32}
    yield "call, 32 B each way, both spin: p50", latency("rpc", wait="spin", **call), 1.25, False
    yield "the same: p99", latency("rpc", "p99_ns", wait="spin", **call), 1.25, False
    yield "call, 32 B each way, both park: p50", latency("rpc", wait="park", **call), None, False
    for wait in ("spin", "adaptive"):
        sides = {"one": {"wait": wait, "inflight": 64}, "other": {"wait": wait, **call}}
        yield f"calls, {wait}: 64 in flight; one", against("rpc", "msgs_per_s", rate, **sides), 3, True
    yield "call, 32 B, and 64 KiB back that are read in place: p50", latency("rpc", reply=65536), 1, False
    for payload, target in ((32, 0.035), (64, 0.05), (256, 0.085), (1024, 0.25), (4096, 0.9)):
        for api, word in (("copy", "copied"), ("claim", "claimed")):
            yield f"stream, {payload} B, {word}: time a message", message(payload=payload, api=api), target, False
    yield "stream, 32 B: with counters; without", counted("stream", "msgs_per_s", rate), 0.99, True
    for payload in (16 << 10, 256 << 10, MIB):
        for api, word, target in (("copy", "copied", 0.45), ("claim", "claimed", 0.9)):
            yield f"stream, {payload >> 10} KiB, {word}", bandwidth("B", payload, api=api, hold=0), target, True
    for payload in (16 * MIB, 256 * MIB, 1024 * MIB):
        yield f"stream, {payload // MIB} MiB, claimed", bandwidth("B", payload, api="claim", hold=0), 0.9, True
    for payload in (MIB, 16 * MIB, 256 * MIB, 1024 * MIB):
        yield f"first use of memory, {payload // MIB} MiB, claimed", bandwidth("B0", payload, api="claim"), 0.9, True
    holds = {"one": {"payload": 16384, "hold": 1000}, "other": {"payload": 16384, "api": "claim", "hold": 0}}
    yield "stream, 16 KiB, claimed: 1,000 blocks held; none", against("stream", "msgs_per_s", rate, **holds), 0.9, True
    handed = latency("rtt", payload=256 * MIB, api="shared", wait="spin")
    yield "a shared object of 256 MiB handed over, and an answer: p50", handed, 1, False
    yield "its first attach: p50", within("shared", "p50_ns", time, 100e3, api="attach"), 1, False
    yield "its memory with ten readers (PSS)", within("shared", "pss_bytes", size, 256 * MIB, api="readers"), 1.01, False
    crowd, alone = {"wait": "adaptive", "clients": 8, "idle": 0}, {"wait": "adaptive", "clients": 1, "idle": 0}
    yield "calls of 8 clients at one server; of one", against("fanin", "msgs_per_s", rate, crowd, alone), 0.8, True
    yield "the slowest of the 8", slowest, 0.5, True
    idle = {"clients": 1, "idle": 1000}
    yield "a call beside 1,000 idle sessions of 50 processes: p50; alone", against("fanin", "p50_ns", time, idle, alone), 1.5, False
    yield "memory of all these (PSS)", within("fanin", "pss_bytes", size, 512 * MIB, **idle), 1, False
    yield "connect to first message: p99", within("connect", "p99_ns", time, 5e6, clients=1), 1, False
    yield "1,000 clients, first connect to last accept: p50", within("connect", "p50_ns", time, 2e9, clients=1000), 1, False
    for doing, word in (("park", "parked"), ("spin", "spinning"), ("try", "trying"), ("send", "only sending")):
        death = f"SIGKILL of the peer to the survivor's error, {word}"
        yield f"{death}: p50", within("death", "p50_ns", time, 10e6, wait=doing), 1, False
        yield "the same: p99", within("death", "p99_ns", time, 10e6, wait=doing), 1, False
    yield from python_lines()
    yield "idle for a minute: CPU time", lambda record: (f"{record.find('idle')['cpu_s']:.1f} s", "none", None), None, False
    yield "the same: wake-ups", lambda record: (str(record.find("idle")["wakeups"]), "none", None), None, False


def table(record):
    yield "| work | slipring | held against | ratio | target | |"
    yield "|---|---|---|---|---|---|"
    for title, look, target, least in lines():
        try:
            ours, theirs, ratio = look(record)
        except LookupError as absent:
            print(f"not in the record: {title}: {absent}", file=sys.stderr)
            continue
        shown = "" if ratio is None else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"
        bound, verdict = "none", ""
        if target is not None:
            bound = f"at {'least' if least else 'most'} {target:g}"
            verdict = "met" if (ratio >= target if least else ratio <= target) else "**missed**"
        yield f"| {title} | {ours} | {theirs} | {shown} | {bound} | {verdict} |"


class Page:
    """A file with places between marks, each for what is written there."""

    def __init__(self, path):
        self.path, self.before = path, path.read_text()
        self.text = self.before

    def put(self, mark, lines):
        place = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        if not place.search(self.text):
            sys.exit(f"results.py: {self.name()} has no place for {mark}: <!-- {mark} --> and <!-- /{mark} -->")
        written = "\n".join(lines)
        self.text = place.sub(lambda marks: f"{marks[1]}{written}\n{marks[2]}", self.text)

    def name(self):
        return str(self.path.relative_to(ROOT))

    def is_stale(self):
        return self.text != self.before


def main():
    folders = [path.parent for path in ROOT.glob("bench/record/*/*/machine.txt")]
    check, named = "--check" in sys.argv[1:], [argument for argument in sys.argv[1:] if argument != "--check"]
    folder = pathlib.Path(named[0]).resolve() if named else max(folders, key=lambda path: path.name, default=None)
    if folder is None or not (folder / "machine.txt").is_file():
        sys.exit(f"results.py: no record in {folder or 'bench/record'}: make one with `make bench`")
    beside = compared.newest(ROOT, folder if named else None)
    readme, neighbours = Page(ROOT / "README.md"), Page(ROOT / "docs" / "COMPARE.md")
    readme.put("rows", table(Record(folder)))
    readme.put("compared", compared.for_readme(beside))
    neighbours.put("compared", compared.for_page(beside, neighbours.path))
    stale = [page for page in (readme, neighbours) if page.is_stale()]
    if check:
        names = " and ".join(page.name() for page in stale)
        sys.exit(f"results.py: not what the newest record says: {names}: run `make results`" if stale else None)
    for page in stale:
        page.path.write_text(page.text)
    of_others = f"other systems from {beside.folder}" if beside else "no record of other systems"
    print(f"results from {folder}, {of_others}: {', '.join(page.name() for page in stale) or 'nothing'} rewritten")


if __name__ == "__main__":
    main()
