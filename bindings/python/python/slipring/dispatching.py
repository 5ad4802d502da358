"""What becomes of a call whose handler failed."""

import logging
import struct

from ._native import RpcBus, RxGuard
from .errors import SlipringError

MSG_TYPE_ERROR = 0xFFFF
"""The type of a reply that says that a call could not be served. Its payload is the call's message type, ``!H``."""

_logger = logging.getLogger("slipring.rpc")


def log_failure(error: Exception) -> None:
    """Says what a handler raised."""
    _logger.error("a handler failed: %s", error, exc_info=error)


def answer_failure(rpc: RpcBus, request: RxGuard) -> None:
    """Tells the caller that its call could not be served."""
    if request.is_note:
        return
    try:
        rpc.reply(request.correlation_id, struct.pack("!H", request.msg_type & 0xFFFF), MSG_TYPE_ERROR)
    except SlipringError as error:
        # Nobody is left to be told, or the call was answered before its handler failed.
        _logger.debug("a failed call could not be answered: %s", error)
