#!/bin/sh
# Writes the locks: every version pinned, every file of a release hashed, for all systems and Pythons at once
# (markers in the lines choose). They name no registry: each machine is configured for its own.
#
# packaging/lock-build.txt  what builds; goes in first
# packaging/lock.txt        what Segue runs on, with the window
# packaging/lock-dev.txt    the same versions, and what the tests need
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9   # resolves for all systems in one pass, which pip-compile cannot
OLDEST_PYTHON=3.11

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"

compile() {
    output=$1
    shift
    # An existing lock keeps its versions: only `--upgrade` changes what still fits.
    "$tool/bin/uv" pip compile --quiet --universal --python-version "$OLDEST_PYTHON" --fork-strategy fewest \
        --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "$output" "$@"
    echo "$output: $(grep -c '==' "$output") packages"
}

compile packaging/lock-build.txt "$@" packaging/build.in
compile packaging/lock.txt "$@" --extra window --constraint packaging/lock-build.txt pyproject.toml
compile packaging/lock-dev.txt "$@" --extra window --extra dev --constraint packaging/lock.txt pyproject.toml
