#!/usr/bin/env python3
"""One process of one system: `rival.py SYSTEM`, driven by lines on its standard input; `rival.py SYSTEM describe` says who it is."""

import sys

import systems
from harness import host

if __name__ == "__main__":
    sys.exit(host.main(systems.by_name(sys.argv[1])))
