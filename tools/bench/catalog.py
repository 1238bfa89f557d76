#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""A Barman home with a large archive, for measuring what depends on the catalogue's length.

    tools/bench/catalog.py DIRECTORY [--rows 1000000] [--files 20000]

The catalogue of server `main` has that many segments of 16 MiB; of these the first --files exist,
as sparse files of their full size. Then, for instance:

    /usr/bin/time -v build/walden -c DIRECTORY/walden.conf delete-wals main --before SEGMENT
"""

import argparse
import os
import pathlib
import pwd

SIZE = 16 << 20
PER_LOG = (1 << 32) // SIZE


def name_of(number):
    return f"{1:08X}{number // PER_LOG:08X}{number % PER_LOG:08X}"


def make_files(wals, count):
    for number in range(count):
        name = name_of(number)
        if number % PER_LOG == 0:
            (wals / name[:16]).mkdir()
        with open(wals / name[:16] / name, "wb") as file:
            file.truncate(SIZE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20_000)
    options = parser.parse_args()
    home = options.directory.resolve()
    wals = home / "main" / "wals"
    wals.mkdir(parents=True)
    (home / "walden.conf").write_text(
        f"[barman]\nbarman_home = {home}\nbarman_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        f"log_file = {home}/walden.log\n\n[main]\ndescription = large\narchiver = on\n"
    )
    make_files(wals, min(options.files, options.rows))
    with open(wals / "main-xlog.db", "w", encoding="ascii") as catalog:
        for number in range(options.rows):
            time = 1_700_000_000 + 20 * number + 0.5
            catalog.write(f"{name_of(number)}\t{SIZE}\t{time!r}\tNone\tNone\n")
    print(f"{home}/walden.conf: {options.rows} rows; number 10,000 is {name_of(10_000)}")


if __name__ == "__main__":
    main()
