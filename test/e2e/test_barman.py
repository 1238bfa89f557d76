# SPDX-License-Identifier: PostgreSQL
"""Debian's Barman (3.4) and Walden share one home, in turns and at once."""

import bz2
import fcntl
import gzip
import os
import shutil
import subprocess

import pytest
from home import BARMAN, Home
from support import beside, locked, set_time, started, wait_for
from wal import make_wal, segment_name, segment_names, wal_bytes

pytestmark = [pytest.mark.barman, pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")]

NAME, SECOND, THIRD = segment_names(1, 3)
HISTORY = "00000002.history"
TEXT = b"1\t0/3000000\tno recovery target specified\n"

CUSTOM = {"custom_compression_filter": "xz -1 -c", "custom_decompression_filter": "xz -d -c",
          "custom_compression_magic": "0xfd377a585a00"}
BOTH_HAVE = [None, "gzip", "bzip2", "pigz", "pygzip", "pybzip2", "custom"]
DETECTED = {"pigz": "gzip", "pygzip": "gzip", "pybzip2": "bzip2"}


@pytest.fixture
def old(home):
    """A home that this Barman has used: its catalog is there."""
    (home.wals / "xlog.db").touch()
    return home


def use(home, codec):
    home.configure(compression=codec, **(CUSTOM if codec == "custom" else {}))


def bring(home, name, seconds=1_700_000_000, nanoseconds=0):
    path = home.incoming / name
    if name.endswith(".history") or name.endswith(".backup"):
        path.write_bytes(TEXT)
    else:
        make_wal(path, name)
    set_time(path, seconds, nanoseconds)
    return path.read_bytes()


def good(done):
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done


def barman_archive(home):
    return good(home.barman("archive-wal", "main"))


def barman_get(home, name, *options):
    return good(home.barman("get-wal", *options, "main", name, binary=True)).stdout


# In turns


@pytest.mark.parametrize("codec", BOTH_HAVE)
def test_in_turns(old, codec):
    use(old, codec)
    data = {name: bring(old, name) for name in [NAME, HISTORY]}
    good(old.archive())
    data[SECOND] = bring(old, SECOND)
    barman_archive(old)
    data[THIRD] = bring(old, THIRD)
    good(old.archive())

    assert old.names() == [HISTORY, NAME, SECOND, THIRD]
    assert {row.compression for row in old.rows()} == {codec or "None"}
    assert sorted(path.name for path in old.wals.iterdir()) == [NAME[:16], HISTORY, "xlog.db"]
    assert not [line for line in old.xlogdb.read_text().splitlines() if line.count("\t") != 3]
    for name in [HISTORY, NAME]:
        assert barman_get(old, name) == data[name]
    for name in data:
        assert old.get(name).stdout == data[name]


@pytest.mark.parametrize("codec", [None, "gzip", "pybzip2", "custom"])
def test_each_knows_the_files_of_the_other_again(old, codec):
    use(old, codec)
    bring(old, NAME)
    good(old.archive())
    bring(old, SECOND)
    barman_archive(old)
    before = old.xlogdb.read_text()
    bring(old, NAME)
    barman_archive(old)
    bring(old, SECOND)
    good(old.archive())
    assert old.xlogdb.read_text() == before
    assert old.waiting() == old.rejected() == []


@pytest.mark.parametrize("codec", [None, "pigz", "pybzip2", "custom"])
def test_rebuild(old, codec):
    """Barman over what we wrote, and we over what it made of it."""
    use(old, codec)
    for name in [HISTORY, NAME, SECOND]:
        bring(old, name, 1_700_000_000, 123_456_789)
    good(old.archive())
    ours = old.rows()
    good(old.barman("rebuild-xlogdb", "main"))
    detected = [row._replace(compression=DETECTED.get(row.compression, row.compression)) for row in ours]
    assert sorted(old.rows()) == sorted(detected)
    theirs = old.xlogdb.read_text()
    good(old.walden("rebuild-xlogdb", "main"))
    assert old.xlogdb.read_text() == theirs
    old.xlogdb.write_text("")
    good(old.walden("rebuild-xlogdb", "main"))
    assert sorted(old.rows()) == sorted(detected)


@pytest.mark.parametrize("codec", ["xz", "zstd", "lz4", "snappy"])
def test_barman_carries_what_it_cannot_read(old, codec):
    """It hands out the stored bytes, keeps our rows, and goes on beside them."""
    use(old, codec)
    bring(old, NAME)
    good(old.archive())
    assert barman_get(old, NAME) == old.stored(NAME).read_bytes()
    old.configure(compression="gzip")
    bring(old, SECOND)
    barman_archive(old)
    assert [row.compression for row in old.rows()] == [codec, "gzip"]
    assert old.get(NAME).stdout == wal_bytes(NAME)
    good(old.barman("rebuild-xlogdb", "main"))
    old.configure(compression=codec)
    good(old.walden("rebuild-xlogdb", "main"))
    assert old.names() == [NAME, SECOND]
    assert old.rows()[0].size == old.stored(NAME).stat().st_size


@pytest.mark.parametrize("option,unpack", [("-z", gzip.decompress), ("-j", bz2.decompress)])
def test_barman_recompresses_what_we_stored(old, option, unpack):
    use(old, "gzip")
    data = bring(old, NAME)
    good(old.archive())
    assert unpack(barman_get(old, NAME, option)) == data


def test_compressed_by_the_archive_command(old):
    for name in (NAME, SECOND):
        (old.incoming / name).write_bytes(gzip.compress(wal_bytes(name)))
        barman_archive(old) if name == NAME else good(old.archive())
    assert [row.compression for row in old.rows()] == ["gzip", "gzip"]
    assert barman_get(old, SECOND) == wal_bytes(SECOND)
    assert old.get(NAME).stdout == wal_bytes(NAME)


# The catalog


TIMES = [(1_704_067_200, 0), (1_704_067_200, 500_000_000), (1_795_248_906, 917_967_000), (1_795_248_932, 789_245_100),
         (1_700_000_000, 1), (1_700_000_000, 999_999_999), (1_700_000_000, 123_456_789), (1_700_000_000, 100_000_000),
         (0, 0), (1, 1_000), (4_102_444_800, 250_000_000), (1_733_333_333, 333_333_333), (1_766_666_666, 666_666_667)]


def test_lines_are_barmans_byte_for_byte(workdir):
    ours, theirs = (Home(workdir / name) for name in ("ours", "theirs"))
    for home in (ours, theirs):
        (home.wals / "xlog.db").touch()
        for number, (seconds, nanoseconds) in enumerate(TIMES):
            bring(home, segment_name(number + 1), seconds, nanoseconds)
        bring(home, f"{segment_name(99)}.partial", 1_700_000_000, 7)
        bring(home, f"{segment_name(99)}.00000028.backup", 1_700_000_000, 77)
        bring(home, "0000000A.history", 1_700_000_000, 777)
    good(ours.archive())
    barman_archive(theirs)
    assert sorted(ours.xlogdb.read_bytes().splitlines()) == sorted(theirs.xlogdb.read_bytes().splitlines())
    for home in (ours, theirs):
        home.xlogdb.write_text("")
        (home.wals / NAME[:16] / f"{segment_name(99)}.partial").unlink()  # Barman leaves them out
    good(ours.walden("rebuild-xlogdb", "main"))
    good(theirs.barman("rebuild-xlogdb", "main"))
    assert sorted(ours.xlogdb.read_bytes().splitlines()) == sorted(theirs.xlogdb.read_bytes().splitlines())


NEW_ROWS = (
    "000000010000000000000009\t2635\t1795249002.3202252\tgzip\tgpg\n"
    "00000002.history\t41\t1795248906.924826\tNone\tNone\n"
)


def test_new_catalog(home):
    """Five columns; what is there is gone on with as it is."""
    catalog = home.wals / "main-xlog.db"
    catalog.write_text(NEW_ROWS)
    use(home, "gzip")
    bring(home, NAME, 1_704_067_200, 500_000_000)
    bring(home, "00000003.history", 1_795_248_906, 917_967_000)
    good(home.archive())
    size = home.stored(NAME).stat().st_size
    small = home.stored("00000003.history").stat().st_size
    assert catalog.read_text() == NEW_ROWS + (
        f"00000003.history\t{small}\t1795248906.917967\tgzip\tNone\n"
        f"{NAME}\t{size}\t1704067200.5\tgzip\tNone\n"
    )
    assert not (home.wals / "xlog.db").exists()


@pytest.mark.parametrize("line", [
    f"{NAME} 1048576 1.5", f"{NAME}\t1048576\t1.5\tNone", f"{NAME}   1048576 1.5   None None",
    f"{NAME}\t1048576\t1700000000\tNone\tNone", f"{NAME}\t1048576\t1.7e9\tNone\tNone",
])
def test_lines_that_barman_reads_are_read(home, line):
    home.configure(restore_deadline=0)
    (home.wals / "main-xlog.db").write_text(line + "\n")
    done = home.get(NAME)
    assert done.returncode == 200 and "in the catalog" in done.stderr
    bring(home, NAME)
    good(home.archive())
    good(home.walden("rebuild-xlogdb", "main"))
    (row,) = home.rows()
    assert (row.name, row.size, row.compression) == (NAME, 1048576, "None")


def test_encrypted_row_survives_a_rebuild(home):
    name = "000000010000000000000009"
    home.stored(name).parent.mkdir()
    home.stored(name).write_bytes(b"\x85\x01\x0c\x03" + bytes(2631))
    home.xlogdb.write_text(NEW_ROWS)
    good(home.walden("rebuild-xlogdb", "main"))
    assert home.xlogdb.read_text() == NEW_ROWS.splitlines(keepends=True)[0]
    done = home.get(name)
    assert done.returncode == 200 and "decrypt" in done.stderr and not done.stdout


@pytest.mark.parametrize("form", ["old", "new"])
def test_rebuild_repairs(home, form):
    """Damaged, double and torn rows, rows of files that are gone, files without a row."""
    if form == "old":
        (home.wals / "xlog.db").touch()
    for name in [NAME, SECOND, THIRD, HISTORY, f"{segment_name(9)}.partial"]:
        bring(home, name)
    good(home.archive())
    lines = home.xlogdb.read_text().splitlines(keepends=True)
    row = {line.split("\t")[0]: line for line in lines}
    assert len(row) == 5
    gone = row[THIRD].replace(THIRD, segment_name(77))
    home.xlogdb.write_text(
        row[SECOND] + "nonsense\n" + gone + row[SECOND] + "\n" + row[THIRD].replace("1048576", "999")
        + row[f"{segment_name(9)}.partial"] + row[NAME][:-3]
    )
    done = good(home.walden("rebuild-xlogdb", "main"))
    assert sorted(home.xlogdb.read_text().splitlines(keepends=True)) == sorted(lines)
    assert done.stdout.splitlines() == [
        "Rebuilding xlogdb for server main",
        "Done rebuilding xlogdb for server main (history: 1, backup_labels: 0, wal_file: 4)",
    ]
    assert "2 dropped, 3 damaged" in home.log_text()  # a double and a lost one; nonsense, empty, torn


@pytest.mark.parametrize("torn", ["1048576\t1700", "1048576\t1700000000.0\tNo", "1048576\t1700000000.0\tgz"])
def test_rebuild_does_not_believe_a_torn_line(home, torn):
    bring(home, NAME)
    good(home.archive())
    whole = home.xlogdb.read_text()
    home.xlogdb.write_text(f"{NAME}\t{torn}")
    good(home.walden("rebuild-xlogdb", "main"))
    assert home.xlogdb.read_text() == whole


def test_rebuild_passes_strangers(home):
    bring(home, NAME)
    good(home.archive())
    directory = home.stored(NAME).parent
    (home.wals / "sync-wals.info").touch()
    (directory / f"{SECOND}.tmp").touch()
    (directory / "0000000200000000000000AB").write_bytes(wal_bytes(SECOND))  # in the wrong directory
    (directory / ".000000010000000000000009").touch()
    (home.wals / f".{NAME}.x").mkdir()
    (home.wals / f".{NAME}.x" / NAME).touch()
    (directory / THIRD).mkdir()
    os.mkfifo(directory / segment_name(4))
    done = home.walden("rebuild-xlogdb", "main", timeout=10)
    assert done.returncode == 0, done.stderr
    assert home.names() == [NAME]


def test_rebuild_of_an_empty_archive(home):
    shutil.rmtree(home.wals)
    good(home.walden("rebuild-xlogdb", "main"))
    assert home.rows() == []
    assert home.get(NAME).returncode == 1


# What the console says


def both(workdir, prepare, **options):
    """Standard output and standard error of both for the same waiting files."""
    answers = []
    for name in ("ours", "theirs"):
        home = Home(workdir / name, **options)
        (home.wals / "xlog.db").touch()
        prepare(home)
        done = good(home.barman("archive-wal", "main")) if name == "theirs" else home.archive()
        answers.append((done.stdout, done.stderr))
    return answers


def prepare_nothing(home):
    pass


def prepare_two(home):
    bring(home, NAME)
    bring(home, SECOND)


def prepare_duplicates(home):
    prepare_two(home)
    good(home.archive())
    prepare_two(home)
    (home.incoming / SECOND).write_bytes(wal_bytes(SECOND, seed=1))


def prepare_batch(home):
    prepare_two(home)
    bring(home, THIRD)


@pytest.mark.parametrize("prepare,options", [
    (prepare_nothing, {}), (prepare_two, {}), (prepare_two, {"compression": "gzip"}), (prepare_duplicates, {}),
    (prepare_batch, {"archiver_batch_size": 2}), (prepare_batch, {"archiver_batch_size": 3}),
    (prepare_nothing, {"archiver_batch_size": 3}),
])
def test_console_is_barmans(workdir, prepare, options):
    ours, theirs = both(workdir, prepare, **options)
    assert ours == theirs


def test_console_tells_of_junk_as_barman_does(workdir):
    """But for the heading, where Barman takes junk for a batch that was cut off."""
    def prepare(home):
        prepare_two(home)
        for name in ("zzz", "junk", "00.d"):
            (home.incoming / name).touch()

    (ours, ours_err), (theirs, theirs_err) = both(workdir, prepare)
    assert ours == theirs.replace(" (batch size: 2)", "")
    assert ours_err == theirs_err == ""


def test_busy_archiver_is_told_as_barman_tells_it(old):
    bring(old, NAME)
    with locked(old.path / ".main-archive-wal.lock"):
        ours, theirs = old.archive(), old.barman("archive-wal", "main")
    assert ours.returncode == theirs.returncode == 0
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert old.waiting() == [NAME]


# Locks


@pytest.mark.parametrize("first", ["walden", "barman"])
def test_one_archiver_at_a_time(old, first):
    flag = old.path / "started"
    old.configure(pre_archive_script=f"touch {flag}; while [ -e {flag} ]; do sleep 0.05; done")
    bring(old, NAME)
    command = ["archive-wal", "main"]
    process = beside(old, *command) if first == "walden" else started([BARMAN, "-c", old.conf, *command])
    with process as running:
        wait_for(flag.exists, what="the hook")
        second = old.barman(*command) if first == "walden" else old.archive()
        assert second.returncode == 0 and "already running" in second.stdout
        assert old.waiting() == [NAME]
        assert (old.path / ".main-archive-wal.lock").read_text() == f"{running.pid}\n"
        flag.unlink()
        running.communicate(timeout=20)
        assert running.returncode == 0
    assert old.names() == [NAME]


def test_catalog_lock_is_waited_for(old):
    bring(old, NAME)
    with locked(old.path / ".main-xlogdb.lock") as lock:
        with beside(old, "archive-wal", "main") as process:
            wait_for(old.stored(NAME).exists)
            assert process.poll() is None
            assert old.rows() == [] and old.waiting() == [NAME]  # the source stays until it is recorded
            fcntl.flock(lock, fcntl.LOCK_UN)
            process.communicate(timeout=10)
    assert process.returncode == 0
    assert old.names() == [NAME] and old.waiting() == []


def test_lock_file_that_cron_removed_while_we_waited(old):
    """The lock of an unlinked file is worth nothing: somebody else may hold that of the new one."""
    path = old.path / ".main-xlogdb.lock"
    bring(old, NAME)
    with locked(path) as removed:
        with beside(old, "archive-wal", "main") as process:
            wait_for(old.stored(NAME).exists)
            with locked(old.path / "new") as current:
                (old.path / "new").rename(path)  # removed, made anew and locked before we look again
                fcntl.flock(removed, fcntl.LOCK_UN)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.5)
                assert old.rows() == []
                fcntl.flock(current, fcntl.LOCK_UN)
                assert process.wait(10) == 0
    assert old.names() == [NAME]


def test_cron_removes_our_locks_and_nothing_else(old):
    bring(old, NAME)
    good(old.archive())
    assert list(old.path.glob(".*.lock"))
    good(old.barman("cron"))
    bring(old, SECOND)
    good(old.archive())
    assert old.names() == [NAME, SECOND]


def test_barman_reads_a_home_that_walden_filled(old):
    """Commands of Barman that read the catalog find nothing to complain about."""
    for name in [HISTORY, NAME, f"{SECOND}.partial", f"{NAME}.00000028.backup"]:
        bring(old, name)
    good(old.archive())
    for command in ("status", "list-backup", "check"):
        done = old.barman(command, "main")
        assert "Traceback" not in old.log_text() and "EXCEPTION" not in done.stderr
