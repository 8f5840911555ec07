#!/usr/bin/env bash
# What a stranger gets: clone HEAD into an empty folder, run `make test` and `make demo` there.
# A second `make test` set-up must be free, so its time is printed too.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet --no-local . "$work/bellwire"
cd "$work/bellwire"
make test < /dev/null
make demo < /dev/null
echo "second set-up:"
time make --no-print-directory venv-test
