#!/usr/bin/env bash
# Runs the tests of the Python binding against the package that is installed in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
exec ../../.venv/bin/python -m pytest -q "$@"
