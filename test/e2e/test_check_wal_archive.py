# SPDX-License-Identifier: PostgreSQL
"""check-wal-archive: may a new server archive here?"""

import json
import os
import shutil

import pytest
from home import BARMAN
from wal import make_wal, segment_name

NAME, SECOND = segment_name(1), segment_name(2, timeline=2)
PASSED = "WAL archive check for server main passed"
FAILED = "WAL archive check failed for server main"


def ask(home, *options):
    return home.walden("check-wal-archive", "main", *options)


def passes(done):
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Server main:\n - {PASSED}\n", "")


def fails(done, reason):
    assert done.returncode == 1 and done.stdout == "Server main:\n"
    assert done.stderr.splitlines()[0] == f"ERROR: {FAILED}: {reason}"


@pytest.fixture
def used(home):
    for name in (NAME, SECOND):
        make_wal(home.incoming, name)
    (home.incoming / "00000002.history").write_text("1\t0/3000000\tno reason\n")
    assert home.archive().returncode == 0
    return home


def test_empty(home):
    passes(ask(home))
    passes(ask(home, "--timeline", "1"))
    assert json.loads(home.walden("-f", "json", "check-wal-archive", "main").stdout)["main"] == PASSED
    shutil.rmtree(home.directory)
    passes(ask(home))


def test_used(used):
    fails(ask(used), "Expected empty archive")
    for timeline, found in ((1, "3 files"), (2, "2 files")):
        reason = f"Found {found} in WAL archive equal to or newer than timeline {timeline}"
        fails(ask(used, "--timeline", str(timeline)), reason)
    passes(ask(used, "--timeline", "3"))
    answer = json.loads(used.walden("-f", "json", "check-wal-archive", "main").stdout)
    assert answer["main"] == {} and answer["_ERROR"] == [f"{FAILED}: Expected empty archive"]


def test_without_catalog(used):
    used.xlogdb.unlink()
    fails(ask(used), "Expected empty archive")
    passes(ask(used, "--timeline", "3"))


def test_without_files(used):
    shutil.rmtree(used.wals / NAME[:16])
    fails(ask(used, "--timeline", "1"), "Found 3 files in WAL archive equal to or newer than timeline 1")


def test_damaged(used):
    with open(used.xlogdb, "a", encoding="ascii") as file:
        file.write("something\n")
    reason = f"1 lines of the catalog '{used.xlogdb}' are damaged (hint: run rebuild-xlogdb)"
    fails(ask(used, "--timeline", "3"), reason)


def test_stranger(used):
    (used.wals / NAME[:16] / "something").touch()
    fails(ask(used, "--timeline", "3"), "1 unexpected files found in WAL archive")


@pytest.mark.parametrize("timeline", ["0", "-1", "x", ""])
def test_bad_timeline(home, timeline):
    assert ask(home, "--timeline", timeline).returncode == 2


@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
@pytest.mark.parametrize("options", [[], ["--timeline", "2"], ["--timeline", "3"]])
def test_as_barman(home, options):
    (home.wals / "xlog.db").touch()  # the catalog of Debian's Barman
    for name in (NAME, SECOND):
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    ours, theirs = ask(home, *options), home.barman("check-wal-archive", "main", *options)
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)
