"""The systems that are measured, each in a file with others of its kind. One whose module is missing is not loaded."""

import importlib
from importlib.util import find_spec

from harness.host import System

_WHERE = {
    "slipring-python": ("ours", "WithViews"),
    "slipring-python-request": ("ours", "Request"),
    "slipring-from-rust": ("from_rust", "FromRust"),
    "slipring-aio": ("loops", "Aio"),
    "asyncio-unix-stream": ("loops", "UnixStreams"),
    "mp-pipe": ("standard", "Pipe"),
    "unix-stream-python": ("standard", "UnixStream"),
    "pyzmq": ("zeromq", "ZeroMq"),
    "tachyon-python": ("tachyon_ipc", "WithViews"),
    "tachyon-python-dispatcher": ("tachyon_ipc", "Dispatcher"),
    "shm-rpc-bridge": ("shm_rpc", "Bridge"),
}
_NEEDS = {
    "pyzmq": "zmq",
    "tachyon-python": "tachyon",
    "tachyon-python-dispatcher": "tachyon",
    "shm-rpc-bridge": "shm_rpc_bridge",
}
_NEEDS |= {name: "slipring" for name in _WHERE if name.startswith("slipring")} | {"slipring-from-rust": "numpy"}

NAMES = tuple(_WHERE)


def comes_along(name: str) -> bool:
    """Whether nothing has to be installed for it but slipring and NumPy."""
    return _NEEDS.get(name, "slipring") in ("slipring", "numpy")


def missing(name: str) -> str | None:
    """The module that a system needs and that is not installed, if there is one."""
    module = _NEEDS.get(name)
    return module if module is not None and find_spec(module) is None else None


def by_name(name: str) -> type[System]:
    """The class of a system's end."""
    file, system = _WHERE[name]
    found: type[System] = getattr(importlib.import_module(f"systems.{file}"), system)
    found.NAME = name
    return found
