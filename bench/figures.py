"""Figures as people read them: three digits and a unit."""


def scaled(value, units):
    """`value` with three digits, in the largest unit that it has one of."""
    for unit, size_of_unit in units:
        if value >= size_of_unit or size_of_unit == 1:
            digits = max(0, 3 - len(str(int(value / size_of_unit)))) if value >= size_of_unit else 3
            return f"{value / size_of_unit:.{min(digits, 2)}f} {unit}".strip()


def time(ns):
    return scaled(ns, (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1)))


def size(count):
    return scaled(count, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1)))


def rate(count):
    return scaled(count, (("G/s", 1e9), ("M/s", 1e6), ("k/s", 1e3), ("/s", 1)))


def speed(count):
    return size(count) + "/s"


def length(count):
    """The length of a payload, in powers of 1024 as it is asked for."""
    for unit, size_of_unit in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size_of_unit and count % size_of_unit == 0:
            return f"{count // size_of_unit} {unit}"
    return f"{count} B"


def ratio(value):
    if 0 < value < 0.001:
        return "<0.001"
    return "0" if value == 0 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
