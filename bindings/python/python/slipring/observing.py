"""What ends tell of themselves and of each other, as named tuples."""

from typing import Literal, NamedTuple


class Asked(NamedTuple):
    """What became of a wish for memory."""

    outcome: Literal["not asked", "got", "partly", "refused", "unknown"]
    """Whether it is so for all of the memory, some of it, or none."""
    why: str | None
    """Why not for all of it."""
    errno: int | None
    """The number of the operating system's error, if it was one."""


class Placement(NamedTuple):
    """Where the memory of an end is, at the moment of asking: its outbox, and the regions that it made for long payloads."""

    bytes: int
    """All of it."""
    numa_node: Asked
    """What became of the option ``numa_node``, or of the last ``set_numa_node``."""
    nodes: dict[int, int]
    """On which nodes its pages are, with how many bytes of them. Empty where the kernel knows no nodes."""
    huge_pages: Asked
    """What became of the option ``huge_pages``."""
    huge_bytes: int
    """How many bytes are in huge pages, whether or not anybody asked."""
    lock_memory: Asked
    """What became of the option ``lock_memory``."""
    locked_bytes: int
    """How many bytes are locked."""


class Pinned(NamedTuple):
    """Where a thread may run."""

    cpus: list[int]
    """Now, as the kernel says."""
    before: list[int]
    """Before; pinning it to these undoes it."""


class Observed(NamedTuple):
    """A session, as the listening process last showed it."""

    session: int
    """Its number among the listener's sessions, from 1."""
    kind: Literal["bus", "rpc", "other"]
    """What it is for."""
    pid: int
    """The process that connected; 0 for one of another pid namespace."""
    uid: int
    """Its user."""
    age: float
    """How many seconds ago this was written: about every millisecond while the listening process is at work on the session."""
    ours: dict[str, int]
    """What the listening end has counted, by name."""
    theirs: dict[str, int] | None
    """What the connecting end shows; None if it shows nothing."""


class Observation(NamedTuple):
    """What an observer sees at one look."""

    sessions: list[Observed]
    """Every open session that is shown, in the order of their numbers."""
    opened: int
    """Sessions that were opened so far, as the listener says, and all that follows too."""
    open: int
    """Sessions that are open."""
    unshown: int
    """How many of them are not shown, for want of places."""
    torn: int
    """Entries that were being written whenever they were looked at."""


__all__ = ["Asked", "Observation", "Observed", "Pinned", "Placement"]
