# SPDX-License-Identifier: PostgreSQL
"""archive-wal: what it takes, in which order, what it refuses, and what a crash may have left."""

import bz2
import gzip
import json
import lzma
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from home import BUILT, WALDEN, Home, execute
from support import TESTS_RUN_AS_ROOT, as_user, give_all, set_time
from wal import MIB, SYSID, make_wal, segment_name, segment_names, wal_bytes

NAME = segment_name(1)
HISTORY = "00000002.history"
TEXT = b"1\t0/3000000\tno recovery target specified\n"


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def lz4(data):
    return subprocess.run(["lz4", "-qc"], input=data, capture_output=True, check=True).stdout


PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd, "lz4": lz4}


def clean(home, *names):
    """Everything named is archived and nothing else is anywhere."""
    assert home.names() == list(names)
    assert home.waiting() == home.rejected() == []
    for row in home.rows():
        assert row.size == home.stored(row.name).stat().st_size
    return True


def archived(home, *options, code=0, **kw):
    done = home.archive(*options, **kw)
    assert done.returncode == code, done
    return done


# Order and limit


def test_history_files_first_then_by_name(home):
    third = segment_name(3)
    label = f"{NAME}.00000028.backup"
    files = [third, HISTORY, NAME, label, segment_name(2), f"{segment_name(9)}.partial", "0000000A.history",
             segment_name(1, timeline=2)]
    for name in files:
        if ".history" in name or ".backup" in name:
            (home.incoming / name).write_bytes(TEXT)
        else:
            make_wal(home.incoming, name)
    archived(home)
    assert clean(home, HISTORY, "0000000A.history", NAME, label, segment_name(2), third,
                 f"{segment_name(9)}.partial", segment_name(1, timeline=2))
    assert home.stored(HISTORY).parent == home.wals
    assert home.stored(label).parent == home.wals / NAME[:16]


def test_batch_size_counts_only_wal(home):
    home.configure(archiver_batch_size=2)
    names = segment_names(1, 5)
    for name in names:
        make_wal(home.incoming, name)
    for junk in ["!first", "000000010000000000000000.tmp", "000000010000000000000000.gz"]:
        (home.incoming / junk).touch()
    (home.incoming / "00000000.d").mkdir()
    done = archived(home, code=1)
    assert "(batch size: 2)" in done.stdout
    assert home.names() == names[:2]
    assert home.waiting() == ["000000010000000000000000.tmp", *names[2:]]
    archived(home)
    archived(home)
    assert home.names() == names


def test_dot_files_and_tmp_are_left_alone(home):
    left = [f".{NAME}", f".{NAME}.tmp", f"{NAME}.tmp", ".hidden"]
    for name in left:
        (home.incoming / name).write_bytes(b"x")
    assert "no file found" in archived(home).stdout
    assert home.waiting() == sorted(left)
    assert home.rejected() == []


def test_missing_directories_are_made(workdir):
    home = Home(workdir / "home")
    shutil.rmtree(home.directory)
    assert "no file found" in archived(home).stdout
    home.incoming.mkdir(parents=True)
    make_wal(home.incoming, NAME)
    (home.incoming / "junk").touch()
    archived(home, code=1)
    assert home.names() == [NAME]
    assert len(home.rejected()) == 1


# Names


def test_lower_case_name_in_upper_case_directory(home):
    name = "00000001000000000000000a"
    make_wal(home.incoming, name)
    archived(home)
    assert clean(home, name)
    assert home.stored(name).parent.name == name[:16].upper()
    assert home.get(name).returncode == 0
    name = "0000000a00000000000000ab"
    make_wal(home.incoming, name)
    archived(home)
    assert (home.wals / "0000000A00000000" / name).exists()


@pytest.mark.parametrize(
    "name",
    [f"{NAME}\n", NAME[:23], f"{NAME}0", NAME[:22] + "0G", f"{NAME}.gz", f"{NAME}.PARTIAL",
     f"{NAME[:8]}.partial", f"{NAME}.00000028.backup.partial", f"{NAME}.28.backup", "0000002.history",
     f" {NAME}", f"{NAME} ", "00000001٠0000000000000001", "new\nline\tand\x1bcolour", "x" * 255, "-rf"],
)
def test_names_that_only_look_like_wal(home, name):
    (home.incoming / name).write_bytes(wal_bytes(NAME))
    done = archived(home, code=1)
    assert home.names() == [] and home.waiting() == []
    (moved,) = home.rejected()
    assert re.fullmatch(r".*\.\d{8}T\d{6}Z\.unknown", moved, re.S)
    assert (home.errors / moved).read_bytes() == wal_bytes(NAME)
    assert moved.startswith(name[:200])
    assert "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("Some unknown objects")]


