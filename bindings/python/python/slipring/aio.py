"""The same ends for asyncio: `Bus`, `RpcBus` and `Listener` with ``async`` in front of what waits.

There is no thread behind a wait: each end has one descriptor, which the event loop watches while somebody waits. Every wait can be
cancelled, and nothing is lost by it: a message that nobody has taken is for whoever waits next. An end belongs to the event loop that
first waits with it. What does not wait, and what an end tells of itself, is found at `native`.
"""

from __future__ import annotations

import asyncio
import collections
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _native
from .dispatching import answer_failure, log_failure
from .errors import Closed, InvalidArgument, NotFound, RemoteError, Timeout
from .rpc import MSG_TYPE_ERROR, RpcDispatcher, _decode_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from os import PathLike

    from typing_extensions import Buffer

E = TypeVar("E", _native.Bus, _native.RpcBus, _native.Listener)
T = TypeVar("T")

# How long to leave an address alone at which nobody listens yet.
_AGAIN = 0.005


def _within(timeout: float | None) -> AbstractAsyncContextManager[None]:
    """Ends what is done inside after `timeout` seconds, with this library's exception. Without a limit that costs nothing."""
    return _WITHOUT_LIMIT if timeout is None else _limited(timeout)


_WITHOUT_LIMIT: AbstractAsyncContextManager[None] = nullcontext()


@asynccontextmanager
async def _limited(timeout: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except Timeout:
        raise
    except TimeoutError:
        raise Timeout("the timeout passed") from None


async def _await_within(timeout: float, waiter: asyncio.Future[T]) -> T:
    async with _limited(timeout):
        return await waiter


class _End(Generic[E]):
    """An end, and the tasks that wait until its descriptor is readable."""

    def __init__(self, native: E) -> None:
        self.native: E = native
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: int | None = None
        # In the order in which they began to wait.
        self._waiting: dict[asyncio.Future[None], None] = {}

    def _watch(self) -> asyncio.AbstractEventLoop:
        """Has the loop watch the descriptor: before a look, because it is the look's answer that arms it."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise InvalidArgument("this end belongs to another event loop: open one in each loop that needs one")
        if self._watched is None:
            fd = self.native.fileno()
            loop.add_reader(fd, self._readable)
            self._watched = fd
        return loop

    def _unwatch(self) -> None:
        if self._watched is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._watched)
        self._watched = None

    def _readable(self) -> None:
        """Wakes whoever waits. With nobody there it watches no more: what came would be told again and again."""
        if not self._waiting:
            self._unwatch()
        self._wake(len(self._waiting))

    def _wake(self, most: int) -> None:
        """Has up to `most` of those who wait look again."""
        for waiter in self._waiting:
            if most == 0:
                return
            if not waiter.done():
                waiter.set_result(None)
                most -= 1

    async def _until(self, look: Callable[[], T | None]) -> T:
        """Looks until there is something, and sleeps in between."""
        loop = self._watch()
        while (found := look()) is None:
            waiter = loop.create_future()
            self._waiting[waiter] = None
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    # What this one was woken for is for the next.
                    self._wake(1)
                raise
            finally:
                del self._waiting[waiter]
            self._watch()
        self._look_again()
        return found

    def _look_again(self) -> None:
        """After any call that did not find the end wanting: it may have heard the bell that was meant for another task."""
        self._wake(1)

    def fileno(self) -> int:
        """The descriptor that the event loop watches."""
        return self.native.fileno()

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return self.native.closed

    def close(self) -> None:
        """Closes the end. Whoever waits gets Closed."""
        self._unwatch()
        self.native.close()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Closed("this end was closed here"))

    async def __aenter__(self) -> Self:
        """The end itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        self.close()


async def _connect(connect: Callable[[], T], close: Callable[[T], None], timeout: float | None) -> T:
    """Connects by `connect`, which may take a moment, in a thread that ends with it."""
    loop = asyncio.get_running_loop()
    while True:
        done: asyncio.Future[T] = loop.create_future()
        threading.Thread(target=_run, args=(connect, close, loop, done), daemon=True).start()
        try:
            async with _within(timeout if timeout else None):
                return await done
        except NotFound:
            if not timeout:
                raise
        await asyncio.sleep(_AGAIN)


def _run(
    connect: Callable[[], T], close: Callable[[T], None], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]
) -> None:
    """What the thread does: an end that nobody waits for any more is closed."""

    def tell(found: T | None, error: BaseException | None) -> None:
        if done.done():
            if found is not None:
                close(found)
        elif error is not None:
            done.set_exception(error)
        elif found is not None:
            done.set_result(found)

    found, error = None, None
    try:
        found = connect()
    except Exception as raised:
        error = raised
    try:
        loop.call_soon_threadsafe(tell, found, error)
    except RuntimeError:
        # The loop was closed meanwhile.
        if found is not None:
            close(found)


