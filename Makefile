# On a fresh machine with only Python 3.10+ and make: `make demo` and `make test` set up all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUBS := stubs/awsglue-local-stubs
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
# uv takes a tenth of pip's time; where it is not to be had, or finds no index, pip does the same
INSTALL = install() { { $(PIP) uv && $(BIN)/python -m uv --quiet pip install --compile-bytecode --python $(BIN)/python "$$@"; } 2>/dev/null || $(PIP) "$$@"; }; install
SPECS := blog_cross_role partner_exchange

# without compiled modules each of the thousands of commands in the tests compiles all that it imports
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage lint schema docs picture rehearsals site locks bench mutants clean

demo: $(VENV)/.demo
	@for spec in $(SPECS); do \
	  echo "\$$ rolerunner run configs/$$spec.yaml --sandbox"; \
	  $(BIN)/rolerunner run configs/$$spec.yaml --sandbox --log-format console || exit $$?; echo; \
	done

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not long" -n 4 --dist loadfile --no-loadscope-reorder

# The tests but slow ones and cases alike, measured in every process that they start, and the shares that are held.
coverage: $(VENV)/.dev
	rm -rf build/coverage
	$(BIN)/coverage run -m pytest -m "not slow and not release" -n 4 --dist loadfile --no-loadscope-reorder
	$(BIN)/python .ci/check_coverage.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schema: $(VENV)/.dev
	$(BIN)/rolerunner schema -o framework/rolerunner/schema.json

docs: $(VENV)/.dev
	$(BIN)/rolerunner actions -o docs/actions
	$(BIN)/python manual/reference.py

picture: $(VENV)/.dev
	$(BIN)/python manual/picture.py

rehearsals: $(VENV)/.dev
	$(BIN)/python manual/rehearsals.py

site: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

locks: $(VENV)/.dev
	$(BIN)/python .ci/locks.py

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py $(BENCH)
	$(if $(BENCH),,$(BIN)/python bench/growth.py)

mutants: $(VENV)/.dev
	$(BIN)/python .ci/mutants.py $(MUTANTS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis framework/*.egg-info $(STUBS)/build $(STUBS)/src/*.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed (the embedded AWS): make PYTHON=/path/to/python3.x ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python setup.py
	@$(INSTALL) -e '.[cli,sandbox]'
	@touch $@

$(VENV)/.dev: $(BIN)/python setup.py $(STUBS)/pyproject.toml
	@$(INSTALL) -e '.[cli,sandbox,dev]' -e $(STUBS)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(BIN)/python setup.py
	@$(INSTALL) -e '.[docs]'
	@touch $@
