# Everything runs in .venv, which `make env` makes. `make demo` and `make test` need nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Local Spark: the workers run this environment's Python, and nothing listens on the network.
export PYSPARK_PYTHON := $(abspath $(BIN)/python)
export PYSPARK_DRIVER_PYTHON := $(PYSPARK_PYTHON)
export SPARK_LOCAL_IP := 127.0.0.1
# An installation of Spark on this machine must not shadow the one in .venv.
unexport SPARK_HOME

.PHONY: env demo test lint check-java bench clean

env: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "spark_fm needs Python 3.10 or newer, found " + sys.version.split()[0] + ": install one and run make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install it (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check-java: $(STAMP)
	@$(BIN)/python -m spark_fm.environment

# A minute of small Spark jobs: what the JVM's second compiler would gain it never earns back.
demo: check-java
	@$(BIN)/spark-submit --master 'local[2]' --driver-java-options -XX:TieredStopAtLevel=1 jobs/train.py --config conf/quickstart.toml

test: check-java
	$(BIN)/python -m pytest

# DATA=folder with ml-latest-small and a9a measures on these too; results go to benchmarks/results.
bench: check-java
	$(BIN)/python -m benchmarks.kernel
	$(BIN)/python -m benchmarks.quality $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.partitions $(if $(DATA),--data $(DATA),--sets sample)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) output
