# make run     the window, with a relay and Echo of its own; without a display, a call in the terminal
# make test    every test, after ruff, mypy and the import contracts
# make check   the same without tests that are slow, start processes or need devices: under a minute
# make bench   the benchmarks, printed with the machine they ran on
# make lock    write packaging/lock*.txt (make lock ARGS=--upgrade for newer versions)
#
# All of them first install what is missing, system packages included where that is allowed.
# PYTHON=/path/to/python3 chooses a Python (3.11 or newer) instead of the first one found.

bin := .venv/bin
# The product and the tests' own frame; each test file may be looser than the product.
sources := app transport media relay packaging tests

.PHONY: run test check bench lock clean static

run:
	@packaging/run.sh

test:
	@packaging/setup.sh test
	@packaging/test.sh

check:
	@packaging/setup.sh check
	@packaging/test.sh check

static:
	$(bin)/ruff check $(sources)
	$(bin)/ruff format --check $(sources)
	$(bin)/mypy
	$(bin)/lint-imports --no-logo

bench:
	@packaging/setup.sh test
	$(bin)/python -m tests.bench

lock:
	@packaging/lock.sh $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info tests/artifacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
