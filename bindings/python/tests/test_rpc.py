"""Calls: in any order, both ways, given up, refused, and out of handlers."""

import logging

import pytest

import slipring
from helpers import SOON, process, rpcs, thread
from slipring import RpcDispatcher, rpc


@rpc(msg_type=1)
def echo(payload: memoryview) -> bytes:
    return payload.tobytes()


@rpc(msg_type=2)
def same_view(payload: memoryview) -> memoryview:
    return payload


@rpc(msg_type=3)
def wrong_reply(payload: memoryview) -> bytes:
    return "text"  # type: ignore[return-value]


def serve(name: str) -> None:
    dispatcher = RpcDispatcher()
    for endpoint in (echo, same_view, wrong_reply):
        dispatcher.register(endpoint)
    with slipring.RpcBus.listen(name, timeout=SOON) as callee:
        dispatcher.serve_forever(callee)


def test_requests_of_every_size(name: str) -> None:
    with process(serve, name):
        with slipring.RpcBus.connect(name, timeout=SOON) as caller:
            for size in (0, 1, 32, 1024, 1025, 65536, 1 << 20):
                payload = b"p" * size
                assert caller.request(payload, msg_type=1, timeout=SOON) == payload
                assert same_view.call(caller, payload, bytes, timeout=SOON) == payload
                with caller.request_view(payload, 1, timeout=SOON) as reply:
                    assert bytes(memoryview(reply)) == payload
            with pytest.raises(slipring.RemoteError, match="message type 3"):
                caller.request(b"", 3)
            assert caller.in_flight == 0


def test_replies_come_in_any_order(name: str) -> None:
    with rpcs(name) as (caller, callee):
        calls = [caller.call(str(n).encode(), n) for n in range(10)]
        requests = [callee.serve(timeout=SOON) for _ in calls]
        assert callee.try_serve() is None
        for request in reversed(requests):
            callee.reply(request.correlation_id, request.data * 2, request.msg_type)
        for number in (5, 0, 9, *range(1, 5), *range(6, 9)):
            with caller.wait(calls[number], timeout=SOON) as reply:
                assert (reply.data, reply.msg_type) == (str(number).encode() * 2, number)
        with pytest.raises(slipring.InvalidArgument, match="no call"):
            caller.wait(calls[0])
        with pytest.raises(slipring.InvalidArgument, match="no request"):
            callee.reply(requests[0].correlation_id, b"twice")


def test_places_for_calls_run_out_and_come_back(name: str) -> None:
    with rpcs(name, in_flight=4) as (caller, callee):
        calls = [caller.try_call(b"") for _ in range(5)]
        assert calls[4] is None
        assert None not in calls[:4]
        with pytest.raises(slipring.Timeout):
            caller.call(b"", timeout=0)
        with pytest.raises(slipring.Timeout):
            caller.call(b"", timeout=0.01)
        request = callee.serve(timeout=SOON)
        callee.reply(request.correlation_id, b"done")
        assert calls[0] is not None
        caller.wait(calls[0], timeout=SOON).release()
        assert caller.try_call(b"") is not None


def test_deadlines_travel_and_calls_are_given_up(name: str) -> None:
    with rpcs(name) as (caller, callee):
        with pytest.raises(slipring.Timeout):
            caller.request(b"late", timeout=0.05)
        call = caller.call(b"waited for again", timeout=SOON)
        with pytest.raises(slipring.Timeout):
            caller.wait(call, timeout=0)
        assert caller.try_wait(call) is None
        request = callee.serve(timeout=SOON)
        assert request.data == b"waited for again"
        assert request.remaining is not None
        assert 0 < request.remaining <= SOON
        callee.reply(request.correlation_id, b"in time")
        assert caller.wait(call, timeout=SOON).data == b"in time"
        given_up = caller.call(b"")
        caller.cancel(given_up)
        with pytest.raises(slipring.InvalidArgument, match="no call"):
            caller.wait(given_up)


