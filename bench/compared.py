"""What `compare` recorded, as tables for the README and for docs/COMPARE.md.

A folder of a record has the rows of `compare` in `compare*/compare.jsonl`, cell by cell: the floor, then slipring once for each
system that it is held against, then those systems. A ratio is slipring's figure over the other's. Whether more of it is better
depends on the work, so every table says who won: a ratio whose whole interval is on the wrong side of 1 is lost, and stands
in bold; one whose interval has 1 in it is even, and has an equals sign.
"""

import json
import os
import pathlib
import sys

import figures

OURS = "slipring"
HOW_TO_MAKE_ONE = "No record has been made of slipring beside other systems yet: `make bench` makes one and writes it here."
# They cross no process boundary, and are measured to tell what one costs.
BETWEEN_THREADS = ("crossbeam-channel", "rtrb")
# Ours by another way: no neighbour, and measured to tell what the way costs.
THROUGH_C = "slipring-c"
BATCHED = " (it sends 128 a call, slipring one)"

# What people call a work, and what of it is compared.
WORKS = {
    "rtt": ("round trip", "p50_ns"),
    "rpc": ("call", "p50_ns"),
    "stream": ("stream", "msgs_per_s"),
    "open-loop": ("one way", "p50_ns"),
    "wake": ("round trip every 3 ms", "p50_ns"),
    "connect": ("connect to first message", "p50_ns"),
    "memory": ("memory of a session (PSS)", "pss_bytes"),
    "idle": ("idle: CPU time", "cpu_s"),
    "one-cpu": ("round trip, both on one CPU", "p50_ns"),
    "crowded": ("round trip beside busy processes", "p50_ns"),
    "fanin": ("calls to one server", "msgs_per_s"),
}
MORE_IS_BETTER = ("msgs_per_s",)
# From here on a stream is a matter of bytes.
BYTES_FROM = 4096

# The cells of the README: work, payload, wait, clients.
HEADLINES = [
    *(("rtt", 32, wait, 1) for wait in ("spin", "adaptive", "park")),
    ("rtt", 65536, "spin", 1),
    ("rpc", 32, "spin", 1),
    *(("stream", payload, "spin", 1) for payload in (32, 256, 16384, 1 << 20)),
    *((work, 32, "adaptive", 1) for work in ("wake", "connect", "memory", "one-cpu", "crowded")),
    ("fanin", 32, "adaptive", 64),
]


class Cell:
    """The rows of one work with one payload and one way to wait."""

    def __init__(self, first):
        self.work, self.payload, self.wait = first["work"], first["payload"], first["wait"]
        self.clients, self.load = first["clients"], first["load_pct"]
        self.ours, self.others, self.floor = [first], {}, None
        self.name, self.figure = WORKS[self.work]

    def key(self):
        return self.work, self.payload, self.wait, self.clients, self.load

    def title(self):
        load = f" at {self.load} % of its own capacity" if self.load else ""
        clients = f", {self.clients} client{'s' * (self.clients != 1)}" if self.work == "fanin" else ""
        waits = "" if self.work in ("connect", "memory") else f", {self.wait}"
        return f"{self.name}{load}, {figures.length(self.payload)}{clients}{waits}"

    def shown(self, row):
        """The figure of a row that is compared, or how it ended."""
        value = row.get(self.figure)
        if row["status"] != "ok" or value is None:
            return row["status"] if row["status"] != "ok" else "none"
        if self.figure == "msgs_per_s":
            in_bytes = self.work == "stream" and self.payload >= BYTES_FROM
            return figures.speed(row["bytes_per_s"]) if in_bytes else figures.rate(value)
        if self.figure == "cpu_s":
            return figures.time(value * 1e9) if value else "none"
        return figures.size(value) if self.figure == "pss_bytes" else figures.time(value)

    def against(self, system):
        """Slipring against `system`, where both have a figure."""
        return next((pair for pair in self.pairs() if pair.system == system), None)

    def pairs(self):
        return [Pair(self, row) for row in self.ours if row["ratio"] is not None]


