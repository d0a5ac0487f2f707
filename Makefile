# Leverframe: `make help` lists the targets. Each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE ?= 1

.DEFAULT_GOAL := help
.PHONY: release chart sbom ratios experiment regret guard help setup fmt lint types test drills soak kafka-versions fuzz bench docs site demo ci schemas pins wheel clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "==> setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m compileall -qq -j 0 -x 'bad_syntax|badsyntax|lib2to3|/tests?/' $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || true
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup: $(STAMP) ## Create the virtual environment from the hashed requirements

fmt: $(STAMP) ## Format and fix what can be fixed by itself
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(STAMP) ## Ruff, docstrings against code, import directions
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/flake8 schemas policies serving
	$(BIN)/lint-imports --no-cache

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

# The brokers of tests live for minutes at most: Java's second compiler costs them more than it gains.
test: $(STAMP) ## All tests, on a real broker (started and stopped by the tests)
	JDK_JAVA_OPTIONS="$${JDK_JAVA_OPTIONS--XX:TieredStopAtLevel=1}" OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not drill" -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

drills: $(STAMP) ## Failure drills, their table and verdict (minutes; FULL=1: hours, over 5 million labels; ARGS="zombie --seed 2")
	PYTHONPATH=.:tests/support $(BIN)/python -m drills --json drills-output/drills.json $(ARGS)

kafka-versions: $(STAMP) ## The job on Kafka 3.7 to 4.3: the tests that meet the broker most, short drills (ARGS="3.7.2 4.0.1")
	PYTHONPATH=.:tests/support $(BIN)/python -m drills.kafka_versions $(ARGS)

soak: $(STAMP) ## An hour at a fixed rate: memory, descriptors, disk and lag stay flat (ARGS="--minutes 5")
	PYTHONPATH=.:tests/support $(BIN)/python -m drills.soak $(ARGS)

fuzz: $(STAMP) ## Coverage-guided fuzzing of every decoder (ARGS="--seconds 300")
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	PYTHONPATH=.:tests/support $(BIN)/python -m drills.fuzz $(ARGS)

bench: $(STAMP) ## Throughput beside Kafka Streams, Quix, Bytewax, Faust and the ceilings (ARGS=--quick for a short form)
	$(BIN)/python -m bench $(ARGS)

docs: $(STAMP) ## Regenerate JSON Schemas, AsyncAPI, the generated tables, the chart's copies
	$(BIN)/python -m leverframe.agents.cli.main schemas write
	$(BIN)/python docs/generate_settings.py
	$(BIN)/python docs/generate_catalogue.py
	$(BIN)/python docs/generate_rollout.py
	PYTHONPATH=. $(BIN)/python docker/helm/generate.py

chart: $(STAMP) ## Lint the Helm chart, check and pin what its examples render to (builds Helm by Go where there is none)
	PYTHONPATH=. $(BIN)/python docker/helm/generate.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/golden/test_chart.py

sbom: $(STAMP) ## What the image holds, with versions and licences, as CycloneDX: build/sbom.cdx.json
	@rm -rf build/image build/sbom && $(PYTHON) -m venv --without-pip build/image && $(PYTHON) -m venv build/sbom
	$(BIN)/pip --python build/image/bin/python install --quiet --require-hashes -r requirements/worker.txt
	$(BIN)/pip --python build/image/bin/python install --quiet --no-deps .
	build/sbom/bin/pip install --quiet --require-hashes -r requirements/sbom.txt
	build/sbom/bin/cyclonedx-py environment --mc-type application --pyproject pyproject.toml --output-reproducible -o build/sbom.cdx.json build/image/bin/python
	@rm -rf build/image build/sbom

release: $(STAMP) sbom ## All files of a release, in build/release-VERSION (ARGS=--rehearse builds in spite of what is not ready)
	PYTHONPATH=. $(BIN)/python -m release --sbom build/sbom.cdx.json $(ARGS)

site: $(STAMP) ## The documentation as pages: build/site/index.html, links checked
	$(BIN)/sphinx-build -q -E -W --keep-going -n -d build/doctrees -c docs . build/site
	$(BIN)/python docs/check_site.py build/site

demo: $(STAMP) ## The whole loop on this machine: broker, worker, models, rollback
	$(BIN)/leverframe demo $(ARGS)

experiment: $(STAMP) ## Compare all strategies on four data sets (ARGS=--quick for a short form)
	$(BIN)/leverframe experiment run $(ARGS)

regret: $(STAMP) ## Regret beside the Lai-Robbins bound, and recovery after a change
	$(BIN)/python -m bench.regret $(ARGS)

guard: $(STAMP) ## False alarms of the guard and its waits, into docs/guard.md (minutes; ARGS=--json FILE)
	$(BIN)/python -m bench.guard.probation --write
	$(BIN)/python -m bench.guard.metrics --write
	$(BIN)/python -m bench.guard --write $(ARGS)

wheel: $(STAMP) ## Build the wheel; install it elsewhere, beside others, and the client alone
	$(BIN)/python -m pytest tests/packaging

pins: ## Recompile requirements/*.txt from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -o requirements/dev.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra worker --extra gateway --extra otel -o requirements/worker.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/worker.txt -o requirements/client.txt pyproject.toml
	echo mlflow==3.17.2 | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/mlflow.txt -
	echo openai-agents==0.3.3 | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-deps -o requirements/beside.txt -
	printf '%s\n' cython hatchling setuptools 'setuptools-scm[toml]' wheel | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --allow-unsafe -o requirements/build.txt -
	echo cyclonedx-bom | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/sbom.txt -

ratios: $(STAMP) ## A short bench: warns where our rate beside Kafka Streams and getmany has moved
	$(BIN)/python -m bench --quick --check

ci: lint ## What .ci/run runs (the tests build the site and check its links)
	+$(MAKE) --jobs 2 types test
	$(MAKE) ratios
	@echo "ci: all green"

clean: ## Remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist demo-output drills-output
