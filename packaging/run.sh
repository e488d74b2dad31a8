#!/bin/sh
# `make run`: the window with a relay and Echo of its own, or the demo where no window can be shown.
set -eu
cd "$(dirname "$0")/.."
packaging/setup.sh run
if packaging/has_display.sh; then
    exec .venv/bin/segue window --try-here
fi
echo "There is no display here, so a call is shown in the terminal instead of the window."
exec .venv/bin/segue demo
