# The two commands: `make demo` shows everything at work, `make test` proves it. Both do all of
# their own set-up, as often as you like.
# setup.sh is a script of bash.
SHELL := bash
.PHONY: help demo demo-stop test fuzz torture fault-table fault-matrix lint fmt install bench-digest bench-first-capture bench-capture bench-delivery bench-versions

help:
	@echo "make demo         place orders, deliver them to a local stand-in for Meta, show the outcome"
	@echo "make demo PLATFORMS=all   the same for every platform, or for a list: PLATFORMS=meta,tiktok"
	@echo "make demo KEEP=1  the same, and leave everything running"
	@echo "make demo-stop    stop what KEEP=1 left running"
	@echo "make test         set up and run every check and test"
	@echo "make fuzz SECONDS=60 SEED=42   every parser with new random values, changes of the schema and hostile arguments, so long each"
	@echo "make torture SECONDS=600 SEED=42   random transactions and kills for so long; both may be left out"
	@echo "make fault-table  measure what each fault of the capture costs a commit, into docs/internals/faults.md"
	@echo "make fault-matrix MINUTES=5   break the delivery at every step, into docs/internals/fault-matrix.md; minutes of outage"
	@echo "make lint         format, clippy and rustdoc only"
	@echo "make bench-digest         digests per second of every identifier, against plain SQL"
	@echo "make bench-first-capture  what the first capture of a backend costs, in time and memory"
	@echo "make bench-capture        what capture costs the checkout, against triggers written by hand"
	@echo "make bench-delivery       speed and cost of delivery, against other queues and the limit; QUICK=1 in minutes"
	@echo "make bench-versions BASE=<commit>   capture and delivery against those of another commit, taking turns"
	@echo "make install      build the extension and install it into the Postgres of pg_config"

demo:
	@KEEP=$(KEEP) ORDERS=$(ORDERS) PLATFORMS=$(PLATFORMS) scripts/demo.sh

demo-stop:
	@scripts/demo.sh stop

test:
	@scripts/test.sh

fuzz:
	@FUZZ_SECONDS=$(or $(SECONDS),60) cargo test -q -p capi-core --release --test fuzz --test hostile_answers
	@cargo test -q -p capi-core --test properties --test traps --test meta_orders
	@PROPTEST_CASES=2000 cargo test -q -p capi-sidecar --test hostile_outside
	@. scripts/setup.sh && setup_machine && install_extension && CAPI_SEARCH_SECONDS=$(or $(SECONDS),60) CAPI_SEARCH_SEED=$(SEED) \
		cargo test -q -p capi-tests --test main -- schema_changes:: hostile_arguments:: --nocapture --test-threads=1

torture:
	@. scripts/setup.sh && setup_machine && install_extension && CAPI_TORTURE_SECONDS=$(SECONDS) CAPI_TORTURE_SEED=$(SEED) \
		cargo test -q -p capi-tests --test main torture:: -- --nocapture

fault-table:
	@. scripts/setup.sh && setup_machine && install_extension && CAPI_FAULT_TABLE=$$PWD/docs/internals/faults.md \
		cargo test -q -p capi-tests --test main faults::the_table

fault-matrix:
	@. scripts/setup.sh && setup_machine && install_extension && build_sidecar && CAPI_FAULT_MATRIX=$$PWD/docs/internals/fault-matrix.md \
		CAPI_FAULT_MINUTES=$(MINUTES) cargo test -q -p capi-tests --test main fault_matrix:: -- --nocapture

lint:
	@scripts/lint.sh

fmt:
	cargo fmt --all

install:
	@. scripts/setup.sh && setup_machine && install_extension

bench-digest:
	@bench/digest.sh

bench-first-capture:
	@bench/first_capture.sh

bench-capture:
	@bench/capture.sh

bench-delivery:
	@bench/delivery.sh

bench-versions:
	@BASE=$(BASE) PAIRS=$(PAIRS) bench/versions.sh
