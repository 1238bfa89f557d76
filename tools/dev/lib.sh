# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
# What the subcommands of ./dev share. They are run in the project's root.

say() {
    printf '%s\n' "$*"
}

die() {
    printf './dev: %s\n' "$*" >&2
    exit 1
}

# quiet LOG COMMAND...: the output goes to build-logs/LOG, which is shown if the command fails.
quiet() {
    local log=build-logs/$1
    shift
    mkdir -p build-logs
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        die "'$*' failed; all of its output is in $log"
    fi
}

# packages PURPOSE...: their names, from tools/packages.txt.
packages() {
    local purpose
    for purpose in "$@"; do
        awk -v wanted="[$purpose]" '/^\[/ { on = $0 == wanted; next } on && !/^#/' tools/packages.txt
    done | tr -s ' ' '\n' | sed '/^$/d' | sort -u
}

# need PURPOSE...: installs what is missing for it.
need() {
    local wanted missing as_root=()
    if ! command -v dpkg-query >/dev/null; then
        say "This is not Debian: install what tools/packages.txt names for: $*."
        return
    fi
    wanted=$(packages "$@")
    # shellcheck disable=SC2016,SC2086 # dpkg's own variables; one word for each package
    missing=$(comm -23 <(printf '%s\n' "$wanted") <(dpkg-query --show \
        --showformat '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        sed -n 's/^installed //p' | sort -u))
    [ -n "$missing" ] || return 0
    missing=${missing//$'\n'/ }
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "as root: apt-get install --no-install-recommends $missing"
        as_root=(sudo --)
    fi
    say "Installing Debian's packages: $missing"
    quiet apt-update.log "${as_root[@]}" apt-get update --quiet
    # shellcheck disable=SC2086 # one word for each package
    quiet apt-install.log "${as_root[@]}" sh tools/dev/install.sh $missing
}

# build DIRECTORY [MESON OPTIONS]: makes or updates it. An existing one keeps its other options.
build() {
    local directory=$1
    shift
    [ -z "${CI:-}" ] || set -- -Dwerror=true "$@"
    if [ ! -f "$directory/build.ninja" ]; then
        quiet "$directory-setup.log" meson setup "$directory" "$@"
    elif [ $# -gt 0 ]; then
        quiet "$directory-setup.log" meson configure "$directory" "$@"
    fi
    quiet "$directory.log" ninja -C "$directory"
    say "Built $directory/."
}