def test_name_that_is_not_text(home):
    path = os.fsencode(home.incoming) + b"/\xff\xfe\n"
    with open(path, "wb"):
        pass
    archived(home, code=1)
    assert len(home.rejected()) == 1
    with open(path, "wb"):
        pass
    answer = json.loads(home.walden("-f", "json", "archive-wal", "main").stdout)
    assert "_INFO" in answer


# Strangers


@pytest.fixture(params=["here", "elsewhere"])
def errors(request, home):
    """errors/ on the file system of incoming/, and on another."""
    if request.param == "here":
        yield home.errors
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        home.configure(errors_directory=directory)
        home.errors = type(home.errors)(directory)
        yield home.errors


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


STRANGERS = {
    "directory": lambda path: path.mkdir(),
    "full directory": lambda path: (path.mkdir(), (path / "x").write_text("y")),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link": lambda path: path.symlink_to(make_wal(path.parent.parent, NAME)),
    "link to directory": lambda path: path.symlink_to("/etc"),
    "fifo": os.mkfifo,
    "socket": make_socket,
}


@pytest.mark.parametrize("name", [NAME, "junk"])
@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
def test_strangers(home, make, name, errors):
    """They never stall the archiver, never get into the archive, and what is WAL goes on."""
    make(home.incoming / name)
    make_wal(home.incoming, segment_name(2))
    archived(home, code=1, timeout=20)
    assert home.names() == [segment_name(2)]
    (left,) = [*home.waiting(), *home.rejected()]
    assert left.startswith(name)
    if errors.parent == home.directory:
        assert home.waiting() == []


# Attributes


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "pigz"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_mode_and_time_are_kept(home, compression, mode):
    home.configure(compression=compression)
    path = make_wal(home.incoming, NAME)
    path.chmod(mode)
    set_time(path, 1_700_000_000, 123_456_789)
    archived(home)
    status = home.stored(NAME).stat()
    assert status.st_mode & 0o7777 == mode
    assert status.st_mtime_ns == 1_700_000_000_123_456_789
    (row,) = home.rows()
    assert float(row.time) == status.st_mtime and row.time == repr(status.st_mtime)
    assert row.size == status.st_size
    assert status.st_nlink == 1


# Already compressed


@pytest.mark.parametrize("configured", [None, "gzip", "zstd"])
@pytest.mark.parametrize("codec", PACK)
def test_compressed_source_is_stored_as_it_is(home, codec, configured):
    home.configure(compression=configured)
    data = wal_bytes(NAME)
    packed = PACK[codec](data)
    (home.incoming / NAME).write_bytes(packed)
    archived(home)
    assert clean(home, NAME)
    assert home.stored(NAME).read_bytes() == packed
    assert home.rows()[0].compression == codec
    assert home.get(NAME).stdout == data


@pytest.mark.parametrize("codec", PACK)
def test_source_of_several_frames(home, codec):
    data = wal_bytes(NAME)
    (home.incoming / NAME).write_bytes(PACK[codec](data[:300_000]) + PACK[codec](data[300_000:]))
    archived(home)
    assert clean(home, NAME)
    assert home.get(NAME).stdout == data


