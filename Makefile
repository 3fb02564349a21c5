# make run    environment, assets, workflow, results of config.yaml (about ten minutes on two cores)
# make full   the same on more documents (config.full.yaml)
# make groups ten players (runs of three blocks), exact values, all estimators against them (config.groups.yaml)
# make plan   what config.yaml would cost: coalitions, tokens, FLOP, hours (runs nothing)
# make test   environment, lint, all tests
# make bench  speed: the sweep against its peers and the machine's limit, streaming, the workflow (an hour on two cores)
# make bench-gpu         the sweep on a GPU, on random weights in the shapes of Llama3-8B and Mixtral
# make bench-coverage    how often the intervals hold the truth, on simulated games (ten minutes on two cores)
# make bench-estimators  error of every estimator, on simulated games and, after make groups, on a real model
# make lint   style, types, workflow files
# make image  the Apptainer image of the GPU rules (containers/README.md); where there is network and Apptainer
# make clean  what was computed (results, logs, Snakemake's notes); weights and the environment stay
# make lock   pin the environment anew after an edit of envs/*.in

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --quiet host reason --
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
export PYTHONPATH := $(CURDIR)

# One file to send to somebody, made anew when the summary is newer: $(call report,CONFIG FILES,SNAKEMAKE OPTIONS)
define report
folder=$$($(BIN)/python scripts/where.py --folder $(1)) && \
  { [ "$$folder/report.html" -nt "$$folder/summary.md" ] || $(BIN)/snakemake $(2) --quiet all --report "$$folder/report.html"; }
endef

.PHONY: run full groups plan test bench bench-gpu bench-coverage bench-estimators lint image clean lock
.DELETE_ON_ERROR:

run: .venv/ready
	@$(SNAKEMAKE) all
	@$(call report,config.yaml)
	@$(BIN)/python scripts/where.py config.yaml

full groups: .venv/ready
	@$(BIN)/snakemake --cores $(CORES) --configfile config.$@.yaml --quiet host reason -- all
	@$(call report,config.yaml config.$@.yaml,--configfile config.$@.yaml)
	@$(BIN)/python scripts/where.py config.yaml config.$@.yaml

plan: .venv/ready
	@$(BIN)/snakemake --cores 1 --quiet host reason rules progress -- plan

test: .venv/dev lint
	$(BIN)/python tests/hpc/install.py
	$(BIN)/python -m pytest

bench: .venv/ready
	$(BIN)/python -m benchmarks.performance
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.workflow

bench-gpu: .venv/ready
	$(BIN)/python -m benchmarks.gpu

bench-coverage: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.coverage --jobs $(CORES)

bench-estimators: .venv/ready
	$(BIN)/python -m benchmarks.estimators

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

image: .venv/run
	$(BIN)/python -m cornerstone.image build

clean:
	rm -rf results/*/ results/summary.md results/report.html results/plan.csv results/plan.md results-full results-groups logs .snakemake

lock: .venv/bin/python
	@$(PIP) pip-tools==7.6.2
	$(BIN)/pip-compile --quiet --allow-unsafe --no-header --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --output-file envs/run.lock envs/run.in
	$(BIN)/pip-compile --quiet --allow-unsafe --no-header --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --output-file envs/dev.lock envs/dev.in
	@# the CPU build of torch where one is at hand, the ordinary one elsewhere: the same version
	sed -i.bak 's/^\(torch==[0-9.]*\)+cpu/\1/' envs/run.lock envs/dev.lock && rm -f envs/*.bak

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cornerstone needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv

.venv/run: envs/run.lock .venv/bin/python
	@echo "cornerstone: installing pinned packages into .venv (torch and others, some minutes the first time)"
	@$(PIP) --requirement envs/run.lock
	@touch $@

.venv/ready: scripts/precompile.py .venv/run
	@echo "cornerstone: compiling what jobs import"
	@$(BIN)/python scripts/precompile.py
	@touch $@

.venv/dev: envs/dev.lock .venv/ready
	@echo "cornerstone: installing what tests and lint need"
	@$(PIP) --requirement envs/dev.lock
	@touch $@
