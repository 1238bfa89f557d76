# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
set -euo pipefail
. tools/dev/lib.sh

need build bench
build build
exec /usr/bin/python3 tools/bench/bench.py "$@"
