#!/usr/bin/env bash
# usage: packaging/test.sh [check]
# ruff, mypy, the import contracts and every test once, in lanes that run side by side on two cores. The simulated
# networks, which compute for longest, run at low priority beside first the others that only compute and then those that
# start processes, which mostly wait. Voices in real time and devices come last and by themselves: a busy machine would
# disturb them. "check" leaves out what is slow, starts processes or needs devices.
set -uo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pytest=(.venv/bin/python -m pytest -p no:cacheprovider)
static=(make --no-print-directory static)
# In real time: on a busy machine they would lose audio.
voices=(tests/netlab/test_{changes,demo,kernel_call,kernel_swaps,port_mapping,real_call,relay_restart}.py)

failed=0
lanes=()
logs=$(mktemp -d)
# A shell's background processes do not hear Ctrl-C, and pytest, which does, tells the shell nothing of it.
leave() {
    for lane in "${lanes[@]}"; do kill -INT "$lane" 2>/dev/null; done
    for lane in "${lanes[@]}"; do
        for _ in {1..50}; do
            kill -0 "$lane" 2>/dev/null || break
            sleep 0.2
        done
        kill "$lane" 2>/dev/null
    done
    rm -rf "$logs"
}
trap leave EXIT
trap 'exit 130' INT TERM
# Starts a lane, and sets lane to its number.
behind() {
    lane=${#lanes[@]}
    "$@" >"$logs/$lane" 2>&1 &
    lanes+=($!)
}
# Waits for lanes, and shows what each has written.
await() {
    for number in "$@"; do
        wait "${lanes[number]}" || failed=1
        cat "$logs/$number"
    done
}
run() { "${pytest[@]}" "$@" || failed=1; }
# All folders of tests but those given.
folders_but() {
    for folder in tests/*/ tests/test_*.py; do
        [[ " $* " = *" $folder "* ]] || echo "$folder"
    done
}

if [ "${1:-}" = check ]; then
    pytest+=(--hypothesis-profile=dev -q -m "not slow and not process and not device")
    behind "${static[@]}"
    behind "${pytest[@]}" tests/unit/{media,relay,transport} tests/natsim
    # shellcheck disable=SC2046
    run $(folders_but tests/natsim/) --ignore=tests/unit/{media,relay,transport}
    await 0 1
    exit "$failed"
fi

pytest+=(--hypothesis-profile=ci --durations=15)
computing=(-m "not process and not device")
processes=(-m "process and not device")

behind "${static[@]}"
behind nice -n 10 "${pytest[@]}" "${computing[@]}" tests/natsim --ignore=tests/natsim/test_all_machines.py
natsim=$lane
# shellcheck disable=SC2046
run "${computing[@]}" $(folders_but tests/natsim/) tests/natsim/test_all_machines.py
await 0

behind "${pytest[@]}" "${processes[@]}" --ignore=tests/netlab
run "${processes[@]}" tests/netlab "${voices[@]/#/--ignore=}"
await "$lane" "$natsim"

run "${processes[@]}" "${voices[@]}"
run -m device
exit "$failed"
