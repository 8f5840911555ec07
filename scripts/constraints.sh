#!/usr/bin/env bash
# Write constraints.txt anew: resolve on Python 3.11, the oldest we promise, then install that very set on 3.12
# and 3.13 and refuse it if either differs. Interpreters: python3.11, python3.12, python3.13 on PATH, or given
# as PYTHON311, PYTHON312, PYTHON313.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON311:-python3.11}" -m venv "$work/oldest"
"$work/oldest/bin/pip" install -q hatchling editables setuptools ".[test,check]"
"$work/oldest/bin/pip" freeze --all | grep -vE '^(bellwire|pip)\b' > "$work/pins"
for python in "${PYTHON312:-python3.12}" "${PYTHON313:-python3.13}"; do
    rm -rf "$work/newer"
    "$python" -m venv "$work/newer"
    "$work/newer/bin/pip" install -q -c "$work/pins" hatchling editables setuptools ".[test,check]"
    "$work/newer/bin/pip" check
    "$work/newer/bin/pip" freeze --all | grep -vE '^(bellwire|pip)\b' | diff "$work/pins" - || {
        echo "$python resolves another set than 3.11" >&2
        exit 1
    }
done
{ sed -n '/^#/p' constraints.txt; cat "$work/pins"; } > "$work/constraints.txt"
mv "$work/constraints.txt" constraints.txt
