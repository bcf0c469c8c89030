# What a developer runs. `make demo` and `make test` set everything up by themselves, once.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench docs clean

# The first supported Python found; `make demo PYTHON=python3.12` chooses another.
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
# On Linux PyPI's torch brings CUDA. For the small CPU build:
#   make demo TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PLUGINS := plugins/callbacks plugins/dqn plugins/sb3 plugins/cleanrl plugins/dask plugins/slurm plugins/tune
PROJECTS := pyproject.toml constraints.txt $(addsuffix /pyproject.toml,$(PLUGINS))
# Many processes that each take all cores slow each other down many times over.
export OMP_NUM_THREADS ?= 1
# The tests start thousands of processes; where this is set, each of them compiles all of rlctl again.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo      set up, train CleanRL's PPO on CartPole, say where the results are"
	@echo "make test      set up, run the tests (make test-all: the slow ones as well)"
	@echo "make check     format, lint, types, import contracts, fast tests"
	@echo "make format    format and fix what can be fixed"
	@echo "make bench     measure rlctl against running by hand and against its peers; history in benchmarks/results/"
	@echo "make docs      regenerate the generated parts of docs/"
	@echo "make clean     remove the virtual environment and caches"

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "rlctl needs Python 3.10 to 3.13; none was found" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

# torch first and exactly: anything looser may replace it with a build of several gigabytes.
$(VENV)/.run: $(VENV)/.made $(PROJECTS)
	@echo "Installing rlctl and its plugins into $(VENV) (once, some minutes)"
	@$(PIP) install $(TORCH_ARGS) --constraint constraints.txt torch==2.13.0
	@$(PIP) install --constraint constraints.txt --editable . $(foreach p,$(PLUGINS),--editable $(p))
	@$(PIP) install --constraint constraints.txt google-crc32c tensorboard matplotlib
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing the development tools into $(VENV) (once)"
	@$(PIP) install --constraint constraints.txt ale-py hatchling hypothesis import-linter interrogate mypy \
		pytest pytest-timeout pytest-xdist ruff sb3-contrib \
		imageio imageio-ffmpeg minigrid mujoco pygame-ce box2d onnx onnxruntime onnxscript opencv-python-headless \
		"minari[hdf5]" mlflow-skinny wandb s3fs "moto[s3]" flask flask-cors
	@touch $@

demo: $(VENV)/.run
	@$(BIN)/rlctl run --worker cleanrl
	@echo
	@$(BIN)/rlctl runs show @latest
	@echo
	@echo "The results are in the directory above: episodes.jsonl, metrics.jsonl, result.json and more."
	@echo "Look again:     $(BIN)/rlctl runs show @latest"
	@echo "Train another:  $(BIN)/rlctl run sb3/sac Pendulum-v1"
	@echo "What there is:  $(BIN)/rlctl workers list"

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" -q $(TEST_ARGS)

test-all: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile -q $(TEST_ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" -q tests/core tests/architecture $(TEST_ARGS)

format: $(VENV)/.dev
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

docs: $(VENV)/.dev
	@$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
