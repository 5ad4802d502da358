"""An array is handed to another process where it was computed, and summed there: no byte of it is copied.

``python examples/python/arrays.py``  (needs NumPy)
"""

import multiprocessing
import os

import numpy as np

import slipring

LENGTH = 4 << 20


def add_up(name: str) -> None:
    """The second process reads the numbers in the memory of the first."""
    with slipring.Bus.listen(name, timeout=10) as bus:
        for message in bus:
            numbers = np.frombuffer(memoryview(message), np.float64)
            print(f"{numbers.size} numbers, {numbers.nbytes >> 20} MiB, sum {numbers.sum():.0f}")


def main() -> None:
    """The first computes them in the memory that the second will read."""
    name = f"arrays-{os.getpid()}"
    second = multiprocessing.get_context("spawn").Process(target=add_up, args=(name,))
    second.start()
    with slipring.Bus.connect(name, timeout=10) as bus:
        for factor in (1, 2):
            numbers = bus.empty(LENGTH, np.float64)
            numbers[:] = factor
            bus.send(numbers)
            assert not numbers.flags.writeable
    second.join()


if __name__ == "__main__":
    main()
