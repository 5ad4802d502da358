"""slipring: calls as its users write them, and streams in groups.

`WithViews` calls by ``call`` and ``wait`` and serves by ``serve`` and ``reply``, with a `memoryview` of each payload. `Request`
calls by ``request`` and serves by a dispatcher, which is the shortest way to write it, and the fastest.
"""

import slipring

from harness.host import Job, System, path_of, seconds
from harness.payload import GROUP, Turns


class _BlockOver(BaseException):
    """Ends the serving of a block, out of a handler. Not an Exception: that would cost the call alone."""


class _Ours(System):
    WORKS = ("call", "stream")
    WAITS = ("spin", "adaptive", "park")
    LONGEST = 64 << 20

    def __init__(self, job: Job) -> None:
        path, wait = path_of(job), seconds(job)
        kind = slipring.Bus if job["work"] == "stream" else slipring.RpcBus
        if job["role"] == "follow":
            self.bus = kind.listen(path, timeout=wait, wait=job["wait"])
        else:
            self.bus = kind.connect(path, timeout=wait, wait=job["wait"])

    @staticmethod
    def version() -> str:
        return slipring.__version__ + (" debug" if slipring.DEBUG_BUILD else "")

    def send_many(self, batch: list[bytes]) -> None:
        self.bus.send_many(batch)

    def receive_some(self) -> list[bytes]:
        return [message.data for message in self.bus.recv_many(GROUP)]


class WithViews(_Ours):
    """By views."""

    def ask(self, payload: bytes) -> bytes:
        bus = self.bus
        call = bus.call(payload, 1)
        with bus.wait(call) as reply:
            with memoryview(reply) as view:
                return view.tobytes()

    def serve(self, turns: Turns) -> None:
        bus = self.bus
        for due, reply in turns.pairs:
            with bus.serve() as request:
                call = request.correlation_id
                with memoryview(request) as view:
                    found = view.tobytes()
            bus.reply(call, reply, 2)
            if found != due and turns.is_last(found):
                return


class Request(_Ours):
    """By one call and a dispatcher."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if job["work"] == "call":
            self._endpoint = slipring.rpc(1)(self._answer)
            self._dispatcher = slipring.RpcDispatcher()
            self._dispatcher.register(self._endpoint)
            self._ends = False

    def ask(self, payload: bytes) -> bytes:
        return self.bus.request(payload, 1)

    def _answer(self, request: memoryview) -> bytes:
        found = request.tobytes()
        due, reply = next(self._pairs)
        if found != due and self._turns.is_last(found):
            self._ends = True
        return reply

    def serve(self, turns: Turns) -> None:
        self._turns, self._pairs, self._ends = turns, turns.pairs, False
        serve, bus = self._dispatcher.serve_once, self.bus
        while not self._ends:
            serve(bus)
