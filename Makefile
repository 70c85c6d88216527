# `make demo` and `make test` need Python 3.11 or newer and nothing else: each makes its own
# environment in .venv. PIP_ARGS is passed to pip; on Linux without a GPU, where PyPI's torch would
# bring CUDA along, a small build comes with
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
NEW = constraints/trl-1.16.txt
OLD = constraints/trl-0.23.txt
TORCH = $(shell grep '^torch==' $(NEW))
# A process a core, each with whole files of tests; files with trainings first (tests/conftest.py), so that both
# end together. `make test WORKERS=0` runs all in one process, in which a debugger works.
WORKERS ?= logical
PYTEST = -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help environments demo test test-compat test-newest test-lowest package lint format docs pictures constraints detection power remedies peers attacks clean

help:  ## list what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

environments: .venv/package-ready .venv-trl-0.23/ready  ## make the environments of the tests; side by side with -j

demo: .venv/ready  ## train a small model by GRPO with rldk attached, and show what was recorded
	.venv/bin/rldk demo

test: .venv/test-ready  ## run the tests
	.venv/bin/python $(PYTEST)

test-compat: .venv-trl-0.23/ready  ## run the compatibility tests on the oldest supported TRL
	.venv-trl-0.23/bin/python $(PYTEST) -m compat

test-newest:  ## run the tests on the newest releases of everything but torch
	test -x .venv-newest/bin/pip || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install -q $(PIP_ARGS) --upgrade pip
	.venv-newest/bin/pip install -q $(PIP_ARGS) --upgrade --upgrade-strategy eager $(TORCH) -e '.[trl]' --group test --group writers
	.venv-newest/bin/python $(PYTEST)

test-lowest: .venv-lowest/ready  ## run the tests that old TRL allows on the lowest versions of pyproject.toml
	.venv-lowest/bin/python $(PYTEST) -m "compat or not training"

package: .venv/package-ready  ## build the wheel and the sdist, and try both without this checkout
	rm -rf dist
	.venv/bin/python -m build -q --no-isolation --outdir dist
	.venv/bin/python -m build -q --no-isolation --outdir dist --wheel examples/rldk_example_plugin
	$(PYTHON) scripts/check_package.py .venv/bin/python $(PIP_ARGS) -c $(NEW)

lint: .venv/lint-ready  ## run ruff, mypy, the import contract and the check of the generated docs and pictures
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python scripts/rule_pictures.py --check
	.venv/bin/python scripts/generate_docs.py --check

format: .venv/lint-ready  ## format the code
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

docs: .venv/ready  ## write the generated pages of docs/
	.venv/bin/python scripts/generate_docs.py

pictures: .venv/test-ready  ## draw the pictures of the docs and the README anew (five minutes)
	for picture in rule_pictures doctor_picture samples_picture checkpoint_picture demo_picture; do .venv/bin/python scripts/$$picture.py || exit 1; done
	.venv/bin/python scripts/generate_docs.py

constraints:  ## write the files of constraints/ with the newest releases of today
	$(PYTHON) scripts/pin_constraints.py $(PIP_ARGS)

detection: .venv/test-ready  ## train the labelled set again (two hours on two cores) and score it
	.venv/bin/python benchmarks/detection/train.py --jobs 2
	.venv/bin/python benchmarks/detection/simulated.py
	.venv/bin/python benchmarks/detection/labels.py
	.venv/bin/python benchmarks/detection/train_wide.py --jobs 2
	.venv/bin/python benchmarks/detection/label_wide.py
	.venv/bin/python benchmarks/detection/score.py --markdown docs/detection.md
	.venv/bin/python benchmarks/detection/train_inside.py --jobs 2
	.venv/bin/python benchmarks/detection/score_inside.py --markdown docs/detection.md

power: .venv/test-ready  ## put faults of known size into healthy logs (five minutes) and write docs/power.md
	.venv/bin/python benchmarks/detection/power.py --page

remedies: .venv/test-ready  ## train ill runs again with the first remedy, where it changed (an hour), and write docs/remedies.md
	.venv/bin/python benchmarks/detection/remedies.py --healthy --treat
	.venv/bin/python benchmarks/detection/remedies.py --treat --fresh --page

peers: .venv/test-ready  ## ask rldoctor, rlprobe and rlwatch about the same runs and compare (five minutes)
	.venv/bin/python benchmarks/detection/peers.py
	.venv/bin/python benchmarks/detection/compare.py --markdown docs/detection.md

attacks: .venv/test-ready .venv-trl-0.23/ready  ## attack trainings on both TRLs (two hours on two cores) and write docs/reliability.md
	.venv/bin/python benchmarks/attacks/all.py --full --python .venv/bin/python --python .venv-trl-0.23/bin/python

clean:  ## remove the environments and what the demo recorded
	rm -rf .venv .venv-trl-0.23 .venv-newest .venv-lowest dist rldk_demo

.venv/ready: pyproject.toml $(NEW)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rldk needs Python 3.11 or newer; name one with: make PYTHON=...")'
	@echo 'installing rldk, TRL and torch into .venv: this takes minutes, once'
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/pip install -q $(PIP_ARGS) -c $(NEW) pip
	.venv/bin/pip install -q $(PIP_ARGS) -c $(NEW) --build-constraint $(NEW) -e '.[trl]'
	touch $@

.venv/test-ready: .venv/ready
	.venv/bin/pip install -q $(PIP_ARGS) -c $(NEW) --group test --group writers
	touch $@

.venv/package-ready: .venv/test-ready
	.venv/bin/pip install -q $(PIP_ARGS) -c $(NEW) --group package
	touch $@

.venv/lint-ready: .venv/ready
	.venv/bin/pip install -q $(PIP_ARGS) -c $(NEW) --group lint
	touch $@

.venv-trl-0.23/ready: pyproject.toml $(OLD)
	test -x .venv-trl-0.23/bin/pip || $(PYTHON) -m venv .venv-trl-0.23
	.venv-trl-0.23/bin/pip install -q $(PIP_ARGS) -c $(OLD) pip
	.venv-trl-0.23/bin/pip install -q $(PIP_ARGS) -c $(OLD) --build-constraint $(OLD) -e '.[trl]' --group test
	touch $@

.venv-lowest/ready: pyproject.toml scripts/floors.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) scripts/floors.py > .venv-lowest/floors.txt
	.venv-lowest/bin/pip install -q $(PIP_ARGS) --upgrade pip
	.venv-lowest/bin/pip install -q $(PIP_ARGS) -c .venv-lowest/floors.txt $(TORCH) -e '.[all]' --group test
	touch $@