@pytest.mark.parametrize("grace,kept", [(30, True), (0, False)])
@pytest.mark.parametrize("codec", PACK)
def test_truncated_compressed_source(home, codec, grace, kept):
    home.configure(incoming_grace=grace)
    packed = PACK[codec](wal_bytes(NAME))
    (home.incoming / NAME).write_bytes(packed[: len(packed) * 2 // 3])
    make_wal(home.incoming, segment_name(2))
    archived(home, code=0 if kept else 1)
    if kept:
        assert home.names() == [] and home.waiting() == [NAME, segment_name(2)]
    else:
        assert home.names() == [segment_name(2)] and len(home.rejected()) == 1


# Duplicates


@pytest.mark.parametrize("stored", [None, "gzip", "lz4"])
@pytest.mark.parametrize("again", [None, "gzip", "zstd"])
def test_identical_duplicate(home, stored, again):
    home.configure(compression=stored)
    data = make_wal(home.incoming, NAME).read_bytes()
    archived(home)
    before = home.stored(NAME).read_bytes(), home.stored(NAME).stat().st_mtime_ns, home.rows()
    (home.incoming / NAME).write_bytes(PACK[again](data) if again else data)
    done = archived(home)
    assert f"\t{NAME}" in done.stdout.splitlines()
    assert clean(home, NAME)
    assert (home.stored(NAME).read_bytes(), home.stored(NAME).stat().st_mtime_ns, home.rows()) == before


def flipped(data, at=-1):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("stored", [None, "zstd"])
@pytest.mark.parametrize("change", ["content", "content, same time and size", "truncated"])
def test_different_duplicate(home, stored, change):
    home.configure(compression=stored, wal_validation="off")
    path = make_wal(home.incoming, NAME)
    data = path.read_bytes()
    set_time(path, 1_700_000_000)
    archived(home)
    kept, rows = home.stored(NAME).read_bytes(), home.rows()
    other = data[:-8192] if change == "truncated" else flipped(data)
    path.write_bytes(other)
    if "time" in change:
        set_time(path, 1_700_000_000)
    make_wal(home.incoming, segment_name(2))
    done = archived(home, code=1)
    assert f"\tError: {NAME} is already present in server main. File moved to errors directory." in done.stdout
    (moved,) = home.rejected()
    assert re.fullmatch(NAME + r"\.\d{8}T\d{6}Z\.duplicate", moved)
    assert (home.errors / moved).read_bytes() == other
    assert home.stored(NAME).read_bytes() == kept
    assert home.rows()[:1] == rows and home.names() == [NAME, segment_name(2)]
    path.write_bytes(other)  # once more, in the same second: nothing is overwritten
    archived(home, code=1)
    assert len(home.rejected()) == 2


def test_duplicate_of_a_damaged_archived_file_is_kept(home):
    home.configure(compression="gzip")
    data = make_wal(home.incoming, NAME).read_bytes()
    archived(home)
    broken = home.stored(NAME).read_bytes()[:-100]
    home.stored(NAME).write_bytes(broken)
    make_wal(home.incoming, NAME)
    archived(home, code=1)
    (moved,) = home.rejected()
    assert (home.errors / moved).read_bytes() == data
    assert home.stored(NAME).read_bytes() == broken


# What a crash leaves


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("catalog", ["missing", "empty", "another"])
def test_published_without_a_catalog_line(home, compression, catalog):
    home.configure(compression=compression)
    data = make_wal(home.incoming, NAME).read_bytes()
    archived(home)
    (row,) = home.rows()
    if catalog == "missing":
        home.xlogdb.unlink()
    else:
        home.xlogdb.write_text("" if catalog == "empty" else f"{HISTORY}\t41\t1.5\tNone\tNone\n")
    path = home.incoming / NAME
    path.write_bytes(data)
    set_time(path, int(float(row.time)))
    archived(home)
    assert home.rows()[-1] == row
    assert home.names().count(NAME) == 1
    assert home.waiting() == home.rejected() == []


def test_crash_left_both_names_of_the_file(home):
    make_wal(home.incoming, NAME)
    home.stored(NAME).parent.mkdir()
    os.link(home.incoming / NAME, home.stored(NAME))
    archived(home)
    assert clean(home, NAME)
    assert home.stored(NAME).stat().st_nlink == 1


TORN = ["0000", NAME, f"{NAME}\t104", f"{NAME}\t1048576\t17000", f"{NAME}\t1048576\t1700000000.0\tNo", "\0\0\0\0",
        f"{NAME}\t1048576\t1700000000.0\tNone", f"{NAME}\t1048576\t1700000000.0\tNone\tNone"]


@pytest.mark.parametrize("form", ["old", "new"])
@pytest.mark.parametrize("torn", TORN)
def test_torn_last_line(home, torn, form):
    """The row of a file that is archived, and whose source is gone, comes back."""
    columns = "None" if form == "old" else "None\tNone"
    if form == "old":
        (home.wals / "xlog.db").touch()
        torn = "\t".join(torn.split("\t")[:4])
    path = make_wal(home.incoming, NAME)
    set_time(path, 1_700_000_000)
    archived(home)
    whole = f"{HISTORY}\t41\t1.5\t{columns}\n"
    line = f"{NAME}\t1048576\t1700000000.0\t{columns}\n"
    assert home.xlogdb.read_text() == line
    home.xlogdb.write_text(whole + torn)
    path = make_wal(home.incoming, segment_name(2))
    set_time(path, 1_700_000_001)
    archived(home)
    second = f"{segment_name(2)}\t1048576\t1700000001.0\t{columns}\n"
    lines = home.xlogdb.read_text().splitlines(keepends=True)
    assert lines[0] == whole and second in lines
    if NAME in torn:
        assert sorted(lines[1:]) == sorted([line, second])
    else:
        assert lines == [whole, second]


def test_torn_line_of_a_file_that_never_was(home):
    home.wals.mkdir(exist_ok=True)
    home.xlogdb.write_text(f"{segment_name(7)}\t104")
    make_wal(home.incoming, NAME)
    archived(home)
    assert home.names() == [NAME]


def test_torn_label_is_not_taken_for_its_segment(home):
    make_wal(home.incoming, NAME)
    archived(home)
    with open(home.xlogdb, "a", encoding="ascii") as file:
        file.write(NAME)  # of NAME.00000028.backup
    make_wal(home.incoming, segment_name(2))
    archived(home)
    assert home.names() == [NAME, segment_name(2)]


def test_damaged_lines_are_left_alone(home):
    damaged = "nonsense\n\n\t\t\t\nx y z a b c d e\n"
    home.xlogdb.write_text(damaged)
    make_wal(home.incoming, NAME)
    archived(home)
    assert home.xlogdb.read_text().startswith(damaged)
    assert len(home.xlogdb.read_text().splitlines()) == 5
    make_wal(home.incoming, NAME)  # looks for its line among them
    archived(home)
    assert len(home.xlogdb.read_text().splitlines()) == 5


# Places


def test_incoming_on_another_file_system(home):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        home.incoming = type(home.incoming)(directory)
        home.configure(incoming_wals_directory=directory)
        names = segment_names(1, 3)
        for name in names:
            set_time(make_wal(home.incoming, name), 1_700_000_000, 5_000)
        (home.incoming / "junk").write_text("x")
        archived(home, code=1)
        assert home.names() == names and home.waiting() == []
        assert (home.errors / home.rejected()[0]).read_text() == "x"
        assert home.stored(NAME).stat().st_mtime_ns == 1_700_000_000_000_005_000


def test_catalog_elsewhere(home):
    home.configure(xlogdb_directory=home.path / "catalogs" / "here")
    make_wal(home.incoming, NAME)
    archived(home)
    assert (home.path / "catalogs" / "here" / "main-xlog.db").read_text().startswith(NAME)
    assert sorted(path.name for path in home.wals.iterdir()) == [NAME[:16]]


def test_source_that_somebody_holds_by_another_name_is_copied(home):
    """archive_command = 'ln %p ...': PostgreSQL recycles the file, and its contents change."""
    path = make_wal(home.directory, NAME)
    os.link(path, home.incoming / NAME)
    archived(home)
    with open(path, "r+b") as file:
        file.write(b"recycled")
    assert home.get(NAME).stdout == wal_bytes(NAME)


@pytest.mark.skipif(not TESTS_RUN_AS_ROOT, reason="needs another account")
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_sources_of_another_user(home, compression):
    """postgres copies into incoming/, and Linux forbids to link what one may not write: copied then."""
    home.globals["barman_user"] = "nobody"
    home.configure(compression=compression)
    give_all(home.path)
    names = segment_names(1, 3)
    for name in names:
        make_wal(home.incoming, name).chmod(0o644)
    archived(home)
    assert clean(home, *names)
    assert home.stored(NAME).owner() == "nobody"
    for name in names:
        assert home.get(name).stdout == wal_bytes(name)


# The gate


def test_truncated_segment_waits_with_its_timeline(home):
    """A plain cp is still at work: nothing of its timeline goes on, everything else does."""
    second, third, other = segment_name(2), segment_name(3), segment_name(1, timeline=2)
    for name in [NAME, third, other]:
        make_wal(home.incoming, name)
    path = home.incoming / second
    path.write_bytes(wal_bytes(second)[: MIB // 2])
    done = archived(home)
    assert home.names() == [NAME, other]
    assert home.waiting() == [second, third]
    assert second not in done.stdout
    assert second in home.log_text()
    path.write_bytes(wal_bytes(second))
    archived(home)
    assert clean(home, NAME, other, second, third)


def test_what_has_to_wait_is_not_compressed(home):
    """Else a bad file would cost the work of the whole queue behind it in each run."""
    calls = home.path / "calls"
    home.configure(compression="custom", custom_decompression_filter="cat",
                   custom_compression_filter=f"echo >> {calls}; sleep 0.1; cat")
    names = segment_names(1, 41)
    (home.incoming / names[0]).write_bytes(wal_bytes(names[0])[: MIB // 2])
    for name in names[1:]:
        make_wal(home.incoming, name)
    archived(home)
    assert home.waiting() == names
    begun = len(calls.read_text()) if calls.exists() else 0
    assert begun <= 2 * os.cpu_count()


def test_truncated_segment_goes_to_errors_after_the_grace(home):
    home.configure(incoming_grace=2)
    (home.incoming / NAME).write_bytes(wal_bytes(NAME)[: MIB // 2])
    make_wal(home.incoming, segment_name(2))
    archived(home)
    assert home.names() == []
    time.sleep(2.1)
    archived(home, code=1)
    assert home.names() == [segment_name(2)]
    (moved,) = home.rejected()
    assert moved.startswith(NAME)
    assert "524288" in home.log_text()


def foreign(**kw):
    return lambda: wal_bytes(NAME, **kw)


@pytest.mark.parametrize(
    "contents,reason",
    [
        (lambda: wal_bytes(segment_name(2)), "address"),
        (foreign(timeline=2), "timeline"),
        (lambda: bytes(MIB), "zeros"),
        (lambda: b"", "empty"),
        (lambda: wal_bytes(NAME)[:30], "30 bytes"),
        (lambda: wal_bytes(NAME) + b"\0" * 8192, "bytes long"),
        (lambda: gzip.compress(wal_bytes(segment_name(2))), "address"),
        (lambda: zstd(wal_bytes(NAME)[:-8192]), "bytes long"),
        (lambda: gzip.compress(b""), None),
    ],
)
def test_gate_refuses(home, contents, reason):
    home.configure(incoming_grace=0)
    data = contents()
    (home.incoming / NAME).write_bytes(data)
    make_wal(home.incoming, segment_name(3))
    done = archived(home, code=1)
    assert home.names() == [segment_name(3)]
    (moved,) = home.rejected()
    assert (home.errors / moved).read_bytes() == data
    assert re.fullmatch(NAME + r"\.\d{8}T\d{6}Z\.\w+", moved)
    if reason:
        assert reason in done.stdout


def test_wal_of_another_cluster(home):
    (home.directory / "identity.json").write_text(json.dumps({"systemid": str(SYSID), "version": "15"}))
    make_wal(home.incoming, NAME)
    make_wal(home.incoming, segment_name(2), sysid=SYSID + 1)
    done = archived(home, code=1)
    assert home.names() == [NAME]
    assert str(SYSID + 1) in done.stdout


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_first_contact(home, codec):
    """The first WAL in it says whose archive it is; not what was refused before."""
    identity = home.directory / "identity.json"
    home.configure(incoming_grace=0, compression=codec)
    make_wal(home.incoming, NAME, timeline=7, sysid=SYSID + 1)
    (home.incoming / "00000002.history").write_text("1\t0/3000000\tno reason\n")
    archived(home, code=1)
    assert not identity.exists()
    make_wal(home.incoming, NAME)
    archived(home)
    assert json.loads(identity.read_text()) == {"systemid": str(SYSID), "version": "15"}
    make_wal(home.incoming, segment_name(2), sysid=SYSID + 1)
    done = archived(home, code=1)
    assert f"system identifier {SYSID + 1}, and this archive of {SYSID}" in done.stdout
    assert home.names() == ["00000002.history", NAME]


def test_first_contact_unasked(home):
    """Who wants no checks, or gives nowhere to write, archives all the same."""
    home.configure(wal_validation="off")
    make_wal(home.incoming, NAME)
    archived(home)
    assert not (home.directory / "identity.json").exists()
    (home.directory / "identity.json").symlink_to("/nowhere")
    home.configure(wal_validation=None)
    make_wal(home.incoming, segment_name(2))
    archived(home)
    assert home.names() == [NAME, segment_name(2)]
    assert "archiving without knowing the cluster" in home.log_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"systemid": 7}', '{"systemid": "x"}'])
def test_damaged_identity_is_no_reason_to_stop(home, text):
    (home.directory / "identity.json").write_text(text)
    make_wal(home.incoming, NAME)
    archived(home)
    assert home.names() == [NAME]


@pytest.mark.parametrize("contents", [os.urandom(4000), b"-----BEGIN PGP MESSAGE-----\n",
                                      b"\x85\x01\x0c\x03" + os.urandom(400)],
                         ids=["noise", "armoured", "OpenPGP"])
def test_content_that_nobody_knows_is_archived_with_one_warning(home, contents):
    for name in segment_names(1, 3):
        (home.incoming / name).write_bytes(contents)
    archived(home)
    assert home.names() == segment_names(1, 3)
    assert home.log_text().count("WARNING") == 1
    assert home.get(NAME, "--keep-compression").stdout == contents
    encrypted = contents.startswith(b"\x85")  # get-wal says nothing that only looks like WAL
    assert home.get(NAME).returncode == (200 if encrypted else 0)


def test_an_encrypted_archived_copy_is_no_reason_to_reject_its_source(home):
    """It cannot be compared here: the source stays, is told, and does not hold up what follows."""
    names = segment_names(1, 2)
    home.stored(NAME).parent.mkdir(parents=True, exist_ok=True)
    home.stored(NAME).write_bytes(b"\x85\x01\x0c\x03" + os.urandom(400))
    for name in names:
        make_wal(home.incoming, name)
    done = home.archive()
    assert done.returncode == 1 and "encrypted" in done.stderr
    assert home.waiting() == [NAME] and home.rejected() == []
    assert home.names() == names[1:]


def test_nobody_else_may_write_whatever_the_umask(home):
    make_wal(home.incoming, NAME)
    home.configure(compression="zstd")
    done = execute(["sh", "-c", f"umask 0; exec {WALDEN} -c {home.conf} archive-wal main"])
    assert done.returncode == 0
    for path in (home.xlogdb, home.stored(NAME).parent):
        assert path.stat().st_mode & 0o022 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account")
def test_unreadable_file_does_not_hold_up_the_others(home):
    home.globals.update(barman_user="nobody", log_file=None)
    home.configure(incoming_grace="0")
    names = segment_names(1, 3)
    for name in names:
        make_wal(home.incoming, name)
    for path in [home.path, *home.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.chown(home.incoming / NAME, 0, 0)
    (home.incoming / NAME).chmod(0o600)
    done = execute([*as_user(), WALDEN, "-c", home.conf, "archive-wal", "main"])
    assert done.returncode == 1 and "Permission denied" in done.stdout
    assert home.names() == names[1:] and home.waiting() == []
    assert home.rejected()[0].startswith(NAME)


def test_future_version_is_archived(home):
    make_wal(home.incoming, NAME, magic=0xD200)
    archived(home)
    assert home.names() == [NAME]


@pytest.mark.parametrize("contents", [b"", wal_bytes(NAME)[:5000], bytes(MIB), wal_bytes(segment_name(5))],
                         ids=["empty", "truncated", "zeros", "foreign"])
def test_validation_off_takes_everything(home, contents):
    home.configure(wal_validation="off")
    (home.incoming / NAME).write_bytes(contents)
    archived(home)
    assert home.names() == [NAME]
    assert home.stored(NAME).read_bytes() == contents


def test_full_validation_of_real_wal(home, postgres):
    """Good segments pass, raw or compressed; one flipped byte in a record does not."""
    home.configure(wal_validation="full", compression="zstd")
    names = [postgres.fill_segment() for _ in range(4)]
    postgres.wait_archived(names[-1])
    postgres.stop()
    for name in home.waiting():
        if name > names[-1]:
            (home.incoming / name).unlink()
    for index, name in enumerate(names):
        path = home.incoming / name
        data = path.read_bytes()
        data = flipped(data, 8192 + 100) if index >= 2 else data
        path.write_bytes(gzip.compress(data) if index % 2 else data)
    done = archived(home, code=1)
    assert home.names()[-2:] == names[:2]
    assert [name[:24] for name in home.rejected()] == names[2:]
    assert done.stdout.count("CRC") == 2, done.stdout


# Failures


@pytest.mark.parametrize("options,words", [
    ({"compression": "custom"}, "custom_compression_filter"),
    ({"compression": "custom", "custom_compression_filter": "cat"}, "custom_decompression_filter"),
    ({"compression": "gzip", "compression_level": "huge"}, "compression_level"),
    ({"compression": "rot13"}, "rot13"),
])
def test_codec_that_cannot_be_used(home, options, words):
    """As with Barman an invalid value is a warning and counts as not set; nothing is lost."""
    home.configure(**options)
    make_wal(home.incoming, NAME)
    done = home.archive()
    assert words in done.stderr
    assert (done.returncode == 0 and home.names() == [NAME]) or home.waiting() == [NAME]


@pytest.mark.parametrize("program", ["false", "exit 3", "no-such-program-at-all", "head -c 100; exit 1", "kill -9 $$"])
def test_custom_filter_that_fails(home, program):
    home.configure(compression="custom", custom_compression_filter=program, custom_decompression_filter="cat")
    make_wal(home.incoming, NAME)
    make_wal(home.incoming, segment_name(2))
    make_wal(home.incoming, segment_name(1, timeline=2))
    done = archived(home, code=1)
    assert home.names() == [] and home.rejected() == []
    assert len(home.waiting()) == 3
    assert NAME in done.stderr
    assert [path for path in home.wals.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(not TESTS_RUN_AS_ROOT, reason="needs another account")
@pytest.mark.parametrize("closed", ["wals", "incoming", "home", "unreadable file"])
def test_no_rights(home, closed):
    home.globals["barman_user"] = "nobody"
    home.globals["log_file"] = None
    home.configure()
    for name in segment_names(1, 2):
        make_wal(home.incoming, name)
    give_all(home.path)
    target = {"wals": home.wals, "incoming": home.incoming, "home": home.path,
              "unreadable file": home.incoming / NAME}[closed]
    target.chmod(0o000 if "file" in closed else 0o555)
    done = execute([*as_user(), WALDEN, "-c", home.conf, "archive-wal", "main"])
    target.chmod(0o755)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert home.waiting() == segment_names(1, 2) or closed == "incoming"
    assert home.rejected() == []
    assert execute([*as_user(), WALDEN, "-c", home.conf, "archive-wal", "main"]).returncode == 0
    assert clean(home, *segment_names(1, 2))


def test_root_becomes_the_owner_of_the_archive(home):
    if not TESTS_RUN_AS_ROOT:
        pytest.skip("needs root")
    home.globals["barman_user"] = "nobody"
    home.configure(compression="gzip")
    make_wal(home.incoming, NAME)
    give_all(home.path)
    archived(home)
    assert home.stored(NAME).owner() == "nobody" and home.xlogdb.owner() == "nobody"


# Many files


def peak(home):
    """Archives; megabytes of memory at most, and seconds. Another process stands between, since a child
    begins with the peak of the process that forked it."""
    begun = time.monotonic()
    script = 'import os, sys; os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]) and sys.exit(1); ' \
             'import resource; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
    done = execute(["/usr/bin/python3", "-c", script, WALDEN, "-q", "-c", home.conf, "archive-wal", "main"])
    assert done.returncode == 0, done
    return int(done.stdout) / 1024, time.monotonic() - begun


def tiny(home, count):
    home.configure(wal_validation="off")
    for number in range(1, count + 1):
        (home.incoming / f"{number:08X}.history").write_bytes(TEXT)


def test_memory_does_not_grow_with_the_queue(workdir):
    measured = {}
    for count in (2_000, 20_000):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            home = Home(f"{directory}/home")
            tiny(home, count)
            measured[count], seconds = peak(home)
            assert len(home.names()) == count
            print(f"{count} files: {measured[count]:.1f} MB, {seconds:.2f} s")
    if b"__asan_init" in BUILT.read_bytes() or b"__tsan_init" in BUILT.read_bytes():
        pytest.skip("a sanitizer's build keeps what is freed")
    assert measured[20_000] < measured[2_000] + 6  # the names alone


def test_batch_of_a_long_queue_is_quick(workdir):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        home = Home(f"{directory}/home", archiver_batch_size=100)
        tiny(home, 20_000)
        megabytes, seconds = peak(home)
        print(f"batch of 100 from 20,000: {megabytes:.1f} MB, {seconds:.2f} s")
        assert len(home.names()) == 100
        assert seconds < 2
