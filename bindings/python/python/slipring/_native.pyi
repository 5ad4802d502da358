"""The native half of the package. Import from `slipring`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, SupportsFloat, SupportsIndex, TypeAlias, Unpack, final, type_check_only

from numpy.typing import DTypeLike, NDArray
from typing_extensions import Buffer

from .observing import Observation, Observed, Pinned, Placement
from .settings import ListenerOptions, Options

__all__ = [
    "DEBUG_BUILD",
    "Block",
    "Bus",
    "Listener",
    "Message",
    "Notifier",
    "Observer",
    "Poller",
    "RpcBus",
    "RxBatchGuard",
    "RxGuard",
    "SharedBuffer",
    "TxGuard",
    "__version__",
    "limit_memory",
    "memory_taken",
    "pin_thread",
]

__version__: str
DEBUG_BUILD: bool

_Seconds: TypeAlias = SupportsFloat | SupportsIndex | None
# The stubs of NumPy say that an array is a buffer from Python 3.12 on only.
_Payload: TypeAlias = Buffer | NDArray[Any]
_Address: TypeAlias = str | PathLike[str]
_State: TypeAlias = Literal["open", "closed", "peer-died", "corrupt"]

def limit_memory(bytes: SupportsIndex) -> None:
    """The most bytes of shared memory that this process may have made at once. Default half of what the machine has."""

def memory_taken() -> int:
    """How many bytes of shared memory this process has made and still has."""

def pin_thread(cpus: Iterable[SupportsIndex]) -> Pinned:
    """Has the calling thread, and those that it makes later, run on these processors alone, by their numbers.

    Do so before you open an end: ends that share one processor tell each other when they are opened, and then neither spins.
    InvalidArgument: no such processor, or none that this process may use, with those that there are."""

@final
class Message:
    """A received message, to be kept for as long as one likes.

    A memoryview of it shows a long payload where the sender wrote it, without a copy. Its memory goes back to the sender when the
    message and all views of it are gone. It pickles as its bytes."""
    def __new__(cls, type_id: SupportsIndex, data: _Payload) -> Self: ...
    @property
    def type_id(self) -> int:
        """The sender's type id."""
    @property
    def size(self) -> int:
        """How many bytes the payload has."""
    @property
    def data(self) -> bytes:
        """The payload as bytes. A long one is copied once, when this is first asked for."""
    @property
    def shared(self) -> list[SharedBuffer]:
        """The shared objects that came with it."""
    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for ``from_dlpack`` of another library: the bytes in place, read-only."""

    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __reduce__(self) -> tuple[type[Self], tuple[int, bytes]]: ...

@final
class RxGuard:
    """A payload that was received, or the request or reply of a call, to be looked at by ``memoryview(rx)``.

    A long payload stays where the sender wrote it. Leaving the with block, or `release`, gives it back, and is a BufferError while a
    view is there. What is dropped without either goes back with its last view."""
    @property
    def type_id(self) -> int:
        """The sender's type id."""
    @property
    def msg_type(self) -> int:
        """The same, as calls name it."""
    @property
    def correlation_id(self) -> int:
        """The id of the call that this belongs to, for `RpcBus.reply`; 0 on a plain bus."""
    @property
    def size(self) -> int:
        """How many bytes the payload has."""
    @property
    def actual_size(self) -> int:
        """The same."""
    @property
    def data(self) -> bytes:
        """A copy of the payload."""
    @property
    def shared(self) -> list[SharedBuffer]:
        """The shared objects that came with it."""
    @property
    def is_note(self) -> bool:
        """Whether this is a request of which nobody awaits a reply."""
    @property
    def remaining(self) -> float | None:
        """How many seconds the caller goes on waiting; None for ever."""
    @property
    def released(self) -> bool:
        """Whether it was released."""
    def release(self) -> None:
        """Lets the payload go. InvalidArgument: that was done already. BufferError: a view is there."""
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for ``from_dlpack`` of another library: the bytes in place, read-only."""

    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __reduce__(self) -> Any: ...

@final
class RxBatchGuard:
    """Payloads that were received together, in their order. Leaving the with block lets all of them go."""
    def __len__(self) -> int: ...
    def __getitem__(self, index: SupportsIndex, /) -> RxGuard: ...
    def __iter__(self) -> Iterator[RxGuard]: ...
    def release(self) -> None:
        """Lets all of them go. BufferError: a view is there."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Any: ...

