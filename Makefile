# slipring: every verb a developer types. Bare `make` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
BENCH := $(CARGO) run --quiet --release -p slipring-bench --
FILE ?=
N ?= 10000
HOURS ?= 1
ROUNDS ?= 100000000
TIME ?= 600
GIB ?= 64

.PHONY: help run test check bench results litmus miri loom tsan storm scribble crowd big soak header examples install wheel docs clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: ## build, then the main job on real input: FILE=... to choose the file
	$(CARGO) build --release -p slipring-bench --bin slipring-bench
	$(CARGO) run --quiet --release -p slipring-bench -- run $(if $(FILE),--file "$(FILE)")
	ci/python.sh run $(if $(FILE),"$(FILE)")

test: ## everything that CI runs: tests, models, lints, and the short version of each campaign
	ci/test.sh

check: ## format and lints only
	ci/check.sh

bench: ## measure, beside the floors, and write a record (QUICK=1: test the harness only)
	ci/bench.sh $(if $(QUICK),quick)

results: ## the tables of the README and docs/COMPARE.md, from the newest record
	python3 bench/results.py

litmus: ## ROUNDS=... publish/park races between two processes: no wake-up may be lost beyond the nap
	ci/litmus.sh $(ROUNDS)

loom: ## the models, over the shipped files
	ci/loom.sh

miri: ## the protocols under Miri (nightly)
	ci/miri.sh

tsan: ## the threaded tests under ThreadSanitizer (nightly)
	ci/tsan.sh

storm: ## N=... kills at random moments
	SLIPRING_STORM_N=$(N) $(CARGO) test --release -p slipring-tests --test storm -- --nocapture

scribble: ## TIME=... seconds of sessions with a peer that writes over its own words
	SLIPRING_SCRIBBLE_SECONDS=$(TIME) $(CARGO) test --release -p slipring-tests --test scribble -- --nocapture

crowd: ## TIME=... seconds of sessions that processes open, use and lose at random, at one server
	SLIPRING_CROWD_SECONDS=$(TIME) $(CARGO) test --release -p slipring-tests --test crowd -- --nocapture

big: ## GIB=... payloads of 4 GiB and a byte, 8, 16... GiB, by memory and by spill directory, as far as there is room
	SLIPRING_BIG_GIB=$(GIB) $(CARGO) test --release -p slipring-tests --test big_payloads -- --nocapture --test-threads=1

soak: ## HOURS=... of storms and streams, one after the other
	ci/soak.sh $(HOURS)

header: ## write include/slipring/slipring.h anew
	SLIPRING_WRITE_HEADER=1 $(CARGO) test -p slipring-ffi --test header the_committed_header

examples: ## the examples in C, built and run
	$(MAKE) -s -C examples/c run

install: ## the C library: PREFIX=/usr/local LIBDIR=PREFIX/lib DESTDIR=
	PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" DESTDIR="$(DESTDIR)" ci/install.sh

wheel: ## the Python package: wheel and source distribution into dist/, tried out in a fresh environment
	ci/python.sh wheel

docs: ## the API pages
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p slipring

clean: ## remove what was built
	$(CARGO) clean
	rm -rf .venv dist
