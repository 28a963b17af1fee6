# The targets set up everything; a bare machine needs python3 >= 3.11 (with venv) and make.

export UV_PYTHON_PREFERENCE = only-system
export UV_PROJECT_ENVIRONMENT = .venv
UV = .uv/bin/uv
RUN = $(UV) run --frozen --all-extras
PYTEST = $(RUN) pytest
# Node comes as a Python wheel.
NPM = PATH="$(CURDIR)/.venv/bin:$$PATH" npm
E2E = $(NPM) run --silent --workspace web e2e
# Each process starts its own servers; the tests of a file share fixtures, so they stay in one process. Long files come first
# (testpaths): processes end together. They wait for their servers now and then: one process more than cores.
PARALLEL = -n $(shell echo $$(($$(nproc) < 4 ? $$(nproc) + 1 : 4))) --dist loadfile --no-loadscope-reorder

.PHONY: help run test check client web e2e e2e-long screenshots bench big-file unit contract integration faults faults-long sync-long plans fix types lint openapi migrate clean sdk words

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.uv/bin/uv:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 must be 3.11 or newer"; exit 1; }
	@python3 -m venv .uv || { echo "python3 lacks venv: on Debian, 'apt install python3-venv'"; rm -rf .uv; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

.venv/.ready: pyproject.toml uv.lock | .uv/bin/uv
	@$(UV) sync --frozen --all-extras --quiet
	@touch $@

node_modules/.ready: package.json package-lock.json clients/js/package.json web/package.json .npmrc .venv/.ready
	@$(NPM) ci --loglevel=error --no-audit --no-fund > /dev/null
	@touch $@

WEB = src/dropbox_api/_web/.stamp
WEB_SOURCES = $(shell find web/src web/public clients/js/src -type f ! -name '*.gen.ts') web/index.html web/vite.config.ts web/vite.fixed.config.ts
$(WEB): node_modules/.ready $(WEB_SOURCES)
	@$(NPM) run --silent build --workspace web
	@touch $@

CLIENT = clients/js/dist/.stamp
$(CLIENT): node_modules/.ready $(shell find clients/js/src -type f ! -name '*.gen.ts') clients/js/rolldown.config.ts openapi.yaml
	@$(NPM) run --silent build --workspace clients/js > /dev/null
	@touch $@

web: $(WEB) ## Build the web app into src/dropbox_api/_web

run: .venv/.ready ## Start API, worker, Postgres and store on this machine
	@$(MAKE) --silent $(WEB) $(CLIENT) || echo "The web app could not be built, see above: the server starts without it."
	@exec .venv/bin/dropbox-api dev

test: $(WEB) $(CLIENT) ## Run all tests
	$(PYTEST) $(PARALLEL)
	@$(NPM) test --silent --workspace clients/js
	@if [ -n "$$CI" ] || [ -x "$${CHROMIUM:-/usr/bin/chromium}" ]; then $(E2E); \
	else echo "skipped the tests in Chromium: on Debian, apt install chromium fonts-noto-core"; fi

e2e: $(WEB) $(CLIENT) ## Run the tests in Chromium: of the server and of the JavaScript client
	$(E2E)

e2e-long: $(WEB) $(CLIENT) ## Run the long tests in Chromium: large and many files, killed browsers, lost networks, expiry
	E2E=long $(E2E)

screenshots: $(WEB) $(CLIENT) ## Take pictures of the web app in .screenshots (ONLY='share|trash'; PICTURES=1: those of docs, too)
	E2E=screenshots $(E2E)

check: node_modules/.ready lint types words ## Run all static checks: exactly what CI runs
	$(RUN) lint-imports
	@$(UV) lock --check --quiet

lint: node_modules/.ready
	$(RUN) ruff check
	$(RUN) ruff format --check
	@$(NPM) run --silent lint

types: $(WEB)
	$(RUN) mypy
	@$(NPM) run --silent types --workspaces
	@$(NPM) run --silent size --workspaces

sdk: .venv/.ready ## Generate the asynchronous resources of the Python SDK
	$(RUN) python tests/support/async_resources.py

words: ## Report banned words
	@python3 tests/support/words.py

client: $(CLIENT) ## Build the JavaScript client into clients/js/dist

fix: node_modules/.ready ## Format, and fix lint errors automatically
	$(RUN) ruff check --fix
	$(RUN) ruff format
	@$(NPM) run --silent fix

unit: node_modules/.ready ## Run the tests without servers
	$(PYTEST) tests/unit tests/property tests/architecture

contract: .venv/.ready ## Run the store suite against every store
	$(PYTEST) tests/contract

integration: .venv/.ready ## Run the tests through HTTP
	$(PYTEST) $(PARALLEL) tests/integration tests/security

faults: .venv/.ready ## Run the fault tests, the short slice
	$(PYTEST) tests/faults

faults-long: .venv/.ready ## Run every failpoint with every action and many seeds
	FAULTS=long $(PYTEST) tests/faults tests/contract/test_multipart.py tests/property/test_tree_machine.py tests/property/test_mirror.py --timeout=3600

sync-long: .venv/.ready ## Plan 20,000 random changes, check 100,000 histories, find the mutants of the planner; kill engines at every call
	FAULTS=long $(PYTEST) -n auto tests/property/test_sync_plan.py tests/property/test_sync_model.py tests/property/test_sync_mutants.py \
		tests/faults/test_sync_daemons.py tests/faults/test_sync_kills.py --timeout=7200

plans: .venv/.ready ## Plan every statement on 2,000,000 nodes; report sequential scans
	FAULTS=long $(PYTEST) tests/integration/test_plans.py --timeout=3600

big-file: .venv/.ready ## Send a file of GIB (default 4) through `dropbox-api dev` and `dbx`, with kills; compare it (LINK=1: through a link)
	$(RUN) python -m bench.big_file $(if $(LINK),--link) $(or $(GIB),4)

bench: node_modules/.ready ## Measure against other tools; write bench/RESULTS.md
	$(RUN) python -m bench

openapi: .venv/.ready ## Write openapi.yaml
	$(RUN) dropbox-api openapi > openapi.yaml

migrate: .venv/.ready ## Upgrade the database of DROPBOX_DATABASE__URL to the newest schema
	$(RUN) dropbox-api migrate

clean: ## Remove environments and caches; keep .dev with its data
	rm -rf .uv .venv .peers node_modules clients/js/node_modules clients/js/dist web/node_modules .screenshots src/dropbox_api/_web .mypy_cache .ruff_cache .pytest_cache .hypothesis