async def _await_listener(connect: Callable[[], T], close: Callable[[T], None], timeout: float | None) -> T:
    async with _within(timeout if timeout else None):
        return await _connect(connect, close, timeout if timeout is None or timeout > 0 else 0)


class Listener(_End[_native.Listener]):
    """A name at which any number of clients can connect."""

    def __init__(self, address: str | PathLike[str], **options: Any) -> None:
        super().__init__(_native.Listener(address, **options))

    async def accept_bus(self, *, timeout: float | None = None) -> Bus:
        """The next session: its receiving end."""
        async with _within(timeout):
            return Bus(await self._until(self.native.try_accept_bus))

    async def accept_rpc(self, *, timeout: float | None = None) -> RpcBus:
        """The next session for calls."""
        async with _within(timeout):
            return RpcBus(await self._until(self.native.try_accept_rpc))


class Bus(_End[_native.Bus]):
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
        native = await _await_listener(
            lambda: _native.Bus.connect(address, **options), lambda bus: bus.close(), timeout
        )
        return cls(native)

    async def send(self, data: Buffer, type_id: int = 0, *, timeout: float | None = None) -> None:
        """Sends a message, waiting for room."""
        if self.native.try_send(data, type_id):
            self._look_again()
            return
        async with _within(timeout):
            await self._until(lambda: self.native.try_send(data, type_id) or None)

    async def recv(self, *, timeout: float | None = None) -> _native.Message:
        """The next message."""
        message = self.native.try_recv()
        if message is not None:
            self._look_again()
            return message
        async with _within(timeout):
            return await self._until(self.native.try_recv)

    async def recv_zero_copy(self, *, timeout: float | None = None) -> _native.RxGuard:
        """The next message, to be looked at in place."""
        async with _within(timeout):
            return await self._until(self.native.try_recv_zero_copy)

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


class RpcBus(_End[_native.RpcBus]):
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
        native = await _await_listener(
            lambda: _native.RpcBus.connect(address, **options), lambda rpc: rpc.close(), timeout
        )
        return cls(native)

    async def call(self, payload: Buffer, msg_type: int = 0, *, timeout: float | None = None) -> int:
        """Sends a request and answers with its id, for `wait`."""
        call = self._try_call(payload, msg_type)
        if call is None:
            async with _within(timeout):
                call = await self._until(partial(self._try_call, payload, msg_type))
        return call

    def _try_call(self, payload: Buffer, msg_type: int) -> int | None:
        """Calls if there is room now. A look for room may read what others wait for, and then there is room."""
        while (call := self.native.try_call(payload, msg_type)) is None:
            if not self._pump():
                return None
        self._look_again()
        return call

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
            return await (waiter if timeout is None else _await_within(timeout, waiter))
        finally:
            self._calls.pop(correlation_id, None)

    def cancel(self, correlation_id: int) -> None:
        """Gives a call up: its reply, when it comes, is dropped."""
        if not self.closed:
            self.native.cancel(correlation_id)
            self._look_again()

    async def request_view(
        self, payload: Buffer, msg_type: int = 0, *, timeout: float | None = None
    ) -> _native.RxGuard:
        """Calls, waits, and answers with the reply, to be looked at in place. One that ends otherwise is cancelled."""
        async with _within(timeout):
            call = self._try_call(payload, msg_type)
            if call is None:
                call = await self.call(payload, msg_type)
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

    async def request(self, payload: Buffer, msg_type: int = 0, *, timeout: float | None = None) -> bytes:
        """Calls, waits, and answers with the reply's payload."""
        reply = await self.request_view(payload, msg_type, timeout=timeout)
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
            return await (waiter if timeout is None else _await_within(timeout, waiter))
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._backlog.append(waiter.result())
            elif waiter in self._servers:
                self._servers.remove(waiter)
            raise

    def reply(self, correlation_id: int, payload: Buffer, msg_type: int = 0) -> None:
        """Replies to an open request. This never waits."""
        self.native.reply(correlation_id, payload, msg_type)
        self._look_again()

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


__all__ = ["Bus", "Listener", "RpcBus"]
