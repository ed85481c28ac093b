# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv and installs what it needs.
# With a GPU, choose your PyTorch build first, for example: make demo TORCH="torch --index-url <the index of your CUDA version>"
PYTHON ?= python3
TORCH ?= torch==2.13.0
OUT ?= demo
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fleet check format clean

demo: $(VENV)/.installed
	$(BIN)/anogen demo --out $(OUT)

# One process more than there are cores, eight at most: tests wait for servers a quarter of the time.
test: $(VENV)/.installed-dev
	cores=$$(getconf _NPROCESSORS_ONLN); OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest \
		-n $$((cores < 7 ? cores + 1 : 8)) --dist loadfile --no-loadscope-reorder

# The services of docker-compose.yml as plain processes, a run of two categories on them, one worker killed on the way;
# then every fault of docs/reliability.md, about 25 minutes.
test-fleet: $(VENV)/.installed-fleet
	$(BIN)/python -m deployments.native_fleet
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest tests/deployments tests/flows
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m fleet tests/faults

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AnoGen needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "The venv module is missing; installing it"; apt-get install -y python3-venv && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

$(VENV)/.installed-fleet: $(VENV)/.installed-dev
	@{ ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; } >/dev/null 2>&1 && command -v redis-server >/dev/null \
		&& command -v faketime >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null \
		|| { echo "PostgreSQL, Redis, faketime or Chromium is missing; installing them"; apt-get update -q \
		&& apt-get install -y --no-install-recommends postgresql redis-server faketime chromium; }
	$(BIN)/python -m pip install --quiet -e '.[dev,fleet]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
