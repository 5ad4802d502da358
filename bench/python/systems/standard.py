"""What Python brings along: the pipe of `multiprocessing`, and a Unix socket.

`multiprocessing.Pipe` is a pair of Unix sockets with a `Connection` on each; here the two processes are not each other's children, so
they meet at a path and put the same `Connection` on the socket that they get.
"""

import platform
import socket
import time
from multiprocessing.connection import Connection

from harness.host import Job, System, path_of, seconds
from harness.payload import GROUP, Turns

_AT_ONCE = 64 << 10
"""What is read from a stream at once: short messages as many as have come, as a reader of fixed records would."""


def meet(job: Job) -> socket.socket:
    """A connected Unix socket."""
    path = path_of(job)
    if job["role"] == "follow":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(seconds(job))
            return listener.accept()[0]
    until = time.monotonic() + seconds(job)
    while True:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.connect(path)
            return end
        except OSError:
            end.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


class Pipe(System):
    """`multiprocessing.Pipe`: bytes, without pickle."""

    WORKS = ("call", "stream")

    def __init__(self, job: Job) -> None:
        end = meet(job)
        end.settimeout(None)
        self._pipe = Connection(end.detach())

    @staticmethod
    def version() -> str:
        return platform.python_version()

    def ask(self, payload: bytes) -> bytes:
        pipe = self._pipe
        pipe.send_bytes(payload)
        return pipe.recv_bytes()

    def serve(self, turns: Turns) -> None:
        turns.echo(self._pipe.recv_bytes, self._pipe.send_bytes)

    def send_many(self, batch: list[bytes]) -> None:
        send = self._pipe.send_bytes
        for payload in batch:
            send(payload)

    def receive_some(self) -> list[bytes]:
        return [self._pipe.recv_bytes()]


class UnixStream(System):
    """A stream socket, whose two ends know how long messages are."""

    WORKS = ("call", "stream")

    def __init__(self, job: Job) -> None:
        self._socket = meet(job)
        self._socket.settimeout(None)
        lead = job["role"] != "follow"
        self._length = job["reply"] if lead and job["work"] == "call" else job["payload"]
        at_once = max(1, min(GROUP, _AT_ONCE // self._length))
        self._buffer = bytearray(at_once * self._length)
        self._view = memoryview(self._buffer)

    @staticmethod
    def version() -> str:
        return platform.python_version()

    def _receive(self) -> bytes:
        length, have = self._length, 0
        receive, view = self._socket.recv_into, self._view
        while have < length:
            found = receive(view[have:length])
            if not found:
                raise EOFError("the peer is gone")
            have += found
        return view[:length].tobytes()

    def ask(self, payload: bytes) -> bytes:
        self._socket.sendall(payload)
        return self._receive()

    def serve(self, turns: Turns) -> None:
        turns.echo(self._receive, self._socket.sendall)

    def send_many(self, batch: list[bytes]) -> None:
        self._socket.sendall(b"".join(batch))

    def receive_some(self) -> list[bytes]:
        length, have, view = self._length, 0, self._view
        while have == 0 or have % length:
            most = len(view) if have == 0 else -(-have // length) * length
            found = self._socket.recv_into(view[have:most])
            if not found:
                raise EOFError("the peer is gone")
            have += found
        whole = view[:have].tobytes()
        return [whole[at : at + length] for at in range(0, have, length)]
