"""The page of the guide that tells every call is the one that the stub and the docstrings make."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import SOON

SCRIPT = Path(__file__).parents[3] / "ci" / "python_api.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="the guide is not here")
def test_the_page_is_current() -> None:
    ran = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=SOON, check=False)
    assert ran.returncode == 0, ran.stderr
