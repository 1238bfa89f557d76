# SPDX-License-Identifier: PostgreSQL
"""./dev bench: compares Walden with Barman, pgBackRest, the bare codecs and pg_receivewal, and
prints what each of them took as Markdown. See docs/benchmarks.md."""

import argparse
import pathlib
import subprocess
import sys

from common import ROOT, pg, tell
import archiving
import clients
import cloud
import module
import scale
import streaming

PARTS = {"archiving": archiving.report, "streaming": streaming.report, "scale": scale.report,
         "clients": clients.report, "cloud": cloud.report, "module": module.report}


def write(part, report):
    """Between the part's two marks in docs/benchmarks.md."""
    path = ROOT / "docs" / "benchmarks.md"
    begin, end = (f"<!-- bench {part}: {word} -->" for word in ("begin", "end"))
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n{report}\n{end}{rest.split(end)[1]}")


def workplace(given):
    """A directory on disk that the user who runs the programs may enter."""
    if given:
        return pathlib.Path(given).resolve()
    reachable = subprocess.run(pg.as_owner("test", "-x", ROOT), check=False).returncode == 0
    return ROOT / "build-bench" if reachable else pathlib.Path("/var/tmp/walden-bench")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    names = [codec.name for codec in archiving.CODECS]
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--segments", type=int, default=64, help="how many, of 16 MB (%(default)s)")
    parser.add_argument(
        "--backlog", type=int, default=500, help="how many wait for the archive module (%(default)s)"
    )
    parser.add_argument("--runs", type=int, default=3, help="medians of so many (%(default)s)")
    parser.add_argument(
        "--codecs", nargs="+", choices=names, default=names, metavar="CODEC",
        help=f"of the archive: {' '.join(names)}",
    )
    parser.add_argument("--directory", help="where to work, on a disk (build-bench)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()

    place = workplace(options.directory)
    place.mkdir(parents=True, exist_ok=True)
    pg.give(place)
    for part in [options.only] if options.only else PARTS:
        try:
            text = "\n".join(PARTS[part](place, options))
        except (RuntimeError, OSError, subprocess.SubprocessError) as reason:
            tell(f"bench FAILED: {reason}")
            return 1
        print(f"{text}\n", flush=True)
        if options.write:
            write(part, text)
    return 0


sys.exit(main())
