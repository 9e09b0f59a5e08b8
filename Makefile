# nightshift: everything a person does here has a word. `make help` lists them.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# What a person may say: make demo INPUT=tickets.csv. Taken literally (a $ in a path is a $), and handed over in the
# environment, where no shell looks at it again.
override JOB := $(value JOB)
override INPUT := $(value INPUT)
override OUT := $(value OUT)
override FAULTS := $(value FAULTS)
override SEED := $(value SEED)
override HISTORIES := $(value HISTORIES)
export JOB INPUT OUT FAULTS SEED HISTORIES
# A stage that the environment happens to name is none that a person has said.
override STAGE := $(if $(filter command line,$(origin ENV)),$(value ENV))
override ENV := $(value ENV)
export STAGE
ARCHITECTURE ?= arm64
BUILD_DIR ?= .aws-sam/build

# Nothing here may find an account to spend on, nor ask the network for one: but `make deploy`, said alone.
ifneq ($(MAKECMDGOALS),deploy)
export AWS_CONFIG_FILE := /dev/null
export AWS_DEFAULT_REGION := us-east-1
export AWS_EC2_METADATA_DISABLED := true
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
unexport AWS_ACCESS_KEY_ID AWS_DEFAULT_PROFILE AWS_PROFILE AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
endif
unexport ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL

# The SAM CLI writes its settings to the home directory and reports home, unless told not to.
export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(CURDIR)/.aws-sam/cli

# What is left behind by something that was killed is left in the checkout, where `make clean` finds it.
export TMPDIR := $(CURDIR)/.cache/tmp
$(shell mkdir -p .cache/tmp)

# uv uses the Python that we found; a download of another would be a surprise.
export UV_PYTHON_DOWNLOADS := never
# … and trusts whom the machine trusts, as pip does: a company's proxy has a certificate of its own.
export UV_SYSTEM_CERTS := true
# Compiled once, imported often: half the start of everything here is otherwise compiling moto and the SDK.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

UV := .venvs/uv/bin/uv
PRODUCT := .venvs/product/bin/python
DESK := .venvs/desk/bin/python
# pip asks each rustc on the PATH for its version, and rustup's answers by writing to the home directory.
PLAIN_PATH := /usr/bin:/bin
FAULTS_PYTHON := .venvs/faults/bin/python
SAM := PATH="$(CURDIR)/.venvs/uv/bin:$(PLAIN_PATH)" .venvs/sam/bin/sam

PYTEST_OPTIONS ?= --quiet

.PHONY: help
help: ## List the words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## ---------------------------------------------------------------- run

.PHONY: demo
demo: .venvs/desk/.made .venvs/runtime/.made ## Run a job on this machine: JOB=, INPUT=, OUT=, FAULTS=, DYNAMODB=local are optional
	@$(DESK) -m local.demo $${JOB:+--job "$$JOB"} $${INPUT:+--input "$$INPUT"} $${OUT:+--out "$$OUT"} \
	    $${FAULTS:+--faults "$$FAULTS"} $${DYNAMODB:+--dynamodb "$$DYNAMODB"}

.PHONY: local
local: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made ## Keep the local cloud running, until Ctrl-C
	@$(DESK) -m local --announce .cache/local.json $${DYNAMODB:+--dynamodb "$$DYNAMODB"}

## ---------------------------------------------------------------- test

.PHONY: test
test: test-unit test-dynamodb test-contract test-desk test-batches-api test-faults test-integration ## Run all tests

.PHONY: test-unit
test-unit: .venvs/product/.made .venvs/desk/.made # the core with fakes, the adapters with a local AWS
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) -n 2 tests/unit

.PHONY: test-dynamodb
test-dynamodb: .venvs/product/.made .venvs/desk/.made # those with a table, on AWS's own engine; skipped without Java
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) -n 2 --dynamodb local --ignore-glob 'tests/unit/test_cli_*' tests/unit

.PHONY: test-contract
test-contract: .venvs/product/.made .venvs/desk/.made # template, handlers, settings, state machine and events agree
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) tests/contract

.PHONY: test-batches-api
test-batches-api: .venvs/product/.made .venvs/desk/.made # the local Batches API, as the real SDK sees it
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) tests/batches_api

