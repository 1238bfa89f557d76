#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""A Barman home with a large archive, for what depends on the catalogue's length.

    tools/bench/catalog.py DIRECTORY [--rows 1000000] [--files 20000]

The catalogue of server `main` has that many segments of 1 MiB; of these the first --files exist, as
sparse files that begin with a segment's header. Then, for instance:

    /usr/bin/time -v build/walden -c DIRECTORY/walden.conf delete-wals main --before SEGMENT
"""

import argparse
import os
import pathlib
import pwd

import common  # finds the tests' helpers
from wal import MIB, segment_name, wal_bytes


def make_files(wals, count):
    for number in range(count):
        name = segment_name(number)
        directory = wals / name[:16]
        directory.mkdir(exist_ok=True)
        with open(directory / name, "wb") as file:
            file.write(wal_bytes(name, pages=1)[:64])
            file.truncate(MIB)


def make(home, rows, files, catalog="main-xlog.db", columns="None\tNone"):
    """The home; a catalogue of the older form is called xlog.db and has one column less."""
    wals = home / "main" / "wals"
    for directory in (wals, home / "main" / "incoming", home / "main" / "errors", home / "main" / "streaming"):
        directory.mkdir(parents=True)
    (home / "walden.conf").write_text(
        f"[barman]\nbarman_home = {home}\nbarman_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        f"log_file = {home}/walden.log\n\n[main]\ndescription = large\narchiver = on\n"
        f"backup_method = postgres\nconninfo = host={home} dbname=postgres\n"
        f"streaming_conninfo = host={home}\n"
    )
    make_files(wals, min(files, rows))
    with open(wals / catalog, "w", encoding="ascii") as file:
        for number in range(rows):
            file.write(f"{segment_name(number)}\t{MIB}\t{1_700_000_000 + 20 * number + 0.5!r}\t{columns}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20_000)
    options = parser.parse_args()
    home = options.directory.resolve()
    make(home, options.rows, options.files)
    print(f"{home}/walden.conf: {options.rows} rows; number 10,000 is {segment_name(10_000)}")


if __name__ == "__main__":
    main()
