"""Listeners, pollers, and objects that many processes read."""

import select
import threading

import numpy as np
import pytest

import slipring
from helpers import SOON, buses, process, rpcs, shared_memory_at, start, thread


def send_number(name: str, number: int) -> None:
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        bus.send(str(number).encode())


def test_one_poller_serves_many_clients(name: str) -> None:
    children = [start(send_number, name, number) for number in range(3)]
    got = set()
    with slipring.Poller() as poller, slipring.Listener(name) as listener:
        poller.add(listener)
        ended = 0
        while ended < 3:
            for ready in poller.wait(timeout=SOON):
                if ready is listener:
                    while (bus := listener.try_accept_bus()) is not None:
                        poller.add(bus)
                    continue
                assert isinstance(ready, slipring.Bus)
                try:
                    while (message := ready.try_recv()) is not None:
                        got.add(message.data)
                except slipring.Closed:
                    ready.close()
                    ended += 1
        assert len(poller) == 1
        assert poller.try_wait() is None
        with pytest.raises(slipring.Timeout):
            poller.wait(timeout=0.01)
    assert got == {b"0", b"1", b"2"}
    for child in children:
        child.join(SOON)


def test_what_is_in_a_poller_is_used_as_before(name: str) -> None:
    with buses(name) as (sender, receiver), slipring.Poller() as poller:
        poller.add(receiver)
        with pytest.raises(slipring.InvalidArgument, match="in a poller already"):
            poller.add(receiver)
        sender.send(b"one")
        assert poller.wait(timeout=SOON) == [receiver]
        assert receiver.recv(timeout=SOON).data == b"one"
        poller.remove(receiver)
        with pytest.raises(slipring.InvalidArgument, match="not in this poller"):
            poller.remove(receiver)
        sender.send(b"two")
        assert receiver.recv(timeout=SOON).data == b"two"
        poller.add(receiver)
        with pytest.raises(TypeError, match="takes a Bus, an RpcBus or a Listener, not int"):
            poller.add(5)  # type: ignore[arg-type]
        poller.close()
        with pytest.raises(slipring.Closed):
            receiver.recv(timeout=0)
        with pytest.raises(slipring.Closed, match="this Poller"):
            poller.wait()


def test_a_poller_is_woken_from_another_thread() -> None:
    with slipring.Poller() as poller:
        notifier = poller.notifier()
        timer = threading.Timer(0.05, notifier.notify)
        timer.start()
        assert poller.wait(timeout=SOON) == []
        timer.join()


def test_descriptors_serve_an_event_loop_of_ones_own(name: str) -> None:
    with buses(name) as (sender, receiver), slipring.Poller() as poller:
        epoll = select.epoll()
        epoll.register(receiver.fileno(), select.EPOLLIN)
        for number in range(100):
            assert receiver.try_recv() is None
            sender.send(bytes([number]))
            assert epoll.poll(SOON)
            while (message := receiver.try_recv()) is None:
                assert epoll.poll(SOON)
            assert message.data == bytes([number])
        epoll.close()
        assert poller.fileno() > 2


def test_listeners_take_any_number(name: str) -> None:
    with slipring.Listener.bind(name, capacity=1 << 14) as listener:
        assert listener.address == name or listener.address.endswith(f"{name}.sock")
        assert listener.try_accept_bus() is None
        assert listener.try_accept_rpc() is None
        with pytest.raises(slipring.Timeout):
            listener.accept_rpc(timeout=0.01)
        for number in range(5):
            with thread(lambda: listener.accept_bus(timeout=SOON)) as accepted:
                client = slipring.Bus.connect(name, timeout=SOON)
            end = accepted[0]
            assert isinstance(end, slipring.Bus)
            with client, end:
                client.send(bytes([number]))
                assert end.recv(timeout=SOON).data == bytes([number])
        assert listener.refused == 0


def read_table(name: str) -> None:
    with slipring.Bus.listen(name, timeout=SOON) as bus:
        message = bus.recv(timeout=SOON)
        again = bus.recv(timeout=SOON)
        (table,) = message.shared
        assert message.data == b"the table"
        assert again.shared[0].id == table.id
        array = np.frombuffer(table, np.int64)
        assert shared_memory_at(array.ctypes.data)
        assert not array.flags.writeable
        assert array.sum() == sum(range(10_000))
        with pytest.raises(slipring.InvalidArgument, match="sealed already"):
            table.seal()


def test_an_object_is_written_once_and_read_by_others(name: str) -> None:
    table = slipring.SharedBuffer(80_000)
    array = np.frombuffer(table, np.int64)
    array[:] = np.arange(10_000)
    with pytest.raises(BufferError, match="SharedBuffer"):
        table.seal()
    with pytest.raises(slipring.InvalidArgument, match="not sealed"):
        _ = table.id
    del array
    table.seal()
    assert table.sealed
    assert (table.size, len(table)) == (80_000, 80_000)
    with pytest.raises(TypeError, match="read-only"):
        memoryview(table)[0] = 1
    with process(read_table, name):
        with slipring.Bus.connect(name, timeout=SOON) as bus:
            bus.send(b"the table", shared=[table])
            bus.send(b"once more", 5, shared=[table])


def test_objects_go_along_with_calls_both_ways(name: str) -> None:
    first, second = slipring.SharedBuffer.from_bytes(b"first"), slipring.SharedBuffer.from_bytes(b"second")
    with rpcs(name) as (caller, callee):
        call = caller.call(b"with one", shared=[first])
        request = callee.serve(timeout=SOON)
        assert [bytes(buffer) for buffer in request.shared] == [b"first"]
        callee.reply(request.correlation_id, b"with two", shared=[request.shared[0], second], timeout=SOON)
        with caller.wait(call, timeout=SOON) as reply:
            assert [bytes(buffer) for buffer in reply.shared] == [b"first", b"second"]
        with pytest.raises(slipring.InvalidArgument, match="at most 8"):
            caller.call(b"", shared=[first] * 9)
    assert slipring.memory_taken() >= 0