def test_errors_and_notes(name: str) -> None:
    with rpcs(name) as (caller, callee):
        call = caller.call(b"")
        callee.reply_error(callee.serve(timeout=SOON).correlation_id, 42, "no such thing")
        with pytest.raises(slipring.RemoteError, match="no such thing") as raised:
            caller.wait(call, timeout=SOON)
        assert raised.value.code == 42
        caller.note(b"nobody waits", 6)
        note = callee.serve(timeout=SOON)
        assert (note.is_note, note.data, note.msg_type) == (True, b"nobody waits", 6)


def test_an_end_that_serves_nothing_says_so(name: str) -> None:
    def look(caller: slipring.RpcBus) -> None:
        with pytest.raises(slipring.Closed):
            caller.serve(timeout=SOON)

    with rpcs(name) as (caller, callee):
        with thread(look, caller):
            # The connecting end serves nothing unless it is opened to.
            with pytest.raises(slipring.NotFound, match="serves no calls"):
                callee.request(b"", timeout=SOON)
            callee.close()


def test_requests_and_replies_written_in_place(name: str) -> None:
    with rpcs(name) as (caller, callee):
        for size in (10, 10_000):
            with caller.call_zero_copy(size, 7) as tx:
                memoryview(tx)[:4] = b"ping"
                tx.actual_size = 4
            assert tx.correlation_id is not None
            with callee.serve(timeout=SOON) as request:
                assert (request.data, request.msg_type) == (b"ping", 7)
            with callee.reply_zero_copy(request.correlation_id, size, 8) as tx_reply:
                memoryview(tx_reply)[:4] = b"pong"
                tx_reply.actual_size = 4
            with caller.wait(tx.correlation_id, timeout=SOON) as reply:
                assert (reply.data, reply.msg_type) == (b"pong", 8)
        tx = caller.call_zero_copy(5000)
        tx.abort()
        assert caller.in_flight == 0


def nested(name: str, depth: int) -> None:
    dispatcher = RpcDispatcher()
    with slipring.RpcBus.connect(name, timeout=SOON, serves=True) as bus:

        @rpc(msg_type=1)
        def down(payload: memoryview) -> bytes:
            left = int(bytes(payload))
            return b"0" if left == 0 else bus.request(str(left - 1).encode(), 1, timeout=SOON) + b"c"

        dispatcher.register(down)
        dispatcher.serve_while_waiting(bus)
        assert bus.request(str(depth).encode(), 1, timeout=SOON) == b"0" + b"cs" * (depth // 2) + b"s" * (depth % 2)


def test_both_ends_call_each_other_out_of_their_handlers(name: str) -> None:
    dispatcher = RpcDispatcher()
    with process(nested, name, 6):
        with slipring.RpcBus.listen(name, timeout=SOON) as bus:

            @rpc(msg_type=1)
            def down(payload: memoryview) -> bytes:
                left = int(bytes(payload))
                return b"0" if left == 0 else bus.request(str(left - 1).encode(), 1, timeout=SOON) + b"s"

            dispatcher.register(down)
            dispatcher.serve_while_waiting(bus)
            dispatcher.serve_forever(bus)


def test_a_dispatcher_says_what_it_cannot_take(caplog: pytest.LogCaptureFixture, name: str) -> None:
    dispatcher = RpcDispatcher()
    dispatcher.register(echo)
    with pytest.raises(slipring.InvalidArgument, match="has a handler"):
        dispatcher.register(echo)
    with pytest.raises(TypeError, match=r"use @slipring\.rpc"):
        dispatcher.register(lambda payload: b"")  # type: ignore[arg-type]
    with pytest.raises(slipring.InvalidArgument, match="from 0 to 65534"):
        rpc(msg_type=0xFFFF)(lambda payload: b"")
    assert echo(memoryview(b"here")) == b"here"
    assert "echo" in repr(echo)
    with rpcs(name) as (caller, callee):
        with caplog.at_level(logging.ERROR, "slipring"):
            with thread(dispatcher.serve_forever, callee):
                with pytest.raises(slipring.RemoteError, match="message type 9"):
                    caller.request(b"", 9, timeout=SOON)
                caller.close()
        assert "no handler is registered for message type 9" in caplog.text
