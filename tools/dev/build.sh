# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
# build/walden: what is installed, measured and shown.
set -euo pipefail
. tools/dev/lib.sh

options=()
for word in "$@"; do
    case $word in
    --release) options+=(-Db_lto=true) ;;
    *) die "build: no option '$word'" ;;
    esac
done
need build
build build "${options[@]}"
