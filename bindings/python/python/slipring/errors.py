"""What calls raise: one class a cause, all of them `SlipringError`.

Where Python has a word for a cause its class is one of Python's as well: `Timeout` is a ``TimeoutError``, `Closed` and `PeerDied` are
``ConnectionError``, `NotFound` is a ``LookupError``, `OutOfMemory` a ``MemoryError``, and `TooLarge`, `InvalidArgument` and
`ConfigError` are ``ValueError``. All of them can be pickled.
"""


class SlipringError(Exception):
    """Any failure of this library's."""


class Timeout(SlipringError, TimeoutError):
    """The timeout passed, or with a timeout of 0 there was nothing, or no room, at once."""


class Closed(SlipringError, ConnectionError):
    """The peer said goodbye, and everything that it had sent was received; or this end was closed here."""


class PeerDied(SlipringError, ConnectionError):
    """The peer ended without a goodbye. Everything that it had sent was received before."""


class Corrupt(SlipringError):
    """The peer broke the protocol. The session is over; nothing here was touched."""

    violation: str = ""


class TooLarge(SlipringError, ValueError):
    """A payload of `len` bytes does not fit: `max` would."""

    len: int = 0
    max: int = 0


class Refused(SlipringError, ConnectionError):
    """The listener turned the connection down. `why` is its reason."""

    why: str = ""


class VersionMismatch(SlipringError):
    """The two sides speak different versions: `ours` and `theirs`."""

    ours: int = 0
    theirs: int = 0


class NotFound(SlipringError, LookupError):
    """Nobody listens there, or nobody serves the call."""


class AddressInUse(SlipringError):
    """A living listener has the address."""


class OutOfMemory(SlipringError, MemoryError):
    """Memory, or a descriptor, could not be had."""


class Overloaded(SlipringError):
    """The peer has more to do than it takes on."""


class Cancelled(SlipringError):
    """The call was given up before it was served."""


class WrongThread(SlipringError):
    """Another thread is inside a call on the same end, which belongs to one at a time."""


class Forked(SlipringError):
    """The end belongs to the process that forked this one."""


class InvalidArgument(SlipringError, ValueError):
    """An argument can never be right, or not any more. The text says what would be."""


class Unsupported(SlipringError):
    """The platform, or the peer, cannot do this."""


class RemoteError(SlipringError):
    """The peer answered a call with an error.

    `code` is the number that it gave, `msg_type` the message type that its dispatcher could not serve.
    """

    code: int | None = None
    msg_type: int | None = None


class CodecError(SlipringError):
    """Bytes cannot be understood as what they are said to be."""


class ConfigError(SlipringError, ValueError):
    """A setting, from the environment or an argument, cannot be used."""


class ValidationError(SlipringError, ValueError):
    """An argument is not of the kind that its function asks for."""
