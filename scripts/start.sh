#!/usr/bin/env bash
# Run Vivavoce: installs and fetches what is missing, then serves. Takes the options of
# `vivavoce serve`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
prepare_environment ""
exec .venv/bin/vivavoce serve "$@"