@final
class TxGuard:
    """Room for one payload, to be written through ``memoryview(tx)``.

    Leaving the with block sends it; an exception there sends nothing. While a view is there neither happens, which is a BufferError.
    A long payload is written where the peer will read it; what it holds before are old bytes of this end's own."""

    actual_size: int
    """How many bytes are sent: at first all. InvalidArgument: more than there is room for."""
    @property
    def type_id(self) -> int:
        """The type id that it is sent with."""
    @property
    def size(self) -> int:
        """How many bytes there is room for."""
    @property
    def correlation_id(self) -> int | None:
        """The id of the call, once a request was sent."""
    def commit(self) -> None:
        """Sends the first `actual_size` bytes. What cannot be sent stays open."""
    def _try_commit(self, timeout: _Seconds, /) -> bool: ...
    def abort(self) -> None:
        """Gives the room up. Nobody ever learns of it."""
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __reduce__(self) -> Any: ...

@final
class Block:
    """Memory that the peer will read where it is written. `Bus.empty` makes arrays of it."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __reduce__(self) -> Any: ...

@final
class SharedBuffer:
    """Bytes that never change once they are sealed, in memory that any number of processes read in place.

    Write it through ``memoryview(buffer)``, or an array over it, then `seal` it, and give it to any number of sends by ``shared=``.
    What a receiver finds in `shared` is a SharedBuffer too, and can be passed on."""
    def __new__(cls, size: SupportsIndex) -> Self: ...
    @staticmethod
    def from_bytes(data: _Payload) -> SharedBuffer:
        """A sealed copy."""
    def seal(self) -> None:
        """Ends the writing, for good. BufferError: a view is there."""
    @property
    def sealed(self) -> bool:
        """Whether it is sealed."""
    @property
    def id(self) -> int:
        """The number by which the kernel knows the memory: the same in every process."""
    @property
    def size(self) -> int:
        """How many bytes it has."""
    def fileno(self) -> int:
        """The descriptor of the sealed memory, which stays this object's."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for ``from_dlpack`` of another library: the bytes in place, read-only."""

    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __reduce__(self) -> Any: ...

@type_check_only
class _Session:
    """What both kinds of sessions have in common."""
    def close(self, *, linger: _Seconds = 0.0) -> None:
        """Says goodbye, after waiting at most `linger` seconds until the peer has read everything. Again does nothing.

        Timeout: it has not, and the end is closed all the same; as it is whatever else ends the wait."""
    def _is_read(self) -> bool: ...
    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Any: ...
    def fileno(self) -> int:
        """The descriptor for an event loop of one's own.

        When it is readable call the ``try_`` form of what is waited for until it answers None, or False: that arms it."""
    @property
    def state(self) -> _State:
        """How the session stands."""
    @property
    def inline_limit(self) -> int:
        """The longest payload that goes into the ring itself, in bytes."""
    def stats(self) -> dict[str, int]:
        """What this end has done so far, by name."""
    def peer_stats(self) -> dict[str, int] | None:
        """What the peer has done so far, by name, as it last showed it; None if it shows nothing (option ``counters``).

        It shows that at calm moments, so the numbers lag, and may not fit each other. They are what the peer says."""
    def capabilities(self) -> dict[str, Any]:
        """What this session can promise, by name."""
    def placement(self) -> Placement:
        """Where this end's memory is, beside where it was asked to be. Looks at every map of the process."""
    def set_wait(self, wait: str) -> None:
        """Waits by this strategy from now on."""
    def set_polling_mode(self, pure_spin: bool = True) -> None:
        """Whether to wait by looking without a pause, which takes a processor."""
    def set_numa_node(self, node: SupportsIndex) -> None:
        """Has this end's memory come to a NUMA node, as far as the kernel moves it, and what is made later be made there.

        The option ``numa_node`` does so from the first byte on, which is better. `placement` tells what was got.
        InvalidArgument: there is no such node, with those that there are."""

