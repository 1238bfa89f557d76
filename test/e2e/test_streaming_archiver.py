# SPDX-License-Identifier: PostgreSQL
"""Archiving from streaming/: what is taken, what stays for the receiver, both archivers on one home,
and Barman after us."""

import os

import pytest
from home import BARMAN
from support import locked
from wal import MIB, make_wal, segment_name, segment_names, wal_bytes

FIRST, SECOND, THIRD, FOURTH = segment_names(1, 4)
TEXT = b"1\t0/3000000\tno recovery target specified\n"


@pytest.fixture
def home(home):
    home.configure(archiver="off", streaming_archiver="on", slot_name="walden")
    return home


def receive(home, *names, **kw):
    for name in names:
        make_wal(home.streaming / name, name, **kw)


def left(home):
    return sorted(path.name for path in home.streaming.iterdir())


def archived(home, code=0):
    done = home.archive()
    assert done.returncode == code, done
    return done


def test_the_newest_stays(home):
    """However often it runs."""
    receive(home, FIRST, SECOND, THIRD)
    assert archived(home).stdout == (
        f"Processing xlog segments from streaming for main\n\t{FIRST}\n\t{SECOND}\n"
    )
    for _ in range(3):
        assert archived(home).stdout == "Processing xlog segments from streaming for main\n\tno file found\n"
        assert left(home) == [THIRD]
        assert (home.streaming / THIRD).read_bytes() == wal_bytes(THIRD)
    assert home.names() == [FIRST, SECOND]
    assert home.get(THIRD).stdout == wal_bytes(THIRD)
    receive(home, f"{FOURTH}.partial")
    archived(home)
    assert home.names() == [FIRST, SECOND, THIRD]
    assert left(home) == [f"{FOURTH}.partial"]


@pytest.mark.parametrize("compression", [None, "zstd", "gzip"])
def test_the_tail_of_an_old_timeline(home, compression):
    """It is archived under its own name, behind everything else."""
    home.configure(compression=compression)
    old, new = f"{SECOND}.partial", segment_name(2, timeline=2)
    live = f"{segment_name(3, timeline=2)}.partial"
    receive(home, FIRST, old, new, live)
    (home.streaming / "00000002.history").write_bytes(TEXT)
    archived(home)
    assert home.names() == ["00000002.history", FIRST, new, old]
    assert left(home) == [live]
    assert {row.compression for row in home.rows()} == {compression or "None"}
    assert home.get(SECOND, "--partial").stdout == wal_bytes(SECOND)


@pytest.mark.parametrize("size", [0, 8192, MIB])
def test_a_partial_that_nothing_came_into(home, size):
    """Its receiver died, or a reset made it, before the first byte; then a new timeline began. There
    is nothing to archive, and nothing to trouble anybody with."""
    live = f"{segment_name(3, timeline=2)}.partial"
    receive(home, FIRST, live)
    (home.streaming / f"{SECOND}.partial").write_bytes(bytes(size))
    archived(home)
    assert left(home) == [live]
    assert home.names() == [FIRST]
    assert home.rejected() == []
    assert f"'{SECOND}.partial' holds no WAL: there is nothing to archive" in home.log_text()


def test_blank_partials_that_stay(home):
    """The last one is where a receiver begins; one that is locked has its receiver."""
    locked_one, last = home.streaming / f"{FIRST}.partial", home.streaming / f"{SECOND}.partial"
    for path in (locked_one, last):
        path.write_bytes(bytes(MIB))
    with locked(locked_one):
        locked_one.write_bytes(bytes(MIB))  # without what the lock says
        archived(home)
        assert left(home) == [locked_one.name, last.name]
    archived(home)
    assert left(home) == [last.name]
    assert home.rejected() == []


def test_a_promotion_that_was_given_up(home):
    """The old timeline went on: pg_receivewal, which locks nothing, writes into its partial file."""
    given_up = f"{segment_name(2, timeline=2)}.partial"
    live = f"{FOURTH}.partial"
    receive(home, FIRST, SECOND, THIRD, given_up, live)
    archived(home)
    assert home.names() == [FIRST, SECOND, THIRD]
    assert left(home) == [live, given_up]


def test_a_partial_that_lost_its_beginning(home):
    """What is behind the zeros may be all that there is of it."""
    live = f"{segment_name(3, timeline=2)}.partial"
    receive(home, live)
    damaged = home.streaming / f"{SECOND}.partial"
    data = bytes(MIB - 1) + b"x"
    damaged.write_bytes(data)
    archived(home, code=1)
    assert left(home) == [live]
    assert [(home.errors / name).read_bytes() for name in home.rejected()] == [data]


