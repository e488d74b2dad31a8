#!/usr/bin/env bash
# Every test once. First pure computation, in two processes side by side; then, also in two, what starts processes; and
# finally, alone, real-time audio and devices, which would stutter on a busy machine.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

realtime=(tests/netlab/test_{changes,demo,kernel_call,kernel_swaps,real_call,relay_restart}.py)
log=$(mktemp)
other=
failed=0
# A shell's background processes do not receive Ctrl-C, and pytest, which does, does not pass it on.
leave() {
    rm -f "$log"
    [ -n "$other" ] || return
    kill -INT "$other" 2>/dev/null
    for _ in {1..50}; do
        kill -0 "$other" 2>/dev/null || return
        sleep 0.2
    done
    kill "$other" 2>/dev/null
}
trap leave EXIT
trap 'exit 130' INT TERM
run() { .venv/bin/python -m pytest --hypothesis-profile=ci --durations=15 "$@"; }
# Its output is shown when the other one has ended.
behind() {
    run -p no:cacheprovider "$@" >"$log" 2>&1 &
    other=$!
}
together() {
    wait "$other" || failed=1
    other=
    cat "$log"
}

behind -m "slow and not process and not device" tests/natsim
run -m "not slow and not process and not device" || failed=1
run -p no:cacheprovider -m "slow and not process and not device" --ignore=tests/natsim || failed=1
together

behind -m "process and not device" --ignore=tests/netlab
run -p no:cacheprovider -m "process and not device" tests/netlab "${realtime[@]/#/--ignore=}" || failed=1
together

run -p no:cacheprovider -m "process and not device" "${realtime[@]}" || failed=1
run -p no:cacheprovider -m device || failed=1
exit "$failed"
