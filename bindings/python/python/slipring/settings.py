"""Options of the calls that open an end, and their words: each is its own text, so the text alone will do."""

from enum import StrEnum
from os import PathLike
from typing import TypedDict


class Wait(StrEnum):
    """How an end waits."""

    SPIN = "spin"
    """Look without a pause: the lowest latency, at the price of a processor."""
    PARK = "park"
    """Sleep at once: the lowest cost where messages are rare."""
    ADAPTIVE = "adaptive"
    """Spin for about as long as waking up takes, then sleep. The default."""


class Trust(StrEnum):
    """Whom an end trusts."""

    SAME_USER = "same-user"
    """Processes of this user alone may connect; payloads are read where they are. The default."""
    UNTRUSTED = "untrusted"
    """Whoever the file system lets connect; every payload is copied before anybody sees it."""


class Backend(StrEnum):
    """What an end's memory is made of."""

    MEMFD = "memfd"
    """Sealed anonymous files. The default."""
    POSIX = "posix"
    """POSIX shared memory, which shows under ``/dev/shm``; between processes that trust each other."""


class Options(TypedDict, total=False):
    """How an end is to be opened. What is not given comes from the environment, and else from the default."""

    capacity_reverse: int | None
    """Bytes of the ring that leads from it, for calls. Default 256 KiB."""
    inline_limit: int | None
    """The longest payload, in bytes, that goes into the ring itself. Default 1 KiB."""
    max_message: int | None
    """The longest payload, in bytes, that this end sends or takes. Default 16 GiB."""
    memory_limit: int | None
    """Bytes of memory that the payloads of one direction may take beside the ring. Default half of the machine's."""
    shared_limit: int | None
    """Bytes of received shared objects that stay mapped while nobody looks at them."""
    in_flight: int | None
    """How many calls each way may be under way: from 1 to 4096. Default 64."""
    serves: bool | None
    """Whether this end answers calls. Default: the listening end does."""
    wait: str | None
    """A `Wait`: "adaptive" (the default), "spin" or "park"."""
    trust: str | None
    """A `Trust`: "same-user" (the default) or "untrusted"."""
    backend: str | None
    """A `Backend`: "memfd" (the default) or "posix"."""
    spill_dir: str | PathLike[str] | None
    """A directory for payloads that there is no memory for. Default none."""
    numa_node: int | None
    """The NUMA node on which this end's memory should be. Default: where the kernel puts it."""
    huge_pages: bool | None
    """Whether this end's memory should be in huge pages. Default no."""
    lock_memory: bool | None
    """Whether this end's memory should be locked, so that it is never written to swap. Default no."""
    counters: bool | None
    """Whether this end shows its counters: to its peer, and, where it listens, to observers. Default yes."""
    pending_limit: int | None
    """How many handshakes a listener has under way at once. Default 64."""
    handshake_timeout: float | None
    """Seconds that one handshake may take. Default 5."""


class ListenerOptions(Options, total=False):
    """How a listener's sessions are to be opened."""

    capacity: int | None
    """Bytes of the ring that leads to the listening end: a power of two from 256 to 2**30. Default 1 MiB; 256 KiB for calls."""
