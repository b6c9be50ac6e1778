# Everything a developer and CI type; `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
PROTOS := $(wildcard proto/lottery/v1/*.proto)
# Python compiles a module when it is first imported: most of what is installed never is.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes
# uv takes a fifth of pip's time for the same files; pip may reach an index where uv does not.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes
# A worker that dies ends the run: another one in its place would wait for ever.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
	--max-worker-restart=0 -q
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help demo check test long-test crash-test load-test image-test fuzz lint breaking format proto lock sbom audit bench serve example docs clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name one with PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime: .venv/made locks/build.txt locks/runtime.txt pyproject.toml
	@echo "Installing the locked runtime dependencies into .venv"
	@$(PIP) -r locks/build.txt -r locks/runtime.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/runtime locks/dev.txt
	@echo "Installing the locked development dependencies into .venv"
	@sed -n '/^uv==/,/[^\\]$$/p' locks/dev.txt >.venv/uv.txt
	@$(PIP) -r .venv/uv.txt
	@$(UV) -r locks/dev.txt 2>/dev/null || $(PIP) -r locks/dev.txt
	@touch $@

demo: .venv/runtime  ## Run the example dates through a real server, and replay them.
	@$(BIN)/python -m examples.demo

check: lint  ## Run lint and the tests that are not slow, before each commit.
	@$(PYTEST) -m 'not slow and not long'

test: .venv/dev  ## Run the tests; COVERAGE=1 wants every branch of method, day, ledger and tlog taken.
	@$(PYTEST) -m 'not long' $(if $(COVERAGE),--cov --cov-fail-under=100)

long-test: .venv/dev  ## Run the tests that take minutes: every failing call, 1,000 cuts and days, 100 promotions.
	@$(PYTEST) -m long

crash-test: .venv/dev  ## Kill KILLS (200) processes that record, half on SQLite, half on PostgreSQL and S3.
	@LOTTERY_KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest -q -rP tests/faults/test_crash.py

load-test: .venv/dev  ## Measure how the server bears load, silence and bad callers; LOAD=--quick for a minute.
	@$(BIN)/python -m bench.load $(LOAD)

image-test: .venv/dev  ## Build the image on a bare Debian root, run it hardened, and ask it; as root, minutes.
	@.ci/image

fuzz: .venv/dev  ## Feed each parser changed files for FUZZ_SECONDS (60); FUZZ_SEED=0 for new ones.
	@$(BIN)/python -m fuzz --seconds $(or $(FUZZ_SECONDS),60) --seed $(or $(FUZZ_SEED),1)

lint: .venv/dev  ## Check style, types, import contracts and protos.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/codespell
	@$(BIN)/lint-imports --no-cache | grep -E 'KEPT|BROKEN|Contracts:'
	@cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	@$(MAKE) --no-print-directory breaking

breaking: .venv/dev  ## Check that the protos break no client of the last tag.
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null); \
	if [ -z "$$tag" ]; then echo "buf breaking: skipped, there is no tag to compare with"; else \
	repository=$$(git rev-parse --path-format=absolute --git-common-dir); cd proto && \
	../$(BIN)/buf breaking --against "$$repository#format=git,tag=$$tag,subdir=proto"; fi

format: .venv/dev  ## Format the code and the protos.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@cd proto && ../$(BIN)/buf format --write

proto: .venv/dev  ## Generate lottery/v1 from proto/.
	@rm -f lottery/v1/*_pb2*
	@PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. \
		--mypy_out=quiet:. --grpc_python_out=. --mypy_grpc_out=quiet:. $(PROTOS)

lock: .venv/dev  ## Resolve the dependencies again, for every supported Python.
	@$(COMPILE) locks/build.in -o locks/build.txt
	@$(COMPILE) --upgrade pyproject.toml --extra console --extra objects --extra otel --extra postgres --extra stats --extra webhooks --group dev -o locks/dev.txt
	@$(COMPILE) pyproject.toml --extra console --extra objects --extra otel --extra postgres --extra stats --extra webhooks -c locks/dev.txt -o locks/runtime.txt

sbom: .venv/dev  ## Write what the package is made of to build/sbom.json (CycloneDX), from the locks.
	@mkdir -p build
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json locks/runtime.txt
	@echo "build/sbom.json: $$(grep -c '"purl"' build/sbom.json) packages"

audit: .venv/dev  ## Ask for known vulnerabilities of the locked packages; locks/exceptions.toml has exceptions.
	@$(BIN)/python .ci/audit.py

bench: .venv/dev  ## Time a day and a call against their peers.
	@$(BIN)/python -m bench $(BENCH)

serve: .venv/runtime  ## Serve over gRPC on 127.0.0.1:50051.
	@$(BIN)/lottery serve

example: .venv/dev  ## Write the dates of examples again.
	@$(BIN)/python -m examples.make_day && $(BIN)/python -m examples.make_second_day

docs: .venv/dev  ## Write the generated parts of the documentation again.
	@$(BIN)/python -m docs.generate

clean:  ## Remove what the targets made.
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
