#!/usr/bin/env bash
# Prints a Python 3.10 that really runs and can make environments (JetPack 6 has 3.10), else the one given.
# A `python3.10` on PATH may be a version manager's shim that fails when called, so it is run, not looked up.
# Usage: scripts/edge_python.sh FALLBACK
set -euo pipefail
fallback=${1:?usage: scripts/edge_python.sh FALLBACK}
candidates=(python3.10)
if command -v pyenv >/dev/null; then
    candidates+=("$(pyenv root)"/versions/3.10.*/bin/python3.10)
fi
for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
echo "$fallback"
