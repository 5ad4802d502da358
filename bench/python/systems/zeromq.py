"""ZeroMQ by pyzmq: a pair of sockets over its `ipc` transport. Its input and output have a thread of their own, which sleeps."""

import zmq

from harness.host import Job, System, path_of
from harness.payload import Turns


class ZeroMq(System):
    """A `PAIR`, with no limit to what waits, so that nothing is dropped."""

    WORKS = ("call", "stream")

    def __init__(self, job: Job) -> None:
        # Nobody reads any more when an end closes: what was not sent need not be waited for.
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.linger = 0
        address = f"ipc://{path_of(job)}"
        if job["role"] == "follow":
            self._socket.bind(address)
        else:
            self._socket.connect(address)

    @staticmethod
    def version() -> str:
        return f"{zmq.__version__} (libzmq {zmq.zmq_version()})"

    def ask(self, payload: bytes) -> bytes:
        self._socket.send(payload)
        return self._socket.recv()

    def serve(self, turns: Turns) -> None:
        turns.echo(self._socket.recv, self._socket.send)

    def send_many(self, batch: list[bytes]) -> None:
        send = self._socket.send
        for payload in batch:
            send(payload)

    def receive_some(self) -> list[bytes]:
        return [self._socket.recv()]