@final
class Bus(_Session):
    """One end of a one-way stream of messages: the end that listens receives, the end that connects sends.

    Every wait ends when the peer closes (Closed) or dies (PeerDied), after all that it had sent was received. An end belongs to one
    thread at a time: WrongThread tells a second one."""
    @staticmethod
    def listen(
        address: _Address,
        capacity: SupportsIndex | None = None,
        *,
        timeout: _Seconds = None,
        **options: Unpack[Options],
    ) -> Bus:
        """Listens at `address` for one peer, and receives from it.

        `capacity`: bytes of the ring, a power of two. AddressInUse; Timeout; InvalidArgument; ConfigError; OutOfMemory."""
    @staticmethod
    def connect(address: _Address, *, timeout: _Seconds = 0.0, **options: Unpack[Options]) -> Bus:
        """Connects to the listener at `address`, to send to it; waits up to `timeout` seconds for it to appear.

        NotFound: nobody listens there. Refused, with why. VersionMismatch; Timeout: it does not answer."""
    def send(
        self,
        data: _Payload,
        type_id: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
        shared: list[SharedBuffer] | None = None,
    ) -> None:
        """Sends a message: a copy of a bytes-like object, or an array of `empty` where it is.

        TooLarge; Timeout: no room; Closed, PeerDied, Corrupt: the session is over; InvalidArgument: this end receives."""
    def try_send(self, data: _Payload, type_id: SupportsIndex = 0) -> bool:
        """As `send`, if there is room now. Whether there was."""
    def send_many(self, payloads: Iterable[_Payload], type_id: SupportsIndex = 0, *, timeout: _Seconds = None) -> int:
        """Sends all payloads, in groups as large as there is room for. How many that were.

        What went before one that is too long is sent."""
    def try_send_many(self, payloads: Sequence[_Payload], type_id: SupportsIndex = 0) -> int:
        """As `send_many`, for as many of the first payloads as there is room for now. How many those were."""
    def send_zero_copy(self, size: SupportsIndex, type_id: SupportsIndex = 0, *, timeout: _Seconds = None) -> TxGuard:
        """Room for a payload of up to `size` bytes, to be written in place."""
    def empty(
        self,
        shape: SupportsIndex | Iterable[SupportsIndex],
        dtype: DTypeLike | None = None,
        *,
        timeout: _Seconds = None,
    ) -> NDArray[Any]:
        """A NumPy array in the memory that the peer will read. `send` knows it and copies nothing.

        It is read-only from then on: its bytes are the peer's to read. What it holds at first are old bytes. Dropping it unsent gives
        the memory back."""
    def recv(self, *, timeout: _Seconds = None) -> Message:
        """The next message, waiting for it.

        Timeout; Closed and PeerDied, after all that the peer had sent; Corrupt; InvalidArgument: this end sends."""
    def try_recv(self) -> Message | None:
        """The next message, if it is there."""
    def recv_zero_copy(self, *, timeout: _Seconds = None) -> RxGuard:
        """The next message, to be looked at in place."""
    def try_recv_zero_copy(self) -> RxGuard | None:
        """As `recv_zero_copy`, or None at once."""
    def recv_many(self, max_msgs: SupportsIndex = 64, *, timeout: _Seconds = None) -> list[Message]:
        """Up to `max_msgs` messages that are there, waiting for the first."""
    def drain_batch(
        self, max_msgs: SupportsIndex = 64, spin_threshold: SupportsIndex = 48, *, timeout: _Seconds = None
    ) -> RxBatchGuard:
        """Up to `max_msgs` messages that are there, waiting for the first, to be looked at in place.

        `spin_threshold`: how often to look before other threads may run."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Message:
        """The next message. A peer that closes ends the iteration; one that dies is PeerDied."""
    @property
    def payload_max(self) -> int:
        """The longest payload that this end can send, in bytes."""

@final
class RpcBus(_Session):
    """One end of a session for calls: both ends may call, and both may serve.

    Every call gets exactly one reply, in whatever order. The timeout of a call travels with it. An end belongs to one thread at a
    time: WrongThread tells a second one."""
    @staticmethod
    def listen(
        address: _Address,
        cap_fwd: SupportsIndex | None = None,
        cap_rev: SupportsIndex | None = None,
        *,
        timeout: _Seconds = None,
        **options: Unpack[Options],
    ) -> RpcBus:
        """Listens at `address` for one peer.

        `cap_fwd`: bytes of the ring from the connecting end to this one, `cap_rev`: of the other; powers of two."""
    @staticmethod
    def connect(address: _Address, *, timeout: _Seconds = 0.0, **options: Unpack[Options]) -> RpcBus:
        """Connects to the listener at `address`; waits up to `timeout` seconds for it to appear."""
    def call(
        self,
        payload: _Payload,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
        shared: list[SharedBuffer] | None = None,
    ) -> int:
        """Sends a request and answers with its id, for `wait`.

        `timeout` travels with it: whoever serves it knows how long the reply is awaited. With 0, which only tries, none travels."""
    def try_call(
        self,
        payload: _Payload,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
        shared: list[SharedBuffer] | None = None,
    ) -> int | None:
        """As `call`, or None if there is no room for it now. `timeout`, which is not waited for here, travels with it."""
    def wait(self, correlation_id: SupportsIndex, *, timeout: _Seconds = None) -> RxGuard:
        """The reply to a call, waiting for it.

        Timeout: the call is still under way; wait again, or `cancel` it. RemoteError, NotFound, Overloaded, Cancelled: what the peer
        answered instead."""
    def try_wait(self, correlation_id: SupportsIndex) -> RxGuard | None:
        """The reply to a call, if it is there."""
    def request(
        self,
        payload: _Payload,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
        shared: list[SharedBuffer] | None = None,
    ) -> bytes:
        """Calls, waits, and answers with the reply's payload. After a Timeout the call is cancelled.

        RemoteError: the peer's dispatcher has no handler for the message type, or the handler failed."""
    def request_view(
        self,
        payload: _Payload,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
        shared: list[SharedBuffer] | None = None,
    ) -> RxGuard:
        """As `request`, but the reply can be looked at in place."""
    def note(self, payload: _Payload, msg_type: SupportsIndex = 0, *, timeout: _Seconds = None) -> None:
        """Sends a request of which nobody awaits a reply."""
    def cancel(self, correlation_id: SupportsIndex) -> None:
        """Gives a call up: its reply, when it comes, is dropped."""
    def call_zero_copy(self, size: SupportsIndex, msg_type: SupportsIndex = 0, *, timeout: _Seconds = None) -> TxGuard:
        """Room for a request, to be written in place. Once it is sent, `TxGuard.correlation_id` is its call."""
    def empty(
        self,
        shape: SupportsIndex | Iterable[SupportsIndex],
        dtype: DTypeLike | None = None,
        *,
        timeout: _Seconds = None,
    ) -> NDArray[Any]:
        """A NumPy array in the memory that the peer will read. `call`, `request` and `reply` know it and copy nothing."""
    def serve(self, *, timeout: _Seconds = None) -> RxGuard:
        """The next request, waiting for it. Reply by its `correlation_id`, at once or later."""
    def try_serve(self) -> RxGuard | None:
        """The next request, if it is there."""
    def reply(
        self,
        correlation_id: SupportsIndex,
        payload: _Payload,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = 0.0,
        shared: list[SharedBuffer] | None = None,
    ) -> None:
        """Replies to an open request. `timeout`: how long a long reply may wait for memory; by default not at all.

        InvalidArgument: no such request is open. OutOfMemory: there is no memory for a long reply; the caller is told so."""
    def reply_error(self, correlation_id: SupportsIndex, code: SupportsIndex, text: str) -> None:
        """Replies with an error: the caller gets RemoteError with this code, below 2**31, and text."""
    def reply_zero_copy(
        self,
        correlation_id: SupportsIndex,
        size: SupportsIndex,
        msg_type: SupportsIndex = 0,
        *,
        timeout: _Seconds = None,
    ) -> TxGuard:
        """Room for a reply, to be written in place."""
    def _serve_once(
        self, handlers: Mapping[int, Callable[[memoryview], object]], timeout: _Seconds = None, /
    ) -> None: ...
    def _serve_forever(
        self, handlers: Mapping[int, Callable[[memoryview], object]], failed: Callable[[Exception], object], /
    ) -> None: ...
    def _serve_while_waiting(self, handlers: Mapping[int, Callable[[memoryview], object]] | None, /) -> None: ...
    @property
    def _arrived(self) -> int: ...
    @property
    def in_flight(self) -> int:
        """How many calls of this end are under way."""
    @property
    def request_max(self) -> int:
        """The longest request that this end can make, in bytes."""

