#!/usr/bin/env bash
# Fuzzes every Fuzz function of the module for FUZZTIME each (60s unless set), or
# those whose names match the regular expression that is given.
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

if ((ran == 0)); then
	printf 'no Fuzz function matches %s\n' "$pattern" >&2
	exit 1
fi
