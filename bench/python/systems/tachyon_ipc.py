"""Tachyon's own Python package, as its page shows it: calls by views, or by its decorator and dispatcher; streams by batches.

Its ``for msg in bus`` is slower than `drain_batch`, so that is what receives. A wait cannot be bounded: a process that hangs is
ended by the harness.
"""

import time

import tachyon

from harness.host import Job, System, path_of, seconds
from harness.payload import GROUP, Turns

_USUAL_SPINS = 10_000
_FOREVER = (1 << 32) - 1
_USUAL_RING = 1 << 20
_PLACES = 34
"""A receiver gives room back after so many messages, as in `bench/rivals/tachyon/src/ring.rs`."""


def _ring(length: int) -> int:
    return max(_USUAL_RING, 1 << ((length + 128) * _PLACES - 1).bit_length())


class _Tachyon(System):
    WORKS = ("call", "stream")
    WAITS = ("spin", "adaptive", "park")

    def __init__(self, job: Job) -> None:
        path = path_of(job)
        self._patience = seconds(job)
        self._spins = {"spin": _FOREVER, "adaptive": _USUAL_SPINS, "park": 0}[job["wait"]]
        stream, ring = job["work"] == "stream", _ring(max(job["payload"], job["reply"]))
        if job["role"] == "follow":
            self.bus = tachyon.Bus.listen(path, ring) if stream else tachyon.RpcBus.rpc_listen(path, ring, ring)
        else:
            self.bus = _connect(tachyon.Bus.connect if stream else tachyon.RpcBus.rpc_connect, path, seconds(job))
        self.bus.set_polling_mode(int(job["wait"] == "spin"))

    @staticmethod
    def version() -> str:
        return str(tachyon.__version__)

    def send_many(self, batch: list[bytes]) -> None:
        send = self.bus.send
        for payload in batch:
            try:
                send(payload)
            except tachyon.TachyonError:
                self._send_when_there_is_room(payload)

    def _send_when_there_is_room(self, payload: bytes) -> None:
        """It does not wait for room, and has no error of its own for a full ring."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return self.bus.send(payload)
            except tachyon.TachyonError:
                if time.monotonic() > until:
                    raise
                time.sleep(0)

    def receive_some(self) -> list[bytes]:
        found = []
        with self.bus.drain_batch(GROUP, self._spins) as batch:
            for message in batch:
                with memoryview(message) as view:
                    found.append(view.tobytes())
        return found


def _connect(connect, path, patience):
    until = time.monotonic() + patience
    while True:
        try:
            return connect(path)
        except (tachyon.TachyonError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


class WithViews(_Tachyon):
    """By views."""

    def ask(self, payload: bytes) -> bytes:
        bus = self.bus
        call = bus.call(payload, 1)
        with bus.wait(call, self._spins) as reply:
            with memoryview(reply) as view:
                return view.tobytes()

    def serve(self, turns: Turns) -> None:
        bus, spins = self.bus, self._spins
        for due, reply in turns.pairs:
            with bus.serve(spins) as request:
                call = request.correlation_id
                with memoryview(request) as view:
                    found = view.tobytes()
            bus.reply(call, reply, 2)
            if found != due and turns.is_last(found):
                return


class Dispatcher(_Tachyon):
    """By its decorator and dispatcher."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._endpoint = tachyon.tachyon_rpc(1)(self._answer)
        self._dispatcher = tachyon.RpcDispatcher().register(self._endpoint)

    def ask(self, payload: bytes) -> bytes:
        return self._endpoint.call(self.bus, payload, None, self._spins)

    def _answer(self, request: memoryview) -> bytes:
        found = request.tobytes()
        due, reply = next(self._pairs)
        if found != due and self._turns.is_last(found):
            self._ends = True
        return reply

    def serve(self, turns: Turns) -> None:
        self._turns, self._pairs, self._ends = turns, turns.pairs, False
        serve, bus, spins = self._dispatcher.serve_once, self.bus, self._spins
        while not self._ends:
            serve(bus, spins)
