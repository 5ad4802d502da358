"""The same ends for asyncio: `Bus`, `RpcBus` and `Listener` with ``async`` in front of what waits.

There is no thread behind a wait: each end has one descriptor, which the event loop watches while somebody waits. Every wait can be
cancelled, and nothing is lost by it: a message that nobody has taken is for whoever waits next. An end belongs to the event loop that
first waits with it. What never waits (the ``try_`` forms) is found at `native`. The event loop is the poller here; connecting takes a
thread for as long as a handshake takes.
"""

from __future__ import annotations

import asyncio
import collections
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from . import _native
from ._looping import End, Session, await_listener, await_within, now, within
from .dispatching import answer_failure, log_failure
from .errors import Closed, InvalidArgument, RemoteError
from .rpc import MSG_TYPE_ERROR, RpcDispatcher, _decode_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from os import PathLike
    from typing import SupportsIndex

    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Buffer

T = TypeVar("T")


class Listener(End[_native.Listener]):
    """A name at which any number of clients can connect."""

    def __init__(self, address: str | PathLike[str], **options: Any) -> None:
        super().__init__(_native.Listener(address, **options))

    async def accept_bus(self, *, timeout: float | None = None) -> Bus:
        """The next session: its receiving end."""
        async with within(timeout):
            return Bus(await self._until(self.native.try_accept_bus))

    async def accept_rpc(self, *, timeout: float | None = None) -> RpcBus:
        """The next session for calls."""
        async with within(timeout):
            return RpcBus(await self._until(self.native.try_accept_rpc))


class Bus(Session[_native.Bus]):
    """One end of a one-way stream of messages: the end that listens receives, the end that connects sends."""

    @classmethod
    async def listen(
        cls, address: str | PathLike[str], capacity: int | None = None, *, timeout: float | None = None, **options: Any
    ) -> Bus:
        """Listens at `address` for one peer, and receives from it."""
        async with Listener(address, capacity=capacity, **options) as listener:
            return await listener.accept_bus(timeout=timeout)

    @classmethod
    async def connect(cls, address: str | PathLike[str], *, timeout: float | None = 0, **options: Any) -> Bus:
        """Connects to the listener at `address`, to send to it; waits up to `timeout` seconds for it to appear."""
        native = await await_listener(lambda: _native.Bus.connect(address, **options), lambda bus: bus.close(), timeout)
        return cls(native)

    async def send(
        self,
        data: Buffer,
        type_id: int = 0,
        *,
        timeout: float | None = None,
        shared: list[_native.SharedBuffer] | None = None,
    ) -> None:
        """Sends a message, waiting for room: a copy, or an array of `empty` where it is."""
        if shared is None:
            if self.native.try_send(data, type_id):
                self._look_again()
                return
            async with within(timeout):
                await self._until(lambda: self.native.try_send(data, type_id) or None)
        else:
            async with within(timeout):
                send = partial(self.native.send, data, type_id, timeout=0, shared=shared)
                await self._until(lambda: now(lambda: send() is None))

    async def send_many(self, payloads: Iterable[Buffer], type_id: int = 0, *, timeout: float | None = None) -> int:
        """Sends all payloads, in groups as large as there is room for. How many that were.

        After a Timeout, or a cancellation, the first of them are sent."""
        left = list(payloads)
        count = len(left)
        async with within(timeout):
            while left:
                sent = await self._until(lambda: self.native.try_send_many(left, type_id) or None)
                del left[:sent]
        return count

    @asynccontextmanager
    async def send_zero_copy(
        self, size: int, type_id: int = 0, *, timeout: float | None = None
    ) -> AsyncIterator[_native.TxGuard]:
        """Room for a payload of up to `size` bytes, to be written in place: ``async with``. Leaving the block sends it."""
        async with within(timeout):
            tx = await self._until(lambda: now(lambda: self.native.send_zero_copy(size, type_id, timeout=0)))
        async with _filled(tx):
            yield tx
            async with within(timeout):
                await self._until(lambda: tx._try_commit(0) or None)

    async def empty(
        self,
        shape: SupportsIndex | Iterable[SupportsIndex],
        dtype: DTypeLike | None = None,
        *,
        timeout: float | None = None,
    ) -> NDArray[Any]:
        """A NumPy array in the memory that the peer will read. `send` knows it and copies nothing."""
        async with within(timeout):
            return await self._until(lambda: now(lambda: self.native.empty(shape, dtype, timeout=0)))

    async def recv(self, *, timeout: float | None = None) -> _native.Message:
        """The next message."""
        message = self.native.try_recv()
        if message is not None:
            self._look_again()
            return message
        async with within(timeout):
            return await self._until(self.native.try_recv)

    async def recv_zero_copy(self, *, timeout: float | None = None) -> _native.RxGuard:
        """The next message, to be looked at in place."""
        async with within(timeout):
            return await self._until(self.native.try_recv_zero_copy)

    async def recv_many(self, max_msgs: int = 64, *, timeout: float | None = None) -> list[_native.Message]:
        """Up to `max_msgs` messages that are there, waiting for the first."""
        async with within(timeout):
            return await self._until(lambda: now(lambda: self.native.recv_many(max_msgs, timeout=0)))

    async def drain_batch(
        self, max_msgs: int = 64, spin_threshold: int = 48, *, timeout: float | None = None
    ) -> _native.RxBatchGuard:
        """Up to `max_msgs` messages that are there, waiting for the first, to be looked at in place."""
        async with within(timeout):
            return await self._until(lambda: now(lambda: self.native.drain_batch(max_msgs, spin_threshold, timeout=0)))

    def __aiter__(self) -> Self:
        """The messages that come, until the peer closes."""
        return self

    async def __anext__(self) -> _native.Message:
        """The next message. A peer that closes ends the iteration; one that dies is PeerDied."""
        try:
            return await self.recv()
        except Closed:
            if self.closed:
                raise
            raise StopAsyncIteration from None


