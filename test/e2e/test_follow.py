# SPDX-License-Identifier: PostgreSQL
"""archive-wal --follow: how soon, for how long, and how it ends."""

import contextlib
import fcntl
import os
import pathlib
import re
import signal
import time

import pytest
from home import BARMAN
from support import beside, locked, wait_for
from wal import make_wal, segment_name, segment_names, wal_bytes

FIRST, SECOND, THIRD, FOURTH = segment_names(1, 4)
LONG = 3600


@pytest.fixture
def home(home):
    """Sweeps are so rare that only being woken counts."""
    home.configure(sweep_interval=LONG, streaming_archiver="on", slot_name="walden")
    return home


@contextlib.contextmanager
def following(home):
    """The process, once it waits; it must end in order."""
    with beside(home, "archive-wal", "--follow", "main") as process:
        wait_for(lambda: "following server 'main'" in home.log_text() and asleep(process), what="following")
        yield process
        end(process)


def end(process, sign=signal.SIGTERM):
    begin = time.monotonic()
    process.send_signal(sign)
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 2


def asleep(process):
    return "S" == pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wakes(process):
    """How often it has gone to sleep."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M).group(1))


def bring(directory, name, **kw):
    """As a good archive_command does."""
    path = make_wal(directory / f".{name}.tmp", name, **kw)
    path.rename(directory / name)


def recorded(home, *names, timeout=20):
    wait_for(lambda: sorted(home.names()) == sorted(names), timeout, "the catalog")
    wait_for(lambda: not home.waiting(), timeout, "an empty incoming/")


def test_from_the_rename_to_the_catalog(home):
    with following(home):
        begin = time.monotonic()
        bring(home.incoming, FIRST)
        begin = time.monotonic()
        wait_for(lambda: home.names() == [FIRST])
        assert time.monotonic() - begin < 1
        assert home.get(FIRST).stdout == wal_bytes(FIRST)


def test_every_way_to_come(home):
    """Renamed, linked, written in place; received."""
    elsewhere = make_wal(home.path / "elsewhere", SECOND)
    with following(home):
        bring(home.incoming, FIRST)
        recorded(home, FIRST)
        os.link(elsewhere, home.incoming / SECOND)
        recorded(home, FIRST, SECOND)
        with open(home.incoming / THIRD, "wb") as file:
            data = wal_bytes(THIRD)
            file.write(data[:100_000])
            file.flush()
            time.sleep(0.2)
            assert home.names() == [FIRST, SECOND]
            file.write(data[100_000:])
        recorded(home, FIRST, SECOND, THIRD)
        bring(home.streaming, FOURTH)
        make_wal(home.streaming / f"{segment_name(5)}.partial", segment_name(5))
        recorded(home, FIRST, SECOND, THIRD, FOURTH)
    assert home.rejected() == []
    assert [path.name for path in home.streaming.iterdir()] == [f"{segment_name(5)}.partial"]


def test_what_waited_before(home):
    home.configure(archiver_batch_size=2)
    names = segment_names(1, 7)
    for name in names:
        make_wal(home.incoming, name)
    with following(home):
        recorded(home, *names)


def test_prints_only_what_happens(home):
    home.configure(sweep_interval=1)
    with following(home) as process:
        time.sleep(2.5)
        bring(home.incoming, FIRST)
        recorded(home, FIRST)
        end(process)
        assert process.stdout.read().decode() == (
            f"Processing xlog segments from file archival for main\n\t{FIRST}\n"
        )
        assert process.stderr.read() == b""


def test_sleeps(home):
    """Neither what it does itself nor what waits keeps it awake."""
    home.configure(incoming_grace=LONG)
    make_wal(home.incoming, SECOND, pages=1)
    with following(home) as process:
        bring(home.incoming, segment_name(1, timeline=2))
        wait_for(lambda: home.names() == [segment_name(1, timeline=2)])
        wait_for(lambda: asleep(process))
        time.sleep(0.3)
        before = wakes(process)
        time.sleep(1)
        assert wakes(process) - before < 5


def test_a_failure_is_not_tried_again_at_once(home):
    """Whatever comes meanwhile."""
    home.wals.rmdir()
    home.wals.touch()
    with following(home) as process:
        bring(home.incoming, FIRST)
        wait_for(lambda: " ERROR: " in home.log_text())
        for name in segment_names(2, 20):
            bring(home.incoming, name)
        time.sleep(0.3)
        assert home.log_text().count(" ERROR: ") == 1
        end(process)
    assert len(home.waiting()) == 21


def test_recovers_from_a_failure(home):
    home.configure(sweep_interval=1)
    home.wals.rmdir()
    home.wals.touch()
    with following(home):
        bring(home.incoming, FIRST)
        wait_for(lambda: " ERROR: " in home.log_text())
        home.wals.unlink()
        recorded(home, FIRST)


def test_sweep_finds_what_nobody_told_of(home):
    """A segment that waited until its grace was over, and directories that come later."""
    home.configure(sweep_interval=1, incoming_grace=1)
    home.incoming.rmdir()
    make_wal(home.path / FIRST, FIRST)
    with following(home):
        home.incoming.mkdir()
        (home.path / FIRST).rename(home.incoming / FIRST)
        recorded(home, FIRST)
        home.incoming.rename(home.directory / "old")
        home.incoming.mkdir()
        bring(home.incoming, SECOND)
        recorded(home, FIRST, SECOND)
        make_wal(home.incoming, THIRD, pages=1)
        wait_for(lambda: home.rejected())
        bring(home.incoming, FOURTH)
        recorded(home, FIRST, SECOND, FOURTH)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stops_in_the_middle_of_a_file(home, sign, workdir):
    """Nothing is lost by that."""
    mark = workdir / "mark"
    home.configure(compression="custom", custom_compression_filter=f"touch {mark}; sleep 60; cat",
                   custom_decompression_filter="cat")
    bring(home.incoming, FIRST)
    with beside(home, "archive-wal", "--follow", "main") as process:
        wait_for(mark.exists)
        end(process, sign)
    assert home.waiting() == [FIRST]
    assert home.names() == []
    home.configure(compression=None)
    assert home.archive().returncode == 0
    assert home.names() == [FIRST]


def test_keeps_the_lock(home):
    with following(home) as process:
        lock = home.path / ".main-archive-wal.lock"
        assert lock.read_text() == f"{process.pid}\n"
        with open(lock, encoding="ascii") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = home.archive()
        assert done.returncode == 0
        assert "Another archive-wal process is already running on server main" in done.stdout
        second = home.archive("--follow")
        assert second.returncode == 1
        assert "already running" in second.stderr


def test_the_lock_is_taken(home):
    with locked(home.path / ".main-archive-wal.lock"):
        assert home.archive("--follow").returncode == 1


def test_json_is_refused(home):
    done = home.walden("-f", "json", "archive-wal", "--follow", "main")
    assert done.returncode == 2
    assert "--follow" in done.stdout


@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
def test_barman_finds_it_busy(home):
    with following(home):
        done = home.barman("archive-wal", "main")
        assert done.returncode == 0
        assert "Another archive-wal process is already running on server main" in done.stdout


def test_server_that_archives(home, postgres):
    with following(home):
        names = [postgres.fill_segment() for _ in range(5)]
        postgres.wait_archived(names[-1])
        wait_for(lambda: set(names) <= set(home.names()))
