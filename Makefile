VENV ?= /opt/quaderno/venv
TEST_VENV ?= /opt/quaderno/test
TEST_PACKAGES = chromium docker-registry e2fsprogs postgresql $(KERNEL_WITH_QUOTAS)
KERNEL_WITH_QUOTAS = $(if $(shell grep -x ID=debian /etc/os-release && uname -m | grep x86_64),user-mode-linux)
UV ?= uv
COMPILE = $(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock"

.PHONY: up test soak lint docs bench lock environment

up: ## Install what is missing and start the service
	@VENV=$(VENV) ./bootstrap.sh && $(VENV)/bin/quaderno up --detach

test: environment ## Run all tests, a file at a time on each of two workers: they wait more than they compute
	$(TEST_VENV)/bin/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

SOAK = storage_faults keys_expire full_disk in_place running_container rclone_memory files_through

soak: environment ## Run the tests of lost storage, login and large files whole, on an idle machine: 100 kills, outages of minutes
	QUADERNO_SOAK=1 $(TEST_VENV)/bin/pytest $(SOAK:%=tests/contract/test_%.py) tests/service/test_registration.py

lint: environment ## Check style, types and the direction of imports
	$(TEST_VENV)/bin/ruff check && $(TEST_VENV)/bin/ruff format --check && $(TEST_VENV)/bin/mypy && $(TEST_VENV)/bin/lint-imports

docs: environment ## Build the documentation into site/
	$(TEST_VENV)/bin/mkdocs build --strict

bench: TEST_PACKAGES += fio git s3fs wrk $(if $(shell which npm),,npm) # unless Node.js came from elsewhere
bench: environment ## Compare with a stock JupyterHub and other mounts on this machine
	$(TEST_VENV)/bin/python -m benchmarks

lock: ## Renew the lock files, within the ranges of pyproject.toml and the other .in files
	$(COMPILE) pyproject.toml --group build --output-file requirements/runtime.lock
	$(COMPILE) pyproject.toml --group build --group test --group lint --group docs --constraint requirements/runtime.lock --output-file requirements/dev.lock
	$(COMPILE) requirements/image.in --no-emit-package rfc3987-syntax --output-file requirements/image.lock
	$(COMPILE) requirements/minimal.in --constraint requirements/image.lock --no-emit-package rfc3987-syntax --output-file requirements/minimal.lock
	$(COMPILE) requirements/clients.in --output-file requirements/clients.lock

environment: # what test, lint, docs and bench need
	@VENV=$(TEST_VENV) LOCK=requirements/dev.lock PACKAGES="$(TEST_PACKAGES)" ./bootstrap.sh
