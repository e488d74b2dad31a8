#!/bin/sh
# usage: packaging/setup.sh run|check|test
# Installs what is missing for that purpose: system packages (apt-get, where there is one) and, into .venv, the Python
# packages of a lock. Does nothing, and asks for nothing, when all of it is there. Exit status 1: something is missing
# that could not be installed; the last lines say what.
set -eu
cd "$(dirname "$0")/.."
purpose=$1
venv=.venv
bin=$venv/bin

case $purpose in
    run) lock=packaging/lock.txt ;;
    check | test) lock=packaging/lock-dev.txt ;;
    *) echo "usage: packaging/setup.sh run|check|test" >&2; exit 2 ;;
esac

say() { echo "segue: $*"; }
fail() { for line in "$@"; do echo "segue: $line" >&2; done; exit 1; }

# Runs a command in silence, and shows the end of its output only when it fails.
quietly() {
    if "$@" >"$log" 2>&1; then return 0; fi
    tail -n 15 "$log" >&2
    return 1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# ---- Python --------------------------------------------------------------------------------------------------

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        if new_enough "$candidate"; then
            # The program itself, not a version manager's shim, which may mean another one in another folder.
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
        # Whoever names one wants that one.
        [ -z "${PYTHON:-}" ] || break
    done
    return 1
}

python=$(find_python) || fail \
    "Python 3.11 or newer is needed; ${PYTHON:-python3} is $( ("${PYTHON:-python3}" --version) 2>/dev/null || echo missing)." \
    "Install one, or name it: make $purpose PYTHON=/path/to/python3.11"

# ---- system packages -----------------------------------------------------------------------------------------

# libasound2-plugins: Debian's PortAudio speaks ALSA, and these lead from there to PulseAudio and PipeWire.
sound="libopus0 libportaudio2 libasound2-plugins"
# What Qt's xcb plugin and its text rendering need besides the X server.
window="libegl1 libgl1 libwayland-cursor0 libwayland-egl1 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0
    libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 fonts-inter"
# Sound without hardware, a screen without hardware and clicks on it, networks without hardware, and a voice.
# Of miniupnpd only the program: the package of that name would also run it as a service.
labs="pulseaudio pulseaudio-utils xvfb xauth xdotool dbus sox espeak-ng iproute2 nftables miniupnpd-nftables"

wanted=$sound
may_install() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
# Without a window `make run` shows the demo, whose NATs use these; it works without them, so nobody is asked.
if [ "$purpose" = run ] && ! packaging/has_display.sh && may_install; then wanted="$wanted iproute2 nftables"; fi
if [ "$purpose" != run ] || packaging/has_display.sh; then wanted="$wanted $window"; fi
if [ "$purpose" = test ]; then wanted="$wanted $labs"; fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    case $python in
        /usr/bin/*) wanted="$wanted python3.$("$python" -c 'import sys; print(sys.version_info[1])')-venv" ;;
        *) fail "$python has no ensurepip, which .venv needs. Use another one: make $purpose PYTHON=/path/to/python3" ;;
    esac
fi

missing_packages() {
    # shellcheck disable=SC2086  # a list of words
    installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        sed -n 's/^installed //p' | tr '\n' ' ')"
    for package in $wanted; do
        case $installed in *" $package "*) ;; *) printf '%s ' "$package" ;; esac
    done
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    missing=$(missing_packages)
    if [ -n "$missing" ]; then
        by_hand="apt-get update && apt-get install --no-install-recommends ${missing% }"
        if [ "$(id -u)" = 0 ]; then
            as_root="env"
        elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            as_root="sudo -n env"
        else
            fail "these system packages are missing, and only root may install them: ${missing% }" \
                "As root, run:  $by_hand" \
                "Then run make $purpose again. Nothing else needs root."
        fi
        say "installing system packages: ${missing% }"
        apt="$as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120"
        # An update that fails in part may still bring what is needed: the installation decides.
        quietly $apt update || true
        # shellcheck disable=SC2086
        quietly $apt install --no-install-recommends $missing </dev/null ||
            fail "apt-get could not install them; its output is above." \
                "Once that is fixed, run:  $by_hand" "Then run make $purpose again."
    fi
else
    # Elsewhere the wheels contain everything but libopus and, except on macOS, PortAudio.
    "$python" packaging/native.py || exit 1
fi

# ---- Python packages -----------------------------------------------------------------------------------------

# What the environment was made from, the folder included: scripts in .venv/bin contain its path.
base="$(pwd) $("$python" -c 'import sys; print(sys.version)' | tr '\n' ' ')"
state_of() { echo "$base $(cat packaging/lock-build.txt "$1" pyproject.toml | cksum)"; }
stamp_of() { echo "$venv/$(basename "$1").installed"; }
is_installed() { [ -x "$bin/segue" ] && [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$(state_of "$1")" ]; }

pip_install() {
    quietly "$bin/python" -m pip install --disable-pip-version-check --no-input --quiet "$@" ||
        fail "the Python packages could not be installed; pip's output is above." \
            "They come from your package index: check the network and pip's settings, then run make $purpose again."
}

if ! is_installed "$lock"; then
    say "installing Python packages into $venv (a minute or two the first time)"
    if [ "$(cat "$venv/base" 2>/dev/null)" != "$base" ]; then
        quietly "$python" -m venv --clear "$venv" || fail "$python could not create $venv; its output is above."
        echo "$base" >"$venv/base"
    fi
    rm -f "$venv"/*.installed
    pip_install --require-hashes -r packaging/lock-build.txt
    # No isolation: source packages are built by the pinned setuptools, not by the newest one.
    pip_install --require-hashes --no-build-isolation -r "$lock"
    pip_install --no-deps --no-build-isolation --editable .
    state_of "$lock" >"$(stamp_of "$lock")"
    # The lock for the tests contains the other one, version by version.
    state_of packaging/lock.txt >"$(stamp_of packaging/lock.txt)"
fi