@final
class Listener:
    """A name at which any number of clients can connect.

    Closing it gives the name back; the sessions that it made live on."""
    def __new__(cls, address: _Address, **options: Unpack[ListenerOptions]) -> Self: ...
    @staticmethod
    def bind(address: _Address, **options: Unpack[ListenerOptions]) -> Listener:
        """Takes the address: the same as the class itself."""
    def accept_bus(self, *, timeout: _Seconds = None) -> Bus:
        """The next session, waiting for it: its receiving end."""
    def accept_rpc(self, *, timeout: _Seconds = None) -> RpcBus:
        """The next session for calls, waiting for it."""
    def try_accept_bus(self) -> Bus | None:
        """The next session, if it can be had now."""
    def try_accept_rpc(self) -> RpcBus | None:
        """The next session for calls, if it can be had now."""
    @property
    def address(self) -> str:
        """The address, as it can be given to connect."""
    @property
    def refused(self) -> int:
        """How many clients were turned down, or gave up in mid-handshake."""
    def fileno(self) -> int:
        """The descriptor for an event loop of one's own: readable when a ``try_accept_`` has something to do."""
    def close(self) -> None:
        """Gives the name back. Again does nothing."""
    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Any: ...

@final
class Observer:
    """Sees what the sessions of a listener count, without their doing anything for it.

    The listener answers once, in an accepting call, if it is of this user. From then on neither knows of the other: one that is
    stopped, or busy, or dead is read as it last was. May be used by many threads at a time, and in a child of fork."""
    @staticmethod
    def connect(address: _Address, *, timeout: _Seconds = 0.0) -> Observer:
        """Asks the listener at `address`; waits up to `timeout` seconds for it to appear, and 5 more for its answer.

        NotFound; Refused: it shows nothing (option ``counters``), or belongs to another user; Timeout: it does not answer."""
    def sessions(self) -> list[Observed]:
        """Every open session that is shown, in the order of their numbers. Never waits."""
    def look(self) -> Observation:
        """The same, with what the listener says of all of them. Never waits."""
    def __reduce__(self) -> Any: ...

