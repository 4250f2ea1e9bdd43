# The README's commands. Each sets up everything it needs on a machine that has Python 3.11.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STUDIES ?= data/demo
HOST ?= 127.0.0.1
PORT ?= 8000

.PHONY: serve test lint format install weights clean

serve: $(VENV)/.installed $(if $(filter data/demo,$(STUDIES)),data/demo/cohort.csv)
	$(BIN)/python main.py serve --studies $(STUDIES) --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# requirements.txt is complete, so nothing else is resolved; the second line adds what torch's own build needs (CUDA).
$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-dev.txt
	touch $@

data/demo/cohort.csv: | $(VENV)/.installed
	$(BIN)/python main.py phantom data/demo --patients 6 --seed 2026

clean:
	rm -rf $(VENV) data/demo

# What made the weights that ship: phantoms of seed 1, one network on every sequence, then one for each from there.
# About an hour and a half on two cores; a GPU is used when there is one.
CODES := T1WI T2WI CP NP DP
weights: $(VENV)/.installed
	test -f data/weights/cohort.csv || $(BIN)/python main.py phantom data/weights --patients 64 --seed 1 --workers 2
	$(BIN)/python main.py train data/weights --sequence all --minutes 25 --out data/all.safetensors
	for code in $(CODES); do \
	  $(BIN)/python main.py train data/weights --sequence $$code --start-from data/all.safetensors --minutes 12 \
	    --learning-rate 1.5e-3 --version $$code-1 --out model/shipped/$$code.safetensors || exit 1; \
	done
	$(BIN)/python main.py train-recogniser data/weights --minutes 2.5 --out model/shipped/recogniser.safetensors
