# Tieline. `make dev` runs it on a private Postgres, `make test` runs every test; both install what they need first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help dev demo test bench clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

dev: ## Set everything up and run the service on a private Postgres (first time: about 6 minutes)
	@scripts/setup
	@echo "building the service (release; first time about 5 minutes, later seconds)"
	@cargo build --release --package tieline
	@exec target/release/tieline dev

demo: ## Show it working: two real clients and psql, each change seen by the others (first time: about 10 minutes)
	@scripts/setup --client
	@echo "building the service (release; first time about 5 minutes, later seconds)"
	@cargo build --release --package tieline
	@exec target/release/tieline dev --demo

test: ## Set everything up and run every test (first time: about 20 minutes, later about 8)
	@scripts/setup --client
	@echo "building and running all tests: unit, property, integration on private Postgres clusters, end to end with the real client"
	@scripts/test

bench: ## Measure speed and memory beside their baselines and write BENCHMARKS.md (about 15 minutes)
	@scripts/setup
	@cargo build --release --package tieline
	@cargo x bench

clean: ## Remove what was built and the private Postgres of `make dev`
	@cargo clean
	@rm -rf .tieline e2e/node_modules
