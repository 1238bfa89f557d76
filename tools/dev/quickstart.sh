# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
set -euo pipefail
. tools/dev/lib.sh

need build quickstart
build build
exec /usr/bin/python3 tools/quickstart/quickstart.py "$@"
