# `make` lists what there is. Nothing but Rust, a C compiler and Debian's packages is needed; what is missing is
# installed by the target that needs it, or named.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What follows the command: `make bench ARGS=--help`, `make test ARGS=tour`.
ARGS ?=
# How long `make soak` and each target of `make fuzz` run.
MINUTES ?= 10
FUZZ_SECONDS ?= 60

# Installs the Debian packages in the shell's variable `missing`, or ends with the command to run.
define install_missing
	if [ -n "$$missing" ]; then \
		sudo=""; \
		if ! command -v apt-get >/dev/null; then \
			echo "Not installed:$$missing. Install them in the way of your system, then try again." >&2; exit 1; \
		elif [ "$$(id -u)" -ne 0 ]; then \
			if ! sudo -n true 2>/dev/null; then \
				echo "Not installed:$$missing. Run this, then try again:" >&2; \
				echo "    sudo apt-get update && sudo apt-get install -y$$missing" >&2; exit 1; \
			fi; \
			sudo="sudo"; \
		fi; \
		echo "Installing$$missing with apt-get."; \
		$$sudo apt-get -o DPkg::Lock::Timeout=120 -q update; \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -q install -y $$missing; \
	fi
endef

##@ Run

.PHONY: run
run: ## start Streamz on 127.0.0.1:8080
	cargo run --release

.PHONY: dev
dev: ## start it, and again whenever a source file changes (installs entr)
	@missing=""; command -v entr >/dev/null || missing=" entr"; $(install_missing)
	@echo "Ctrl-C ends it."; trap 'exit 0' INT; \
	while true; do \
		git ls-files --cached --others --exclude-standard -- '*.rs' '*.toml' '*.sql' Cargo.lock \
			| while read -r file; do [ ! -e "$$file" ] || echo "$$file"; done \
			| DRAIN_TIMEOUT=1s entr -rdn cargo run || [ $$? -eq 2 ] || exit 1; \
	done

.PHONY: demo
demo: ## two WebRTC peers find each other through a Streamz, step by step
	cargo run -p streamz-interop --example call -- $(ARGS)

.PHONY: migrate-up
migrate-up: ## bring the database of DATABASE_URL up to date
	cargo run -- migrate

##@ Build and test

.PHONY: build
build: ## the optimised program, in target/release/streamz
	cargo build --release

# Everything is built at once and with the same features, so that nothing is compiled twice; STREAMZ_BIN tells the
# end-to-end tests that the program is there.
# More tests at a time than there are cores: end-to-end tests wait for most of their time.
export RUST_TEST_THREADS ?= 4
TARGET = $(abspath $(or $(CARGO_TARGET_DIR),target))
BUILD_ALL = cargo build --workspace --exclude streamz-simulation --all-targets
SIMULATION = cargo test -p streamz-simulation --profile sim

.PHONY: test
test: servers browser ## everything: units, contracts, end to end, clients, browsers, chart, simulation (installs what is missing)
	$(BUILD_ALL)
	STREAMZ_BIN=$(TARGET)/debug/streamz cargo test --workspace --exclude streamz-simulation --no-fail-fast $(ARGS)
	$(BROWSER_TESTS)
	$(MAKE) --no-print-directory test-deploy
	$(SIMULATION) --features planted-bugs --test planted_bugs
	$(SIMULATION)

.PHONY: test-browser
test-browser: servers browser ## the JavaScript client and the console, in Node and in Chromium
	$(BUILD_ALL)
	$(BROWSER_TESTS)

# What they leave for people to look at: target/console-screenshots.
BROWSER_TESTS = export STREAMZ_BIN=$(TARGET)/debug/streamz CARGO_TARGET_DIR=$(TARGET); \
	(cd clients/js && npm ci --no-audit --no-fund && npm test && npm run test:browser) && cd console && npm test

.PHONY: browser
browser: node
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v turnserver >/dev/null || missing="$$missing coturn"; \
	$(install_missing)

# Its packages are installed anew when their list changes.
DEPLOY_PYTHON = $(TARGET)/deploy-python

