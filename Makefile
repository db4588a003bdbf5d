# p2pchat: every target sets up what it needs and does nothing the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JS := tests/interop/js
NODE := $(JS)/node_modules/.bin/node
CHROMIUM ?= /usr/bin/chromium
export CHROMIUM
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
GO := tests/interop/go
PY := tests/interop/py
POSTING := bench/.posting

.PHONY: run relay test check interop netlab attack autobahn packages fuzz bench screenshots lock clean

run: $(VENV)/.run ## set up, then open the chat
	@$(BIN)/p2pchat $(ARGS)

relay: $(VENV)/.run ## set up, then run a relay
	@$(BIN)/p2pchat-relay $(ARGS)

test: $(VENV)/.dev ## set up, then run the tests that need nothing but Python
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 $(ARGS)

check: $(VENV)/.dev ## lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

interop: $(VENV)/.dev $(JS)/node_modules/.ready $(GO)/peer $(PY)/.venv/.ready | $(CHROMIUM) ## tests against js, go and py
	$(BIN)/python -m pytest -m "interop or browser" tests/interop tests/conformance $(ARGS)

netlab: $(VENV)/.dev $(JS)/node_modules/.ready ## tests behind NATs and on bad lines, where network namespaces are allowed
	$(BIN)/python -m tests.netlab $(ARGS)

attack: $(VENV)/.dev ## what strangers may try, while two friends talk
	$(BIN)/python -m pytest -m attack tests/attack --numprocesses auto --maxprocesses 4 $(ARGS)

autobahn: $(VENV)/.dev ## the cases of Autobahn against our WebSocket listener, where there is a Python 2.7
	$(BIN)/python -m tests.conformance.autobahn $(ARGS)

packages: $(VENV)/.dev ## install the wheel and what is locked for it into every Python there is
	$(BIN)/python -m pytest -m interop tests/packaging $(ARGS)

fuzz: $(VENV)/.fuzz ## give every parser and machine ten million inputs each, for four minutes at most
	$(BIN)/python fuzz/run.py --seconds 240 $(ARGS)

bench: $(VENV)/.dev $(JS)/node_modules/.ready $(GO)/peer $(PY)/.venv/.ready $(POSTING)/.ready ## measure beside others; writes docs/performance.md
	$(BIN)/python bench/report.py $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "p2pchat needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The project itself is installed last and without dependencies, so that only what the lock names is ever fetched.
$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.fuzz: fuzz/requirements.lock $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r fuzz/requirements.lock
	@touch $@

$(JS)/node_modules/.ready: $(JS)/package-lock.json
	cd $(JS) && npm ci --no-audit --no-fund --loglevel=error
	@test -x $(NODE) || { echo "Node 24 was not installed by npm" >&2; exit 1; }
	@touch $@

$(CHROMIUM):
	@command -v apt-get >/dev/null || { echo "install Chromium and name it with: make CHROMIUM=/path/to/chromium interop" >&2; exit 1; }
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

# Without go, or without what py-libp2p is compiled with, their tests are skipped and say so.
$(GO)/peer: $(GO)/main.go $(GO)/go.mod $(GO)/go.sum
	@if command -v go >/dev/null; then cd $(GO) && go build -mod=readonly -o peer .; \
	  else echo "go is not installed: the tests with go-libp2p will be skipped" >&2; fi

$(PY)/.venv/.ready: $(PY)/requirements.lock
	$(PYTHON) -m venv $(PY)/.venv
	@if $(PY)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r $(PY)/requirements.lock; then touch $@; \
	  else echo "py-libp2p was not installed (it needs gcc and gmp.h): its tests will be skipped" >&2; \
	    rm -rf $(PY)/.venv; fi

# Without it, the start is measured beside nobody and says so.
$(POSTING)/.ready: bench/requirements.lock
	$(PYTHON) -m venv $(POSTING)
	@if $(POSTING)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r bench/requirements.lock; then touch $@; \
	  else echo "posting was not installed: nothing will be measured beside it" >&2; rm -rf $(POSTING); fi

screenshots: $(VENV)/.dev ## render the pictures of the README from the real program
	$(BIN)/python screenshots/make.py

lock: $(VENV)/.dev ## renew the lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file requirements.lock pyproject.toml requirements.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file requirements-dev.lock --constraint requirements.lock --group dev
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file requirements-relay.lock --constraint requirements.lock --group relay
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file $(PY)/requirements.lock $(PY)/requirements.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file fuzz/requirements.lock fuzz/requirements.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --output-file bench/requirements.lock bench/requirements.in

clean:
	rm -rf $(VENV) $(JS)/node_modules $(GO)/peer $(PY)/.venv $(POSTING) .mypy_cache .ruff_cache .pytest_cache .hypothesis
