"""Every call of `slipring.aio`, and every await of it cancelled."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from looped import buses, rpcs

import slipring
from helpers import SOON, thread
from slipring import RpcDispatcher, aio, rpc

LONG = 400_000
"""Bytes, of which an end with `TIGHT` has memory for two at most."""
TIGHT = {"memory_limit": 1 << 20}


def test_the_surface_is_that_of_the_other_ends() -> None:
    # What never waits is found at `native`; closing with a wait has a name of its own, as a loop cannot wait in close.
    for ours, theirs in ((aio.Bus, slipring.Bus), (aio.RpcBus, slipring.RpcBus), (aio.Listener, slipring.Listener)):
        names = {name for name in dir(theirs) if not name.startswith(("_", "try_"))}
        left = names - set(dir(ours))
        assert left <= {"payload_max", "request_max", "in_flight", "set_wait", "set_polling_mode"} | {
            "address",
            "refused",
            "bind",
        }


def test_streams(name: str, run) -> None:
    async def main() -> None:
        shared = slipring.SharedBuffer.from_bytes(b"shared")
        sender, receiver = await buses(name)
        async with sender, receiver:
            await sender.send(b"with", 1, shared=[shared], timeout=SOON)
            message = await receiver.recv(timeout=SOON)
            assert (message.data, bytes(message.shared[0])) == (b"with", b"shared")
            async with sender.send_zero_copy(10, 2, timeout=SOON) as tx:
                memoryview(tx)[:5] = b"short"
                tx.actual_size = 5
            async with sender.send_zero_copy(LONG, 3, timeout=SOON) as tx:
                memoryview(tx)[:4] = b"long"
            with pytest.raises(RuntimeError):
                async with sender.send_zero_copy(10):
                    raise RuntimeError
            array = await sender.empty(1000, "u1", timeout=SOON)
            array[:] = 7
            await sender.send(array, 4, timeout=SOON)
            assert not array.flags.writeable
            messages = await receiver.recv_many(10, timeout=SOON)
            assert [(m.type_id, m.size) for m in messages] == [(2, 5), (3, LONG), (4, 1000)]
            sending = asyncio.ensure_future(sender.send_many([b"m"] * 50_000, 5, timeout=SOON))
            got = 0
            while got < 50_000:
                with await receiver.drain_batch(1000, timeout=SOON) as batch:
                    got += len(batch)
            assert await sending == 50_000
            for waits in (receiver.recv_many, receiver.drain_batch, receiver.recv_zero_copy):
                with pytest.raises(slipring.Timeout):
                    await waits(timeout=0.01)
            with pytest.raises(slipring.InvalidArgument):
                await receiver.recv_many(0)
            assert sender.stats()["frames_sent"] == 50_004
            assert sender.peer_stats() is not None
            assert sender.state == "open"
            assert sender.placement().bytes > 0
            assert sender.capabilities()["backend"] == "memfd"
            assert sender.inline_limit == 1024
            sender.set_numa_node(0)

    run(main())


def test_calls(name: str, run) -> None:
    dispatcher = RpcDispatcher()
    shout = dispatcher.register(rpc(msg_type=1)(lambda payload: bytes(payload).upper()))
    shared = slipring.SharedBuffer.from_bytes(b"shared")

    async def main() -> None:
        caller, callee = await rpcs(name)
        async with caller, callee:
            for _ in range(2):
                serving = asyncio.ensure_future(callee.serve_once(dispatcher, timeout=SOON))
                assert await shout.call(caller, b"loud", timeout=SOON) == b"LOUD"
                await serving
            serving = asyncio.ensure_future(callee.serve_once(dispatcher, timeout=SOON))
            assert await shout.call(caller, b"loud", len, timeout=SOON) == 4
            await serving
            serving = asyncio.ensure_future(callee.serve_once(dispatcher))
            with pytest.raises(slipring.RemoteError):
                await caller.request(b"", 9, timeout=SOON)
            with pytest.raises(slipring.NotFound):
                await serving
            await caller.note(b"noted", 2, timeout=SOON)
            assert (await callee.serve(timeout=SOON)).is_note
            asking = asyncio.ensure_future(caller.request(b"with", 3, timeout=SOON, shared=[shared]))
            request = await callee.serve(timeout=SOON)
            assert bytes(request.shared[0]) == b"shared"
            callee.reply(request.correlation_id, b"back", shared=request.shared)
            assert await asking == b"back"
            for size in (10, LONG):
                async with caller.call_zero_copy(size, 4, timeout=SOON) as tx:
                    memoryview(tx)[:2] = b"zc"
                assert tx.correlation_id is not None
                request = await callee.serve(timeout=SOON)
                left = request.remaining
                assert left is not None
                assert 0 < left <= SOON
                async with callee.reply_zero_copy(request.correlation_id, size, 5, timeout=SOON) as answer:
                    memoryview(answer)[:2] = b"ok"
                with await caller.wait(tx.correlation_id, timeout=SOON) as reply:
                    assert (reply.msg_type, reply.size, bytes(memoryview(reply)[:2])) == (5, size, b"ok")
            array = await caller.empty(1000, "u1", timeout=SOON)
            call = await caller.call(array, timeout=SOON)
            assert not array.flags.writeable
            callee.reply_error((await callee.serve(timeout=SOON)).correlation_id, 7, "no")
            with pytest.raises(slipring.RemoteError) as raised:
                await caller.wait(call, timeout=SOON)
            assert raised.value.code == 7

    run(main())


def test_timeouts_travel_with_calls(name: str, run) -> None:
    async def main() -> None:
        caller, callee = await rpcs(name)
        async with caller, callee:
            for timeout in (None, 0, 5.0):
                call = await caller.call(b"x", timeout=timeout)
                left = (await callee.serve(timeout=SOON)).remaining
                assert (left is None) == (not timeout)
                assert left is None or 0 < left <= 5
                caller.cancel(call)
            asking = asyncio.ensure_future(caller.request(b"x", timeout=5))
            request = await callee.serve(timeout=SOON)
            assert request.remaining is not None
            callee.reply(request.correlation_id, b"")
            await asking

    run(main())


def test_a_goodbye_may_wait(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(name)
        await sender.send(b"unread")
        with pytest.raises(slipring.Timeout):
            await sender.aclose(linger=0.02)
        assert sender.closed
        assert [message.data async for message in receiver] == [b"unread"]
        await receiver.aclose(linger=5)
        sender, receiver = await buses(name)
        await sender.send(b"read")
        closing = asyncio.ensure_future(sender.aclose(linger=SOON))
        await asyncio.sleep(0.01)
        assert not closing.done()
        assert (await receiver.recv()).data == b"read"
        assert receiver.native.try_recv() is None
        await closing
        await receiver.aclose()

    run(main())


def test_an_observer_is_connected_without_blocking(name: str, run) -> None:
    async def main() -> None:
        async with aio.Listener(name) as listener:
            accepting = asyncio.ensure_future(listener.accept_rpc(timeout=SOON))
            async with await aio.RpcBus.connect(name, timeout=SOON), await accepting:
                # The listener answers in accepting calls.
                accepting = asyncio.ensure_future(listener.accept_rpc(timeout=SOON))
                observer = await aio.Observer.connect(name, timeout=SOON)
                assert [seen.kind for seen in observer.sessions()] == ["rpc"]
                accepting.cancel()

    run(main())


Wait = Callable[[], Awaitable[object]]
"""A call that will not end by itself."""


async def never(sender: aio.Bus, receiver: aio.Bus, caller: aio.RpcBus, callee: aio.RpcBus) -> dict[str, Wait]:
    """Every await, on ends that have no room, no memory, and nothing to read."""
    kept = []
    for end in (sender, caller, callee):
        while True:
            try:
                kept.append(await end.empty(LONG, "u1", timeout=0.01))
            except slipring.Timeout:
                break
    sender.native.fileno()
    while sender.native.try_send(b"full" * 50):
        pass
    call = await caller.call(b"", 1)
    while caller.native.try_call(b"full") is not None:
        pass

    async def enter(context) -> None:
        async with context:
            pytest.fail("there was room")

    shared = [slipring.SharedBuffer.from_bytes(b"shared")]
    return {
        "send": lambda: sender.send(b"full" * 50),
        "send, shared": lambda: sender.send(b"full" * 50, shared=shared),
        "send_many": lambda: sender.send_many([b"full" * 50]),
        "send_zero_copy": lambda: enter(sender.send_zero_copy(LONG)),
        "Bus.empty": lambda: sender.empty(LONG, "u1"),
        "aclose": lambda: asyncio.shield(asyncio.sleep(SOON)),
        "call": lambda: caller.call(b"x"),
        "call, shared": lambda: caller.call(b"x", shared=shared),
        "call_zero_copy": lambda: enter(caller.call_zero_copy(LONG)),
        "note": lambda: caller.note(b"x"),
        "wait": lambda: caller.wait(call),
        "request": lambda: caller.request(b"x"),
        "request_view": lambda: caller.request_view(b"x"),
        "RpcBus.empty": lambda: caller.empty(LONG, "u1"),
        "reply_zero_copy": lambda: enter(callee.reply_zero_copy(1, LONG)),
        "kept": lambda: asyncio.sleep(SOON if kept else 0),
    }


def test_every_await_can_be_cancelled_at_every_step(name: str, run) -> None:
    async def cancelled(wait: Wait, steps: int) -> None:
        task = asyncio.ensure_future(wait())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        sender, receiver = await buses(f"{name}-b", capacity=4096, **TIGHT)
        caller, callee = await rpcs(f"{name}-r", cap_fwd=4096, in_flight=4, **TIGHT)
        async with sender, receiver, caller, callee:
            for wait in (
                receiver.recv,
                receiver.recv_zero_copy,
                receiver.recv_many,
                receiver.drain_batch,
                receiver.__anext__,
                callee.serve,
                lambda: callee.serve_once(RpcDispatcher()),
                lambda: callee.serve_forever(RpcDispatcher()),
                lambda: aio.Bus.listen(f"{name}-l"),
                lambda: aio.RpcBus.listen(f"{name}-l"),
                lambda: aio.Bus.connect(f"{name}-l", timeout=SOON),
                lambda: aio.RpcBus.connect(f"{name}-l", timeout=SOON),
                lambda: aio.Observer.connect(f"{name}-l", timeout=SOON),
            ):
                for steps in range(4):
                    await cancelled(wait, steps)
            waits = await never(sender, receiver, caller, callee)
            in_flight = caller.native.in_flight
            for wait in waits.values():
                for steps in range(4):
                    await cancelled(wait, steps)
            assert caller.native.in_flight == in_flight
            waits.clear()
            # Nothing was lost by it, and nothing was sent.
            got = 0
            while (message := receiver.native.try_recv()) is not None:
                assert message.data == b"full" * 50
                got += 1
            assert got == sender.stats()["frames_sent"]
            await sender.send(b"goes on", timeout=SOON)
            assert (await receiver.recv(timeout=SOON)).data == b"goes on"
            for _ in range(in_flight):
                request = await callee.serve(timeout=SOON)
                assert request.data in (b"", b"full")
                callee.reply(request.correlation_id, b"")
            assert callee.native.try_serve() is None

    run(main())


def test_a_thousand_awaits_of_every_kind_are_no_threads(name: str, run) -> None:
    async def main() -> None:
        sender, receiver = await buses(f"{name}-b")
        caller, callee = await rpcs(f"{name}-r", in_flight=1024)
        async with aio.Listener(f"{name}-l") as listener, sender, receiver, caller, callee:
            before = (threading.active_count(), len(thread_ids()))
            tasks = [asyncio.ensure_future(receiver.recv()) for _ in range(250)]
            tasks += [asyncio.ensure_future(callee.serve()) for _ in range(250)]
            tasks += [asyncio.ensure_future(listener.accept_bus()) for _ in range(250)]
            await asyncio.sleep(0.02)
            tasks += [asyncio.ensure_future(caller.request(b"")) for _ in range(500)]
            await asyncio.sleep(0.05)
            assert sum(task.done() for task in tasks) <= 250
            assert (threading.active_count(), len(thread_ids())) <= before
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def thread_ids() -> list[str]:
    import os

    return os.listdir("/proc/self/task")


def test_a_loop_that_was_closed_is_told(name: str, run) -> None:
    async def both() -> tuple[aio.RpcBus, aio.RpcBus]:
        return await rpcs(name)

    caller, callee = run(both())

    async def use() -> None:
        with pytest.raises(slipring.Timeout):
            await caller.request(b"", timeout=0.01)

    run(use())
    # The loop that watched it is closed. Another one is told, and so is whoever has none; closing is fine.
    for waits in (lambda: caller.request(b""), caller.serve):
        with pytest.raises(slipring.InvalidArgument, match="another event loop"):
            run(waits())
    coroutine = callee.serve()
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)
    caller.close()
    callee.close()


def test_a_wait_that_its_loop_left_behind_harms_nobody(name: str) -> None:
    async def begin() -> tuple[aio.Bus, aio.Bus]:
        sender, receiver = await buses(name)
        waiting = asyncio.ensure_future(receiver.recv())
        await asyncio.sleep(0.01)
        waiting.cancel()
        return sender, receiver

    sender, receiver = asyncio.run(begin())
    sender.native.send(b"after the loop")
    assert receiver.native.recv(timeout=SOON).data == b"after the loop"
    sender.close()
    receiver.close()


def test_arrays_of_calls_are_known_without_a_loop(name: str, run) -> None:
    async def main() -> None:
        caller, callee = await rpcs(name)
        async with caller, callee:
            array = await caller.empty(100, np.float64)
            array[:] = 2
            with thread(lambda: None):
                call = caller.native.try_call(array, timeout=SOON)
            assert call is not None
            request = await callee.serve(timeout=SOON)
            assert np.frombuffer(request, np.float64).sum() == 200

    run(main())


def test_coroutines_are_what_they_are_called() -> None:
    for cls in (aio.Bus, aio.RpcBus):
        for verb in ("aclose", "listen", "connect", "empty"):
            assert inspect.iscoroutinefunction(getattr(cls, verb))
