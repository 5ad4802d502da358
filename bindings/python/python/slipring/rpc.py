"""Functions as handlers of calls: a decorator, what it makes, and a table to serve from."""

from __future__ import annotations

import functools
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ._native import RpcBus
from .dispatching import MSG_TYPE_ERROR, log_failure
from .errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from . import aio

Handler = Callable[[memoryview], "Buffer | Awaitable[Buffer]"]
"""Takes a view of the request and answers with the reply; an ``async`` one is for `slipring.aio` alone."""
T = TypeVar("T")


def _decode_error(payload: Buffer) -> int:
    """The message type that a reply of the type `MSG_TYPE_ERROR` says could not be served."""
    (unserved,) = struct.unpack("!H", payload)
    return int(unserved)


class RpcEndpoint:
    """A function that serves a message type, and the way to call it where another process serves it."""

    def __init__(self, handler: Handler, msg_type: int) -> None:
        if not 0 <= msg_type < MSG_TYPE_ERROR:
            raise InvalidArgument(f"msg_type is from 0 to {MSG_TYPE_ERROR - 1}, not {msg_type}")
        self.handler = handler
        self.msg_type = msg_type
        functools.update_wrapper(self, handler)

    def __call__(self, payload: memoryview) -> Buffer | Awaitable[Buffer]:
        """Calls the function itself, here."""
        return self.handler(payload)

    @overload
    def call(
        self, bus: RpcBus, payload: Buffer, on_response: None = None, *, timeout: float | None = None
    ) -> bytes: ...
    @overload
    def call(
        self, bus: RpcBus, payload: Buffer, on_response: Callable[[memoryview], T], *, timeout: float | None = None
    ) -> T: ...
    @overload
    def call(
        self, bus: aio.RpcBus, payload: Buffer, on_response: None = None, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, bytes]: ...
    @overload
    def call(
        self, bus: aio.RpcBus, payload: Buffer, on_response: Callable[[memoryview], T], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, T]: ...
    def call(
        self,
        bus: RpcBus | aio.RpcBus,
        payload: Buffer,
        on_response: Callable[[memoryview], T] | None = None,
        *,
        timeout: float | None = None,
    ) -> bytes | T | Coroutine[Any, Any, bytes | T]:
        """Calls the function at the other end of `bus`. One of `slipring.aio` makes this a coroutine.

        Without `on_response` the reply is answered as bytes; with it, a view of the reply is given to it, and what it answers is
        answered. RemoteError: the peer has no handler for it, or the handler failed.
        """
        if not isinstance(bus, RpcBus):
            return self._call_later(bus, payload, on_response, timeout)
        if on_response is None:
            return bus.request(payload, self.msg_type, timeout=timeout)
        reply = bus.request_view(payload, self.msg_type, timeout=timeout)
        return on_response(memoryview(reply))

    async def _call_later(
        self, bus: aio.RpcBus, payload: Buffer, on_response: Callable[[memoryview], T] | None, timeout: float | None
    ) -> bytes | T:
        if on_response is None:
            return await bus.request(payload, self.msg_type, timeout=timeout)
        return on_response(memoryview(await bus.request_view(payload, self.msg_type, timeout=timeout)))

    def __repr__(self) -> str:
        return f"RpcEndpoint({getattr(self.handler, '__qualname__', self.handler)!s}, msg_type={self.msg_type})"


def rpc(msg_type: int) -> Callable[[Handler], RpcEndpoint]:
    """Makes an endpoint of a function that takes a memoryview and answers with bytes."""

    def endpoint(handler: Handler) -> RpcEndpoint:
        return RpcEndpoint(handler, msg_type)

    return endpoint


class RpcDispatcher:
    """Serves calls by their message types.

    A handler that fails, and a message type that has none, cost that call alone: the caller gets a reply of the type
    `MSG_TYPE_ERROR`, which `RpcBus.request` and `RpcEndpoint.call` raise as RemoteError.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}

    def register(self, endpoint: RpcEndpoint) -> RpcEndpoint:
        """Serves `endpoint` from now on. InvalidArgument: its message type is taken."""
        if not isinstance(endpoint, RpcEndpoint):
            raise TypeError(f"what is registered is an RpcEndpoint (use @slipring.rpc), not {type(endpoint).__name__}")
        if endpoint.msg_type in self._handlers:
            raise InvalidArgument(f"message type {endpoint.msg_type} has a handler already")
        self._handlers[endpoint.msg_type] = endpoint.handler
        return endpoint

    def handler_of(self, msg_type: int) -> Handler:
        """The handler of a message type. NotFound: there is none."""
        try:
            return self._handlers[msg_type]
        except KeyError:
            raise NotFound(f"no handler is registered for message type {msg_type}") from None

    def serve_once(self, bus: RpcBus, *, timeout: float | None = None) -> None:
        """Serves one call, waiting for it. What its handler raised is raised after the caller was told; NotFound: it has none."""
        bus._serve_once(self._handlers, timeout)

    def serve_forever(self, bus: RpcBus) -> None:
        """Serves until the peer closes; Closed ends it quietly, PeerDied and KeyboardInterrupt are raised.

        What handlers raise is logged, and the serving goes on.
        """
        try:
            bus._serve_forever(self._handlers, log_failure)
        except ConnectionError:
            if bus.closed or bus.state != "closed":
                raise

    def serve_while_waiting(self, bus: RpcBus) -> None:
        """From now on calls that arrive while `bus` waits for a reply are served by this dispatcher.

        So both ends can call each other, out of their handlers too. The connecting end has to be opened with ``serves=True``.
        """
        bus._serve_while_waiting(self._handlers)


__all__ = ["MSG_TYPE_ERROR", "Handler", "RpcDispatcher", "RpcEndpoint", "rpc"]
