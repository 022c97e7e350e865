#!/bin/sh
# All tests. Those of the simulation only compute and share nothing: they take the time in which the others wait, and
# their report stands where they end. The last lines are the report of the others.
# Usage: tests/all.sh PYTEST
pytest=$1
log=$(mktemp) || exit 1

beside() {
	nice -n 19 "$pytest" -q -p no:cacheprovider tests/simulation >"$log" 2>&1 &
	trap 'kill $!' INT TERM
	wait $!
	ended=$?
	printf '\n=== tests/simulation, beside the others\n'
	cat "$log"
	exit $ended
}

beside &
simulation=$!
trap 'kill $simulation; exit 130' INT TERM
trap 'rm -f "$log"' EXIT
"$pytest" --ignore=tests/simulation
tested=$?
wait $simulation || { echo "tests/simulation failed: its report stands above"; exit 1; }
exit $tested
