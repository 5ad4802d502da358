"""The code blocks that people know from elsewhere, in this library's names, each as two processes."""

import multiprocessing.process
import struct

import pytest

import slipring
from helpers import SOON, process, start
from slipring import RpcDispatcher, rpc
from slipring.rpc import _decode_error


def send_hello(name: str) -> None:
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        bus.send(b"hello slipring", type_id=1)


def test_quickstart(name: str) -> None:
    with process(send_hello, name):
        with slipring.Bus.listen(name, 1 << 16) as bus:
            for msg in bus:
                assert (msg.size, msg.type_id, msg.data) == (14, 1, b"hello slipring")
                break


def test_a_capacity_is_a_power_of_two(name: str) -> None:
    with pytest.raises(slipring.InvalidArgument, match="power of two"):
        slipring.Bus.listen(name, 1000)


def send_zero_copy(name: str) -> None:
    payload = b"written in place"
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        with bus.send_zero_copy(size=64, type_id=7) as tx:
            with memoryview(tx) as m:
                m[: len(payload)] = payload
            tx.actual_size = len(payload)


def test_zero_copy_tx_and_rx(name: str) -> None:
    with process(send_zero_copy, name):
        with slipring.Bus.listen(name, 1 << 16) as bus:
            with bus.recv_zero_copy() as rx:
                with memoryview(rx) as m:
                    snapshot = m.tobytes()
            assert (snapshot, rx.type_id, rx.actual_size) == (b"written in place", 7, 16)


def call_ping(name: str) -> None:
    with slipring.RpcBus.connect(name, timeout=SOON) as caller:
        cid = caller.call(b"ping", msg_type=1)
        with caller.wait(cid) as rx:
            assert rx.msg_type == 2
            with memoryview(rx) as m:
                assert m.tobytes() == b"ping"


def test_rpc_low_level(name: str) -> None:
    with process(call_ping, name):
        with slipring.RpcBus.listen(name, 1 << 16, 1 << 16) as callee:
            with callee.serve() as rx:
                cid = rx.correlation_id
                with memoryview(rx) as m:
                    reply = m.tobytes()
            callee.reply(cid, reply, msg_type=2)
            with pytest.raises(slipring.Closed):
                callee.serve()


@rpc(msg_type=1)
def echo(payload: memoryview) -> bytes:
    return payload.tobytes()


@rpc(msg_type=2)
def fails(payload: memoryview) -> bytes:
    raise ValueError("this handler fails")


def call_endpoints(name: str) -> None:
    with slipring.RpcBus.connect(name, timeout=SOON) as caller:
        assert echo.call(caller, b"hello") == b"hello"
        assert echo.call(caller, b"viewed", lambda view: (bytes(view), view.readonly)) == (b"viewed", True)
        with pytest.raises(slipring.RemoteError) as raised:
            fails.call(caller, b"")
        assert raised.value.msg_type == 2
        # What `call` raises can be looked at, too.
        cid = caller.call(b"", msg_type=77)
        with caller.wait(cid) as rx:
            assert rx.msg_type == slipring.MSG_TYPE_ERROR == 0xFFFF
            assert rx.data == struct.pack("!H", 77)
            assert _decode_error(rx) == 77
        assert echo.call(caller, b"served on") == b"served on"


def test_decorator_and_dispatcher(name: str) -> None:
    dispatcher = RpcDispatcher()
    dispatcher.register(echo)
    dispatcher.register(fails)
    with process(call_endpoints, name):
        with slipring.RpcBus.listen(name, 1 << 16, 1 << 16) as callee:
            dispatcher.serve_forever(callee)


def test_serve_once_tells_the_caller_and_raises_here(name: str) -> None:
    dispatcher = RpcDispatcher()
    dispatcher.register(echo)
    dispatcher.register(fails)
    with process(call_endpoints, name):
        with slipring.RpcBus.listen(name, 1 << 16, 1 << 16) as callee:
            dispatcher.serve_once(callee)
            dispatcher.serve_once(callee)
            with pytest.raises(ValueError, match="this handler fails"):
                dispatcher.serve_once(callee)
            with pytest.raises(slipring.NotFound, match="message type 77"):
                dispatcher.serve_once(callee)
            dispatcher.serve_once(callee)
            with pytest.raises(slipring.Closed):
                dispatcher.serve_once(callee)


def send_batch(name: str) -> None:
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        assert bus.send_many((f"message {n}".encode() for n in range(100)), type_id=5) == 100


def test_batch_rx(name: str) -> None:
    sizes: list[int] = []
    with process(send_batch, name):
        with slipring.Bus.listen(name, 1 << 16) as bus:
            while len(sizes) < 100:
                with bus.drain_batch(max_msgs=64) as batch:
                    assert 1 <= len(batch) <= 64
                    for msg in batch:
                        assert msg.type_id == 5
                        sizes.append(msg.actual_size)
    assert sizes == [len(f"message {n}") for n in range(100)]


def test_type_ids() -> None:
    type_id = slipring.make_type_id(0, 42)
    assert type_id == 42
    assert slipring.route_id(type_id) == 0
    assert slipring.msg_type(type_id) == 42
    assert slipring.route_id(slipring.make_type_id(3, 9)) == 3
    with pytest.raises(slipring.InvalidArgument, match="from 0 to 65535"):
        slipring.make_type_id(1 << 16, 0)


def kill_when_sent(name: str, child: multiprocessing.process.BaseProcess) -> None:
    with slipring.Bus.listen(name, timeout=SOON) as bus:
        assert bus.recv(timeout=SOON).data == b"one"
        child.kill()
        with pytest.raises(slipring.PeerDied):
            bus.recv(timeout=SOON)


def sleep_for_ever(name: str) -> None:
    import time

    with slipring.Bus.connect(name, timeout=SOON) as bus:
        bus.send(b"one")
        time.sleep(1000)


def test_error_handling(name: str) -> None:
    child = start(sleep_for_ever, name)
    kill_when_sent(name, child)
    child.join(SOON)
    for expected in (slipring.NotFound, slipring.SlipringError):
        with pytest.raises(expected, match="nobody listens"):
            slipring.Bus.connect(name)


def test_numa_and_polling(name: str) -> None:
    with process(send_hello, name):
        with slipring.Bus.listen(name, 1 << 20) as bus:
            bus.set_polling_mode(True)
            bus.set_numa_node(0)
            with pytest.raises(slipring.InvalidArgument, match="NUMA node 4000, where there is 0"):
                bus.set_numa_node(4000)
            assert bus.recv().data == b"hello slipring"
