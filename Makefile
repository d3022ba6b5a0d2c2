# Nothing but Python 3.11 or later is needed: the first call makes .venv and installs into it.
PYTHON ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile -c constraints-dev.txt
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

export TOKENIZERS_PARALLELISM = false

.PHONY: demo test test-python test-slow test-ui test-ui-where-npm-is ui bench sweep study truth lint check clean

demo: $(VENV)/.installed  ## explain an NLI pair, a film-review sentence and an answer from documents
	$(BIN)/attattr explain "A woman is playing the violin on a crowded street." "Nobody is making music."
	$(BIN)/attattr explain "The plot is thin, but the two leads are so charming that I left smiling."
	$(BIN)/attattr generate --chat examples/ask.json --model facts

test: $(VENV)/.installed-dev  ## the tests, without the slow ones, in as many processes as there are cores (up to 4)
	$(MAKE) --no-print-directory test-python test-ui-where-npm-is

test-python: $(VENV)/.installed-dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal

test-ui-where-npm-is:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory test-ui; \
	else echo "left out: tests of the page's script (they need Node 20 and npm)"; fi

test-ui: ui/node_modules/.installed  ## tests of the page's script, and whether its bundle is fresh
	cd ui && npm test

ui: ui/node_modules/.installed $(VENV)/.installed  ## the page's script, from ui/ into the package
	$(BIN)/python -m attattr.page.data > ui/schema.json
	cd ui && npm run build

test-slow: $(VENV)/.installed-dev  ## only the slow tests
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow

bench: $(VENV)/.installed-dev  ## timings beside what else there is: docs/benchmarks.md (an hour)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py

sweep: $(VENV)/.installed-dev  ## every model type of transformers: docs/models.md (ten minutes; goes on)
	mkdir -p build
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python tests/sweep.py --json build/sweep.json --table docs/models.md

study: $(VENV)/.installed-dev  ## the paper's claims measured: docs/study.md (hours; resumes; PARTS=1,3 for some)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python experiments/study.py $(if $(PARTS),--parts $(PARTS))

truth: $(VENV)/.installed-dev  ## methods against known truth: docs/truth.md (hours; resumes; PARTS=compiled or planted for one)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python experiments/truth.py $(if $(PARTS),--parts $(PARTS))

lint: $(VENV)/.installed-dev  ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: $(VENV)/.installed-dev  ## all that a change has to pass: lint and the tests; what waits for a core is done beside
	$(MAKE) --no-print-directory --jobs 2 $(SYNC) lint test-ui-where-npm-is
	$(MAKE) --no-print-directory test-python

clean:
	rm -rf $(VENV) ui/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

ui/node_modules/.installed: ui/package.json ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund
	touch $@

# in one call of pip; bytecode afterwards, by all cores (some files are templates: what fails is left out)
$(VENV)/.installed-dev: EXTRA := [dev]
$(VENV)/.installed $(VENV)/.installed-dev: pyproject.toml constraints-dev.txt
	@echo "installing into $(VENV) (once; a few minutes)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e ".$(EXTRA)"
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $(VENV)/.installed $@
