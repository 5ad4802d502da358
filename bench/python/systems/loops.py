"""Calls in an event loop: `slipring.aio`, and asyncio's own streams over a Unix socket."""

import asyncio
import platform
import socket

from harness.host import Job, System, path_of, seconds
from harness.payload import Turns
from systems.standard import meet


class Aio(System):
    """`slipring.aio`."""

    WAITS = ("adaptive",)
    IN_LOOP = True

    def __init__(self, job: Job) -> None:
        import slipring
        from slipring import aio

        path, wait = path_of(job), seconds(job)
        if job["role"] == "follow":
            self._rpc = aio.RpcBus(slipring.RpcBus.listen(path, timeout=wait))
        else:
            self._rpc = aio.RpcBus(slipring.RpcBus.connect(path, timeout=wait))

    @staticmethod
    def version() -> str:
        import slipring

        return slipring.__version__

    async def ask(self, payload: bytes) -> bytes:
        return await self._rpc.request(payload, 1)

    async def serve(self, turns: Turns) -> None:
        rpc = self._rpc
        for due, reply in turns.pairs:
            with await rpc.serve() as request:
                call, found = request.correlation_id, request.data
            rpc.reply(call, reply, 2)
            if found != due and turns.is_last(found):
                return


class UnixStreams(System):
    """`asyncio.open_unix_connection` and what belongs to it."""

    WAITS = ("adaptive", "park")
    IN_LOOP = True

    def __init__(self, job: Job) -> None:
        self._socket: socket.socket | None = meet(job)
        self._length = job["payload"] if job["role"] == "follow" else job["reply"]

    @staticmethod
    def version() -> str:
        return platform.python_version()

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Streams belong to a loop, which there is only now.
        if self._socket is not None:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
            self._socket = None
        return self._reader, self._writer

    async def ask(self, payload: bytes) -> bytes:
        reader, writer = await self._streams()
        writer.write(payload)
        await writer.drain()
        return await reader.readexactly(self._length)

    async def serve(self, turns: Turns) -> None:
        reader, writer = await self._streams()
        for due, reply in turns.pairs:
            found = await reader.readexactly(self._length)
            writer.write(reply)
            await writer.drain()
            if found != due and turns.is_last(found):
                return
