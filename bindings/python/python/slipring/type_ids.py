"""Type ids: 32 bits, of which the low 16 name a message type and the high 16 a route.

Route 0 is for plain messages. The others are kept for protocols that are built on top.
"""

from .errors import InvalidArgument

_HALF = 0xFFFF


def make_type_id(route: int, msg_type: int) -> int:
    """The type id of a message type on a route, each from 0 to 65535."""
    for name, value in (("route", route), ("msg_type", msg_type)):
        if not 0 <= value <= _HALF:
            raise InvalidArgument(f"{name} is from 0 to {_HALF}, not {value}")
    return route << 16 | msg_type


def route_id(type_id: int) -> int:
    """The route of a type id."""
    return type_id >> 16 & _HALF


def msg_type(type_id: int) -> int:
    """The message type of a type id."""
    return type_id & _HALF
