# SPDX-License-Identifier: PostgreSQL
"""./dev quickstart: what an archive is for, once, with a real server. Everything happens in one
temporary directory, which is left for the curious; no port is opened."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "test" / "e2e"))
import archiving
import streaming
from stage import Failed, Stage, tell


def main():
    parser = argparse.ArgumentParser(prog="./dev quickstart", description=__doc__)
    parser.add_argument("--compression", default="zstd", help="codec of the archive (%(default)s)")
    parser.add_argument(
        "--streaming", action="store_true",
        help="WAL is received as it is written, and the server killed in the middle of its work",
    )
    options = parser.parse_args()
    story = streaming.story if options.streaming else archiving.story

    stage = Stage()
    place = stage.directory
    try:
        story(stage, options.compression)
    except (Failed, RuntimeError, OSError) as reason:
        tell(f"quickstart FAILED: {reason}")
        tell(f"logs: {place}/home/walden.log, {place}/primary.log or primary/log, {place}/restored/log")
        return 1
    finally:
        stage.end()
    tell(f"Left to look at: {place} (servers stopped; the archive is home/main/wals)")
    return 0


sys.exit(main())
