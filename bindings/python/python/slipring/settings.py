"""Words for options. Each is its own text, so the text alone will do."""

from enum import StrEnum


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