class Pair:
    """One cell, and slipring against one system in it."""

    def __init__(self, cell, row):
        self.cell, self.row, self.system = cell, row, row["against"]
        self.ratio, self.low, self.high = row["ratio"], row["ratio_low"], row["ratio_high"]
        more = cell.figure in MORE_IS_BETTER
        self.lost = self.high < 1 if more else self.low > 1
        self.even = not self.lost and self.low <= 1 <= self.high
        # How much worse, for the order.
        self.behind = 1 / max(self.ratio, 1e-9) if more else self.ratio

    def shown(self):
        text = f"{figures.ratio(self.ratio)} ({figures.ratio(self.low)} to {figures.ratio(self.high)})"
        return f"**{text}**" if self.lost else f"= {text}" if self.even else text


class Comparison:
    """All cells of one folder."""

    def __init__(self, folder):
        self.folder, self.cells, self.versions, self.pages = folder, [], {}, sorted(files(folder))
        for path in self.pages:
            with path.open() as lines:
                self.read(json.loads(line) for line in lines)
        for cell in self.cells:
            for row in (*cell.ours, *cell.others.values()):
                self.versions[row["system"]] = row["version"]

    def read(self, rows):
        cell, floor = None, None
        for row in rows:
            if row["system"].startswith("floor-"):
                cell, floor = None, row
            elif row["system"] != OURS:
                if cell is not None:
                    cell.others[row["system"]] = row
            elif cell is not None and not cell.others and Cell(row).key() == cell.key():
                cell.ours.append(row)
            else:
                cell = Cell(row)
                cell.floor = floor if floor and floor["work"] == cell.work else None
                self.cells.append(cell)

    def others(self):
        """All other systems, those between processes first."""
        names = [name for name in self.versions if name != OURS]
        return sorted(names, key=lambda name: (name in BETWEEN_THREADS, name == THROUGH_C, name))

    def pairs(self):
        return [pair for cell in self.cells for pair in cell.pairs()]

    def cell(self, *key):
        work, payload, wait, clients = key
        found = (cell for cell in self.cells if cell.key() == (work, payload, wait, clients, None))
        return next(found, None)


def files(folder):
    return folder.glob("compare*/compare.jsonl")


def newest(root, named=None):
    """What the newest record that has any compared: of `named`, if it has; `None` where none has."""
    folders = {path.parent.parent for path in root.glob("bench/record/*/*/compare*/compare.jsonl")}
    if named is not None and any(files(named)):
        folders = {named}
    folder = max(folders, key=lambda path: (path.name, str(path)), default=None)
    comparison = None if folder is None else Comparison(folder)
    return comparison if comparison is not None and comparison.cells else None


# Tables. Each yields lines of Markdown.


def head(*titles):
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)


def line(*cells):
    return f"| {' | '.join(cells)} |"


def held_against(cell, system):
    """The cell of a table for slipring against `system`."""
    pair = cell.against(system)
    if pair is not None:
        return pair.shown()
    other = cell.others.get(system)
    return "" if other is None or other["status"] in ("ok", "unsupported") else other["status"]


def matrix(cells, systems):
    """A line for each cell, a column for each system."""
    with_something = [name for name in systems if any(held_against(cell, name) for cell in cells)]
    yield from head("work", OURS, *with_something)
    for cell in cells:
        yield line(cell.title(), cell.shown(cell.ours[0]), *(held_against(cell, name) for name in with_something))


def lost_first(cells):
    """Those that lost something before all others, each kind in its order."""
    return sorted(cells, key=lambda cell: not any(pair.lost and pair.system != THROUGH_C for pair in cell.pairs()))


READING = (
    "A figure is slipring's: the median time of a round trip or call, messages or bytes a second of a stream or a crowd. "
    "Beside it stands its ratio to each system's on the same work, the median over pairs of blocks, and the interval of 95 % of "
    "its bootstrap. Of times, memory and CPU time less is better, so a ratio below 1 is won; of streams and calls to one server "
    "more is better, so one above 1 is. **Bold** is lost, *=* is even, and what a system does not have is empty. Where waits "
    "are adaptive, each does what it does unless told otherwise, which for most is to sleep. Lines with something lost come first."
)


