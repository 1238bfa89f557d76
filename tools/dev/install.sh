# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=sh
# install.sh PACKAGE...: as root. Debian starts what it installs; this keeps it from that, unless the
# machine has a policy of its own.
set -eu

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@"
