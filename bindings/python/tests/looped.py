"""Pairs of ends for event loops, in one process."""

import asyncio

from helpers import SOON
from slipring import aio


async def buses(name: str, **options) -> tuple[aio.Bus, aio.Bus]:
    listening = asyncio.ensure_future(aio.Bus.listen(name, timeout=SOON, **options))
    sender = await aio.Bus.connect(name, timeout=SOON)
    return sender, await listening


async def rpcs(name: str, **options) -> tuple[aio.RpcBus, aio.RpcBus]:
    listening = asyncio.ensure_future(aio.RpcBus.listen(name, timeout=SOON, **options))
    caller = await aio.RpcBus.connect(name, timeout=SOON)
    return caller, await listening
