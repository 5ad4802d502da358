"""Interpreters of other kinds: more than one in a process, and those without a lock. Each either works or says that it does not."""

import subprocess
import sys
import sysconfig

import pytest

from helpers import SOON

IN_ANOTHER = """
import importlib
for module in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(module)
    except ImportError:
        continue
    break
import slipring
other = interpreters.create()
says = '''
try:
    import slipring
except ImportError as error:
    print("refused:", error)
else:
    print("works")
'''
(getattr(interpreters, "run_string", None) or interpreters.exec)(other, says)
interpreters.destroy(other)
slipring.Listener("main-interpreter").close()
print("the first goes on")
"""


def test_a_subinterpreter_is_told_that_it_cannot() -> None:
    ran = subprocess.run([sys.executable, "-c", IN_ANOTHER], capture_output=True, text=True, timeout=SOON, check=False)
    assert ran.returncode == 0, ran.stderr
    first, last = ran.stdout.splitlines()
    assert first.startswith("refused: ")
    assert "subinterpreter" in first
    assert last == "the first goes on"


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has its lock: there is nothing to see"
)
def test_an_interpreter_without_a_lock_turns_it_on() -> None:
    says = "import sys, slipring; print(sys._is_gil_enabled())"
    ran = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, timeout=SOON, check=True)
    assert ran.stdout == "True\n"
    assert "GIL" in ran.stderr
