# The README's commands. Each sets up everything it needs on a machine that has Python 3.11.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STUDIES ?= data/demo
HOST ?= 127.0.0.1
PORT ?= 8000
LIVE ?= model/live
PACS_PORT ?= 8043

.PHONY: serve pacs ohif test lint format install docs mlflow-ui weights bench-peers clean

# The demo's labels came with its phantoms: nobody waits for models that learn from them.
serve: $(VENV)/.installed $(if $(filter data/demo,$(STUDIES)),data/demo/cohort.csv)
	$(if $(filter data/demo,$(STUDIES)),RENAL_LOOP_SCHEDULE=$${RENAL_LOOP_SCHEDULE:-off}) \
	$(BIN)/python main.py serve --studies $(STUDIES) --host $(HOST) --port $(PORT)

# A PACS to try: Orthanc on loopback with phantoms in it, and the server on that; both end together.
pacs: $(VENV)/.installed data/demo-dicom/0000
	@command -v Orthanc >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q orthanc orthanc-dicomweb; } \
	  || { echo "Orthanc is not installed; as root: apt-get install orthanc orthanc-dicomweb" >&2; exit 2; }
	RENAL_LOOP_SCHEDULE=$${RENAL_LOOP_SCHEDULE:-off} \
	$(BIN)/python main.py pacs data/demo-dicom --pacs-port $(PACS_PORT) --port $(PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

mlflow-ui: $(VENV)/.installed
	MLFLOW_DISABLE_TELEMETRY=true PYTHONPATH=$(VENV)/mlflow $(BIN)/python -m mlflow ui --backend-store-uri sqlite:///$(LIVE)/mlflow/mlflow.sqlite --host $(HOST) --port 5000

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

# The viewer: OHIF's prebuilt files, moved to /ohif/ (without it the server shows the old build of MONAI Label's wheel).
ohif: lib/web/ohif/build/index.html

lib/web/ohif/build/index.html: lib/web/ohif/package-lock.json lib/web/relocate.py
	cd lib/web/ohif && npm ci --ignore-scripts --no-audit --no-fund
	$(PYTHON) -m lib.web.relocate lib/web/ohif/node_modules/@ohif/app/dist lib/web/ohif/build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# requirements.txt is complete, so nothing else is resolved; the second line adds what torch's own build needs (CUDA).
# MLflow lies apart (requirements-mlflow.txt says why).
$(VENV)/.installed: requirements.txt requirements-mlflow.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/mlflow -r requirements-mlflow.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-dev.txt
	touch $@

# The pages of docs/ as a site in build/docs; a link that leads nowhere fails.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/.installed-docs: requirements-docs.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.txt
	touch $@

# What benchmarks/ measure us against; nothing of the product imports it.
bench-peers: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/bench -r requirements-bench.txt

data/demo/cohort.csv: | $(VENV)/.installed
	$(BIN)/python main.py phantom data/demo --patients 6 --seed 2026

data/demo-dicom/0000: | $(VENV)/.installed
	$(BIN)/python main.py phantom data/demo-dicom --dicom --patients 3 --seed 2026

clean:
	rm -rf $(VENV) data/demo data/demo-dicom data/orthanc data/pacs

# The recipe of the weights that ship (model/README.md says how they came about): phantoms of seed 1, one network on
# every sequence, then one for each from there. Thirteen hours of training by the clock, and what comes before and after; a GPU
# is used when there is one, and learns more in the same minutes.
CODES := T1WI T2WI CP NP DP
MINUTES_T1WI := 152
MINUTES_T2WI := 232
MINUTES_CP := 85
MINUTES_NP := 59
MINUTES_DP := 54
weights: $(VENV)/.installed
	test -f data/weights/cohort.csv || $(BIN)/python main.py phantom data/weights --patients 800 --seed 1 --unusual 0.2 --workers 2
	$(BIN)/python main.py train data/weights --sequence all --minutes 25 --out data/all.safetensors
	$(foreach code,$(CODES),$(BIN)/python main.py train data/weights --sequence $(code) --minutes $(MINUTES_$(code)) \
	  --start-from data/all.safetensors --learning-rate 1.5e-3 --version $(code)-2 \
	  --out model/shipped/$(code).safetensors &&) true
	$(BIN)/python main.py train data/weights --sequence finder --minutes 132 --learning-rate 3e-3 --version finder-1 \
	  --out model/shipped/finder.safetensors
	$(BIN)/python main.py train-recogniser data/weights --minutes 2.5 --out model/shipped/recogniser.safetensors
	$(BIN)/python -m benchmarks.trust fit data/weights --kept data/trust --most 60
	$(BIN)/python main.py predict data/weights --out data/proposals
	$(BIN)/python main.py train-clicks data/weights --proposals data/proposals --start-from model/shipped/NP.safetensors \
	  --minutes 40 --version clicks-1 --out model/shipped/clicks.safetensors