.PHONY: test-desk
test-desk: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made .venvs/sam/.made .venvs/security/.made # the local cloud itself
	@$(DESK) -m pytest $(PYTEST_OPTIONS) tests/desk

.PHONY: test-integration
test-integration: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made .venvs/sam/.made # upload to tickets
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) -n 2 tests/integration

.PHONY: test-faults
test-faults: .venvs/faults/.made # the quick crash campaign; `make faults` is the full one
	@$(FAULTS_PYTHON) -m pytest $(PYTEST_OPTIONS) tests/faults

.PHONY: faults
faults: .venvs/faults/.made ## Attack the promise for an hour: SEED=, HISTORIES= are optional; goes on where it stopped
	@$(FAULTS_PYTHON) -m tests.faults.campaign --seed "$${SEED:-1}" $${HISTORIES:+--histories "$$HISTORIES"}

.PHONY: test-long
test-long: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made ## Run the nights of 1,600 turns and of 100,000 rows, and every FAULTS=
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) tests/long

.PHONY: drill
drill: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made ## Let things fail, and mend each by the runbook; prints a table
	@rm -f .cache/drill.md
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) tests/drill; status=$$?; cat .cache/drill.md; exit $$status

.PHONY: inputs-table
inputs-table: .venvs/product/.made .venvs/desk/.made ## Run the 84 bad inputs, and print what each is wanted to get and gets
	@rm -f .cache/inputs-table.md
	@$(PRODUCT) -m pytest $(PYTEST_OPTIONS) tests/unit/test_input_cases.py
	@cat .cache/inputs-table.md

## ---------------------------------------------------------------- check

.PHONY: check
check: format-check lint types requirements-check template-check security-check ## Check style, types, the template, its security and the requirements

.PHONY: format-check
format-check: .venvs/product/.made
	@.venvs/product/bin/ruff format --check --output-format concise .

.PHONY: lint
lint: .venvs/product/.made
	@.venvs/product/bin/ruff check .

.PHONY: types
types: .venvs/product/.made .venvs/desk/.made .venvs/faults/.made
	@$(PRODUCT) -m mypy layers/nightshift functions cli benchmarks tests/conftest.py tests/unit tests/contract tests/batches_api tests/integration tests/long tests/drill
	@$(DESK) -m mypy local checks tests/desk tests/moto_server.py
	@$(FAULTS_PYTHON) -m mypy tests/faults

.PHONY: requirements-check
requirements-check: .venvs/uv/.made
	@.venvs/uv/bin/python -m checks.requirements check

.PHONY: template-check
template-check: .venvs/desk/.made .venvs/sam/.made
	@$(SAM) validate --lint
	@$(DESK) -m checks.template

.PHONY: security-check
security-check: .venvs/desk/.made .venvs/security/.made
	@$(DESK) -m checks.security

.PHONY: check-deep
check-deep: .venvs/desk/.made ## Hold the template against AWS's Control Tower rules; fetches cfn-guard with npm the first time
	@$(DESK) -m checks.deep

.PHONY: fix
fix: .venvs/product/.made ## Format, and mend what the linter can mend
	@.venvs/product/bin/ruff check --fix --exit-zero --quiet .
	@.venvs/product/bin/ruff format .

## ---------------------------------------------------------------- build

NOT_SHIPPED := include includes src tests *.pxd *.pxi *.pyx *flight* *orc* *_s3* *s3fs* *azurefs* *gcsfs* *hdfs* *_cpp_tests*

