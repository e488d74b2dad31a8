#!/usr/bin/env bash
# Every test once. Those that only compute run in two processes at the same time, and nothing of them depends on how
# fast that is; those with processes and devices of their own come after them, one by one, so that they have the
# machine to themselves.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# CI's output is kept whole; a person sees the second half's when the first has ended.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { .venv/bin/python -m pytest --hypothesis-profile=ci --durations=15 "$@"; }
alone="process or device"

run -p no:cacheprovider -m "slow and not ($alone)" tests/natsim tests/continuity >"$log" 2>&1 &
other=$!
run -m "not slow and not ($alone)"
quick=$?
run -p no:cacheprovider -m "slow and not ($alone)" --ignore=tests/natsim --ignore=tests/continuity
slow=$?
wait "$other"
simulated=$?
cat "$log"
run -m "$alone"
last=$?
[ "$quick$slow$simulated$last" = 0000 ]
