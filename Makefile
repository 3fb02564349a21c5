# make run    environment, assets, workflow, results of config.yaml (about ten minutes on two cores)
# make study NAME=full   the same with a file of studies/ on top of config.yaml; without NAME: which there are
# make plan   what config.yaml would cost: coalitions, tokens, FLOP, hours (runs nothing)
# make test   environment, lint, all tests
# make test-rare    slow tests of what seldom breaks: a cluster that fails in every way, most of the 189 model types
# make test-models  the same scores as stock lm-eval on real weights that `make test` does not download
# make test-newer   estimators of newer shapiq, with LightGBM and XGBoost, on NEWER=python3.13 in an environment of its own
# make test-gpu     parity with stock lm-eval, streaming and all model types on a GPU
# make test-page  the page in a headless Chromium, which it installs where it can (Debian and Ubuntu, as root)
# make soak   breaks runs in 510 ways: kills, damaged files, bad configs, hostile strings and models (two hours on two cores)
# make bench  speed: the sweep against its peers and the machine's limit, streaming, the workflow (an hour on two cores)
# make bench-gpu         the sweep on a GPU, on random weights in the shapes of Llama3-8B and Mixtral
# make bench-coverage    how often the intervals hold the truth, on simulated games (half an hour on two cores; REPETITIONS=50 is faster)
# make bench-comparison  how often the intervals of a comparison of two models hold the truth (half an hour)
# make bench-estimators  error of every estimator, on simulated games and, after make study NAME=groups, on a real model
# make bench-answers     what an answer costs: sublayer evaluations until the top three are settled, by estimator and design
# make bench-work        error of the estimators at equal work (sublayer evaluations), on simulated games (ten minutes on two cores)
# make mutants  tests of the tests: small errors in the code that they should find (hours); PARTS="game" is one part
# make coverage lines and branches that the tests run (half an hour); TESTS="tests/unit/game" runs some, without a limit
# make sbom   the bill of materials of the image (build/sbom.json), and the page of licences
# make audit  known vulnerabilities of the pinned packages; asks pypi.org
# make lint   style, types, what may import what, workflow files
# make docs   the site of the documentation, in build/site: pages, links and formulas are checked
# make image  the Apptainer image of the GPU rules (containers/README.md); where there is network and Apptainer
# make clean  what was computed (results, logs, Snakemake's notes); weights and the environment stay
# make lock   pin the environment anew after an edit of envs/*.in