.PHONY: build
build: .venvs/sam/.made ## Build what is deployed: ARCHITECTURE=arm64 (default) or x86_64
	@$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE) --build-dir $(BUILD_DIR)
	@# Of Arrow, what reads Parquet: no servers, clouds, headers and tests.
	@rm -rf $(addprefix $(BUILD_DIR)/ParquetLayer/python/pyarrow/,$(NOT_SHIPPED))
	@# /opt is read-only, so Python cannot keep what it compiles there: without byte code each cold start takes twice as long.
	@for layer in Code Dependencies Parquet; do PYTHONHASHSEED=0 .venvs/uv/bin/python -m compileall -qq \
	    --invalidation-mode unchecked-hash -s $(BUILD_DIR)/$${layer}Layer -p /opt $(BUILD_DIR)/$${layer}Layer || exit; done
	@# What is in the layers, for whoever has to know: CycloneDX. Its one warning is that a requirements file has no graph.
	@cat layers/*/requirements.txt | PYTHONWARNINGS=ignore .venvs/sam/bin/cyclonedx-py requirements - \
	    --pyproject layers/nightshift/pyproject.toml --output-reproducible --output-file $(BUILD_DIR)/sbom.json

.PHONY: deploy
deploy: .venvs/sam/.made ## Build and deploy a stage, with your AWS credentials: ENV=dev, staging or prod
	@[[ "$(MAKECMDGOALS)" == deploy ]] || { echo "make deploy is said alone" >&2; exit 2; }
	@architecture=$$(.venvs/uv/bin/python -m checks.stages "$$STAGE") \
	    && $(MAKE) --no-print-directory build ARCHITECTURE=$$architecture \
	    && $(SAM) deploy --config-env "$$STAGE" --template-file $(BUILD_DIR)/template.yaml

.PHONY: bench
bench: .venvs/product/.made ## Measure what is promised, 15 minutes; fails where a must is missed. QUICK=1 only sees that it runs
	@$(PRODUCT) -m benchmarks $(if $(QUICK),--quick)

.PHONY: bench-report
bench-report: .venvs/product/.made ## The same, written to docs/performance.md with the machine; LAST=1 takes what was measured last
	@$(PRODUCT) -m benchmarks.report $(if $(LAST),--last)

.PHONY: bench-peers
bench-peers: .venvs/product/.made .venvs/peers/.made ## What others offer for the same work, beside it
	@$(PRODUCT) -m benchmarks.peers

.PHONY: bench-million
bench-million: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made ## A million rows through the local cloud, each stage timed; N=20000 is a try
	@$(PRODUCT) benchmarks/million.py $(N)

.PHONY: bench-caching
bench-caching: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made ## What caching does to a bill, in the local cloud
	@$(PRODUCT) benchmarks/caching.py

.PHONY: requirements
requirements: .venvs/uv/.made ## Compile the hashed requirements; UPGRADE=1 takes the newest versions
	@.venvs/uv/bin/python -m checks.requirements compile $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove everything that make made
	@rm -rf .venvs .cache .aws-sam out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

## ---------------------------------------------------------------- virtual environments
# Four, because their versions disagree (docs/decisions/0001): the product as deployed, the desk's tools, the bare
# Lambda runtime, the SAM CLI. A fifth has the product and moto in one process, for the crash campaign. Each is made
# again when its requirements change. The sixth holds uv, and a pip for SAM; the
# seventh what looks for keys and holes.

.PHONY: venvs
venvs: .venvs/product/.made .venvs/desk/.made .venvs/runtime/.made .venvs/faults/.made .venvs/sam/.made .venvs/security/.made ## Make all virtual environments

.venvs/uv/.made: requirements/uv.txt tools/find-python
	@python=$$(tools/find-python) && echo "making .venvs/uv with $$python" \
	    && export PATH=$(PLAIN_PATH) && "$$python" -m venv --clear $(@D) \
	    && $(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	        --require-hashes --requirement $<
	@touch $@

define make-venv
@echo "making $(@D)"
@$(UV) venv --quiet --allow-existing --python .venvs/uv/bin/python $(@D)
@$(UV) pip sync --quiet --require-hashes $(COMPILE) --python $(@D)/bin/python $<
endef

# The runtime's libraries are read-only on AWS, and compiled there.
.venvs/runtime/.made: COMPILE := --compile-bytecode

.venvs/product/.made: requirements/product.txt layers/nightshift/pyproject.toml cli/pyproject.toml | .venvs/uv/.made
	$(make-venv)
	@$(UV) pip install --quiet --no-deps --offline --python $(@D)/bin/python \
	    --editable layers/nightshift --editable cli
	@touch $@

.venvs/faults/.made: requirements/faults.txt layers/nightshift/pyproject.toml | .venvs/uv/.made
	$(make-venv)
	@$(UV) pip install --quiet --no-deps --offline --python $(@D)/bin/python --editable layers/nightshift
	@touch $@

.venvs/%/.made: requirements/%.txt | .venvs/uv/.made
	$(make-venv)
	@touch $@
