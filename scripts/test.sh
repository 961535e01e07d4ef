#!/usr/bin/env bash
# Set up everything that the tests need on a fresh machine, then check and test the whole project.
# Arguments go to pytest: `scripts/test.sh tests/text -k clauses`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
prepare_environment "[dev]"
if command -v npm >/dev/null 2>&1; then
    npm ci --prefix tests/clients/node --no-audit --no-fund --loglevel=error
fi
.venv/bin/vivavoce models pull
.venv/bin/vivavoce models pull smollm2-135m

.venv/bin/ruff check backend tests
.venv/bin/ruff format --check backend tests
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