PYTHON ?= python3
NEWER ?= python3.13
REPETITIONS ?= 250
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
STUDIES := $(patsubst studies/%.yaml,%,$(sort $(wildcard studies/*.yaml)))
UV := uv==0.13.9

# What pip says goes into a file, which is shown when it fails: $(call pip,ARGUMENTS)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOG := .venv/install.log
pip = { $(PIP) $(1) >$(LOG) 2>&1 || { cat $(LOG) >&2; exit 1; }; }
# Only what a lock names, with the checksum it has there.
pinned = $(call pip,install --no-compile --no-deps --require-hashes --no-build-isolation --requirement $(1))

# The workflow (in rounds where the config has `until`; what Snakemake says is on stderr), then the report that can be sent to somebody, made anew when the summary is newer, then where it all is:
# $(call results,CONFIG FILES,SNAKEMAKE OPTIONS)
define results
$(BIN)/cornerstone run $(addprefix --config ,$(1)) --cores $(CORES) --json >/dev/null && \
folder=$$($(BIN)/cornerstone where --folder $(addprefix --config ,$(1))) && \
{ [ "$$folder/report.html" -nt "$$folder/summary.md" ] || $(BIN)/snakemake $(2) --quiet all --report "$$folder/report.html"; } && \
$(BIN)/cornerstone where $(addprefix --config ,$(1))
endef

.PHONY: run study named plan test test-gpu test-here test-parity test-lint test-needs test-numbers test-page test-models test-rare test-newer test-slurm test-straight test-own soak mutants coverage sbom audit bench bench-gpu bench-peers bench-coverage bench-comparison bench-estimators bench-work bench-answers lint docs image clean lock
.DELETE_ON_ERROR:

run: .venv/ready
	@$(call results,config.yaml)

study: named .venv/ready
	@$(call results,config.yaml studies/$(NAME).yaml,--configfile studies/$(NAME).yaml)

named:
	@$(if $(and $(NAME),$(filter $(NAME),$(STUDIES))),:,{ echo "cornerstone: make study NAME=... takes one of: $(STUDIES)" >&2; exit 2; })

plan: .venv/ready
	@$(BIN)/cornerstone plan --cores $(CORES)

# All side by side, so on one thread each; most are shown when they end. What reads assets waits until they are fetched.
test: .venv/dev
	@$(MAKE) --no-print-directory --jobs=8 test-lint $(addprefix test-,here $(SUITES))

test-needs: .venv/dev
	$(BIN)/python -m tests.hpc.install
	$(BIN)/python -m tests.page.browser
	$(BIN)/snakemake --cores $(CORES) --quiet all -- fetch

# None is much longer than the others; SLURM's mostly waits for its clocks.
SUITES := numbers parity straight own slurm
SUITE-numbers := $(addprefix tests/unit/,assets benchmarks engine estimators evaluate forecast)
SUITE-parity := tests/parity tests/page
SUITE-straight := tests/workflow --runs straight
SUITE-own := tests/workflow --runs own
SUITE-slurm := tests/hpc

test-here $(addprefix test-,$(filter-out slurm,$(SUITES))): export OMP_NUM_THREADS = 1

test-here: .venv/dev
	$(BIN)/python -m pytest $(addprefix --ignore ,$(SUITE-numbers)) $(addprefix --ignore tests/,hpc page parity workflow)

$(addprefix test-,$(SUITES)): test-%: .venv/dev
	@$(BIN)/python -m pytest $(SUITE-$*) >.venv/$*.log 2>&1; code=$$?; cat .venv/$*.log; exit $$code

$(addprefix test-,parity straight own slurm): test-needs

test-lint: .venv/dev
	@$(MAKE) --no-print-directory lint >.venv/lint.log 2>&1; code=$$?; cat .venv/lint.log; exit $$code

test-page: .venv/dev
	$(BIN)/python -m tests.page.browser
	$(BIN)/python -m pytest tests/page tests/unit/present/page

# In the image of containers/evaluate.def, which is built for it: then also what `make test` runs in a lighter one.
test-rare: .venv/dev
	$(BIN)/python -m tests.hpc.install
	CORNERSTONE_TEST_WHOLE_IMAGE=1 $(BIN)/python -m pytest -m rare tests
	CORNERSTONE_TEST_WHOLE_IMAGE=1 $(BIN)/python -m pytest tests/hpc

# One thread: boosted trees of a few hundred rows are slower with more.
test-newer: .venv-newer/ready
	OMP_NUM_THREADS=1 .venv-newer/bin/python -m pytest --noconftest tests/unit/estimators/test_oddshap.py tests/unit/estimators/test_replayed.py

test-gpu: export CORNERSTONE_TEST_DEVICE = cuda:0
test-gpu: .venv/dev
	$(BIN)/python -m pytest -m "not models" -o filterwarnings= tests/parity

test-models: .venv/dev
	$(BIN)/python -m pytest -m models tests/parity

# It goes on where it was stopped; parts: make soak SOAK="--kind kills --count 10"
soak: .venv/dev
	$(BIN)/python -m tests.hpc.install
	$(BIN)/snakemake --cores $(CORES) --quiet all -- fetch_documents_embedded
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak $(SOAK)

mutants: .venv/tools
	nice $(BIN)/python -m tests.mutants $(PARTS)

coverage: .venv/tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(or $(TESTS),--ignore tests/hpc --ignore tests/workflow --ignore tests/page) \
	  --cov --cov-report term $(if $(TESTS),--cov-fail-under 0)

sbom: .venv/tools
	@$(BIN)/python scripts/sbom.py

# Strict: a package that pypi.org was not asked about, through a mirror say, is no good news but an error.
audit: .venv/tools
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  $(foreach lock,build run cuda dev tools,--requirement envs/$(lock).lock) || \
	  { echo "cornerstone: see above: packages with known vulnerabilities, or pypi.org can't be reached from here" >&2; exit 1; }

bench: .venv/ready
	$(BIN)/python -m benchmarks.performance
	$(BIN)/python -m benchmarks.blocks
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.workflow

bench-gpu: .venv/ready
	$(BIN)/python -m benchmarks.gpu
	$(BIN)/python -m benchmarks.gpu_streaming

bench-peers: .venv/ready .venv-peers/ready
	$(BIN)/python -m benchmarks.rivals

bench-coverage: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.coverage --jobs $(CORES)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.nested
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.looks
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.published --jobs $(CORES) --repetitions $(REPETITIONS)

bench-comparison: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.comparison

bench-estimators: .venv/ready
	$(BIN)/python -m benchmarks.estimators

bench-work: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.work

bench-answers: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.answers

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python scripts/docs_site.py

docs: .venv/dev
	@$(BIN)/python scripts/docs_site.py

image: .venv/ready
	$(BIN)/cornerstone image build

clean:
	rm -rf results/*/ results/summary.md results/*.html results/plan.csv results/plan.md results-*/ logs .snakemake

lock: .venv/bin/python
	@$(call pip,install $(UV))
	$(BIN)/python scripts/lock.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cornerstone needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv

# torch comes first: a build without CUDA, where pip is set up to find one, is not fetched again from PyPI.
.venv/run: envs/build.lock envs/torch-cpu.txt envs/run.lock envs/cuda.lock | .venv/bin/python
	@echo "cornerstone: installing pinned packages into .venv (torch and others, some minutes the first time)"
	@$(call pinned,envs/build.lock)
	@$(PIP) install --no-compile --no-deps --require-hashes --requirement envs/torch-cpu.txt >$(LOG) 2>&1 || \
	  grep -q 'No matching distribution found' $(LOG) || { cat $(LOG) >&2; exit 1; }
	@$(call pinned,envs/run.lock)
	@! $(PIP) check 2>/dev/null | grep -q '^torch .* which is not installed' || $(call pinned,envs/cuda.lock)
	@$(PIP) check >$(LOG) 2>&1 || { cat $(LOG) >&2; \
	  echo "cornerstone: this does not fit what was in .venv before; remove .venv and run make again" >&2; exit 1; }
	@touch $@

.venv/ready: scripts/precompile.py pyproject.toml cornerstone/__init__.py .venv/run
	@echo "cornerstone: installing this folder, compiling what jobs import"
	@$(call pip,install --no-compile --no-deps --no-build-isolation --editable .)
	@$(BIN)/python scripts/precompile.py
	@touch $@

.venv/dev: envs/dev.lock .venv/ready
	@echo "cornerstone: installing what tests and lint need"
	@$(call pinned,envs/dev.lock)
	@touch $@

# llama.cpp is compiled from its source package, for this processor: first what it takes, then itself.
.venv-peers/ready: envs/peers.lock envs/llama.lock
	@$(PYTHON) -m venv .venv-peers
	@echo "cornerstone: compiling llama.cpp into .venv-peers (it takes a while)"
	@for lock in peers llama; do \
	  PATH="$(CURDIR)/.venv-peers/bin:$$PATH" .venv-peers/bin/python -m pip --disable-pip-version-check --no-input install --no-deps \
	  --require-hashes --no-build-isolation --requirement envs/$$lock.lock >.venv-peers/install.log 2>&1 || \
	  { cat .venv-peers/install.log >&2; exit 1; }; done
	@touch $@

# Without NVIDIA's library for several GPUs, which XGBoost's package names and a CPU does without.
.venv-newer/ready: envs/newer.lock
	@$(NEWER) -m venv .venv-newer
	@.venv-newer/bin/python -m pip --disable-pip-version-check --no-input install --no-deps --require-hashes \
	  --requirement envs/newer.lock >.venv-newer/install.log 2>&1 || { cat .venv-newer/install.log >&2; exit 1; }
	@touch $@

.venv/tools: envs/tools.lock .venv/dev
	@echo "cornerstone: installing what sbom, audit, mutants and coverage need"
	@$(call pinned,envs/tools.lock)
	@touch $@
