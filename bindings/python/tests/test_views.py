"""Views: what they show, where it is, and how long."""

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest

import slipring
from helpers import SOON, buses, rpcs, shared_memory_at

LONG = 64 << 10


def test_long_payloads_are_read_where_they_were_written(name: str) -> None:
    with buses(name) as (sender, receiver):
        sender.send(bytes(range(256)) * (LONG // 256))
        sender.send(b"s" * LONG)
        with receiver.recv_zero_copy(timeout=SOON) as rx:
            array = np.frombuffer(rx, np.uint8)
            assert shared_memory_at(array.ctypes.data)
            assert not array.flags.writeable
            assert array.sum() == sum(range(256)) * (LONG // 256)
            del array
        message = receiver.recv(timeout=SOON)
        assert shared_memory_at(np.frombuffer(message, np.uint8).ctypes.data)
        assert message.data == b"s" * LONG


def test_views_are_read_only_and_release_is_refused_while_they_are_there(name: str) -> None:
    with buses(name) as (sender, receiver):
        for size in (16, LONG):
            sender.send(b"r" * size)
            rx = receiver.recv_zero_copy(timeout=SOON)
            view = memoryview(rx)
            assert view.readonly
            with pytest.raises(TypeError, match="read-only"):
                view[0] = 1
            with pytest.raises(BufferError, match="view of this RxGuard is still there"):
                rx.release()
            with pytest.raises(BufferError):
                rx.__exit__(None, None, None)
            assert not rx.released
            view.release()
            rx.release()
            assert rx.released
            for over in (rx.release, lambda rx=rx: memoryview(rx), lambda rx=rx: rx.data, rx.__enter__):
                with pytest.raises(slipring.InvalidArgument, match="released"):
                    over()
            rx.__exit__(None, None, None)


def test_a_claim_is_neither_sent_nor_given_up_while_it_is_looked_at(name: str) -> None:
    with buses(name) as (sender, receiver):
        for size in (16, LONG):
            with pytest.raises(BufferError, match="TxGuard"):
                with sender.send_zero_copy(size) as tx:
                    view = memoryview(tx)
            assert receiver.try_recv() is None
            with pytest.raises(BufferError):
                tx.abort()
            view.release()
            tx.commit()
            assert receiver.recv(timeout=SOON).size == size


def test_views_outlive_everything_else(name: str) -> None:
    with buses(name) as (sender, receiver):
        sender.send(b"long" * LONG)
        sender.send(b"short")
        sender.send(b"kept" * LONG)
        views = [memoryview(receiver.recv_zero_copy(timeout=SOON)) for _ in range(2)]
        array = np.frombuffer(receiver.recv(timeout=SOON), np.uint8)
        claim = memoryview(sender.send_zero_copy(LONG))
        mine = sender.empty(LONG, np.uint8)
    del sender, receiver
    gc.collect()
    assert views[0][-4:] == b"long"
    assert views[1] == b"short"
    assert array[-4:].tobytes() == b"kept"
    claim[:4] = b"dead"
    mine[:] = 7
    assert (claim[:4], mine.sum()) == (b"dead", 7 * LONG)


def test_blocks_go_back_when_the_last_view_does(name: str) -> None:
    with buses(name) as (sender, receiver):
        sender.send(b"b" * LONG)
        message = receiver.recv(timeout=SOON)
        view = memoryview(message)
        del message
        gc.collect()
        assert receiver.stats()["held_blocks"] == 1
        del view
        gc.collect()
        assert receiver.stats()["held_blocks"] == 0


def test_an_array_is_sent_where_it_was_made(name: str) -> None:
    with buses(name) as (sender, receiver):
        for shape, dtype in (((100, 100), np.float32), (12, "i8"), ((), "f8"), ((0, 5), "u1"), ((3,), "i4,f8")):
            array = sender.empty(shape, dtype)
            assert (array.shape, array.dtype) == (np.zeros(shape, dtype).shape, np.dtype(dtype))
            assert shared_memory_at(array.ctypes.data)
            if array.dtype.names is None:
                array[...] = 5
            before = sender.stats()["bytes_sent"]
            out = sender.stats()["blocks_out"]
            sender.send(array, 2)
            # The very block went out: no other was taken for a copy. (Others may have come back.)
            assert sender.stats()["blocks_out"] <= out
            assert sender.stats()["bytes_sent"] == before + array.nbytes
            assert not array.flags.writeable
            message = receiver.recv(timeout=SOON)
            assert message.data == array.tobytes()
            with pytest.raises(slipring.InvalidArgument, match="negative"):
                sender.empty(-1)
        # A view from the start is known, too; one from the middle is copied; an array that was sent is copied.
        array = sender.empty(1000, np.uint8)
        array[:] = np.arange(1000) % 256
        sender.send(array[:100])
        sender.send(array[1:3])
        sender.send(array)
        assert [receiver.recv(timeout=SOON).size for _ in range(3)] == [100, 2, 1000]
        assert np.frombuffer(receiver.try_recv() or b"", np.uint8).size == 0


def test_what_was_sent_stays_what_it_is_while_somebody_looks(name: str) -> None:
    with buses(name, memory_limit=1 << 20) as (sender, receiver):
        arrays = []
        for number in range(8):
            array = sender.empty(LONG, np.uint8)
            array[:] = number
            sender.send(array)
            arrays.append(array)
            receiver.recv(timeout=SOON)
        # All of them were given back by the peer; none was used again.
        for number, array in enumerate(arrays):
            assert array.min() == array.max() == number
        del array
        arrays.clear()
        for _ in range(100):
            sender.send(b"n" * LONG, timeout=SOON)
            receiver.recv(timeout=SOON)


def test_a_dropped_array_gives_its_memory_back(name: str) -> None:
    with buses(name, memory_limit=1 << 20) as (sender, receiver):
        for _ in range(100):
            sender.empty(LONG * 4, np.uint8)
            gc.collect()
        sender.send(b"room", timeout=SOON)
        assert receiver.recv(timeout=SOON).data == b"room"


def test_arrays_of_calls(name: str) -> None:
    with rpcs(name) as (caller, callee):
        array = caller.empty((100, 100))
        array[:] = 1.5
        call = caller.call(array, 1)
        assert not array.flags.writeable
        with callee.serve(timeout=SOON) as request:
            values = np.frombuffer(request, float)
            assert shared_memory_at(values.ctypes.data)
            answer = callee.empty(10_000)
            answer[:] = values * 2
            del values
            callee.reply(request.correlation_id, answer)
        with caller.wait(call, timeout=SOON) as reply:
            assert np.frombuffer(reply.data).sum() == 30_000


def test_payloads_of_every_kind(name: str) -> None:
    with buses(name) as (sender, receiver):
        grid = np.arange(12, dtype=np.int32).reshape(3, 4)
        for payload in (grid, memoryview(grid), bytearray(b"ba"), np.float64(1.5), grid[1:], np.array(7)):
            sender.send(payload)
            assert receiver.recv(timeout=SOON).data == memoryview(payload).tobytes()
        with pytest.raises(slipring.InvalidArgument, match="ascontiguousarray"):
            sender.send(grid.T)
        with pytest.raises(slipring.InvalidArgument, match="ascontiguousarray"):
            sender.send(memoryview(b"abcdef")[::2])


def test_tensors_that_speak_dlpack(name: str) -> None:
    class Tensor:
        """What has no buffer, and can be looked at by DLPack alone."""

        def __init__(self, array: np.ndarray) -> None:
            self._array = array

        def __dlpack__(self, **options: object) -> object:
            return self._array.__dlpack__(**options)  # type: ignore[arg-type]

        def __dlpack_device__(self) -> tuple[int, int]:
            return self._array.__dlpack_device__()  # type: ignore[return-value]

    with buses(name) as (sender, receiver):
        sender.send(Tensor(np.arange(4.0)))  # type: ignore[arg-type]
        message = receiver.recv(timeout=SOON)
        assert np.frombuffer(message.data, float).tolist() == [0, 1, 2, 3]


def test_what_was_received_speaks_dlpack(name: str) -> None:
    shared = slipring.SharedBuffer.from_bytes(b"s" * 100)
    with buses(name) as (sender, receiver):
        sender.send(b"t" * LONG, shared=[shared])
        sender.send(b"short")
        rx = receiver.recv_zero_copy(timeout=SOON)
        short = receiver.recv(timeout=SOON)
        for owner, letter in ((rx, "t"), (short, "s"), (shared, "s"), (rx.shared[0], "s")):
            assert owner.__dlpack_device__() == (1, 0)
            tensor = np.from_dlpack(owner)
            assert (tensor.dtype, tensor.shape, tensor.flags.writeable) == (np.uint8, (len(owner),), False)
            assert tensor[0] == ord(letter)
            with pytest.raises(BufferError, match="read-only"):
                owner.__dlpack__()
            with pytest.raises(BufferError, match="no stream"):
                owner.__dlpack__(stream=1, max_version=(1, 0))  # type: ignore[arg-type]
            # A capsule that nobody takes leaves nothing behind.
            owner.__dlpack__(max_version=(1, 0))
            del tensor
        tensor = np.from_dlpack(rx)
        assert shared_memory_at(tensor.ctypes.data)
        with pytest.raises(BufferError, match="still there"):
            rx.release()
        del tensor
        rx.release()


def test_messages_compare_hash_and_pickle_as_their_bytes(name: str) -> None:
    with buses(name) as (sender, receiver):
        for payload in (b"short", b"l" * LONG):
            sender.send(payload, 3)
            message = receiver.recv(timeout=SOON)
            again = pickle.loads(pickle.dumps(message))
            assert again == message == slipring.Message(3, payload)
            assert hash(again) == hash(message)
            assert message != slipring.Message(4, payload)
            assert message != payload
            assert repr(message) == f"Message(type_id=3, size={len(payload)})"


LEFT_ALIVE = """
import atexit, sys, threading, numpy as np, slipring
listener = slipring.Listener(sys.argv[1])
accepted = []
worker = threading.Thread(target=lambda: accepted.append(listener.accept_bus(timeout=20)))
worker.start()
sender = slipring.Bus.connect(sys.argv[1], timeout=20)
worker.join()
receiver = accepted[0]
sender.send(b"l" * 100_000)
rx = receiver.recv_zero_copy()
view = memoryview(rx)
array = np.frombuffer(view, np.uint8)
mine = sender.empty(1000)
claim = memoryview(sender.send_zero_copy(5000))
class Late:
    def __del__(self, view=view):
        assert view[0] == ord("l")
sys.late = Late()
atexit.register(lambda: print(bytes(view[:3])))
"""


def test_an_interpreter_can_end_with_everything_alive(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_ALIVE, name], capture_output=True, text=True, timeout=SOON, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "b'lll'\n"), ended.stderr
