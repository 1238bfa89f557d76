# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
set -euo pipefail
. tools/dev/lib.sh

need lint
find src test tools -name '*.[ch]' -print0 | xargs -0 clang-format-14 -i --
say "Formatted the sources in src/, test/ and tools/."
