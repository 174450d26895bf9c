# Developer commands. `make demo` and `make test` set up all they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Peers of the streaming benchmark. Some ask for older versions of what is here, so that what they need is named.
PEERS := braceexpand bracex brotli catalogue cramjam deprecation filetype lark lightning-utilities litdata megatron-energon \
	mfusepy mosaicml-streaming multi-storage-client obstore opentelemetry-api opentelemetry-exporter-otlp-proto-common \
	opentelemetry-exporter-otlp-proto-http opentelemetry-proto opentelemetry-sdk opentelemetry-semantic-conventions \
	python-snappy rapidyaml tifffile torchvision wcmatch webdataset xattr zstd
RUST := Cargo.toml Cargo.lock rust_core/Cargo.toml $(shell find rust_core/src -name '*.rs')

.PHONY: help demo test check bench fuzz clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: .venv/training  ## make data, compile, verify, compare and stream releases, fine-tune a tiny model
	$(BIN)/python recipes/quickstart/demo.py

test: .venv/developer  ## all tests but the slow ones
	$(BIN)/python -m pytest -n auto

check: .venv/developer  ## format, lint, types, layers, and the Rust core's own tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo fmt --check
	cargo clippy --quiet --all-targets --features python -- -D warnings
	cargo test --quiet

bench: .venv/bench  ## measure this beside its peers (half an hour, 25 GB); writes build/bench.json
	$(BIN)/python -m tests.bench

MINUTES ?= 10
fuzz: .venv/developer  ## look for inputs that break what must hold, for MINUTES=10 minutes with a new SEED
	@export FUZZ_SEED=$${SEED:-$$(date +%s)} FUZZ_SECONDS=$$(( $(MINUTES) * 60 )); echo "SEED=$$FUZZ_SEED"; \
	cargo test --quiet --test fuzz -- --nocapture & core=$$!; \
	$(BIN)/python -m pytest -q -n 3 tests/fuzz; found=$$?; wait $$core && exit $$found

clean:  ## remove what can be made again
	rm -rf .venv target recipe_compiler/*.so .hypothesis .pytest_cache .mypy_cache .ruff_cache
	rm -rf build/bench-data build/bench.json
	rm -rf recipes/quickstart/data recipes/quickstart/build recipes/quickstart/.recipe

.venv/base: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) maturin
	$(PIP) --no-build-isolation --editable '.[images]'
	@touch $@

.venv/built: .venv/base $(RUST)
	PATH="$(CURDIR)/$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/maturin develop --quiet --release --skip-install
	@touch $@

# PyTorch comes first and by itself, so that a CPU build is kept where one was offered.
.venv/training: .venv/built
	$(PIP) torch
	$(PIP) --no-build-isolation --editable '.[train]'
	@touch $@

.venv/developer: .venv/training
	$(PIP) --no-build-isolation --editable '.[train,trl,remote,video,dev]'
	@touch $@

.venv/bench: .venv/built
	$(PIP) --no-build-isolation --editable '.[bench]'
	$(PIP) --no-deps $(PEERS)
	@touch $@