@final
class Poller:
    """Waits for any number of sessions and listeners at once, in one thread.

    `add` takes an end in, which is used as before; `wait` answers with those that have something to do. Take a bounded number of
    messages from each by its ``try_`` calls, and wait again. Closing an end takes it out."""
    def __new__(cls, **options: Unpack[Options]) -> Self: ...
    def add(self, end: Bus | RpcBus | Listener) -> None:
        """Takes an end in."""
    def remove(self, end: Bus | RpcBus) -> None:
        """Takes an end out, open as it is."""
    def wait(self, *, timeout: _Seconds = None) -> list[Bus | RpcBus | Listener]:
        """Waits until something is ready, and answers with all that are. An empty list if a `Notifier` ended the wait."""
    def try_wait(self) -> list[Bus | RpcBus | Listener] | None:
        """As `wait`, or None at once."""
    def notifier(self) -> Notifier:
        """What wakes this poller from other threads."""
    def fileno(self) -> int:
        """The descriptor for an event loop of one's own, in the place of all."""
    def close(self) -> None:
        """Closes the poller, and with it all that is in it."""
    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Any: ...

@final
class Notifier:
    """Wakes a poller from any thread."""
    def notify(self) -> None:
        """Ends the poller's wait, or its next one: it answers, with or without ends."""
    def __reduce__(self) -> Any: ...
