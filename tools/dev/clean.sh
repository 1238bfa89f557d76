# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
set -euo pipefail
. tools/dev/lib.sh

rm -rf -- build build-*
find . -name __pycache__ -type d -prune -exec rm -rf -- {} +
say "Removed build/ and build-*/."
