#!/usr/bin/env bash
# Fuzzes every Fuzz function of the module for FUZZTIME each (60s unless set), or
# those whose names match the regular expression that is given; then the properties
# that rapid checks, 1000 times each from a seed drawn by lot, or SEED.
# A crash leaves its input in the package's testdata/fuzz, where go test finds it.
set -euo pipefail
cd "$(dirname "$0")/.."

pattern=${1:-.}

# go test -list prints the names in a package, then "ok" and the package.
targets=$(go test -list '^Fuzz' ./... | awk '
	/^Fuzz/ { names[++n] = $1 }
	/^ok/   { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')

ran=0
while read -r package name; do
	if [[ -z $name || ! $name =~ $pattern ]]; then
		continue
	fi
	printf '== %s %s\n' "$package" "$name"
	# Minimizing an input that is merely new would otherwise take up to a minute.
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-60s}" -fuzzminimizetime 1s "$package"
	ran=$((ran + 1))
done <<<"$targets"

properties=$(grep -r --include='*_test.go' -E '^func Test|rapid\.Check\(' . | awk -F: '
	$2 ~ /^func Test/     { match($2, /Test[A-Za-z0-9_]*/); name = substr($2, RSTART, RLENGTH) }
	$2 ~ /rapid\.Check\(/ { sub("/[^/]*$", "", $1); print $1, name }')
seed=${SEED:-$((RANDOM * 32768 + RANDOM + 1))}
while read -r package name; do
	if [[ -z $name || ! $name =~ $pattern ]]; then
		continue
	fi
	printf '== %s %s, seed %s\n' "$package" "$name" "$seed"
	go test -run "^$name\$" "$package" -rapid.checks 1000 -rapid.seed "$seed"
	ran=$((ran + 1))
done <<<"$properties"

if ((ran == 0)); then
	printf 'no Fuzz function and no property matches %s\n' "$pattern" >&2
	exit 1
fi
