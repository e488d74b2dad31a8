#!/usr/bin/env bash
# Every test once. First those that only compute, in two processes at the same time; then, also in two, those that start
# processes; and by themselves those with devices, which are the only ones that a busy machine can disturb.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

log=$(mktemp)
other=
# A shell's background processes do not hear Ctrl-C.
trap 'rm -f "$log"; [ -z "$other" ] || kill "$other" 2>/dev/null' EXIT
failed=0
run() { .venv/bin/python -m pytest --hypothesis-profile=ci --durations=15 "$@"; }
# What it says is shown when the other one has ended.
behind() {
    run -p no:cacheprovider "$@" >"$log" 2>&1 &
    other=$!
}
together() {
    wait "$other" || failed=1
    other=
    cat "$log"
}

behind -m "slow and not process and not device" tests/natsim tests/continuity
run -m "not slow and not process and not device" || failed=1
run -p no:cacheprovider -m "slow and not process and not device" --ignore=tests/natsim --ignore=tests/continuity ||
    failed=1
together

# Halves that take as long as each other.
behind -m "process and not device" --ignore-glob="tests/netlab/test_[a-m]*.py"
run -p no:cacheprovider -m "process and not device" tests/netlab/test_[a-m]*.py || failed=1
together

run -p no:cacheprovider -m device || failed=1
exit "$failed"
