# SPDX-License-Identifier: PostgreSQL
"""Servers of PostgreSQL's other majors, which `./dev test` fetches (test/servers/postgres.txt)."""

import atexit
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from home import ROOT
from pg import Postgres, as_owner, bindir, short_directory

PINNED = dict(
    re.findall(r"^(\d+) (\S+)", (ROOT / "test/servers/postgres.txt").read_text(), re.MULTILINE)
)
DEBIANS = re.search(r"/(\d+)/bin$", str(bindir()))
MAJORS = sorted({*map(int, PINNED), *([int(DEBIANS.group(1))] if DEBIANS else [])})


@functools.cache
def programs(major):
    """The directory of the server's programs, Debian's if Debian has that major. Without it the test
    fails, or is skipped where that was asked for."""
    if DEBIANS and int(DEBIANS.group(1)) == major:
        return bindir()
    directory = ROOT / "build-servers" / f"postgres-{PINNED[str(major)]}"
    if not directory.is_dir():
        reason = f"PostgreSQL {PINNED[str(major)]} is not in build-servers/"
        if os.environ.get("WALDEN_OFFLINE"):
            pytest.skip(f"{reason}, and ./dev test --offline fetches nothing")
        pytest.fail(f"{reason}: ./dev test fetches it, and with --offline goes without")
    return reachable(directory) / "bin"


def reachable(directory):
    """A copy for the servers' account, if the checkout is where that may not enter."""
    postgres = directory / "bin" / "postgres"
    if subprocess.run(as_owner("test", "-x", postgres), check=False).returncode == 0:
        return directory
    copies = pathlib.Path(tempfile.mkdtemp(prefix="walden-servers-"))
    atexit.register(shutil.rmtree, copies, ignore_errors=True)
    copies.chmod(0o755)
    return shutil.copytree(directory, copies / directory.name, symlinks=True)


@functools.cache
def template(major):
    """A cluster of that major that never ran: initdb is the slowest part of a short test."""
    directory = short_directory("walden-template-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Postgres(directory, programs=programs(major)).data


def cluster(directory, major, **options):
    """A new Postgres of that major, with segments of 1 MB (16 MB before version 11)."""
    directory.mkdir()
    subprocess.run(["cp", "-a", template(major), directory], check=True)
    return Postgres(directory, initdb=False, programs=programs(major), **options)
