# What a person does with this project. `make` alone lists the targets.
# PYTHON=/path/to/python3 chooses the interpreter of .venv; ARGS="…" is passed on to the program;
# WORKERS=4 runs as many files of tests at once, 0 runs them one after another in one process.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run setup test mutations chaos drills check bench bench-quick secrets up down backup restore sbom lock

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
UV ?= uv
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What `make up` adds to the deployment: OVERLAYS="observability tls three-brokers", any of them. What was chosen
# last stays chosen, for deploy/compose.sh too; OVERLAYS= leaves all of them out.
CHOSEN := deploy/.overlays
OVERLAYS ?= $(shell cat $(CHOSEN) 2>/dev/null)
COMPOSE := deploy/compose.sh
# Files that containers hold: a new one reaches none that is not made anew, and compose does not notice. So its digest
# is kept. What only watches is started again for its own.
HELD := find deploy/secrets deploy -maxdepth 1 -type f ! -name '.*' \( -path '*/secrets/*' -o -name sources.yaml \
	-o -name region.yaml -o -name '*.conf' -o -name redis-start.sh \) | sort | xargs cat | cksum
WATCHED_BY := find deploy/observability -type f | sort | xargs cat | cksum
KEPT := deploy/secrets/.held
CALENDAR ?= on

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: setup ## Start everything in one process, play an autumn, open the cabinet (Ctrl-C ends)
	@$(BIN)/pfdo run --play examples/autumn.jsonl $(ARGS)

setup: .venv/.installed ## Make .venv with the locked dependencies and .venv/bin/pfdo

test: setup .venv/.tools ## Run every test; what needs Docker or Chromium is skipped without it, and says so
	@$(BIN)/python -m pytest -rs --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

mutations: setup .venv/.tools ## Plant wrong decisions one by one; a test must catch each (minutes)
	@$(BIN)/python -m tests.mutations $(ARGS)

chaos: setup .venv/.tools ## The system under fire on a real Kafka and Redis, with a report (needs Docker)
	@$(BIN)/python -m tests.chaos $(ARGS)

drills: setup .venv/.tools ## Kill each container of a deployment of its own, lose each Redis, compare the books (Docker)
	@$(BIN)/python -m tests.deploy.drills $(ARGS)

check: setup .venv/.tools ## Format, lint, types, import rules, contracts, rule tables, dead code, dependencies
	@echo "check: format"        && $(BIN)/ruff format --check --quiet .
	@echo "check: lint"          && $(BIN)/ruff check --quiet .
	@echo "check: types"         && $(BIN)/mypy
	@echo "check: import rules"  && $(BIN)/lint-imports
	@echo "check: contracts"     && $(BIN)/pfdo contracts check
	@echo "check: rule tables"   && $(BIN)/pfdo rules check
	@echo "check: dead code"     && found=$$($(BIN)/vulture) || [ $$? -eq 3 ] && \
		! printf '%s\n' "$$found" | grep -E 'unused (class|function|import|method|property)|unreachable'
	@echo "check: dependencies"  && $(BIN)/deptry .
	@echo "check: known vulnerabilities" && $(BIN)/python requirements/audit.py
	@echo "check: all is well"

bench: setup .venv/.tools ## The benchmarks side by side, with a table
	@$(BIN)/python -m bench $(ARGS)

bench-quick: setup .venv/.tools ## The same in under two minutes
	@$(BIN)/python -m bench quick $(ARGS)

secrets: ## Make the passwords and access lists of the compose deployment, in deploy/secrets
	@deploy/secrets.sh deploy/secrets $(SOURCES)
	@$(if $(filter tls,$(OVERLAYS)),deploy/tls.sh deploy/secrets)

up: docker-answers overlays-known secrets ## Start the compose deployment (CALENDAR=off: only the days of what you play)
	@OVERLAYS="$(OVERLAYS)" $(COMPOSE) config --quiet
	@echo "$(OVERLAYS)" >$(CHOSEN)
	@now=$$($(HELD)); [ "$$now" = "$$(cat $(KEPT) 2>/dev/null)" ] || anew=--force-recreate; \
	$(COMPOSE) $(if $(filter off,$(CALENDAR)),,--profile calendar) up --build --wait -d $${anew-} || { \
		echo "Not everything is healthy. What was said last: $(COMPOSE) logs --tail 30" >&2; exit 1; }; \
	echo "$$now" >$(KEPT)
