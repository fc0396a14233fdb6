#!/usr/bin/env bash
# Everything that can be said about the code without running it. Prints one line
# for each check that passes and stops at the first that doesn't.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tools' versions are here and not in go.mod, whose readers shouldn't have to
# tell them from what the program is made of.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# The modules of the repository: each has a go.mod. One is left out but for its format, the
# rival of bench-broadcast: on a fresh machine go vet alone would compile go-libp2p for minutes,
# after 50 MB of downloads. make bench-broadcast builds it.
modules=()
while IFS= read -r file; do
	modules+=("$(dirname "$file")")
done < <(find . -name go.mod -not -path './.*' -not -path ./scripts/bench/gossip/go.mod | sort)

passed() {
	printf 'ok    %-16s (%ds)\n' "$1" "$((SECONDS - began))"
	began=$SECONDS
}
failed() {
	printf 'FAIL  %s\n' "$1" >&2
	exit 1
}
began=$SECONDS

unformatted=$(find . -name '*.go' -not -path './.*' -not -name '*.pb.go' -exec gofmt -l {} +)
if [[ -n $unformatted ]]; then
	printf '%s\n' "$unformatted" >&2
	failed 'gofmt: run gofmt -w on these files'
fi
passed gofmt

for module in "${modules[@]}"; do
	go -C "$module" mod tidy -diff || failed "go.mod or go.sum in $module: run go mod tidy there"
done
passed 'go mod tidy'

mkdir "$temporary/pb"
go -C scripts/generate run . "$PWD/pb" "$temporary/pb" || failed 'generate'
diff -u pb/quicpeer.pb.go "$temporary/pb/quicpeer.pb.go" || failed 'generated code is not current: run make generate'
passed 'generated code'

for module in "${modules[@]}"; do
	go -C "$module" vet ./... || failed "go vet in $module"
done
passed 'go vet'

# What is not the program (harness, benchmarks) is the same on all but Windows.
for target in linux/arm64 darwin/arm64 windows/amd64; do
	what=.
	if [[ $target == windows/* ]]; then
		what=./...
	fi
	GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go build -o "$temporary/build/" "$what" || failed "build for $target"
	passed "$target"
done

for module in "${modules[@]}"; do
	go -C "$module" run "$staticcheck" ./... || failed "staticcheck in $module"
done
passed staticcheck

# go run would hide the tool's exit status: 3 are findings.
GOBIN=$temporary go install "$govulncheck" || failed 'govulncheck: not built'
status=0
"$temporary/govulncheck" ./... >"$temporary/findings" 2>&1 || status=$?
if ((status == 0)); then
	passed govulncheck
elif ((status != 3)) && grep -q 'fetching vulnerabilities' "$temporary/findings"; then
	printf 'skip  govulncheck: its database can'\''t be reached from here\n'
else
	cat "$temporary/findings" >&2
	failed govulncheck
fi
