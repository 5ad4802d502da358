"""Refuses every interpreter of a process but the first: the native module keeps objects of that one."""

for _module in ("_interpreters", "_xxsubinterpreters"):
    try:
        _interpreters = __import__(_module)
        _is_main = _interpreters.get_current() == _interpreters.get_main()
    except (ImportError, AttributeError):
        continue
    if not _is_main:
        raise ImportError("slipring does not support subinterpreters: import it in the main one, or start a process")
    break
