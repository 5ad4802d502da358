"""One-way messages: every form of sending and receiving, and what it answers."""

import threading

import pytest

import slipring
from helpers import SOON, buses, process, thread


def test_messages_keep_their_order_types_and_bytes(name: str) -> None:
    payloads = [
        b"",
        b"x",
        b"y" * 48,
        b"z" * 1024,
        b"w" * 1025,
        b"v" * 100_000,
        bytearray(b"array"),
        memoryview(b"view"),
    ]
    with buses(name) as (sender, receiver):
        for number, payload in enumerate(payloads):
            sender.send(payload, number)
        for number, payload in enumerate(payloads):
            message = receiver.recv(timeout=SOON)
            assert (message.type_id, message.data, message.size, len(message)) == (
                number,
                bytes(payload),
                len(payload),
                len(payload),
            )


def test_forms_that_do_not_wait(name: str) -> None:
    with buses(name, capacity=256) as (sender, receiver):
        assert receiver.try_recv() is None
        assert receiver.try_recv_zero_copy() is None
        with pytest.raises(slipring.Timeout):
            receiver.recv(timeout=0)
        sent = 0
        while sender.try_send(b"12345678"):
            sent += 1
        assert sent >= 1
        with pytest.raises(slipring.Timeout):
            sender.send(b"12345678", timeout=0)
        with pytest.raises(TimeoutError):
            sender.send(b"12345678", timeout=0.01)
        message = receiver.try_recv()
        assert message is not None
        assert message.data == b"12345678"
        sender.send(b"again", timeout=SOON)


def test_a_batch_may_be_larger_than_the_ring(name: str) -> None:
    payloads = [n.to_bytes(4, "big") for n in range(10_000)]
    with buses(name, capacity=1024) as (sender, receiver):

        def receive() -> list[bytes]:
            got: list[bytes] = []
            while len(got) < len(payloads):
                got += [message.data for message in receiver.recv_many(100, timeout=SOON)]
            return got

        with thread(receive) as answers:
            assert sender.send_many(payloads, 3, timeout=SOON) == len(payloads)
        assert answers == [payloads]


def test_what_went_before_a_payload_that_cannot_be_sent_is_sent(name: str) -> None:
    with buses(name, max_message=2000) as (sender, receiver):
        with pytest.raises(TypeError, match="not int"):
            sender.send_many([b"one", b"two", 3])  # type: ignore[list-item]
        assert receiver.try_recv() is None
        with pytest.raises(slipring.TooLarge):
            sender.send_many([b"one", b"two", b"3" * 2001])
        assert [receiver.recv(timeout=SOON).data for _ in range(2)] == [b"one", b"two"]
        assert receiver.try_recv() is None
        assert sender.send_many([]) == 0


def send_and_close(name: str) -> None:
    with slipring.Bus.connect(name, timeout=SOON) as bus:
        for number in range(100):
            bus.send(b"n" * number, number)
        bus.close(linger=SOON)
        bus.close()


def test_iteration_ends_when_the_peer_closes(name: str) -> None:
    with process(send_and_close, name):
        with slipring.Bus.listen(name, timeout=SOON) as bus:
            assert [message.type_id for message in bus] == list(range(100))
            assert list(bus) == []
            assert bus.state == "closed"
            with pytest.raises(slipring.Closed):
                bus.recv()
            with pytest.raises(slipring.Closed):
                bus.try_recv()


def test_claims_send_what_was_written_or_nothing(name: str) -> None:
    with buses(name) as (sender, receiver):
        for size in (16, 5000):
            with sender.send_zero_copy(size, 4) as tx:
                assert (tx.size, tx.actual_size, len(tx), tx.type_id) == (size, size, size, 4)
                with memoryview(tx) as view:
                    assert not view.readonly
                    view[:5] = b"hello"
                tx.actual_size = 5
            assert receiver.recv(timeout=SOON).data == b"hello"
            with pytest.raises(RuntimeError, match="on purpose"):
                with sender.send_zero_copy(size) as tx:
                    raise RuntimeError("on purpose")
            tx = sender.send_zero_copy(size)
            tx.abort()
            for again in (tx.abort, tx.commit, lambda tx=tx: memoryview(tx)):
                with pytest.raises(slipring.InvalidArgument, match="over"):
                    again()
        # Any number of long ones may be open at once, in any order, beside other traffic.
        claims = [sender.send_zero_copy(3000, number) for number in range(5)]
        sender.send(b"before them")
        for claim in reversed(claims):
            claim.commit()
        assert [receiver.recv(timeout=SOON).type_id for _ in range(6)] == [0, 4, 3, 2, 1, 0]
        assert receiver.try_recv() is None


def test_the_two_ends_have_their_own_halves(name: str) -> None:
    with buses(name) as (sender, receiver):
        with pytest.raises(slipring.InvalidArgument, match="this end receives"):
            receiver.send(b"")
        with pytest.raises(slipring.InvalidArgument, match="this end receives"):
            receiver.send_zero_copy(8)
        with pytest.raises(slipring.InvalidArgument, match="this end sends"):
            sender.recv()


def test_other_threads_run_while_one_waits(name: str) -> None:
    for wait in slipring.Wait:
        with buses(name, wait=wait) as (sender, receiver):
            started = threading.Event()

            def receive(receiver: slipring.Bus = receiver, started: threading.Event = started) -> bytes:
                started.set()
                return receiver.recv(timeout=SOON).data

            with thread(receive) as answers:
                assert started.wait(SOON)
                # This thread could not go on if the other kept the interpreter's lock.
                sum(range(100_000))
                sender.send(wait.encode())
            assert answers == [wait.encode()]


def test_what_an_end_tells_of_itself(name: str) -> None:
    with buses(name, inline_limit=512) as (sender, receiver):
        sender.send(b"12345")
        receiver.recv(timeout=SOON)
        assert (sender.stats()["frames_sent"], sender.stats()["bytes_sent"]) == (1, 5)
        assert receiver.stats()["frames_received"] == 1
        assert sender.inline_limit == 512
        assert sender.payload_max > 1 << 20
        assert sender.state == receiver.state == "open"
        assert sender.capabilities() == {"backend": "memfd", "sealed": True, "peer_sealed": True, "spill": False}
        for wait in slipring.Wait:
            sender.set_wait(wait)
        assert not sender.closed
    assert sender.closed


def test_payloads_of_many_sizes_under_both_trusts_and_backends(name: str) -> None:
    for options in ({"trust": "untrusted"}, {"backend": "posix"}, {"wait": slipring.Wait.PARK}):
        with buses(name, **options) as (sender, receiver):
            for size in (0, 1, 1024, 1025, 65536, 1 << 20):
                payload = bytes(range(256)) * (size // 256) + b"e" * (size % 256)
                sender.send(payload, timeout=SOON)
                assert receiver.recv(timeout=SOON).data == payload
