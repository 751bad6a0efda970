# make demo     four languages, one durable cluster: the tour
# make test     set up, build and run all tests of all languages
# make check    lints: format, clippy, header drift, licences (changes nothing)
# make fix      format
# make fuzz     libFuzzer over all targets, SECONDS=60 TARGET=frame; keeps what is new
# make attack   ATTACKS=1000000 malformed connections and frames against a cluster that serves
# make soak     MINUTES=60 of real processes that are killed and of the simulator, with fresh seeds; see docs/soak-ledger.md
# make mutants  all deliberate mistakes, found with fresh seeds; writes tests/mutants/seeds
# make power-cut  root only: cut a real file system's power under wal and sled; ROUNDS=100 for more
# make search   the breadth-first search must find a published bug that is put in; STATES=200000
# make bench    all benchmarks; bench-cluster and so on for one, BENCH="--rounds 1" for options
# make install  PREFIX=/usr/local DESTDIR=
# make clean

SUITE := .ci/suite
LIB := target/release/libquorate.a
VENV := .venv/bin
TOOLS := $(or $(QUORATE_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/quorate-tools)

.PHONY: demo test check fix fuzz attack soak mutants search power-cut bench clean setup lib golib python install \
	bench-protocol bench-engine bench-store bench-crossing bench-cluster bench-report \
	test-rust test-c test-cpp test-python test-go test-linear test-mixed test-docs \
	test-mutants
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

setup:
	@.ci/setup

lib: setup
	cargo build --release --locked -p quorate-ffi

golib: lib
	@bindings/go/link.sh

python: setup
	$(VENV)/maturin develop --release --locked -q -m bindings/python/Cargo.toml

demo: lib golib python
	@$(VENV)/python examples/demo/demo.py

test: setup
	@rm -rf build/log
	@ok=0; for t in rust mutants c cpp python go linear mixed docs; do $(MAKE) --no-print-directory test-$$t || ok=1; done; \
	.ci/summary && exit $$ok

test-rust: setup
	@$(SUITE) rust cargo test --locked

test-mutants: setup
	@$(SUITE) mutants tests/mutants/run

test-c: lib
	@$(SUITE) c tests/c/run.sh

test-cpp: lib
	@$(SUITE) cpp bindings/cpp/tests/run.sh

test-python: python
	@$(SUITE) python bindings/python/tests/run.sh

test-go: golib
	@$(SUITE) go bindings/go/test.sh

test-linear: setup
	@$(SUITE) linear tests/linear/run.sh

test-mixed: lib golib python
	@$(SUITE) mixed $(VENV)/python -m pytest -q tests/mixed tests/soak

test-docs: lib golib python
	@$(SUITE) docs $(VENV)/python tests/docs/check.py

check: setup
	cargo fmt --check
	cargo clippy --locked --all-targets --workspace -- -D warnings
	cargo check --locked -p quorate-engine --no-default-features
	cargo check --locked -p quorate-engine --no-default-features --features runtime
	cargo build --locked -p quorate-ffi && git diff --exit-code include/
	gofmt -l bindings/go examples/go benches tests/linear | (! grep .)
	PATH="$(TOOLS)/bin:$$PATH" cargo deny --locked check bans licenses sources
	@PATH="$(TOOLS)/bin:$$PATH" cargo deny --locked check advisories || \
		echo "SKIPPED: advisories (the database can't be reached, or see above)"

fix:
	cargo fmt
	gofmt -w bindings/go examples/go benches tests/linear

fuzz: setup
	@SECONDS_EACH="$(SECONDS)" TARGET="$(TARGET)" tests/fuzz/run

attack: setup
	ATTACKS=$(or $(ATTACKS),1000000) cargo test --locked -p quorate-tests --test hostile attack -- --nocapture

soak: lib golib python
	@tests/soak/run $(or $(MINUTES),60)

mutants: setup
	@tests/mutants/run --hunt

search: setup
	@tests/mutants/search

# No part of `make test`: it mounts a file system.
power-cut:
	@tests/disks/power-cut.sh $(or $(ROUNDS),30)

bench: bench-protocol bench-engine bench-store bench-crossing bench-cluster

bench-crossing: lib golib python
	@python3 benches/crossing/run.py $(BENCH)

bench-engine:
	@python3 benches/engine.py $(BENCH)

bench-store:
	@python3 benches/store.py $(BENCH)

bench-protocol:
	@python3 benches/protocol.py $(BENCH)

bench-cluster: lib golib python
	@benches/setup cluster
	@python3 benches/cluster/bench.py $(BENCH)

bench-report:
	@benches/setup report
	@target/bench/venv/bin/python benches/report.py --plots

clean:
	rm -rf target build .venv bindings/go/lib

install: lib
	PREFIX="$(or $(PREFIX),/usr/local)" DESTDIR="$(DESTDIR)" scripts/install.sh
