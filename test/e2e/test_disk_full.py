# SPDX-License-Identifier: PostgreSQL
"""A disk is full, in the middle of whatever: archive-wal says so, nothing is lost or torn, and
when there is room again the next run completes."""

import pytest

from faults import archived_files, check_catalog
from home import Home, execute
from wal import MIB, make_wal, segment_names


def put(home, names):
    return {name: make_wal(home.incoming, name).read_bytes() for name in names}


def check_done(home, contents):
    assert home.waiting() == []
    check_catalog(home)
    assert home.names() == list(contents)
    for name, data in contents.items():
        got = home.get(name)
        assert got.returncode == 0 and got.stdout == data, name


# 12 segments of 1 MB, which zstd makes a fourth of
@pytest.mark.parametrize("compression, kib", [(None, 8 * 1024), ("zstd", 1500)])
@pytest.mark.parametrize("workers", [1, 2])
def test_archive_is_full(home, disk, compression, kib, workers):
    place = disk("archive", kib)
    home.wals = place.path / "wals"
    home.configure(compression=compression, wals_directory=home.wals, archiver_workers=workers)
    contents = put(home, segment_names(4, 12))

    for _ in range(2):
        done = home.archive()
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        archived = home.names()
        assert len(archived) < 12 and archived == list(contents)[: len(archived)]
        # What a worker makes ahead may take the room of the first file, or of its row.
        assert set(archived) <= set(archived_files(home)) <= set(contents)
        assert home.waiting() == list(contents)[len(archived) :]
        for name, data in contents.items():
            got = home.get(name)
            assert got.returncode == 0 and got.stdout == data, name

    place.resize(16 * 1024)
    done = home.archive()
    assert done.returncode == 0, done.stderr
    check_done(home, contents)


@pytest.mark.parametrize("rows", [0, 60])
def test_catalogue_is_full(home, disk, rows):
    place = disk("catalogue", 64)
    catalogue = place.path / "main-xlog.db"
    home.configure(xlogdb_directory=place.path)
    contents = put(home, segment_names(1, rows)) if rows else {}
    if rows:
        assert home.archive().returncode == 0
    before = catalogue.read_bytes() if rows else None
    place.fill()
    more = put(home, segment_names(101, 80))  # the rows go over the end of a page of the file

    done = home.archive()

    assert done.returncode == 1 and "No space left on device" in done.stderr
    assert len(home.waiting()) > 0
    text = catalogue.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    recorded = [line.split(b"\t")[0].decode() for line in text.splitlines()]
    assert before is None or text.startswith(before)
    assert set(more) - set(home.waiting()) <= set(recorded)
    place.empty()
    assert home.archive().returncode == 0
    text = catalogue.read_text()
    assert [line.split("\t")[0] for line in text.splitlines()] == [*contents, *more]
    assert home.waiting() == [] and len(archived_files(home)) == rows + 80


def test_errors_is_full(home, disk):
    place = disk("errors", 64)
    home.errors = place.path
    home.configure(errors_directory=place.path)
    first, *names = segment_names(1, 5)
    contents = put(home, [first])
    assert home.archive().returncode == 0
    make_wal(home.incoming, first, seed=1)  # differs from what is archived
    (home.incoming / "notes.txt").write_text("not WAL\n")
    contents |= put(home, names)
    place.fill()

    done = home.archive()

    assert done.returncode == 1
    assert done.stderr.count("No space left on device") == 2, done.stderr
    assert home.waiting() == [first, "notes.txt"]  # the others are archived
    assert home.names() == [first, *names]
    assert home.rejected() == ["filler"]
    place.resize(4 * 1024)
    place.empty()
    assert home.archive().returncode == 1
    assert home.rejected()[0].startswith(first) and home.rejected()[1].startswith("notes.txt")
    assert home.archive().returncode == 0
    check_done(home, contents)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_everything_is_on_the_full_disk(workdir, disk, compression):
    place = disk("home", 12 * 1024)
    home = Home(place.path / "home", compression=compression)
    contents = put(home, segment_names(1, 6))
    assert home.archive().returncode == 0
    for lock in home.path.glob(".*.lock"):
        lock.unlink()
    contents |= put(home, segment_names(7, 4))
    place.fill()

    done = home.archive()  # a link takes no room: that may succeed

    assert done.returncode in (0, 1)
    assert done.returncode == 0 or "No space left" in done.stderr
    assert "lock file" not in done.stderr
    for name, data in contents.items():
        got = home.get(name)
        assert got.returncode == 0 and got.stdout == data, name
        assert (home.incoming / name).exists() or name in home.names()
    place.empty()
    assert home.archive().returncode == 0
    check_done(home, contents)


def test_get_wal_to_a_full_disk_is_never_a_file_that_is_missing(home, disk):
    place = disk("pg_wal", 512)
    home.configure(restore_deadline=1)
    (name,) = segment_names(1, 1)
    put(home, [name])
    assert home.archive().returncode == 0
    done = home.get(name, "-o", place.path)
    assert done.returncode > 125 and "No space left" in done.stderr
    assert list(place.path.iterdir()) == []
    target = place.path / "RECOVERYXLOG"
    done = execute(["/bin/sh", "-c", f"exec {' '.join(done.args[:3])} get-wal main {name} > {target}"])
    assert done.returncode > 125 and "No space left" in done.stderr
    assert target.stat().st_size < MIB
