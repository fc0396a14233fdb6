# What people run and what CI runs are the same lines: see .ci/run.
.DEFAULT_GOAL := help
.PHONY: build test test-pure test-long check generate picture demo demo-private bench bench-pipe bench-waiting bench-overlay bench-broadcast bench-idle bench-running bench-carried bench-files sim fuzz scenario torture lab attack clean help

build: ## build the static program ./quicpeer
	CGO_ENABLED=0 go build -trimpath -o quicpeer$(shell go env GOEXE) .

# A network of these is simulated by one goroutine, or they start none: their tests run in full
# without the race detector. No race can be in the core, whose packages start no goroutine, as
# scripts/arch sees to: some of its simulations run with it as an example.
PURE = ./overlay/core/... ./overlay/coretest ./overlay/messaging/delivery ./scripts/arch ./scripts/sim

RACING = $$(go list ./... | grep -vE '/overlay/core(/|$$)|/scripts/arch$$')

# The longest come first. Those of scripts wait for real processes, while others compute; overlay's
# run on one processor with the race detector (go.dev/issue/78156).
LONGEST = ./overlay ./scripts/scenario ./scripts/torture ./scripts/lab

# go vet is part of make check, and would compile everything twice more here, down to the
# standard library. -w leaves out what only a debugger reads, and links faster. The limit is against
# tests that hang, on a machine that has other things to do as well. With -p 4 the processors have
# work while up to three packages wait.
GOTEST = go test -vet=off -ldflags=-w -timeout 30m

# What only a debugger reads is an eighth of compiling. It is no flag of GOTEST, so that the program
# that the scenarios build is made of the same packages.
check test: export GOFLAGS := $(GOFLAGS) -gcflags=all=-dwarf=false

test: ## run all tests, the multi-peer scenarios among them
	$(MAKE) --no-print-directory -j 2 test-pure test-long
	$(GOTEST) -race -run '^TestSim(Churn|Custody|NATs|Partition)$$' ./overlay/core
	$(GOTEST) -race -p 4 $(LONGEST) $(RACING)

test-pure: # simulations make much garbage; they take a quarter less with fewer collections
	GOGC=400 $(GOTEST) $(PURE)

test-long: # hours of simulated time, thousands of keys
	$(GOTEST) -run '^TestLong' ./overlay ./internal/chat/tui

check: ## check format, lint, vulnerabilities, generated code, cross builds
	scripts/check.sh

generate: ## write pb/quicpeer.pb.go from pb/quicpeer.proto
	go -C scripts/generate run . "$(CURDIR)/pb" "$(CURDIR)/pb"

picture: ## draw docs/chat.svg, the screen in the README
	go run ./scripts/picture docs/chat.svg

demo: ## play the seed scenario with three real peers, and show what they see
	go run ./scripts/scenario -show scripts/scenarios/demo.txtar

demo-private: ## play a private network: a ticket, a stranger, a removal
	go run ./scripts/scenario -show scripts/scenarios/demo-private.txtar

bench: ## measure messages a second, and their latency; FLAGS=-help
	go -C scripts/bench run ./messages $(FLAGS)

bench-pipe: ## pipe a million lines through two peers: time, memory; FLAGS=-help
	go -C scripts/bench run ./pipe $(FLAGS)

bench-waiting: ## how soon who comes back has what waited for it; FLAGS=-help
	go -C scripts/bench run ./waiting $(FLAGS)

bench-overlay: ## measure joins, leaves, crashes beside memberlist; FLAGS=-help
	go -C scripts/bench run ./overlay $(FLAGS)

bench-running: ## measure quicpeer send, and clients that follow the events; FLAGS=-help
	go -C scripts/bench run ./running $(FLAGS)

bench-idle: ## measure what idle peers cost: memory, CPU, goroutines; FLAGS=-help
	CGO_ENABLED=0 go -C scripts/bench run ./idle $(FLAGS)

bench-broadcast: ## measure messages to everyone beside gossipsub; FLAGS=-help
	go -C scripts/bench run ./broadcast $(FLAGS)

bench-carried: ## measure links over other peers beside direct ones; FLAGS=-help
	go -C scripts/bench run ./carried $(FLAGS)

bench-files: ## measure files beside a bare stream, scp, croc: rate, memory; FLAGS=-help
	go -C scripts/bench run ./files $(FLAGS)

sim: ## simulate networks of 1000 and 10,000 peers: crashes, cuts, churn; FLAGS=-help
	go run ./scripts/sim $(FLAGS)

fuzz: ## fuzz every Fuzz function, FUZZTIME=60s each; then properties at random
	scripts/fuzz.sh

scenario: ## play FILE=scripts/scenarios/seed.txtar, or your own; FLAGS=-show to watch
	go run ./scripts/scenario $(FLAGS) $(FILE)

torture: ## kill, freeze, cut off real peers, judge each message or file; FLAGS=-help
	go run ./scripts/torture $(FLAGS)

lab: ## put real peers behind NATs and measure how they get at each other; FLAGS=-help
	go run ./scripts/lab $(FLAGS)

attack: ## play what strangers and members may try against real peers; FLAGS=-help
	go run ./scripts/attack $(FLAGS)

clean: ## remove what build made
	rm -f quicpeer quicpeer.exe

help: ## list these targets
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
