# Everything a developer runs. `make demo` and `make test` set up a bare machine by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv

.PHONY: setup demo test check format lint types protos protos-check protos-breaking docs bench bench-peers soak fuzz crashes tampering manifest evaluation false-positives lock clean

setup: $(VENV)/.ready

# uv installs the locked, hashed versions; its own version is the locked one too.
$(VENV)/.ready: requirements.lock build-constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements.lock)"
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --build-constraints build-constraints.txt requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --build-constraints build-constraints.txt --editable .
	touch $@

demo: setup
	$(BIN)/gerbang demo

# A part of a test's time is waiting: three at once on two cores. In the order of tests/conftest.py, longest files first: by number of
# tests, they would come last, and alone.
TEST_PROCESSES ?= 3
test: setup
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: lint types protos-check protos-breaking

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

types: setup
	$(BIN)/mypy

# Generated code is never edited; protos-check regenerates it and compares.
STUBS ?= clients
protos: setup
	$(BIN)/python -m grpc_tools.protoc -I protos \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=$(STUBS) --grpc_python_out=$(STUBS) --mypy_out=$(STUBS) --mypy_grpc_out=$(STUBS) \
	  $$(cd protos && find gerbang -name '*.proto' | LC_ALL=C sort)

protos-check: setup
	rm -rf build/stubs && mkdir -p build/stubs
	$(MAKE) --no-print-directory protos STUBS=build/stubs
	diff -r -x __pycache__ -x __init__.py build/stubs/gerbang/v1 clients/gerbang/v1

# What was published once stays: compared with the last tag or, before there is one, with the protos as they came first.
# A shallow clone knows neither.
protos-breaking: setup
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null); \
	if [ -n "$$tag" ]; then base=$$(git rev-parse "$$tag^{commit}"); \
	elif [ "$$(git rev-parse --is-shallow-repository)" = false ]; then \
	  base=$$(git log --reverse --format=%H -- protos/gerbang | head -n 1); \
	fi; \
	if [ -z "$$base" ]; then echo "protos-breaking: no history here to compare with"; exit; fi; \
	echo "protos-breaking: against $${tag:-$$base}"; \
	$(BIN)/buf breaking --against ".git#ref=$$base"

docs: setup
	$(BIN)/python -m gerbang_service.cli.settings_page > docs/configuration.md

# Speed and recall: minutes to an hour. Figures and plots go to benchmarks/results.
bench: setup
	$(BIN)/python -m benchmarks.recall --gallery facelike --size 10000 --probes 2000
	$(BIN)/python -m benchmarks.recall --gallery facelike --size 100000
	$(BIN)/python -m benchmarks.recall --gallery isotropic --size 100000 --probes 2000 --quick
	$(BIN)/python -m benchmarks.recall --gallery real --size 200000 --thin-only
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m benchmarks.unary
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.images --json benchmarks/results/images.json
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.secured

# Beside other vector searches; installs their packages into environments of their own. An hour or two at first.
bench-peers: setup
	$(BIN)/python -m benchmarks.peers

# Long checks: 100,000 people enrolled one by one under load; a day at the airport; fifty times the model test.
soak: setup
	$(BIN)/python -m benchmarks.gate_day --minutes 10 --travellers 150000
	$(BIN)/python -m benchmarks.fresh --templates 100000
	GERBANG_TEST_EFFORT=50 $(BIN)/python -m pytest --timeout 3600 tests/gallery/test_model.py

# Coverage-guided fuzzing, a minute of each target (FUZZ_SECONDS=3600: an hour). Inputs that are findings, and corpora
# that grow from run to run, are below build/fuzz.
FUZZ_TARGETS := image_bytes image_pipeline template_bytes request_bytes access_text
fuzz: setup $(addprefix fuzz-,$(FUZZ_TARGETS))
fuzz-%: setup
	PYTHONPATH=.:tests $(BIN)/python -m fuzz.$*

# The real pack on 300 wanted people and 600 strangers, against InsightFace's own embeddings; needs GERBANG_TEST_PACK and
# GERBANG_TEST_FACES.
evaluation: setup
	GERBANG_TEST_EFFORT=3 $(BIN)/python -m pytest --timeout 600 tests/real

# How many strangers are stopped by lists of 300 to 3,000, beside the target; needs the same. The table of
# docs/quality.md.
false-positives: setup
	$(BIN)/python -m benchmarks.false_positives

# A server killed under load, again and again: every promise is checked each time. SEED=n repeats one.
KILLS ?= 300
crashes: setup
	PYTHONPATH=.:tests $(BIN)/python -m crash.harness --kills $(KILLS) $(if $(SEED),--seed $(SEED))
	PYTHONPATH=.:tests $(BIN)/python -m crash.harness --kills $$(($(KILLS) / 5)) --workers 2 $(if $(SEED),--seed $(SEED))

# A byte of a membership, a threshold or a token changed in the database, by hand or by SQL: each has to be found.
PLACES ?= 200
tampering: setup
	PYTHONPATH=.:tests $(BIN)/python -m store.tampering --places $(PLACES) $(if $(SEED),--seed $(SEED))

# A manifest of 10,000 rows, killed five times, command and server in turn: each row is enrolled exactly once. Some minutes.
manifest: setup
	PYTHONPATH=.:tests $(BIN)/python -m crash.manifest --rows 10000 --kills 5 $(if $(SEED),--seed $(SEED))

lock:
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade \
	  --custom-compile-command 'make lock' --all-extras pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --extra service --constraints requirements.lock pyproject.toml \
	  --output-file service.lock

clean:
	rm -rf $(VENV) build dist
