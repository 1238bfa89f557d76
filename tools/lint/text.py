# SPDX-License-Identifier: PostgreSQL
"""What every file of the project keeps to: the licence line, a length that can be read, no notes
of unfinished work, no path of somebody's machine."""

import os
import re
import sys

SUFFIXES = (".c", ".h", ".def", ".in", ".py", ".sh", ".awk", ".md", ".build", ".txt", ".yml", ".conf")
NAMES = ("dev", "run", "meson.build", "meson_options.txt", ".clang-tidy", ".clang-format")
LICENSED = (".c", ".h", ".py", ".sh", ".awk", ".build")
LICENCE = "SPDX-License-Identifier: PostgreSQL"
LONGEST = 600  # lines of a C file

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
MACHINE = re.compile(r"(^|[\s\"'`(=:])/(work|root|home/\w|Users/\w)[\w.-]*/")


def files():
    """All text files, relative to the root; what is built or hidden by git is left out."""
    for directory, names, found in os.walk("."):
        names[:] = [n for n in names if n not in (".git", "__pycache__") and not n.startswith("build")]
        for name in found:
            if name.endswith(SUFFIXES) or name in NAMES:
                yield os.path.relpath(os.path.join(directory, name))


def faults(path, lines):
    first = "\n".join(lines[:2] if lines and lines[0].startswith("#!") else lines[:1])
    if path.endswith(LICENSED) and LICENCE not in first:
        yield 1, f"the first line is not '{LICENCE}'"
    if path.endswith((".c", ".h")) and len(lines) > LONGEST:
        yield len(lines), f"longer than {LONGEST} lines"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield number, "a note of unfinished work"
        if MACHINE.search(line):
            yield number, "a path of somebody's machine"


def main():
    count = 0
    for path in sorted(files()):
        with open(path, encoding="utf-8") as file:
            for number, reason in faults(path, file.read().splitlines()):
                print(f"{path}:{number}: {reason}")
                count += 1
    return 1 if count else 0


sys.exit(main())
