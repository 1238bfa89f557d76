# SPDX-License-Identifier: PostgreSQL
"""embed.py NAME FILE: prints FILE as a C string of that name, for what is part of the program."""

import sys

name, path = sys.argv[1:]
print(f"static const char {name}[] =")
with open(path, encoding="ascii") as file:
    for line in file:
        text = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
        print(f'    "{text}\\n"')
print("    ;")