def test_what_the_old_timeline_had_beyond(home):
    """Whole segments behind the place of the promotion are nobody's, and archived like any other."""
    live = f"{segment_name(2, timeline=2)}.partial"
    receive(home, FIRST, THIRD, live)
    archived(home)
    assert home.names() == [FIRST, THIRD]
    assert left(home) == [live]


def test_batch_counts_what_can_be_archived(home):
    """Barman counts everything that is there first, and makes no progress with 1."""
    home.configure(streaming_archiver_batch_size=1)
    receive(home, FIRST, SECOND, THIRD)
    (home.streaming / ".hidden").touch()
    (home.streaming / f"{FIRST}.tmp").touch()
    assert archived(home).stdout == f"Processing xlog segments from streaming for main (batch size: 1)\n\t{FIRST}\n"
    archived(home)
    assert "no file found" in archived(home).stdout
    assert home.names() == [FIRST, SECOND]
    assert left(home) == [".hidden", f"{FIRST}.tmp", THIRD]


def test_strangers(home):
    receive(home, FIRST, SECOND)
    (home.streaming / "README").touch()
    (home.streaming / f"{THIRD}.gz").touch()
    (home.streaming / FOURTH).mkdir()
    done = archived(home, code=1)
    assert "Some unknown objects have been found" in done.stdout
    assert home.names() == [FIRST]
    assert left(home) == [SECOND]
    assert [name.rsplit(".", 1)[1] for name in home.rejected()] == ["unknown"] * 3


def test_segment_that_is_short(home):
    """Receivers give the final name to whole segments only."""
    receive(home, FIRST, pages=3)
    receive(home, SECOND, THIRD)
    archived(home, code=1)
    assert home.names() == [SECOND]
    assert left(home) == [THIRD]
    assert home.rejected()[0].endswith(".invalid")


def test_both_ways(home):
    """The same segment received and sent is archived once, whichever comes first."""
    home.configure(archiver="on", compression="zstd")
    receive(home, FIRST, SECOND)
    make_wal(home.incoming, FIRST)
    make_wal(home.incoming, SECOND)
    make_wal(home.incoming, THIRD)
    done = archived(home)
    assert done.stdout == (
        f"Processing xlog segments from streaming for main\n\t{FIRST}\n"
        f"Processing xlog segments from file archival for main\n\t{FIRST}\n\t{SECOND}\n\t{THIRD}\n"
    )
    assert home.names() == [FIRST, SECOND, THIRD]
    assert left(home) == [SECOND]
    receive(home, THIRD, f"{FOURTH}.partial")
    archived(home)
    assert home.names() == [FIRST, SECOND, THIRD]
    assert left(home) == [f"{FOURTH}.partial"]
    assert home.waiting() == home.rejected() == []


def test_failing_archiver_does_not_stop_the_other(home):
    home.configure(archiver="on")
    home.streaming.rmdir()
    home.streaming.touch()
    make_wal(home.incoming, FIRST)
    done = archived(home, code=1)
    assert "(streaming): open directory" in done.stderr
    assert home.names() == [FIRST]


def test_missing_directory(home):
    home.streaming.rmdir()
    assert "no file found" in archived(home).stdout


def test_hooks_see_received_files(home, workdir):
    out = workdir / "out"
    home.configure(pre_archive_script=f"echo $BARMAN_FILE >> {out}",
                   post_archive_script=f"test -e $BARMAN_FILE && echo $BARMAN_FILE >> {out}")
    receive(home, FIRST, SECOND)
    archived(home)
    assert out.read_text().split() == [str(home.streaming / FIRST), str(home.stored(FIRST))]
    assert left(home) == [SECOND]


@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
@pytest.mark.parametrize("partial", [False, True])
def test_in_turns_with_barman(home, partial):
    (home.wals / "xlog.db").touch()
    home.configure(archiver="on", compression="gzip")
    names = segment_names(1, 6)
    for index, archive in enumerate([home.archive, lambda: home.barman("archive-wal", "main")] * 3):
        live = f"{names[index]}.partial"
        receive(home, *(names[:index + 1][-2:]))
        if partial:
            (home.streaming / names[index]).unlink()
            receive(home, live)
        make_wal(home.incoming, names[index])
        done = archive()
        assert done.returncode == 0, done
        assert "Processing xlog segments from streaming for main" in done.stdout
        assert left(home) == [live if partial else names[index]]
        if partial:
            (home.streaming / live).unlink()
        assert home.names() == names[:index + 1]
        assert home.waiting() == home.rejected() == []
    for name in names:
        assert home.get(name).stdout == wal_bytes(name, MIB)
