"""Arrays of other libraries, in place both ways. Each runs where its library is."""

from typing import Any

import numpy as np
import pytest

import slipring
from helpers import SOON, buses, rpcs, shared_memory_at

LONG = 64 << 10


def test_arrow_buffers_and_tables(name: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here")
    with buses(name) as (sender, receiver):
        # Out: a buffer of Arrow's is sent as the bytes that it is.
        numbers = pa.array(range(LONG), pa.int64())
        sender.send(numbers.buffers()[1])
        message = receiver.recv(timeout=SOON)
        # In: Arrow looks at the message where the peer wrote it.
        buffer = pa.py_buffer(message)
        assert shared_memory_at(buffer.address)
        assert not buffer.is_mutable
        again = pa.Array.from_buffers(pa.int64(), LONG, [None, buffer])
        assert again.equals(numbers)
        # A table, written into the memory that the peer reads, and read there.
        table = pa.table({"n": numbers, "text": pa.array(["a", "b"] * (LONG // 2))})
        measured = pa.MockOutputStream()
        with pa.ipc.new_stream(measured, table.schema) as writer:
            writer.write_table(table)
        with sender.send_zero_copy(measured.size()) as tx:
            stream = pa.FixedSizeBufferWriter(pa.py_buffer(tx))
            with pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)
            stream.close()
            del stream, writer
        message = receiver.recv(timeout=SOON)
        read = pa.ipc.open_stream(pa.py_buffer(message)).read_all()
        assert read.equals(table)
        assert shared_memory_at(read.column("n").chunk(0).buffers()[1].address)
        held = receiver.stats()["held_blocks"]
        assert held >= 1
        # The block goes back when Arrow lets go of it.
        del read, message, again, buffer
        assert receiver.stats()["held_blocks"] < held


def test_arrow_keeps_a_release_from_pulling_the_memory_away(name: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here")
    with rpcs(name) as (caller, callee):
        call = caller.call(b"a" * LONG)
        request = callee.serve(timeout=SOON)
        buffer = pa.py_buffer(request)
        with pytest.raises(BufferError, match="still there"):
            request.release()
        assert buffer.to_pybytes() == b"a" * LONG
        del buffer
        request.release()
        callee.reply(request.correlation_id, pa.py_buffer(b"from arrow"))
        assert caller.wait(call, timeout=SOON).data == b"from arrow"


def tensors_go_both_ways(name: str, torch: Any) -> None:
    with buses(name) as (sender, receiver):
        sender.send(torch.arange(LONG, dtype=torch.int32))
        message = receiver.recv(timeout=SOON)
        tensor = torch.frombuffer(message, dtype=torch.int32)
        assert shared_memory_at(tensor.data_ptr())
        assert int(tensor[-1]) == LONG - 1
        array = sender.empty(LONG, np.float32)
        torch.from_numpy(array).fill_(2.0)
        sender.send(array)
        rx = receiver.recv_zero_copy(timeout=SOON)
        lent = torch.from_dlpack(rx).view(torch.float32)
        assert shared_memory_at(lent.data_ptr())
        assert float(lent.sum()) == 2.0 * LONG
        with pytest.raises(BufferError):
            rx.release()
        del lent
        rx.release()


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_torch_tensors(name: str) -> None:
    tensors_go_both_ways(name, pytest.importorskip("torch", reason="torch is not here"))


def test_dlpack_both_ways(name: str) -> None:
    class Tensor:
        """What speaks DLPack alone, as the older tensors do."""

        def __init__(self, array: Any) -> None:
            self.array = array

        def __dlpack__(self, **options: Any) -> Any:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    with buses(name) as (sender, receiver):
        sender.send(Tensor(np.arange(LONG)))  # type: ignore[arg-type]
        first = receiver.recv(timeout=SOON)
        tensor = np.from_dlpack(first)
        assert shared_memory_at(tensor.ctypes.data)
        assert not tensor.flags.writeable
        # What was received goes on to others as it is.
        sender.send(tensor)
        assert receiver.recv(timeout=SOON) == first
        for wrong in ({"copy": True}, {"dl_device": (2, 0)}, {"stream": 1}, {"max_version": (0, 8)}):
            with pytest.raises(BufferError):
                first.__dlpack__(**({"max_version": (1, 0)} | wrong))  # type: ignore[arg-type]
    assert tensor.view(np.int64)[-1] == LONG - 1


def test_shared_objects_for_every_library(name: str) -> None:
    table = slipring.SharedBuffer.from_bytes(np.arange(100.0))
    views: list[Any] = [np.frombuffer(table), np.from_dlpack(table).view(float), memoryview(table).cast("d")]
    assert all(list(view) == list(range(100)) for view in views)
