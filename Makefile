# make demo    the main job on this machine: needs Python 3.11 or later, nothing else
# make test    everything that this machine can run; what is skipped is named with its reason
# make help    all targets
#
# Every target sets up what it needs in .venv. PYTHON=/path/to/python3 chooses the interpreter it is made with.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   := .venv
BIN    := $(VENV)/bin
FROZEN := build/frozen/splitmirror
ENVIRONMENT := packaging/environment.sh
PYTEST_ARGUMENTS ?=
DESTDIR ?=
prefix  ?= /opt/splitmirror
bindir  ?= /usr/local/bin
unitdir ?= /etc/systemd/system

.PHONY: help demo test lint types unit-test long-test format bench bench-window freeze smoke install changelog clean distclean

help:
	@echo "make demo       the main job on this machine, with nothing but Python"
	@echo "make test       lint, types and all tests that this machine can run"
	@echo "make lint       ruff: rules and formatting      make types      mypy --strict"
	@echo "make unit-test  pytest alone; PYTEST_ARGUMENTS='tests/unit -k name' narrows it"
	@echo "make long-test  the parts of the lab that take many minutes"
	@echo "make format     put formatting right            make changelog  CHANGELOG.md from packaging/changes"
	@echo "make freeze     $(FROZEN): three executables that need no Python"
	@echo "make smoke      run every one of them           make install    copy them to \$$(DESTDIR)$(prefix)"
	@echo "make bench      start-up of the frozen executables against an empty one"
	@echo "make bench-window  the freeze window beside the floor and the usual script; root, sshd, mariadbd, btrfs"
	@echo "make clean      remove what was built           make distclean  remove .venv too"

demo: $(VENV)/.has-run
	@$(BIN)/splitmirror demo

test: lint types unit-test

lint: $(VENV)/.has-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.has-test
	$(BIN)/mypy --strict

# two processes where there are two cores: the lab mostly waits; a file's tests stay together, since they share servers
unit-test: $(VENV)/.has-test
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGUMENTS)

long-test: $(VENV)/.has-test
	$(BIN)/python -m pytest -m long $(PYTEST_ARGUMENTS)

format: $(VENV)/.has-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

freeze: $(VENV)/.has-freeze
	@mkdir -p build
	PYI_LOG_LEVEL=WARN $(BIN)/python -m PyInstaller --noconfirm --log-level WARN \
		--distpath build/frozen --workpath build/freezing packaging/pyinstaller/splitmirror.spec
	@echo "made $(FROZEN)"

smoke: $(FROZEN)/splitmirror $(VENV)/.has-run
	$(BIN)/python packaging/pyinstaller/smoke.py $(FROZEN)

$(FROZEN)/splitmirror:
	@$(MAKE) freeze

bench: $(FROZEN)/splitmirror $(VENV)/.has-freeze
	$(BIN)/python bench/startup.py $(FROZEN)

bench-window: $(VENV)/.has-test
	$(BIN)/python bench/freeze_window.py

install: $(FROZEN)/splitmirror
	install -d -m 0755 "$(DESTDIR)$(prefix)" "$(DESTDIR)$(bindir)" "$(DESTDIR)$(unitdir)"
	cp -R $(FROZEN)/. "$(DESTDIR)$(prefix)/"
	for name in splitmirror splitmirror-pre splitmirror-post; do \
		ln -sf "$(prefix)/$$name" "$(DESTDIR)$(bindir)/$$name" || exit 1; done
	for unit in packaging/systemd/*.service packaging/systemd/*.timer; do \
		sed 's|/opt/splitmirror/|$(prefix)/|' "$$unit" >"$(DESTDIR)$(unitdir)/$${unit##*/}" || exit 1; done

changelog: $(VENV)/.has-run
	$(BIN)/python packaging/changelog.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -not -path './.git/*' -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# What a target needs of .venv. pip is asked again only when pyproject.toml says something new.
$(VENV)/.has-run: pyproject.toml $(ENVIRONMENT)
	@sh $(ENVIRONMENT) $(VENV) "" $@

$(VENV)/.has-test: pyproject.toml $(ENVIRONMENT)
	@sh $(ENVIRONMENT) $(VENV) test $@

$(VENV)/.has-freeze: pyproject.toml $(ENVIRONMENT)
	@sh $(ENVIRONMENT) $(VENV) freeze $@
