# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
# Unit tests (meson, cmocka) and end-to-end tests (pytest) against a build of their own. With
# $DEV_TALLY, appends "PASSED FAILED" as meson and pytest counted them to that file.
set -euo pipefail
. tools/dev/lib.sh

# gcc warns of what its own instrumentation makes of the code.
instrumented=(-Dwerror=false)
directory=build-test options=() unit=() e2e=() which=both
while [ $# -gt 0 ]; do
    case $1 in
    --asan)
        directory=build-asan
        options=("-Db_sanitize=address,undefined" "${instrumented[@]}")
        ;;
    --tsan)
        directory=build-tsan
        options=(-Db_sanitize=thread "${instrumented[@]}")
        unit=(pipeline cloud_remove "intake writer")
        e2e=(-m parallel)
        ;;
    --clang)
        need clang
        directory=build-clang
        export CC=clang
        ;;
    --offline)
        export WALDEN_OFFLINE=1
        ;;
    unit | e2e)
        which=$1
        shift
        break
        ;;
    *) die "test: no option '$1'; arguments for meson follow 'unit', those for pytest follow 'e2e'" ;;
    esac
    shift
done
case $which in
unit) unit+=("$@") ;;
e2e) e2e+=("$@") ;;
esac
# All of them, unless files or directories are named.
named=0
for word in "${e2e[@]}"; do
    [ ! -e "${word%%::*}" ] || named=1
done
[ "$named" = 1 ] || e2e+=(test/e2e)

need build test
build "$directory" "${options[@]}"
# Without them the tests of those servers fail, and no others.
if [ "$which" != unit ] && [ "$directory" != build-tsan ] && [ -z "${WALDEN_OFFLINE:-}" ]; then
    bash tools/dev/servers.sh || say "Not all servers could be fetched; --offline goes without them."
fi

# A finding must not look like a failure that a test expects.
export ASAN_OPTIONS=exitcode=66:detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:exitcode=66:print_stacktrace=1
# LeakSanitizer falls over the thread-local data of libraries that were loaded on use (GPGME); without
# it, what Kerberos keeps there looks lost. Read by all accounts that tests run programs as.
leaks=$(mktemp)
trap 'rm -f "$leaks"' EXIT
printf 'leak:%s\n' libkrb5support libgssapi_krb5 >"$leaks"
chmod 644 "$leaks"
export LSAN_OPTIONS=use_tls=0:print_suppressions=0:suppressions=$leaks
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
# ThreadSanitizer does not find its addresses where the kernel spreads them widely.
runner=()
[ "$directory" != build-tsan ] || runner=(setarch --addr-no-randomize)

failed=0
mkdir -p build-logs
log=build-logs/test.log
: >"$log"
if [ "$which" != e2e ]; then
    "${runner[@]}" meson test -C "$directory" --no-rebuild --print-errorlogs "${unit[@]}" 2>&1 |
        tee -a "$log" || failed=1
fi
if [ "$which" != unit ]; then
    # Another Python on the PATH would lack Debian's modules. Most tests wait more than they work.
    WALDEN=$PWD/$directory/walden "${runner[@]}" /usr/bin/python3 -m pytest --quiet \
        -p no:cacheprovider -n $((2 * $(nproc))) "${e2e[@]}" 2>&1 | tee -a "$log" || failed=1
fi
if [ -n "${DEV_TALLY:-}" ]; then
    # shellcheck source=tools/dev/tally.awk
    awk -f tools/dev/tally.awk "$log" >>"$DEV_TALLY"
fi
exit "$failed"
