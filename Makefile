# Everything here sets itself up: Go is all that has to be there, and where it is
# not, the first rule says where to get it.

GO      ?= go
BIN     := bin/tongma
FUZZ    ?= 20s
PACKAGES := ./...

.PHONY: help build run demo test check race fuzz bench bench-clearing cluster lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN): FORCE
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/dl" >&2; exit 1; }
	@$(GO) build -trimpath -o $@ ./cmd/tongma
FORCE:

build: $(BIN) ## the one binary, bin/tongma

run: $(BIN) ## a whole market in one process, with live payments, until Ctrl-C
	@./$(BIN) demo

demo: $(BIN) ## the same headless: pay, close, net, settle, audit
	@./$(BIN) demo --once --payments 1000 --seed 42

test: ## all tests; says which outside tools it did not find
	@./.ci/tools
	$(GO) vet $(PACKAGES)
	$(GO) test -timeout 15m $(PACKAGES)

check: lint race fuzz ## what a change must pass before it lands

lint: ## gofmt, vet, staticcheck, spelling, long functions
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) tool -modfile=tools/go.mod staticcheck $(PACKAGES)
	@! git grep -nwiE 'authoriz(e|ed|es|ing)|settelment|recieve' -- '*.go' '*.md' ':!*_test.go' ':!*.json' || { echo 'British spelling: authorise'; exit 1; }
	@git ls-files '*.go' | grep -v _test.go | xargs awk 'FNR==1{start=0} /^func /{start=FNR; name=$$0} /^}/{if (start && FNR-start>70) printf "  %s:%d is %d lines long\n", FILENAME, start, FNR-start; start=0}'

race: ## all tests under the race detector, the long ones shortened
	$(GO) test -race -short -timeout 20m $(PACKAGES)

cluster: ## switches and NATS servers broken for five minutes under load, and nothing lost
	CLUSTER_SECONDS=$${CLUSTER_SECONDS:-300} $(GO) test -count=1 -v -timeout 20m ./conformance/cluster

fuzz: ## every fuzzer for FUZZ (20s)
	@./.ci/fuzz $(FUZZ)

bench: ## figures, each beside a floor or a peer of the same run
	@./.ci/bench

bench-clearing: ## the books against peers in one run, beside their goals; BENCH='--json figures.json'
	@./.ci/bench-clearing $(BENCH)

.PHONY: sim sim-mutations
sim: ## seeded histories of the whole path under every fault: SEEDS=10000, or SEED=123 for one with its trace
	@./.ci/sim histories $(or $(SEEDS),10000) $(SEED)

sim-mutations: ## faults put into the switch, the books and the journal: the simulation must find each; FAULT=name for one
	@./.ci/sim mutations '$(or $(FAULT),.)'

clean: ## remove what was built
	rm -rf bin data
