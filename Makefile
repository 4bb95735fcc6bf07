# Everything runs in .venv, which `make env` makes. `make demo` and `make test` need nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
BENCH_STAMP := $(VENV)/.bench-ready

# Local Spark: the workers run this environment's Python, and nothing listens on the network.
export PYSPARK_PYTHON := $(abspath $(BIN)/python)
export PYSPARK_DRIVER_PYTHON := $(PYSPARK_PYTHON)
export SPARK_LOCAL_IP := 127.0.0.1
# An installation of Spark on this machine must not shadow the one in .venv.
unexport SPARK_HOME

.PHONY: env demo test test-slow test-exhaustive test-cpus lint check-java bench docs wheel zip dist smoke oldest connect-env connect-test slices notebooks cluster-env cluster-test leaks matrix clean

env: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "spark_fm needs Python 3.10 or newer, found " + sys.version.split()[0] + ": install one and run make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install it (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check-java: $(STAMP)
	@$(BIN)/python -m spark_fm.environment

# Less than two minutes of small Spark jobs: what the JVM's second compiler would gain it never earns back. First the
# jobs on generated ratings, then output/demo.html, from raw events to recommendations with reasons.
demo: check-java
	@$(BIN)/spark-submit --master 'local[2]' --driver-java-options -XX:TieredStopAtLevel=1 jobs/train.py --config conf/quickstart.toml
	@PYSPARK_SUBMIT_ARGS='$(LOCAL)' $(BIN)/python -m demo

# Each of the JOBS has a Spark of its own, of two cores: most of the time they wait for it.
JOBS ?= 3

test: check-java
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 20 -m 'not slow and not exhaustive'

# The same tests with the kernels that BLAS and numba choose on other processors, and with one thread and two: what is
# equal to the last bit on one machine only must not be asserted as such. SkylakeX needs AVX-512, and falls back without.
CPUS ?= Haswell:2 Zen:1 SkylakeX:2 Prescott:1:generic

test-cpus: check-java
	@set -e; for cpu in $(CPUS); do set -- $$(echo $$cpu | tr : ' '); echo "$$cpu"; \
		env OPENBLAS_CORETYPE=$$1 OPENBLAS_NUM_THREADS=$$2 NUMBA_NUM_THREADS=$$2 $${3:+NUMBA_CPU_NAME=$$3} \
		$(MAKE) --no-print-directory test; done

# All ways of damage, hundreds of odd fits and configs, leaks, the other notebooks: about half an hour.
test-exhaustive: check-java
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m exhaustive

# Ctrl-C in each phase of a fit, and a package that the workers have from a zip only.
test-slow: check-java
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

# About a quarter of an hour on two cores; results go to benchmarks/results. DATA=folder with ml-latest-small and a9a
# measures on these too; SETS="ctr-2M context-2M" on others (benchmarks/sets.py), ROWS="0.4M 2M 10M" the cost of more rows.
SETS ?= sample context-100k $(if $(DATA),ml-latest-small a9a)
ROWS ?= 0.4M

bench: check-java $(BENCH_STAMP)
	$(BIN)/python -m benchmarks.kernel
	$(BIN)/python -m benchmarks.quality --sets $(SETS) $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.partitions --sets $(SETS) $(if $(DATA),--data $(DATA)) --partitions 1 4 16 --epochs 10
	$(BIN)/python -m benchmarks.defaults --sets $(SETS) $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.scale --rows $(ROWS) --features 20 16 24 --factors 16 8 32 --partitions 0 4 16

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# What is written from other files: getters, setters and constructors from base/params.py, the tables and charts of
# README.md and docs/ from benchmarks/results and the params; then the examples of README.md and docs/explain.md.
docs: check-java
	$(BIN)/python -m benchmarks.params
	$(BIN)/python -m benchmarks.readme
	$(BIN)/python -m benchmarks.examples