class RpcBus(Session[_native.RpcBus]):
    """One end of a session for calls. Any number of tasks may call, and wait, at once."""

    def __init__(self, native: _native.RpcBus) -> None:
        super().__init__(native)
        self._calls: dict[int, asyncio.Future[_native.RxGuard]] = {}
        self._servers: collections.deque[asyncio.Future[_native.RxGuard]] = collections.deque()
        # Requests that came for a task which was cancelled in the same moment.
        self._backlog: collections.deque[_native.RxGuard] = collections.deque()
        # A round of looks is to come.
        self._pumping = False

    @classmethod
    async def listen(
        cls,
        address: str | PathLike[str],
        cap_fwd: int | None = None,
        cap_rev: int | None = None,
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> RpcBus:
        """Listens at `address` for one peer."""
        async with Listener(address, capacity=cap_fwd, capacity_reverse=cap_rev, **options) as listener:
            return await listener.accept_rpc(timeout=timeout)

    @classmethod
    async def connect(cls, address: str | PathLike[str], *, timeout: float | None = 0, **options: Any) -> RpcBus:
        """Connects to the listener at `address`; waits up to `timeout` seconds for it to appear."""
        native = await await_listener(
            lambda: _native.RpcBus.connect(address, **options), lambda rpc: rpc.close(), timeout
        )
        return cls(native)

    async def call(
        self,
        payload: Buffer,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        shared: list[_native.SharedBuffer] | None = None,
    ) -> int:
        """Sends a request and answers with its id, for `wait`. `timeout` travels with it."""
        left = _Left(timeout)
        look = partial(self._with_room, lambda: self.native.try_call(payload, msg_type, timeout=left(), shared=shared))
        call = look()
        if call is None:
            async with within(timeout):
                call = await self._until(look)
        return call

    def _with_room(self, look: Callable[[], T | None]) -> T | None:
        """Looks for room, which may read what others wait for, and then there is room."""
        while (found := look()) is None:
            if not self._pump():
                return None
        self._look_again()
        return found

    async def note(self, payload: Buffer, msg_type: int = 0, *, timeout: float | None = None) -> None:
        """Sends a request of which nobody awaits a reply."""
        note = partial(self.native.note, payload, msg_type, timeout=0)
        async with within(timeout):
            await self._until(partial(self._with_room, lambda: now(lambda: note() is None)))

    @asynccontextmanager
    async def call_zero_copy(
        self, size: int, msg_type: int = 0, *, timeout: float | None = None
    ) -> AsyncIterator[_native.TxGuard]:
        """Room for a request, to be written in place: ``async with``. Once it is sent, `TxGuard.correlation_id` is its call."""
        claim = partial(self.native.call_zero_copy, size, msg_type, timeout=0)
        async with within(timeout):
            tx = await self._until(partial(self._with_room, lambda: now(claim)))
        async with _filled(tx):
            yield tx
            left = _Left(timeout)
            async with within(timeout):
                await self._until(partial(self._with_room, lambda: tx._try_commit(left()) or None))

    async def empty(
        self,
        shape: SupportsIndex | Iterable[SupportsIndex],
        dtype: DTypeLike | None = None,
        *,
        timeout: float | None = None,
    ) -> NDArray[Any]:
        """A NumPy array in the memory that the peer will read. `call`, `request` and `reply` know it and copy nothing."""
        async with within(timeout):
            look = partial(self.native.empty, shape, dtype, timeout=0)
            return await self._until(partial(self._with_room, lambda: now(look)))

    async def wait(self, correlation_id: int, *, timeout: float | None = None) -> _native.RxGuard:
        """The reply to a call. After a Timeout, or a cancellation, the call is still under way: wait again, or cancel it."""
        if correlation_id in self._calls:
            raise InvalidArgument(f"another task waits for call {correlation_id} already")
        loop = self._watch()
        reply = self.native.try_wait(correlation_id)
        if reply is not None:
            self._look_again()
            return reply
        waiter: asyncio.Future[_native.RxGuard] = loop.create_future()
        self._calls[correlation_id] = waiter
        self._pump_for_others()
        try:
            return await (waiter if timeout is None else await_within(timeout, waiter))
        finally:
            self._calls.pop(correlation_id, None)

    def cancel(self, correlation_id: int) -> None:
        """Gives a call up: its reply, when it comes, is dropped."""
        if not self.closed:
            self.native.cancel(correlation_id)
            self._look_again()

    async def request_view(
        self,
        payload: Buffer,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        shared: list[_native.SharedBuffer] | None = None,
    ) -> _native.RxGuard:
        """Calls, waits, and answers with the reply, to be looked at in place. One that ends otherwise is cancelled."""
        async with within(timeout):
            call = await self.call(payload, msg_type, timeout=timeout, shared=shared)
            try:
                reply = await self.wait(call)
            except BaseException:
                self.cancel(call)
                raise
        if reply.msg_type == MSG_TYPE_ERROR and reply.size == 2:
            unserved = _decode_error(reply)
            error = RemoteError(f"the peer could not serve message type {unserved}")
            error.msg_type = unserved
            raise error
        return reply

    async def request(
        self,
        payload: Buffer,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        shared: list[_native.SharedBuffer] | None = None,
    ) -> bytes:
        """Calls, waits, and answers with the reply's payload."""
        reply = await self.request_view(payload, msg_type, timeout=timeout, shared=shared)
        with reply:
            return reply.data

    async def serve(self, *, timeout: float | None = None) -> _native.RxGuard:
        """The next request. Reply by its `correlation_id`, at once or later."""
        if self._backlog:
            return self._backlog.popleft()
        loop = self._watch()
        if not self._servers:
            request = self.native.try_serve()
            if request is not None:
                self._look_again()
                return request
        waiter: asyncio.Future[_native.RxGuard] = loop.create_future()
        self._servers.append(waiter)
        self._pump_for_others()
        try:
            return await (waiter if timeout is None else await_within(timeout, waiter))
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._backlog.append(waiter.result())
            elif waiter in self._servers:
                self._servers.remove(waiter)
            raise

    def reply(
        self,
        correlation_id: int,
        payload: Buffer,
        msg_type: int = 0,
        *,
        shared: list[_native.SharedBuffer] | None = None,
    ) -> None:
        """Replies to an open request. This never waits: where a long reply may have to, make it in an array of `empty`."""
        self.native.reply(correlation_id, payload, msg_type, shared=shared)
        self._look_again()

    def reply_error(self, correlation_id: int, code: int, text: str) -> None:
        """Replies with an error: the caller gets RemoteError with this code and text."""
        self.native.reply_error(correlation_id, code, text)
        self._look_again()

    @asynccontextmanager
    async def reply_zero_copy(
        self, correlation_id: int, size: int, msg_type: int = 0, *, timeout: float | None = None
    ) -> AsyncIterator[_native.TxGuard]:
        """Room for a reply, to be written in place: ``async with``. Leaving the block sends it."""
        claim = partial(self.native.reply_zero_copy, correlation_id, size, msg_type, timeout=0)
        async with within(timeout):
            tx = await self._until(partial(self._with_room, lambda: now(claim)))
        async with _filled(tx):
            yield tx
            tx.commit()
            self._look_again()

    async def serve_once(self, dispatcher: RpcDispatcher, *, timeout: float | None = None) -> None:
        """Serves one call, waiting for it. What its handler raised is raised after the caller was told; NotFound: it has none."""
        request = await self.serve(timeout=timeout)
        try:
            result = dispatcher.handler_of(request.msg_type)(memoryview(request))
            self._tell(request, await result if inspect.isawaitable(result) else result)
        except Exception:
            if not self.closed:
                answer_failure(self.native, request)
                self._look_again()
            raise

    async def serve_forever(self, dispatcher: RpcDispatcher) -> None:
        """Serves until the peer closes. Handlers may be ``async``: then any number of them run at once.

        What handlers raise is logged, and the serving goes on. PeerDied is raised.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    request = await self.serve()
                except Closed:
                    if self.closed:
                        raise
                    return
                answering = self._answer(dispatcher, request)
                if answering is not None:
                    group.create_task(answering)

    def _answer(self, dispatcher: RpcDispatcher, request: _native.RxGuard) -> Coroutine[Any, Any, None] | None:
        """Serves a request; what is left of it is awaited."""
        try:
            result = dispatcher.handler_of(request.msg_type)(memoryview(request))
            if inspect.isawaitable(result):
                return self._answer_later(request, result)
            self._tell(request, result)
        except Exception as error:
            self._tell_failure(request, error)
        return None

    async def _answer_later(self, request: _native.RxGuard, result: Awaitable[Buffer]) -> None:
        try:
            self._tell(request, await result)
        except Exception as error:
            self._tell_failure(request, error)

    def _tell(self, request: _native.RxGuard, result: Buffer) -> None:
        if not request.is_note:
            self.native.reply(request.correlation_id, result, request.msg_type)
            self._look_again()

    def _tell_failure(self, request: _native.RxGuard, error: Exception) -> None:
        log_failure(error)
        if not self.closed:
            answer_failure(self.native, request)
            self._look_again()

    def _look_again(self) -> None:
        super()._look_again()
        # Who comes later looks for himself.
        waits = self._calls or self._servers
        if waits and self._loop is not None and not self._pumping and not self._loop.is_closed():
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _readable(self) -> None:
        if self._calls or self._servers:
            if self._waiting:
                self._wake(len(self._waiting))
            self._pump()
        else:
            super()._readable()

    def _pump_for_others(self) -> None:
        """After the look of a task that now waits: what it has read may be for another. Alone, it has looked for all."""
        if len(self._calls) + len(self._servers) > 1:
            self._pump()

    def _pump(self) -> bool:
        """Gives what has come to whoever waits for it. The last look finds nothing, which arms the descriptor.

        Answers whether something was given.
        """
        self._pumping = False
        given = False
        arrived = -1
        # A look for one may have read what another has been looked for already: until one round reads nothing.
        while (self._calls or self._servers) and not self.closed and arrived != (arrived := self.native._arrived):
            given |= self._give_replies()
            given |= self._give_requests()
        return given

    def _give_replies(self) -> bool:
        given = False
        for call, waiter in list(self._calls.items()):
            if not waiter.done() and self._give(waiter, self.native.try_wait, call):
                # Once nobody waits there is nothing more to look for.
                del self._calls[call]
                given = True
                # There is a place for a call.
                self._wake(1)
        return given

    def _give_requests(self) -> bool:
        given = False
        while self._servers:
            if not self._servers[0].done():
                if not self._give(self._servers[0], self.native.try_serve):
                    break
                given = True
            self._servers.popleft()
        return given

    @staticmethod
    def _give(waiter: asyncio.Future[_native.RxGuard], look: Callable[..., _native.RxGuard | None], *call: int) -> bool:
        try:
            found = look(*call)
        except Exception as error:
            waiter.set_exception(error)
            return True
        if found is None:
            return False
        waiter.set_result(found)
        return True

    def close(self) -> None:
        """Closes the end. Whoever waits gets Closed."""
        super().close()
        for waiter in self._everybody():
            if not waiter.done():
                waiter.set_exception(Closed("this end was closed here"))

    def _everybody(self) -> Iterator[asyncio.Future[_native.RxGuard]]:
        yield from self._calls.values()
        yield from self._servers


class Observer:
    """Sees what the sessions of a listener count. Once it is connected nothing of it waits."""

    @staticmethod
    async def connect(address: str | PathLike[str], *, timeout: float | None = 0) -> _native.Observer:
        """Asks the listener at `address`; waits up to `timeout` seconds for it to appear."""
        return await await_listener(lambda: _native.Observer.connect(address), lambda _: None, timeout)


class _Left:
    """How much of a timeout is left, for what travels with a call: never nothing, which would be no deadline at all."""

    def __init__(self, timeout: float | None) -> None:
        # With 0, which only tries, none travels.
        self._end = None if not timeout else asyncio.get_running_loop().time() + timeout

    def __call__(self) -> float | None:
        if self._end is None:
            return None
        return max(self._end - asyncio.get_running_loop().time(), 1e-6)


@asynccontextmanager
async def _filled(tx: _native.TxGuard) -> AsyncIterator[None]:
    """Gives up what was not sent, whatever kept it from that."""
    try:
        yield
    except BaseException:
        # An exception that is handed over sends nothing, and leaves what is still looked at to its last view.
        tx.__exit__(BaseException)
        raise


__all__ = ["Bus", "Listener", "Observer", "RpcBus"]