.PHONY: test-deploy
test-deploy: servers node ## the chart, the image, dashboards and alerts (installs Prometheus and coturn, Helm below target/)
	@missing=""; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v prometheus >/dev/null && command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v turnserver >/dev/null || missing="$$missing coturn"; \
	command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	$(install_missing)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is not installed: see https://www.python.org" >&2; exit 1; }
	cmp -s deploy/tests/requirements.txt $(DEPLOY_PYTHON)/requirements.txt || { \
		python3 -m venv --clear $(DEPLOY_PYTHON); \
		$(DEPLOY_PYTHON)/bin/pip install -q --disable-pip-version-check -r deploy/tests/requirements.txt; \
		cp deploy/tests/requirements.txt $(DEPLOY_PYTHON)/; }
	cd deploy/tests/crds && npm ci --no-audit --no-fund
	$(BUILD_ALL)
	STREAMZ_BIN=$(TARGET)/debug/streamz PYTHONDONTWRITEBYTECODE=1 $(DEPLOY_PYTHON)/bin/python -W error::ResourceWarning -m unittest discover -s deploy/tests

.PHONY: servers
servers:
	@missing=""; \
	command -v cargo >/dev/null || { echo "Rust is not installed: see https://rustup.rs" >&2; exit 1; }; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null \
		|| missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v turnserver >/dev/null || missing="$$missing coturn"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v jq >/dev/null || missing="$$missing jq"; \
	$(install_missing)

# Debian's own is too old.
.PHONY: node
node:
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null \
		|| { echo "Node.js 20 or newer is not installed: see https://nodejs.org" >&2; exit 1; }

# Nothing is linked here, so libFuzzer itself (C++) need not be built: any file stands for it.
FUZZ_LINT = CUSTOM_LIBFUZZER_PATH=$(CURDIR)/fuzz/Cargo.toml

.PHONY: lint
lint: ## clippy, with every warning an error
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p streamz-simulation --features planted-bugs --all-targets -- -D warnings
	$(FUZZ_LINT) cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET) -- -D warnings

.PHONY: fmt
fmt: ## format everything
	cargo fmt --all

.PHONY: docs
docs: ## the documentation of every crate, in target/doc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

.PHONY: update-docs
update-docs: ## write the configuration tables of the documentation, and what the chart has of them, anew
	UPDATE_DOCS=1 cargo test -q -p streamz-platform --test documentation
	python3 deploy/tests/configuration.py

##@ Longer runs

.PHONY: soak
soak: servers ## new seeds of the simulation for MINUTES=10, all faults (needs root), the end-to-end tests five times over
	@missing=""; command -v ip >/dev/null || missing=" iproute2"; $(install_missing)
	cargo run -p streamz-simulation --profile sim -- --minutes $(MINUTES) --from $$(date +%s)
	cargo build
	STREAMZ_BIN=$(TARGET)/debug/streamz cargo run -p streamz-faults -- --repeat 2
	for round in 1 2 3 4 5; do cargo test -p streamz-tests -p streamz-interop; done

.PHONY: bench
bench: ## load, latency, memory and processor time, beside a bare forwarder
	cargo run --release -- bench $(ARGS)

.PHONY: fuzz
fuzz: ## feed the decoders of frames and packets with what nobody would send (installs cargo-fuzz)
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	mkdir -p fuzz/corpus/golden-bus
	for file in shared/protocol/tests/golden-bus/*.hex; do \
		perl -ne 's/\s//g; print pack "H*", $$_' $$file > fuzz/corpus/golden-bus/$$(basename $$file .hex); \
	done
	for target in client_frame server_frame bus_envelope; do \
		mkdir -p fuzz/corpus/$$target; \
		case $$target in \
			bus_*) seeds=fuzz/corpus/golden-bus; words="" ;; \
			*) seeds=shared/protocol/tests/golden; words=-dict=fuzz/frames.dict ;; \
		esac; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz -s none $$target fuzz/corpus/$$target $$seeds -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 $$words; \
	done

.PHONY: deny
deny: ## licences, sources and known vulnerabilities of all dependencies (installs cargo-deny)
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny --workspace check

.PHONY: deny-offline
deny-offline: ## the same without the network: licences, sources, forbidden crates
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny --offline --workspace check licenses bans sources

# Of the program alone: what its tests need is not shipped.
SBOM = $(TARGET)/sbom/streamz.cdx.json

.PHONY: sbom
sbom: ## what is in the program, in CycloneDX, at target/sbom/streamz.cdx.json (installs cargo-sbom below target/)
	@[ -x $(TARGET)/tools/bin/cargo-sbom ] || cargo install cargo-sbom --locked --root $(TARGET)/tools
	mkdir -p $(dir $(SBOM))
	PATH="$(TARGET)/tools/bin:$$PATH" cargo sbom --cargo-package streamz --output-format cyclone_dx_json_1_6 > $(SBOM).new
	mv $(SBOM).new $(SBOM)
	@echo "$(SBOM)"

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
