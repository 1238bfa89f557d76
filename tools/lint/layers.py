# SPDX-License-Identifier: PostgreSQL
"""Does every #include keep to the layers? A folder includes itself and lower ranks only, never
sideways, and a library's header is included in one place only."""

import pathlib
import re
import sys

RANKS = {
    "base": 0,
    "wal": 1,
    "config": 1,
    "pg": 2,
    "cloud": 2,
    "flow/intake": 3,
    "flow/queue": 3,
    "flow/recode": 3,
    "flow/store": 3,
    "flow/xlogdb": 3,
    "flow": 4,
    "report": 4,
    "monitor": 5,
    "command": 6,
    "pgmodule": 6,
}

# Header (a pattern for the whole of it): where it may be included.
LIBRARIES = {
    r"libpq-fe\.h": "pg/",
    r"curl/.*": "cloud/",
    r"expat\.h": "cloud/",
    r"openssl/.*": "cloud/",
    r"gpgme\.h": "flow/recode/",
    r"microhttpd\.h": "report/http.c",
    r"(zstd\w*|lz4\w*|zlib|libdeflate|isa-l/igzip_lib|bzlib|lzma|snappy-c)\.h": "flow/recode/",
    r"postgres\.h": "pgmodule/",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def folder(path):
    """'flow/store' of 'flow/store/http.c', 'flow' of 'flow/archive.c', '' of 'main.c'."""
    parts = path.split("/")[:-1]
    return "/".join(parts[: 2 if parts[:1] == ["flow"] else 1])


def fault(path, quoted, library):
    """What is wrong with this include in src/`path`, or None."""
    here = folder(path)
    if library:
        for header, place in LIBRARIES.items():
            if re.fullmatch(header, library) and not path.startswith(place):
                return f"<{library}> belongs in {place} only"
        return None
    there = folder(quoted)
    if here == "" or there == "" or here == there:
        return None  # main.c may use all, and version.h may be used by all
    for name in (here, there):
        if name not in RANKS:
            return f'the folder "{name}" has no rank in {sys.argv[0]}'
    if RANKS[there] < RANKS[here]:
        return None
    way = "sideways" if RANKS[there] == RANKS[here] else "upwards"
    return f'"{quoted}" lies {way} of {here}/'


def main():
    count = 0
    source = pathlib.Path("src")
    for file in sorted(source.rglob("*.[ch]")):
        path = str(file.relative_to(source))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            reason = found and fault(path, *found.groups())
            if reason:
                print(f"src/{path}:{number}: {reason}")
                count += 1
    return 1 if count else 0


sys.exit(main())