# spark_fm for spark-submit --py-files, which takes no wheel: a zip with the package at its root.
zip: wheel
	cp dist/wheel/spark_fm-*.whl dist/spark_fm-$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' spark_fm/__init__.py).zip
	@ls dist/*.zip

wheel:
	rm -rf dist
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist/wheel .

# What the ordinary tests can't try: these make environments of their own in .places and run the wheel.
SMOKE := $(CURDIR)/tests/places/smoke.py
LOCAL := --master local[2] --conf spark.ui.enabled=false --driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell

# What goes to PyPI: wheel and sdist, each installed into a fresh environment and tried outside this folder. Another
# Python than yours: DIST_PYTHON=python3.13.
DIST_PYTHON ?= $(PYTHON)

dist:
	rm -rf dist
	$(DIST_PYTHON) -m venv --clear .places/build
	.places/build/bin/python -m pip install --quiet --disable-pip-version-check build twine
	.places/build/bin/python -m build --outdir dist .
	.places/build/bin/python -m twine check --strict dist/*
	$(MAKE) --no-print-directory smoke FILE=$(CURDIR)/$$(ls dist/*.whl)
	$(MAKE) --no-print-directory smoke FILE=$(CURDIR)/$$(ls dist/*.tar.gz)
	@ls -l dist

# FILE runs in a new environment and a new folder, both outside this one, and is what is imported there.
smoke:
	@set -eu; here=$$(mktemp -d); trap 'rm -rf "$$here"' EXIT; unset PYTHONPATH; \
	$(DIST_PYTHON) -m venv "$$here/env"; \
	"$$here/env/bin/python" -m pip install --quiet --disable-pip-version-check '$(FILE)[spark]'; \
	cp $(SMOKE) "$$here/smoke.py"; cd "$$here"; \
	env/bin/python -c 'import pathlib, sys, spark_fm; at = pathlib.Path(spark_fm.__file__).parent; \
	assert at.is_relative_to(sys.prefix) and (at / "py.typed").is_file(), at'; \
	PYSPARK_PYTHON="$$here/env/bin/python" PYSPARK_DRIVER_PYTHON="$$here/env/bin/python" \
	PYSPARK_SUBMIT_ARGS='$(LOCAL)' env/bin/python smoke.py

# The oldest packages (tests/places/oldest.txt), which are those of Databricks 15.4 LTS; it has Python 3.11.
OLDEST_PYTHON ?= python3.11
OLDEST := .places/oldest/bin

oldest: wheel
	$(OLDEST_PYTHON) -m venv --clear .places/oldest
	$(OLDEST)/python -m pip install --quiet --disable-pip-version-check --requirement tests/places/oldest.txt
	$(OLDEST)/python -m pip freeze | sort > .places/before
	$(OLDEST)/python -m pip install --quiet --disable-pip-version-check dist/wheel/spark_fm-*.whl
	@# Nothing but spark_fm may have come or changed.
	$(OLDEST)/python -m pip freeze | grep -v '^spark.fm' | sort | diff .places/before -
	cd .places && PYSPARK_PYTHON=$(abspath $(OLDEST)/python) PYSPARK_DRIVER_PYTHON=$(abspath $(OLDEST)/python) \
		PYSPARK_SUBMIT_ARGS='$(LOCAL)' $(abspath $(OLDEST)/python) $(SMOKE)

# A Spark Connect server, and as its clients the same pyspark and the newest pyspark-client.
CONNECT := .places/connect/bin
CLIENT := .places/client/bin

# The same tests on two executors that are processes, on the server, and there with what serverless compute refuses.
PLACE_PACKAGES := pytest pytest-timeout hypothesis

connect-env: wheel
	$(PYTHON) -m venv --clear .places/connect
	$(CONNECT)/python -m pip install --quiet --disable-pip-version-check 'pyspark[connect]==4.3.*' $(PLACE_PACKAGES) \
		ipython matplotlib psutil dist/wheel/spark_fm-*.whl

connect-test: connect-env
	$(PYTHON) -m venv --clear .places/client
	$(CLIENT)/python -m pip install --quiet --disable-pip-version-check pyspark-client $(PLACE_PACKAGES) dist/wheel/spark_fm-*.whl
	cd .places && $(abspath $(CONNECT)/python) $(CURDIR)/tests/places/connect.py $(abspath $(CLIENT)/python)

# What each change should pass: what differs on Spark Connect, with the refusals of serverless compute; a notebook there;
# a killed executor on a standalone cluster.
slices: connect-env
	rm -rf .places/kills-run
	cd .places && $(abspath $(CONNECT)/python) $(CURDIR)/tests/places/connect.py --slice
	cd tests/places && $(abspath $(CONNECT)/python) kills.py $(CURDIR)/.places/kills-run --times 1 --kinds executor --fits rounds

# The notebooks on classic Spark, from where they are written with their outputs to INTO, and on a Spark Connect server.
# NAMES="1_ratings 4_mlflow" runs some.
NOTEBOOKS := $(abspath .places/notebooks/bin/python)
NAMES ?=
INTO ?= notebooks/rendered
RUN_NOTEBOOKS = PYSPARK_PYTHON=$(NOTEBOOKS) PYSPARK_DRIVER_PYTHON=$(NOTEBOOKS) \
	PYSPARK_SUBMIT_ARGS='--conf spark.sql.shuffle.partitions=2 $(LOCAL)' $(NOTEBOOKS) -m benchmarks.notebooks $(NAMES)

notebooks:
	$(PYTHON) -m venv .places/notebooks
	$(NOTEBOOKS) -m pip install --quiet --disable-pip-version-check --editable '.[mlflow]' 'pyspark[connect]==4.3.*' \
		ipykernel nbclient nbformat
	$(RUN_NOTEBOOKS) --into $(INTO)
	$(RUN_NOTEBOOKS) --connect

# A standalone cluster of this machine, a master and two workers. The jobs run there with spark_fm installed on the
# workers, in a packed environment, and as a zip; the models must be those of local[2].
STANDALONE := .places/cluster/bin
BARE := .places/bare/bin

cluster-env: zip
	rm -rf .places/cluster .places/bare .places/environment.tar.gz
	$(PYTHON) -m venv .places/cluster
	$(PYTHON) -m venv .places/bare
	$(STANDALONE)/python -m pip install --quiet --disable-pip-version-check 'pyspark==4.3.*' psutil venv-pack dist/wheel/spark_fm-*.whl
	$(BARE)/python -m pip install --quiet --disable-pip-version-check 'pyspark==4.3.*' numpy numba pandas pyarrow tqdm
	$(STANDALONE)/venv-pack --quiet --prefix .places/cluster --output .places/environment.tar.gz

cluster-test: cluster-env
	rm -rf .places/cluster-run .places/kills-run
	cd tests/places && $(abspath $(STANDALONE)/python) cluster.py $(CURDIR)/.places/cluster-run \
		--archive $(CURDIR)/.places/environment.tar.gz --zip $$(ls $(CURDIR)/dist/*.zip) --bare $(abspath $(BARE)/python)
	cd tests/places && $(abspath $(STANDALONE)/python) kills.py $(CURDIR)/.places/kills-run --times $(KILLS) $(TABLE)

# How often each kind of process is killed in each of the four kinds of fit. TABLE="--table FILE" keeps what became of them.
KILLS ?= 3

# What FITS fits in one session leave behind, in the driver, the JVM, the workers and on disk. TABLE="--table FILE" keeps it.
FITS ?= 50

leaks: check-java
	$(BIN)/python -m tests.places.leaks --fits $(FITS) $(TABLE)

# The versions of Spark and Python (noxfile.py), which must be installed; a model that one saves loads in all.
# MATRIX="-s lowest 'smoke(python=\'3.13\', pyspark=\'4.3\')'" runs some.
matrix: wheel
	rm -rf .places/models
	$(PYTHON) -m venv .places/nox
	.places/nox/bin/python -m pip install --quiet --disable-pip-version-check nox
	.places/nox/bin/nox --envdir .places/nox-envs $(MATRIX)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .places dist output
