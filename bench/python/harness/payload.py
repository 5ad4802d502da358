"""What is sent: patterns that are known beforehand, so that a reader knows every byte that must come.

Computing a pattern takes Python longer than a message takes, so a few are made before the measurement and used in turns. Their number
is a prime: a message that is lost, repeated or swapped with one nearby is one that was not due.
"""

import itertools
import struct
from collections.abc import Callable, Iterator

STEP = 0x9E37_79B9_7F4A_7C15
"""The distance between two words of a pattern, as in the Rust kit (`bench/kit/src/payload.rs`)."""

_MASK = (1 << 64) - 1
LAST_SEED = _MASK
"""The seed of the message that ends a block."""

_PLACES = 61
_FEW = 3
_SHORT = 4096
"""Payloads longer than this have few patterns: they are not to push each other out of the cache."""

GROUP = 512
"""Messages that are sent, or taken, together at the most."""
_GROUP_BYTES = 256 << 10


class Damaged(Exception):
    """A message that was not due, or whose bytes are not right."""


def pattern(seed: int, length: int) -> bytes:
    """The bytes that a message of `seed` has."""
    count = -(-length // 8)
    words = [(seed + STEP * at) & _MASK for at in range(count)]
    return struct.pack(f"<{count}Q", *words)[:length]


class Turns:
    """The messages of a session in their order, which goes on from block to block."""

    def __init__(self, payload: int, reply: int, damage: int = 0) -> None:
        places = _PLACES if max(payload, reply) <= _SHORT else _FEW
        requests = [pattern(seed, payload) for seed in range(1, places + 1)]
        replies = [pattern(-seed & _MASK, reply) for seed in range(1, places + 1)]
        self.last = pattern(LAST_SEED, payload)
        self._damage = damage
        self.pairs: Iterator[tuple[bytes, bytes]] = itertools.cycle(zip(requests, replies, strict=True))
        if damage:
            self.pairs = _spoiled(self.pairs, damage)
        self._places = places
        self.group = max(1, min(GROUP, _GROUP_BYTES // max(payload, 1)))
        self._ring = requests * (1 + -(-(self.group + 1) // places))
        self._sent = 0

    def take(self) -> list[bytes]:
        """The next messages of a stream, to be sent."""
        at = self._sent % self._places
        batch = self._ring[at : at + self.group]
        if self._sent < self._damage <= self._sent + len(batch):
            spoiled = self._damage - self._sent - 1
            batch[spoiled] = _spoil(batch[spoiled])
        self._sent += len(batch)
        return batch

    def check(self, batch: list[bytes]) -> bool:
        """Checks messages of a stream that were received together. Whether they end with the last one of a block."""
        at = self._sent % self._places
        self._sent += len(batch)
        if batch == self._ring[at : at + len(batch)]:
            return False
        if batch[-1] == self.last and batch[:-1] == self._ring[at : at + len(batch) - 1]:
            self._sent -= 1
            return True
        raise Damaged(f"one of the messages before number {self._sent + 1} is lost or damaged")

    def echo(self, receive: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
        """Answers requests until the last one."""
        for due, reply in self.pairs:
            found = receive()
            send(reply)
            if found != due and self.is_last(found):
                return

    def is_last(self, found: bytes) -> bool:
        """What it means that `found` is not the request that was due."""
        if found == self.last:
            return True
        raise Damaged("a request is lost or damaged")


def _spoil(message: bytes) -> bytes:
    return bytes([message[0] ^ 1]) + message[1:]


def _spoiled(pairs: Iterator[tuple[bytes, bytes]], number: int) -> Iterator[tuple[bytes, bytes]]:
    for at, (request, reply) in enumerate(pairs, 1):
        yield (_spoil(request) if at == number else request), reply
