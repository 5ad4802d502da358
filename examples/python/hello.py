"""Two processes: one says a few things, the other hears them.

``python examples/python/hello.py``
"""

import multiprocessing
import os

import slipring


def say(name: str) -> None:
    """The second process connects, and sends."""
    with slipring.Bus.connect(name, timeout=5) as bus:
        bus.send(f"hello from process {os.getpid()}".encode(), type_id=1)
        bus.send_many([b"one", b"two", b"three"], type_id=2)


def main() -> None:
    """The first listens, and receives until the second closes."""
    name = f"hello-{os.getpid()}"
    second = multiprocessing.get_context("spawn").Process(target=say, args=(name,))
    second.start()
    heard = 0
    with slipring.Bus.listen(name, timeout=10) as bus:
        for message in bus:
            print(f"type {message.type_id}: {message.data.decode()}")
            heard += 1
    second.join()
    print(f"heard {heard} messages")


if __name__ == "__main__":
    main()
