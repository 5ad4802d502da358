"""How ends wait on an event loop: one descriptor each, watched while somebody waits, and no thread behind a wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _native
from .errors import Closed, InvalidArgument, NotFound, Timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .observing import Placement

E = TypeVar("E", _native.Bus, _native.RpcBus, _native.Listener)
T = TypeVar("T")

# How long to leave an address alone at which nobody listens yet, or a peer that has not read everything.
_AGAIN = 0.005


def within(timeout: float | None) -> AbstractAsyncContextManager[None]:
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


async def await_within(timeout: float, waiter: asyncio.Future[T]) -> T:
    """What `waiter` is given within `timeout` seconds."""
    async with _limited(timeout):
        return await waiter


def now(look: Callable[[], T]) -> T | None:
    """What a call with a timeout of 0 answers; None where it says that there is nothing, or no room, yet."""
    try:
        return look()
    except Timeout:
        return None


class End(Generic[E]):
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


S = TypeVar("S", _native.Bus, _native.RpcBus)


class Session(End[S]):
    """What both kinds of sessions have in common."""

    async def aclose(self, *, linger: float | None = 0.0) -> None:
        """Says goodbye, after waiting at most `linger` seconds until the peer has read everything.

        Timeout: it has not, and the end is closed all the same; as it is whatever else ends the wait, a cancellation too."""
        try:
            if self.closed or linger == 0:
                return
            async with within(linger):
                while not self.native._is_read():
                    await asyncio.sleep(_AGAIN)
        finally:
            self.close()

    @property
    def state(self) -> str:
        """How the session stands: "open", "closed", "peer-died" or "corrupt"."""
        return self.native.state

    @property
    def inline_limit(self) -> int:
        """The longest payload that goes into the ring itself, in bytes."""
        return self.native.inline_limit

    def stats(self) -> dict[str, int]:
        """What this end has done so far, by name."""
        return self.native.stats()

    def peer_stats(self) -> dict[str, int] | None:
        """What the peer has done so far, as it last showed it; None if it shows nothing."""
        return self.native.peer_stats()

    def capabilities(self) -> dict[str, Any]:
        """What this session can promise, by name."""
        return self.native.capabilities()

    def placement(self) -> Placement:
        """Where this end's memory is, beside where it was asked to be."""
        return self.native.placement()

    def set_numa_node(self, node: int) -> None:
        """Has this end's memory come to a NUMA node, as far as the kernel moves it."""
        self.native.set_numa_node(node)


async def _connect(connect: Callable[[], T], close: Callable[[T], None], timeout: float | None) -> T:
    """Connects by `connect`, which may take a moment, in a thread that ends with it."""
    loop = asyncio.get_running_loop()
    while True:
        done: asyncio.Future[T] = loop.create_future()
        threading.Thread(target=_run, args=(connect, close, loop, done), daemon=True).start()
        try:
            async with within(timeout if timeout else None):
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


async def await_listener(connect: Callable[[], T], close: Callable[[T], None], timeout: float | None) -> T:
    async with within(timeout if timeout else None):
        return await _connect(connect, close, timeout if timeout is None or timeout > 0 else 0)
