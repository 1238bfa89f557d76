# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
# Everything that can be said of the sources without running them. Each check is a function of one
# pipeline; with names given, only those run.
set -euo pipefail
. tools/dev/lib.sh

sources() {
    find src test tools -name '*.[ch]' -print0
}

layers() { # who includes whom
    /usr/bin/python3 tools/lint/layers.py
}

text() { # licence lines, lengths, unfinished work
    /usr/bin/python3 tools/lint/text.py
}

format() {
    sources | xargs -0 clang-format-14 --dry-run -Werror -- 2>&1 |
        sed -n 's/:[0-9]*:[0-9]*: error: .*/: is not as .\/dev format leaves it/p' | uniq
}

tidy() { # the compiler's view comes from the tests' build; for a finding's notes run it by hand
    find src -name '*.c' -print0 | sort -z |
        xargs -0 -P"$(nproc)" -n1 clang-tidy-14 --quiet -p build-test \
        --extra-arg=-Wno-unknown-warning-option 2>&1 |
        sed -n "s,^$PWD/build-test/\\.\\./,,; s,^\\.\\./,,; /\\(^\\|: \\)error: /p" | sort -u
}

shell() {
    shellcheck -x dev .ci/run tools/dev/*.sh
}

options() { # every option of the configuration is documented
    [ ! -e tools/lint/options_documented.py ] || /usr/bin/python3 tools/lint/options_documented.py
}

units() { # systemd knows every key and value; what it does not know it would only ignore
    local scratch unit problems
    if ! command -v systemd-analyze >/dev/null; then
        say "lint units: skipped, there is no systemd-analyze"
        return
    fi
    scratch=$(mktemp -d)
    for unit in contrib/*.service; do # our program is not installed: another one in its place
        sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' "$unit" >"$scratch/${unit##*/}"
        systemd-analyze verify --man=no --recursive-errors=no "$scratch/${unit##*/}" || say "$unit: refused"
    done >"$scratch/problems" 2>&1
    problems=$(sed "s,$scratch/,contrib/," "$scratch/problems")
    rm -r "$scratch"
    [ -z "$problems" ] || say "$problems"
    [ -z "$problems" ]
}

[ $# -gt 0 ] || set -- layers text format shell options units tidy
need build lint
failed=()
for check in "$@"; do
    case $check in
    layers | text | format | shell | options | units) ;;
    tidy) build build-test ;;
    *) die "lint: no check '$check'; there are: layers text format shell options units tidy" ;;
    esac
    if "$check"; then
        say "lint $check: ok"
    else
        say "lint $check: FAILED"
        failed+=("$check")
    fi
done
[ ${#failed[@]} -eq 0 ] || die "lint failed: ${failed[*]}"
