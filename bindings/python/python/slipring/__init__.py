"""Calls and data between two processes of one host, through shared memory that each side alone writes.

A `Bus` is one end of a one-way stream of messages: the end that listens receives, the end that connects sends. An `RpcBus` is one
end of a session for calls, which both ends may make. Every call that may wait takes ``timeout=`` in seconds, lets other threads run
while it waits, hears signals, and ends when the peer closes or dies.
"""

import logging
import warnings

from . import _alone, errors
from ._native import (
    DEBUG_BUILD,
    Block,
    Bus,
    Listener,
    Message,
    Notifier,
    Observer,
    Poller,
    RpcBus,
    RxBatchGuard,
    RxGuard,
    SharedBuffer,
    TxGuard,
    __version__,
    limit_memory,
    memory_taken,
    pin_thread,
)
from .errors import (
    AddressInUse,
    Cancelled,
    Closed,
    CodecError,
    ConfigError,
    Corrupt,
    Forked,
    InvalidArgument,
    NotFound,
    OutOfMemory,
    Overloaded,
    PeerDied,
    Refused,
    RemoteError,
    SlipringError,
    Timeout,
    TooLarge,
    Unsupported,
    ValidationError,
    VersionMismatch,
    WrongThread,
)
from .observing import Asked, Observation, Observed, Pinned, Placement
from .rpc import MSG_TYPE_ERROR, RpcDispatcher, RpcEndpoint, rpc
from .settings import Backend, ListenerOptions, Options, Trust, Wait
from .type_ids import make_type_id, msg_type, route_id

__all__ = [
    "MSG_TYPE_ERROR",
    "AddressInUse",
    "Asked",
    "Backend",
    "Block",
    "Bus",
    "Cancelled",
    "Closed",
    "CodecError",
    "ConfigError",
    "Corrupt",
    "Forked",
    "InvalidArgument",
    "Listener",
    "ListenerOptions",
    "Message",
    "NotFound",
    "Notifier",
    "Observation",
    "Observed",
    "Observer",
    "Options",
    "OutOfMemory",
    "Overloaded",
    "PeerDied",
    "Pinned",
    "Placement",
    "Poller",
    "Refused",
    "RemoteError",
    "RpcBus",
    "RpcDispatcher",
    "RpcEndpoint",
    "RxBatchGuard",
    "RxGuard",
    "SharedBuffer",
    "SlipringError",
    "Timeout",
    "TooLarge",
    "Trust",
    "TxGuard",
    "Unsupported",
    "ValidationError",
    "VersionMismatch",
    "Wait",
    "WrongThread",
    "__version__",
    "errors",
    "limit_memory",
    "make_type_id",
    "memory_taken",
    "msg_type",
    "pin_thread",
    "route_id",
    "rpc",
]

logging.getLogger("slipring").addHandler(logging.NullHandler())

del _alone

if DEBUG_BUILD:
    warnings.warn("this slipring was built without optimisation: it is slow", RuntimeWarning, stacklevel=2)