def for_readme(comparison):
    if comparison is None:
        yield HOW_TO_MAKE_ONE
        return
    cells = [cell for key in HEADLINES if (cell := comparison.cell(*key)) is not None]
    systems = [name for name in comparison.others() if name not in (*BETWEEN_THREADS, THROUGH_C)]
    yield READING
    yield ""
    yield from matrix(lost_first(cells), systems)


def for_page(comparison, page):
    """All that docs/COMPARE.md says in numbers. `page` is where that is, for links."""
    if comparison is None:
        yield HOW_TO_MAKE_ONE
        return
    yield from where(comparison)
    yield from targets(comparison)
    yield from lost(comparison)
    yield from failures(comparison)
    yield "### Everything"
    yield ""
    yield READING
    for work, (name, _) in WORKS.items():
        cells = [cell for cell in comparison.cells if cell.work == work]
        if cells:
            yield ""
            yield f"#### {name[0].upper()}{name[1:]}"
            yield ""
            yield from matrix(lost_first(cells), comparison.others())
    yield from pictures(comparison, page)


def where(comparison):
    """Which machine, and which versions."""
    words = {"date": "{}", "cpu": "{}", "cpus": "{} CPUs", "kernel": "Linux {}", "steal": "{} stolen"}
    for path in comparison.pages:
        machine = path.parent / "machine-compare.txt"
        said = dict(text.split(" ", 1) for text in machine.read_text().splitlines()) if machine.is_file() else {}
        about = ", ".join(word.format(said[key]) for key, word in words.items() if key in said)
        yield f"- {about or path.parent.name}: `{said.get('command', 'slipring-bench compare')}`"
    names = [name for name in (OURS, *comparison.others()) if name in comparison.versions]
    yield f"- {', '.join(f'{name} {comparison.versions[name]}' for name in names)}"
    yield ""


def lost(comparison):
    lost_ones = (pair for pair in comparison.pairs() if pair.lost and pair.system != THROUGH_C)
    pairs = sorted(lost_ones, key=lambda pair: -pair.behind)
    yield "### Lost"
    yield ""
    if not pairs:
        yield "Nothing in this record."
        yield ""
        return
    yield "The worst first. Memory is the most of all rounds. What works between threads only crosses no process boundary."
    yield ""
    yield from head("work", OURS, "against", "its", "ratio")
    for pair in pairs:
        kind = " (between threads)" if pair.system in BETWEEN_THREADS else ""
        theirs = pair.cell.shown(pair.cell.others[pair.system]) if pair.system in pair.cell.others else ""
        yield line(pair.cell.title(), pair.cell.shown(pair.row), pair.system + kind, theirs, pair.shown())
    yield ""


def failures(comparison):
    failed = {}
    for cell in comparison.cells:
        for row in (cell.ours[0], *cell.others.values()):
            if row["status"] not in ("ok", "unsupported"):
                failed.setdefault((row["system"], row["status"], row["why"] or ""), []).append(cell.title())
    if not failed:
        return
    yield "### Failed"
    yield ""
    yield from head("system", "what happened", "in")
    for (system, status, why), titles in failed.items():
        yield line(system, f"{status}: {why}".rstrip(": "), "; ".join(titles))
    yield ""


def pictures(comparison, page):
    drawn = [path for page_of in comparison.pages for path in sorted(page_of.parent.glob("*.svg"))]

    def link(path):
        return pathlib.PurePath(os.path.relpath(path, page.parent)).as_posix()

    yield ""
    yield "### The record"
    yield ""
    for path in comparison.pages:
        yield f"- All figures of `{path.parent.name}`: [tables]({link(path.parent / 'compare.md')}), [rows]({link(path)})"
    for path in drawn:
        yield f"- [{path.stem.removeprefix('compare-').replace('-', ' ')}]({link(path)})"


