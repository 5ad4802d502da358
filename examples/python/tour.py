"""What a call and an array cost between two processes, here and now: an echo table, then a real file handed over and summed.

``python examples/python/tour.py [FILE]``  (NumPy for the second half; it measures for a few seconds, and takes two processors)
"""

import multiprocessing
import os
import sys
import time

import slipring

ROUNDS = 5000
WARM = 500


@slipring.rpc(msg_type=1)
def echo(payload: memoryview) -> memoryview:
    """Answers with what came."""
    return payload


def serve(name: str) -> None:
    """The second process of the table."""
    dispatcher = slipring.RpcDispatcher()
    dispatcher.register(echo)
    with slipring.RpcBus.listen(name, timeout=10) as bus:
        dispatcher.serve_forever(bus)


def add_up(name: str) -> None:
    """The second process of the file: it reads the bytes in the memory of the first."""
    import numpy as np

    with slipring.RpcBus.listen(name, timeout=10) as bus:
        with bus.serve(timeout=60) as request:
            total = int(np.frombuffer(memoryview(request), np.uint8).sum(dtype=np.int64))
        bus.reply(request.correlation_id, str(total).encode())


def table(name: str) -> None:
    """Calls of growing size, each checked."""
    print(f"{'payload':>10}  {'p50':>9}  {'p99':>9}")
    with slipring.RpcBus.connect(name, timeout=10) as bus:
        for size in (32, 1024, 64 << 10, 1 << 20):
            payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
            times = []
            for _ in range(min(ROUNDS, WARM + (64 << 20) // size)):
                began = time.perf_counter_ns()
                reply = bus.request(payload, 1, timeout=10)
                times.append(time.perf_counter_ns() - began)
                assert reply == payload
            times = sorted(times[WARM // 2 :])
            p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
            print(f"{size:>8} B  {p50 / 1000:>6.1f} us  {p99 / 1000:>6.1f} us")


def hand_over(name: str, path: str) -> None:
    """A file, mapped by NumPy, goes into the memory that the other process reads."""
    import numpy as np

    mapped = np.memmap(path, np.uint8, "r")
    with slipring.RpcBus.connect(name, timeout=10) as bus:
        array = bus.empty(mapped.shape, np.uint8)
        array[:] = mapped
        began = time.perf_counter()
        total = int(bus.request(array, timeout=60))
        took = time.perf_counter() - began
    assert total == int(mapped.sum(dtype=np.int64))
    print(f"{path}: {mapped.nbytes} bytes handed over in place, summed there to {total} in {took * 1000:.2f} ms")


def main() -> None:
    """Both halves."""
    spawn = multiprocessing.get_context("spawn")
    name = f"tour-{os.getpid()}"
    server = spawn.Process(target=serve, args=(name,))
    server.start()
    table(name)
    server.join()
    try:
        import numpy as np
    except ImportError:
        print("skipped: the file (NumPy is not installed)")
        return
    path = sys.argv[1] if len(sys.argv) > 1 else np.__file__
    reader = spawn.Process(target=add_up, args=(name,))
    reader.start()
    hand_over(name, path)
    reader.join()


if __name__ == "__main__":
    main()
