# SPDX-License-Identifier: PostgreSQL
"""Does docs/configuration.md describe every option of src/config/options.def, with its type,
default and place, and nothing else? Does the sample file show every option? With --facts, prints
the line of facts that each option must have."""

import pathlib
import re
import sys

DEFINITION = pathlib.Path("src/config/options.def")
MANUAL = pathlib.Path("docs/configuration.md")
SAMPLE = pathlib.Path("contrib/walden.conf.sample")

ROW = re.compile(r'^OPTION\((\w+), (\w+), (\w+), (NULL|"[^"]*"), "([^"]*)", "([^"]*)"\)$', re.M)
HEADING = re.compile(r"^### `([^`]+)`\n\n(.*)$", re.M)
SHOWN = re.compile(r"^;?(\w+) =", re.M)

KINDS = {
    "BOOL": "true or false",
    "COUNT": "whole number",
    "SECONDS": "time",
    "TEXT": "text",
    "PATH": "path",
    "SHELL": "shell command",
    "SECRET": "shell command",
    "MAGIC": "`0x` and hexadecimal digits",
    "LEVEL": "`low`, `medium`, `high` or a number",
    "LOGLEVEL": "name or number of a level",
    "CONNINFO": "connection string",
    "SLOT": "name of a slot",
    "RETENTION": "an amount of WAL",
    "TAGS": "`KEY=VALUE`, several with commas between them",
    "SIZE": "a size such as `64 MiB`",
}
SCOPES = {
    "GLOBAL": "`[barman]`",
    "SERVER": "a server's section",
    "INHERIT": "a server's section or `[barman]`",
}


def facts(kind, scope, standard, choices):
    """The line under the heading."""
    words = KINDS.get(kind) or ", ".join(f"`{word}`" for word in choices.split("|"))
    default = "not set" if standard == "NULL" else f"`{standard[1:-1]}`"
    return f"Type: {words}. Default: {default}. Where: {SCOPES[scope]}."


def faults(options):
    described = dict(HEADING.findall(MANUAL.read_text()))
    shown = set(SHOWN.findall(SAMPLE.read_text()))
    for name, line in options.items():
        if name not in described:
            yield f"{MANUAL}: there is no section '### `{name}`'"
        elif described[name] != line:
            yield f"{MANUAL}: under '{name}' must stand: {line}"
        if name not in shown:
            yield f"{SAMPLE}: does not show '{name}'"
    for name in described.keys() - options.keys():
        yield f"{MANUAL}: '{name}' is no option in {DEFINITION}"


def main():
    text = DEFINITION.read_text()
    rows = ROW.findall(text)
    options = {row[1]: facts(row[0], row[2], row[3], row[4]) for row in rows}
    if "--facts" in sys.argv:
        for name, line in options.items():
            print(f"{name}: {line}")
        return 0
    found = list(faults(options))
    if len(rows) != len(re.findall(r"^OPTION\(", text, re.M)):
        found.append(f"{DEFINITION}: there is a row that {sys.argv[0]} cannot read")
    found += [f"{DEFINITION}: the help of '{row[1]}' is too long" for row in rows if len(row[5]) > 69]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


sys.exit(main())