ifneq ($(filter observability,$(OVERLAYS)),)
	@now=$$($(WATCHED_BY)); [ "$$now" = "$$(cat $(KEPT)-watching 2>/dev/null)" ] || \
		{ $(COMPOSE) restart prometheus grafana && echo "$$now" >$(KEPT)-watching; }
endif
	@echo
	@$(COMPOSE) --profile calendar ps --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'
	@echo
	@echo "The cabinet: http://$$($(COMPOSE) port cabinet 8038); log in as a parent, a teacher or an official, all of them"
	@echo "             invented (the sandbox), or at your log-in server: docs/operations/secure.md#log-in"
ifneq ($(filter observability,$(OVERLAYS)),)
	@echo "Watching:    Grafana http://$$($(COMPOSE) port grafana 3000) (user admin, password in deploy/secrets/grafana-admin),"
	@echo "             Prometheus http://$$($(COMPOSE) port prometheus 9090)"
endif
	@echo "Kafka:       $$($(COMPOSE) port kafka 9092) ($(if $(filter tls,$(OVERLAYS)),SASL_SSL with the authority deploy/secrets/tls-ca.pem,SASL_PLAINTEXT), SCRAM-SHA-512; user navigator, payers or"
	@echo "             attendance, password in deploy/secrets/kafka-USER)"
	@echo "Is it well:  $(COMPOSE) run --rm tools doctor"
ifeq ($(CALENDAR),off)
	@echo "Play a file: $(COMPOSE) run --rm tools play examples/autumn.jsonl"
else
	@echo "The calendar follows the clock. The days of the example lie in 2020, and days never go back:"
	@echo "to play it, start anew with: make down && make up CALENDAR=off"
endif
	@echo "Stop it and throw its data away: make down"

down: docker-answers ## Stop the compose deployment and throw its data away
	@OVERLAYS="$(sort observability three-brokers $(filter-out tls,$(OVERLAYS)))" $(COMPOSE) --profile calendar --profile tools down --volumes --remove-orphans

backup: docker-answers ## Copy the journals of the compose deployment to a folder: make backup TO=FOLDER
	@deploy/backup.sh copy "$(TO)"

restore: docker-answers ## Put such a copy into a deployment that is down: make restore FROM=FOLDER
	@deploy/backup.sh restore "$(FROM)"

sbom: setup .venv/.tools ## List what the image holds: build/sbom.cdx.json (CycloneDX)
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
		--output-file build/sbom.cdx.json requirements/runtime.txt

lock: ## Lock the newest versions that requirements/*.in allow (needs uv)
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --output-file requirements/runtime.txt requirements/runtime.in
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --constraints requirements/runtime.txt \
		--output-file requirements/tools.txt requirements/tools.in

# --- what the targets stand on ---------------------------------------------------------------

.PHONY: docker-answers overlays-known
# A deployment that came up before what was chosen was kept: without its overlays it would be made into another one.
overlays-known:
	@$(if $(wildcard $(CHOSEN))$(filter-out file,$(origin OVERLAYS)),,! docker ps -a --filter label=com.docker.compose.project=pfdo \
		--format '{{.Label "com.docker.compose.project.config_files"}}' | grep , || { \
		echo "These files made the deployment. Name its overlays this once: make up OVERLAYS=\"…\"" >&2; exit 1; })

docker-answers:
	@docker compose version >/dev/null 2>&1 || { \
		echo "Docker with compose was not found. Install it, or try the system without it: make run" >&2; exit 1; }
	@docker version >/dev/null 2>&1 || { \
		echo "Docker is installed but does not answer. Start it, or try the system without it: make run" >&2; exit 1; }

.venv/bin/python:
	@python=; \
	for candidate in $(PYTHON); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "setup: Python 3.11 or newer is needed and none of these is: $(PYTHON)." >&2; \
		echo "       Install it, or say where it is: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "setup: $$python cannot make a virtual environment: its venv module is missing." >&2; \
		echo "       On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "setup: making .venv with $$("$$python" --version)"; \
	"$$python" -m venv --clear .venv

.venv/.runtime: requirements/runtime.txt | .venv/bin/python
	@echo "setup: installing the locked dependencies (half a minute the first time)"
	@$(PIP) install --require-hashes --requirement requirements/runtime.txt
	@touch $@

.venv/.installed: pyproject.toml .venv/.runtime
	@echo "setup: installing the project itself as .venv/bin/pfdo"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.tools: requirements/tools.txt .venv/.runtime
	@echo "setup: installing the locked tools for tests and checks (half a minute the first time)"
	@$(PIP) install --require-hashes --requirement requirements/tools.txt
	@touch $@
