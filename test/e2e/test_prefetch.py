# SPDX-License-Identifier: PostgreSQL
"""get-wal --prefetch: what comes next in a recovery is fetched before it is asked for, and never is an
answer other than without it."""

import os
import subprocess
import time

import pytest
from home import WALDEN
from support import running, wait_for
from wal import MIB, make_wal, segment_name, segment_names, wal_bytes

FIRST, AHEAD = 1, 4


@pytest.fixture
def archive(home, workdir):
    """Ten segments, compressed, and a directory for the recovering server."""
    home.configure(restore_deadline=0, compression="gzip")
    for name in segment_names(FIRST, 10):
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    (workdir / "pg").mkdir()
    home.pg = workdir / "pg"
    return home


def get(home, name, *options, cwd=None, **kw):
    done = home.get(name, "--prefetch", AHEAD, *options, cwd=cwd or home.pg, **kw)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetched(home):
    """{name: path} of what was fetched ahead, and of what is being fetched."""
    return {path.name: path for path in home.directory.glob("prefetch/*/0*")}


def wait_fetched(home, names):
    wait_for(lambda: sorted(fetched(home)) == sorted(names))


def test_what_follows_is_there(archive):
    names = segment_names(FIRST, 10)
    assert get(archive, names[0]) == wal_bytes(names[0])
    wait_fetched(archive, names[1 : AHEAD + 1])
    directory = next(archive.directory.glob("prefetch/*"))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o777 == 0o700
    # It comes from there: the archive is away.
    archive.wals.rename(archive.directory / "away")
    archive.wals.mkdir()
    for name in names[1 : AHEAD + 1]:
        assert get(archive, name) == wal_bytes(name)
    # Those who look for what follows look in vain. One that is not done yet would keep others from it.
    wait_for(lambda: not running(archive.conf))
    assert fetched(archive) == {}
    assert archive.get(names[AHEAD + 1], "--prefetch", AHEAD, cwd=archive.pg).returncode == 200
    archive.wals.rmdir()
    (archive.directory / "away").rename(archive.wals)
    assert get(archive, names[AHEAD + 1]) == wal_bytes(names[AHEAD + 1])
    wait_fetched(archive, names[AHEAD + 2 :])


def test_at_the_end(archive):
    """The last segment: nothing follows, and the next is certainly not there."""
    *_, last, missing = segment_names(FIRST, 11)
    assert get(archive, last) == wal_bytes(last)
    assert archive.get(missing, "--prefetch", AHEAD, cwd=archive.pg).returncode == 1
    make_wal(archive.incoming, missing)  # it may come later
    assert get(archive, missing) == wal_bytes(missing)


def test_the_option(archive):
    archive.configure(restore_prefetch=2)
    names = segment_names(FIRST, 4)
    assert archive.get(names[0], cwd=archive.pg).returncode == 0
    wait_fetched(archive, names[1:3])
    assert archive.get(names[1], "--prefetch", "0", cwd=archive.pg).returncode == 0
    assert sorted(fetched(archive)) == names[1:3], "0 leaves all as it is"
    for bad in ("-1", "x", "257"):
        done = archive.get(names[0], "--prefetch", bad)
        assert (done.returncode, done.stdout) == (200, b"")
        assert "--prefetch needs a number from 0 to 256" in done.stderr


def test_what_is_not_asked_for_goes(archive):
    """Bounded: the window is all that is kept."""
    names = segment_names(FIRST, 10)
    get(archive, names[0])
    wait_fetched(archive, names[1:5])
    get(archive, names[6])
    wait_fetched(archive, names[7:10])


def test_damage_is_not_handed_out(archive):
    names = segment_names(FIRST, 3)
    get(archive, names[0])
    wait_fetched(archive, segment_names(FIRST + 1, AHEAD))
    os.truncate(fetched(archive)[names[1]], MIB // 2)
    fetched(archive)[names[2]].write_bytes(wal_bytes(names[0]))
    for name in names[1:]:
        assert get(archive, name) == wal_bytes(name)


def test_two_recoveries(archive, workdir):
    """Each has its own, also when it asks from another host."""
    names = segment_names(FIRST, 10)
    other = workdir / "other"
    other.mkdir()
    get(archive, names[0])
    get(archive, names[4], cwd=other)
    get(archive, names[2], env={**os.environ, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"})
    wait_for(lambda: len(list(archive.directory.glob("prefetch/*/0*"))) == 3 * AHEAD)
    owners = {path.parent.name for path in archive.directory.glob("prefetch/*/0*")}
    assert len(owners) == 3
    assert any(name.endswith(".192.0.2.1") for name in owners)


def test_timelines(archive):
    """Segments come from the timeline that the recovery follows, as PostgreSQL picks them."""
    switch = segment_name(4)
    history = f"1\t0/{4 * MIB + 8192:X}\tno recovery target specified\n"
    (archive.incoming / "00000002.history").write_text(history)
    for name in segment_names(4, 4, timeline=2):
        make_wal(archive.incoming, name)
    assert archive.archive().returncode == 0
    get(archive, segment_name(2))
    wait_fetched(archive, segment_names(3, AHEAD))  # nobody spoke of another timeline
    assert get(archive, "00000002.history").decode() == history
    get(archive, segment_name(1))
    wait_fetched(archive, segment_names(2, 2) + segment_names(4, 2, timeline=2))
    assert switch not in fetched(archive)
    get(archive, segment_name(5, timeline=2))
    wait_fetched(archive, segment_names(6, 2, timeline=2))


def test_on_its_way(home, workdir):
    """What is being fetched is waited for, and not fetched a second time."""
    starts, go = workdir / "starts", workdir / "go"
    script = workdir / "filter"
    script.write_text(
        f'#!/bin/sh\n[ -e "{starts}" ] || touch "{go}.first"\necho x >>"{starts}"\n'
        f'until [ -e "{go}" ] || rm "{go}.first" 2>/dev/null; do sleep 0.01; done\nexec gzip -dc\n'
    )
    script.chmod(0o755)
    home.configure(
        compression="custom", custom_compression_filter="gzip -c", custom_decompression_filter=script,
        custom_compression_magic="0x1f8b08", restore_deadline=60,
    )
    names = segment_names(FIRST, 3)
    for name in names:
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    home.pg = workdir
    starts.unlink(missing_ok=True)
    get(home, names[0])
    wait_for(lambda: starts.read_text() == "x\n" * 3)
    command = [WALDEN, "-c", home.conf, "get-wal", "--prefetch", "2", "main", names[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=workdir) as waiting:
        time.sleep(0.3)  # for it to make the mistake
        go.touch()
        assert waiting.communicate(timeout=60)[0] == wal_bytes(names[1])
    assert starts.read_text() == "x\n" * 3


def test_sweep(archive):
    """cron removes what a recovery left that is over, or that another boot of the machine left."""
    names = segment_names(FIRST, 10)
    get(archive, names[0])
    wait_fetched(archive, names[1:5])
    mine = next(archive.directory.glob("prefetch/*"))
    foreign = mine.parent / "0-another-boot.192.0.2.1"
    foreign.mkdir()
    (foreign / names[0]).write_bytes(b"old")
    archive.configure(archiver="off")
    assert archive.walden("cron").returncode == 0
    assert mine.exists() and not foreign.exists()
    os.utime(mine, (0, 0))
    assert archive.walden("cron").returncode == 0
    assert list(archive.directory.glob("prefetch/*")) == []
