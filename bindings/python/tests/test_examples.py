"""Every example runs as a newcomer runs it, says something, and ends well by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples" / "python"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hello", ["hello from process", "heard 4 messages"]),
        ("calls", ["LOUD", "1.414", "message type 2 failed", "C B A"]),
        ("arrays", ["4194304 numbers, 32 MiB, sum 4194304", "sum 8388608"]),
        ("tour", ["1048576 B", "bytes handed over in place"]),
        ("async_calls", ["1000 replies, the last is 1998"]),
    ],
)
def test_example(name: str, says: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for text in says:
        assert text in ran.stdout
