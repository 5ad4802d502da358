"""The transport of shm-rpc-bridge, without its JSON: two buffers in POSIX shared memory, and POSIX semaphores to wait by."""

from importlib.metadata import version

from shm_rpc_bridge.transport.transport_posix import SharedMemoryTransportPosix

from harness.host import Job, System, seconds
from harness.payload import Turns

_HEADER = 64
"""More than what it puts before a message."""


class Bridge(System):
    """A request and its reply at a time, which is all it has."""

    def __init__(self, job: Job) -> None:
        size = max(job["payload"], job["reply"]) + _HEADER
        name = f"slipring-bench-{job['parent']}-{job['name']}"
        if job["role"] == "follow":
            self._transport = SharedMemoryTransportPosix.create(name, size, seconds(job))
        else:
            self._transport = SharedMemoryTransportPosix.open(name, size, seconds(job), seconds(job))

    def __del__(self) -> None:
        if hasattr(self, "_transport"):
            self._transport.close()

    @staticmethod
    def version() -> str:
        return version("shm-rpc-bridge")

    def ask(self, payload: bytes) -> bytes:
        self._transport.send_request(payload)
        return self._transport.receive_response()

    def serve(self, turns: Turns) -> None:
        turns.echo(self._transport.receive_request, self._transport.send_response)