# Targets: what slipring is to reach beside others, in one run.


def to(key, system, bound, least=False, unlike=""):
    """The ratio to one system in one cell; `unlike` is what the two do not do alike."""

    def look(comparison):
        cell = comparison.cell(*key)
        pair = cell and cell.against(system)
        if not pair:
            raise LookupError(f"{key} against {system}")
        return cell.title(), system + unlike, pair.shown(), pair.ratio, bound, least

    return look


def best_sleeper(comparison):
    """The parked round trip, against whoever does it best."""
    cell = comparison.cell("rtt", 32, "park", 1)
    pairs = [pair for pair in cell.pairs() if pair.system != THROUGH_C] if cell else []
    if not pairs:
        raise LookupError("the parked round trip")
    best = max(pairs, key=lambda pair: pair.ratio)
    return cell.title(), f"the best that sleeps: {best.system}", best.shown(), best.ratio, 1.10, False


def a_mebibyte(comparison):
    """Four times a socket, or what memory does at all."""
    cell = comparison.cell("stream", 1 << 20, "spin", 1)
    pair = cell and cell.against("unix-stream")
    if not pair:
        raise LookupError("a stream of 1 MiB against unix-stream")
    of_floor = pair.row["floor_p50_ns"] * pair.row["msgs_per_s"] / 1e9 if pair.row["floor_p50_ns"] else 0
    # Of the two bounds the one that asks for less.
    if of_floor / 0.9 > pair.ratio / 4:
        return cell.title(), "floor B", figures.ratio(of_floor), of_floor, 0.9, True
    return cell.title(), "unix-stream", pair.shown(), pair.ratio, 4, True


def tail(comparison):
    """How far p99.9 is from p50, ours over Tachyon's."""
    cell = comparison.cell("rtt", 32, "spin", 1)
    rows = [cell.ours[0], cell.others.get("tachyon")] if cell else [None]
    if not all(row and row.get("p999_ns") and row.get("p50_ns") for row in rows):
        raise LookupError("p99.9 and p50 of slipring and tachyon")
    ours, theirs = (row["p999_ns"] / row["p50_ns"] for row in rows)
    return f"{cell.title()}: p99.9 over p50", "tachyon", figures.ratio(ours / theirs), ours / theirs, 1, False


TARGETS = [
    to(("rtt", 32, "spin", 1), "tachyon", 0.80),
    to(("rtt", 32, "spin", 1), "iceoryx2", 0.20),
    to(("rpc", 32, "spin", 1), "iceoryx2", 0.30),
    *(to(("stream", payload, "spin", 1), "tachyon", 1.5, True) for payload in (32, 64)),
    *(to(("stream", payload, "spin", 1), "tachyon", 1.1, True) for payload in (256, 1024, 4096, 16384)),
    a_mebibyte,
    best_sleeper,
    tail,
    to(("one-cpu", 32, "adaptive", 1), "pipe", 1),
    # From C: at most 1.05 times the time of a round trip from Rust, and 1.15 times that of a message in a stream.
    to(("rtt", 32, "spin", 1), THROUGH_C, 0.952, True),
    *(to(("stream", 32, wait, 1), THROUGH_C, 1.15, unlike=BATCHED) for wait in ("adaptive", "spin")),
]


def targets(comparison):
    found = []
    for look in TARGETS:
        try:
            found.append(look(comparison))
        except LookupError as absent:
            print(f"not compared in the record: {absent}", file=sys.stderr)
    if not found:
        return

    def missed(target):
        *_, value, bound, least = target
        return value < bound if least else value > bound

    yield "### Targets"
    yield ""
    yield from head("work", "against", "ratio", "target", "")
    for target in sorted(found, key=lambda target: not missed(target)):
        title, system, shown, _, bound, least = target
        yield line(title, system, shown, f"at {'least' if least else 'most'} {bound:g}", "**missed**" if missed(target) else "met")
    yield ""
