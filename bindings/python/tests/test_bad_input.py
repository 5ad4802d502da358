"""What is wrong is said, by the right exception, in words that tell what would be right."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slipring
from helpers import SOON, buses, rpcs, thread
from slipring import errors

WRONG_ARGUMENTS: list[tuple[str, Callable[[slipring.Bus], Any], type[Exception], str]] = [
    ("text for bytes", lambda bus: bus.send("text"), TypeError, r"not str: text has to be encoded"),  # type: ignore[arg-type]
    ("a number for bytes", lambda bus: bus.send(5), TypeError, "bytes-like object, not int"),  # type: ignore[arg-type]
    ("None for bytes", lambda bus: bus.send(None), TypeError, "not NoneType"),  # type: ignore[arg-type]
    ("a negative type id", lambda bus: bus.send(b"", -1), slipring.InvalidArgument, "from 0 to 4294967295, not -1"),
    ("a long type id", lambda bus: bus.send(b"", 1 << 32), slipring.InvalidArgument, "4294967296"),
    ("text for a type id", lambda bus: bus.send(b"", "1"), TypeError, "an id is an int, not str"),  # type: ignore[arg-type]
    ("a negative timeout", lambda bus: bus.send(b"", timeout=-1), slipring.InvalidArgument, "at least 0 seconds"),
    ("no number", lambda bus: bus.send(b"", timeout=float("nan")), slipring.InvalidArgument, "at least 0 seconds"),
    ("text for a timeout", lambda bus: bus.send(b"", timeout="1"), TypeError, "a number of seconds"),  # type: ignore[arg-type]
    ("a negative size", lambda bus: bus.send_zero_copy(-5), slipring.InvalidArgument, "a size is from 0 to"),
    ("a size of text", lambda bus: bus.send_zero_copy("5"), TypeError, "a size is an int, not str"),  # type: ignore[arg-type]
    ("an impossible size", lambda bus: bus.send_zero_copy(1 << 62), slipring.TooLarge, "larger than"),
    ("an array of objects", lambda bus: bus.empty(5, object), slipring.InvalidArgument, "Python objects"),
    ("a negative shape", lambda bus: bus.empty((2, -1)), slipring.InvalidArgument, "negative"),
    ("an unknown dtype", lambda bus: bus.empty(1, "nothing"), TypeError, "nothing"),
    ("an unknown strategy", lambda bus: bus.set_wait("nap"), slipring.InvalidArgument, '"spin", "park", "adaptive"'),
    ("a number to send many", lambda bus: bus.send_many(5), TypeError, "iterable"),  # type: ignore[arg-type]
    (
        "unsealed objects",
        lambda bus: bus.send(b"", shared=[slipring.SharedBuffer(5)]),
        slipring.InvalidArgument,
        "seal",
    ),
]


@pytest.mark.parametrize(
    ("call", "error", "text"), [c[1:] for c in WRONG_ARGUMENTS], ids=[c[0] for c in WRONG_ARGUMENTS]
)
def test_wrong_arguments(name: str, call: Callable[[slipring.Bus], Any], error: type[Exception], text: str) -> None:
    with buses(name) as (sender, receiver):
        with pytest.raises(error, match=text):
            call(sender)
        # Nothing has happened.
        sender.send(b"fine")
        assert receiver.recv(timeout=SOON).data == b"fine"
        with pytest.raises(slipring.InvalidArgument, match="at least 1"):
            receiver.recv_many(0)


WRONG_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"capacity": 1000}, slipring.InvalidArgument, "power of two"),
    ({"capacity": -1}, slipring.InvalidArgument, "a size is from 0"),
    ({"capacity": "1K"}, TypeError, "an int, not str"),
    ({"inline_limit": -1}, slipring.InvalidArgument, "inline_limit: a size is from 0"),
    ({"wait": "nap"}, slipring.InvalidArgument, "wait is one of"),
    ({"trust": "nobody"}, slipring.InvalidArgument, '"same-user", "untrusted"'),
    ({"backend": "disk"}, slipring.InvalidArgument, '"memfd", "posix"'),
    ({"serves": "yes"}, TypeError, "serves is a bool"),
    ({"colour": "red"}, TypeError, 'no option "colour"; there are capacity'),
    ({"spill_dir": "/missing/directory"}, slipring.ConfigError, "/missing/directory"),
    ({"in_flight": 0}, slipring.InvalidArgument, "in_flight"),
    ({"backend": "posix", "trust": "untrusted"}, slipring.ConfigError, "Trust::SameUser"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG_OPTIONS)
def test_wrong_options(name: str, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        slipring.RpcBus.listen(name, options.pop("capacity", None), timeout=0, **options)


def test_addresses(name: str, tmp_path: Path) -> None:
    for wrong in ("", "with space", "a" * 65, "..", "x\0y"):
        with pytest.raises((slipring.InvalidArgument, ValueError)):
            slipring.Listener(wrong)
    with pytest.raises(TypeError, match="an address is a str or a path, not int"):
        slipring.Listener(5)  # type: ignore[arg-type]
    with slipring.Listener(tmp_path / "by-path") as listener:
        assert listener.address.endswith("by-path")
        with pytest.raises(slipring.AddressInUse):
            slipring.Listener(tmp_path / "by-path")
    with pytest.raises(slipring.NotFound, match=name):
        slipring.RpcBus.connect(name, timeout=0.02)


def test_a_bad_environment_is_a_config_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPRING_WAIT", "nap")
    with pytest.raises(slipring.ConfigError, match="adaptive, spin, park"):
        slipring.Listener(name)


def test_what_was_closed_here_says_so(name: str) -> None:
    with buses(name) as (sender, receiver):
        tx = sender.send_zero_copy(5)
        long = sender.send_zero_copy(5000)
        sender.close()
        sender.close()
        for call in (
            lambda: sender.send(b""),
            lambda: sender.state,
            sender.__enter__,
            lambda: sender.send_zero_copy(1),
        ):
            with pytest.raises(slipring.Closed, match="this Bus was closed here"):
                call()
        for claim in (tx, long):
            with pytest.raises(slipring.Closed):
                claim.commit()
            claim.abort()
        receiver.close()
        with pytest.raises(slipring.Closed, match="closed here"):
            next(receiver)
    with rpcs(name) as (caller, callee):
        caller.close()
        with pytest.raises(slipring.Closed, match="this RpcBus was closed here"):
            caller.request(b"")
    listener = slipring.Listener(name)
    listener.close()
    with pytest.raises(slipring.Closed, match="this Listener"):
        listener.accept_bus(timeout=0)


def test_more_than_there_is_room_for(name: str) -> None:
    with buses(name, max_message=10_000) as (sender, receiver):
        with pytest.raises(slipring.TooLarge) as raised:
            sender.send(b"x" * 10_001)
        assert (raised.value.len, raised.value.max) == (10_001, 10_000)
        assert "10001" in str(raised.value)
        assert "10000" in str(raised.value)
        for size in (10, 5000):
            tx = sender.send_zero_copy(size)
            with pytest.raises(slipring.InvalidArgument, match=f"at most the {size} bytes"):
                tx.actual_size = size + 1
            with pytest.raises(slipring.InvalidArgument):
                tx.actual_size = -1
            tx.commit()
            assert receiver.recv(timeout=SOON).size == size


def test_the_other_kind_of_session_is_refused(name: str) -> None:
    with slipring.Listener(name) as listener:

        def accept() -> None:
            with pytest.raises(slipring.Timeout):
                listener.accept_rpc(timeout=0.5)

        with thread(accept):
            with pytest.raises(slipring.Refused, match="another kind of session") as raised:
                slipring.Bus.connect(name, timeout=SOON)
        assert "another kind" in raised.value.why


def test_exceptions_are_by_cause_and_pickle() -> None:
    parents = {
        "Timeout": TimeoutError,
        "Closed": ConnectionError,
        "PeerDied": ConnectionError,
        "NotFound": LookupError,
        "TooLarge": ValueError,
        "InvalidArgument": ValueError,
        "ConfigError": ValueError,
        "OutOfMemory": MemoryError,
    }
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(classes) == 21
    for cls in classes:
        assert issubclass(cls, slipring.SlipringError)
        assert issubclass(cls, parents.get(cls.__name__, Exception))
        assert getattr(slipring, cls.__name__) is cls
        error = cls("what was wrong")
        error.len = 5  # type: ignore[attr-defined]
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(again), str(again), again.len) == (cls, "what was wrong", 5)


def test_handles_refuse_pickling(name: str) -> None:
    with buses(name) as (sender, receiver), slipring.Poller() as poller:
        sender.send(b"x")
        for handle in (sender, sender.send_zero_copy(5), receiver.recv_zero_copy(), poller, slipring.SharedBuffer(5)):
            kind = type(handle).__name__
            with pytest.raises(TypeError, match=f"a {kind} belongs to the process that opened it"):
                pickle.dumps(handle)
            with pytest.raises(TypeError, match="give the other process the address"):
                copy.copy(handle)
