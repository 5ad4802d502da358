"""Any payload, in any order of calls, arrives once and as it was."""

import collections
import itertools

import hypothesis
import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import slipring
from helpers import SOON, rpcs
from helpers import buses as open_buses

_names = itertools.count()
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.integers(1000, 70_000)),
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.tuples(PAYLOADS, st.integers(0, 2**32 - 1)), max_size=20))
def test_what_is_sent_arrives(messages: list[tuple[bytes, int]]) -> None:
    with open_buses(f"property-{next(_names)}") as (sender, receiver):
        for payload, type_id in messages:
            sender.send(payload, type_id, timeout=SOON)
        assert [(m.data, m.type_id) for m in (receiver.recv(timeout=SOON) for _ in messages)] == messages


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.lists(PAYLOADS, max_size=10), st.randoms(use_true_random=False))
def test_replies_find_their_calls(payloads: list[bytes], chance) -> None:
    with rpcs(f"property-{next(_names)}") as (caller, callee):
        calls = [caller.call(payload, timeout=SOON) for payload in payloads]
        requests = [callee.serve(timeout=SOON) for _ in payloads]
        chance.shuffle(requests)
        for request in requests:
            callee.reply(request.correlation_id, request, timeout=SOON)
        order = list(zip(calls, payloads, strict=True))
        chance.shuffle(order)
        for call, payload in order:
            assert caller.wait(call, timeout=SOON).data == payload


class Stream(RuleBasedStateMachine):
    """Every way of sending against every way of receiving, and views that are kept and let go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.context = open_buses(f"property-{next(_names)}")
        self.sender, self.receiver = self.context.__enter__()
        self.expected: collections.deque[bytes] = collections.deque()
        self.claims: list[tuple[slipring.TxGuard, bytes]] = []
        self.kept: list[tuple[memoryview, bytes]] = []

    @precondition(lambda self: len(self.expected) < 50)
    @rule(payload=PAYLOADS)
    def send(self, payload: bytes) -> None:
        self.sender.send(payload, timeout=SOON)
        self.expected.append(payload)

    @precondition(lambda self: len(self.expected) < 50)
    @rule(payloads=st.lists(PAYLOADS, max_size=5))
    def send_many(self, payloads: list[bytes]) -> None:
        assert self.sender.send_many(payloads, timeout=SOON) == len(payloads)
        self.expected.extend(payloads)

    @precondition(lambda self: len(self.claims) < 10)
    @rule(payload=PAYLOADS, more=st.integers(0, 2000))
    def claim(self, payload: bytes, more: int) -> None:
        tx = self.sender.send_zero_copy(len(payload) + more, timeout=SOON)
        with memoryview(tx) as view:
            view[: len(payload)] = payload
        tx.actual_size = len(payload)
        self.claims.append((tx, payload))

    @precondition(lambda self: self.claims and len(self.expected) < 50)
    @rule(data=st.data(), commit=st.booleans())
    def finish(self, data: st.DataObject, commit: bool) -> None:
        tx, payload = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        if commit:
            tx.commit()
            self.expected.append(payload)
        else:
            tx.abort()

    @rule()
    def recv(self) -> None:
        message = self.receiver.try_recv()
        assert (message is None) == (not self.expected)
        if message is not None:
            assert message.data == self.expected.popleft()

    @precondition(lambda self: self.expected and len(self.kept) < 20)
    @rule()
    def keep(self) -> None:
        self.kept.append((memoryview(self.receiver.recv_zero_copy(timeout=SOON)), self.expected.popleft()))

    @precondition(lambda self: self.expected)
    @rule(most=st.integers(1, 10))
    def drain(self, most: int) -> None:
        with self.receiver.drain_batch(most, timeout=SOON) as batch:
            for rx in batch:
                assert rx.data == self.expected.popleft()

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.kept.pop(data.draw(st.integers(0, len(self.kept) - 1)))

    @invariant()
    def what_is_kept_stays_what_it_was(self) -> None:
        for view, payload in self.kept:
            assert view == payload

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)


Stream.TestCase.settings = hypothesis.settings(max_examples=25, stateful_step_count=40, deadline=None)
TestStream = Stream.TestCase
