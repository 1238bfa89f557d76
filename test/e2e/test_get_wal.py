# SPDX-License-Identifier: PostgreSQL
"""get-wal: where it looks, what it sends, and what it answers when it cannot know."""

import bz2
import gzip
import os
import shutil
import threading
import time

import pytest
from home import WALDEN, execute
from support import TESTS_RUN_AS_ROOT, as_user, beside, give_all, locked, wait_for
from wal import MIB, PAGE, make_wal, segment_name, wal_bytes

NAME = segment_name(1)
OTHER = segment_name(2)
MISSING, BAD_NAME, UNCERTAIN = 1, 3, 200
CODECS = [None, "gzip", "bzip2", "xz", "zstd", "lz4", "snappy", "pigz"]


@pytest.fixture
def archive(home):
    """The home with NAME archived; restore_deadline 0."""
    home.configure(restore_deadline=0)
    make_wal(home.incoming, NAME)
    assert home.archive().returncode == 0
    return home


def sent(done, data=None):
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout == (wal_bytes(NAME) if data is None else data)


def refused(done, code=UNCERTAIN, lines=1):
    assert done.returncode == code, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()) == lines, done.stderr
    return done


# Sending


@pytest.mark.parametrize("codec", CODECS)
def test_contents(home, codec):
    home.configure(compression=codec)
    make_wal(home.incoming, NAME)
    home.archive()
    sent(home.get(NAME))
    stored = home.stored(NAME).read_bytes()
    sent(home.get(NAME, "--keep-compression"), stored)
    for option, unpack in (("-z", gzip), ("-x", gzip), ("--gzip", gzip), ("-j", bz2), ("--bzip2", bz2)):
        done = home.get(NAME, option)
        assert done.returncode == 0, done.stderr
        assert unpack.decompress(done.stdout) == wal_bytes(NAME)
    if codec == "gzip":
        assert home.get(NAME, "-z").stdout == stored


@pytest.mark.parametrize("name", ["00000002.history", f"{NAME}.00000028.backup"])
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_small_files(home, name, codec):
    home.configure(compression=codec)
    (home.incoming / name).write_bytes(b"1\t0/3000000\tno reason\n")
    home.archive()
    sent(home.get(name), b"1\t0/3000000\tno reason\n")


def test_into_a_directory(archive, workdir):
    out = workdir / "out"
    out.mkdir()
    done = archive.get(NAME, "-o", out)
    assert done.returncode == 0
    assert done.stdout.decode() == f"Sending WAL '{NAME}' for server 'main' into '{out}/{NAME}' file\n"
    assert (out / NAME).read_bytes() == wal_bytes(NAME)
    (out / NAME).write_text("older, and longer" * MIB)
    assert archive.get(NAME, "--output-directory", out).returncode == 0
    assert (out / NAME).read_bytes() == wal_bytes(NAME)
    assert os.listdir(out) == [NAME]
    assert archive.get(NAME, "-o", f"{out}/").returncode == 0


def test_nothing_is_left_in_the_directory_of_a_failure(archive, workdir):
    out = workdir / "out"
    out.mkdir()
    refused(archive.get(OTHER, "-o", out), MISSING)
    archive.stored(NAME).write_bytes(gzip.compress(wal_bytes(NAME))[:-20])
    (out / NAME).write_text("as it was")
    refused(archive.get(NAME, "-o", out))
    assert (out / NAME).read_text() == "as it was"
    assert os.listdir(out) == [NAME]


def test_directory_that_is_not_there(archive, workdir):
    refused(archive.get(NAME, "-o", workdir / "no"))
    assert not (workdir / "no").exists()


def test_name_of_the_ssh_client_is_in_the_messages(archive):
    done = archive.get(OTHER, env={**os.environ, "SSH_CONNECTION": "10.0.0.7 5 10.0.0.1 22"})
    assert done.returncode == MISSING and "(SSH host: 10.0.0.7)" in done.stderr


def test_message_of_a_missing_file_is_barmans(archive):
    archive.xlogdb.rename(archive.wals / "xlog.db")
    archive.configure(restore_deadline=None)
    ours, theirs = archive.get(OTHER), archive.barman("get-wal", "main", OTHER)
    assert ours.stderr == theirs.stderr
    assert ours.returncode == theirs.returncode == MISSING


# Options


def test_ready(archive):
    done = archive.get(NAME, "--test")
    assert (done.returncode, done.stdout) == (0, b"Ready to retrieve WAL files from the server main\n")
    assert archive.get("whatever", "-t").returncode == 0


@pytest.mark.parametrize("name", ["", "x", NAME[:23], f"{NAME}\n", "../../../etc/passwd", f"a/{NAME}", f"{NAME}.gz",
                                  "00000002.history\n", "RECOVERYXLOG"])
def test_invalid_name(archive, name):
    refused(archive.get(name), BAD_NAME)
    assert refused(archive.get(name, "--barman-exit-codes"), BAD_NAME)


@pytest.mark.parametrize("option", ["-z", "-j"])
def test_contradicting_options(archive, option):
    refused(archive.get(NAME, "--keep-compression", option))
    refused(archive.get(NAME, "--keep-compression", option, "--barman-exit-codes"), 1)


# Places


PLACES = ["archive", "incoming", "streaming"]


def place(home, where, name=NAME, **kw):
    directory = {"archive": home.wals / NAME[:16], "incoming": home.incoming, "streaming": home.streaming}[where]
    directory.mkdir(exist_ok=True)
    data = wal_bytes(name, **kw)
    (directory / name).write_bytes(data)
    return data


@pytest.mark.parametrize("first", range(3))
def test_order_of_the_places(home, first):
    data = [place(home, where, seed=index) for index, where in enumerate(PLACES) if index >= first]
    sent(home.get(NAME), data[0])


PARTIALS = ["streaming", "archive", "incoming"]


@pytest.mark.parametrize("first", range(3))
def test_order_of_partials(home, first):
    home.configure(restore_deadline=0)
    home.xlogdb.touch()
    data = [place(home, where, f"{NAME}.partial", seed=index) for index, where in enumerate(PARTIALS) if index >= first]
    refused(home.get(NAME), MISSING)
    sent(home.get(NAME, "--partial"), data[0])
    whole = place(home, "incoming", seed=9)
    sent(home.get(NAME, "-P"), whole)
    sent(home.get(NAME), whole)


@pytest.mark.parametrize("size", [1, 8, 100])
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_partial_is_filled_with_zeros(home, codec, size):
    home.configure(compression=codec, incoming_grace="0")
    data = wal_bytes(NAME, pages=size)
    (home.incoming / f"{NAME}.partial").write_bytes(data)
    filled = data + bytes(MIB - len(data))
    sent(home.get(NAME, "-P"), filled)
    assert home.archive().returncode == 0
    assert home.names() == [f"{NAME}.partial"]
    sent(home.get(NAME, "-P"), filled)
    assert gzip.decompress(home.get(NAME, "-P", "-z").stdout) == filled


def test_partial_that_has_its_full_size(home):
    data = place(home, "streaming", f"{NAME}.partial")
    sent(home.get(NAME, "-P"), data)


@pytest.mark.parametrize("received,size", [(0, 0), (0, 30), (0, MIB), (39, 39)])
def test_partial_without_wal(home, received, size):
    """A receiver has made the file and not written to it yet: nothing of the segment is there."""
    home.configure(restore_deadline=0)
    home.xlogdb.touch()
    (home.streaming / f"{NAME}.partial").write_bytes(wal_bytes(NAME)[:received] + bytes(size - received))
    refused(home.get(NAME, "-P"), MISSING)
    archived = place(home, "incoming", f"{NAME}.partial")
    sent(home.get(NAME, "-P"), archived)


@pytest.mark.parametrize("preallocated", [False, True])
def test_partial_that_is_being_written(home, preallocated):
    """Whenever it is asked for: full size, and each page either as it was received or zeros."""
    data = wal_bytes(NAME)
    pages = [data[at:at + PAGE] for at in range(0, MIB, PAGE)]
    done = threading.Event()

    def write(file):
        for page in pages[1:]:
            file.write(page[:1000])
            file.flush()
            file.write(page[1000:])
            file.flush()
            time.sleep(0.005)
        done.set()

    with open(home.streaming / f"{NAME}.partial", "wb") as file:
        if preallocated:
            file.truncate(MIB)
        file.write(pages[0])
        file.flush()
        received = PAGE
        writer = threading.Thread(target=write, args=(file,))
        writer.start()
        while not done.is_set():
            got = home.get(NAME, "-P")
            assert got.returncode == 0 and not got.stderr
            assert len(got.stdout) == MIB
            assert got.stdout[:PAGE] == pages[0]
            assert all(got.stdout[at:at + 1000] in (data[at:at + 1000], bytes(1000)) for at in range(0, MIB, PAGE))
            length = len(got.stdout.rstrip(b"\0"))
            assert length >= received
            received = length
        writer.join()
    sent(home.get(NAME, "-P"), data)
    (home.streaming / f"{NAME}.partial").rename(home.streaming / NAME)
    sent(home.get(NAME))


def test_partial_does_not_count_for_other_kinds(home):
    home.configure(restore_deadline=0)
    home.xlogdb.touch()
    (home.streaming / "00000002.history.partial").write_text("x")
    refused(home.get("00000002.history", "-P"), MISSING)


# Peek


def peeked(home, name, count=10):
    done = home.get(name, "--peek", count)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split()


@pytest.mark.parametrize("seg_size,last", [(MIB, 0xFFF), (16 * MIB, 0xFF)])
def test_peek_over_the_border_of_a_log(home, seg_size, last):
    names = [f"0000000100000000{last - 1:08X}", f"0000000100000000{last:08X}",
             "000000010000000100000000", "000000010000000100000001"]
    for index, name in enumerate(names):
        directory = [home.incoming, home.streaming, home.wals / name[:16]][index % 3]
        directory.mkdir(exist_ok=True)
        (directory / name).touch()
    assert peeked(home, names[0]) == names
    assert peeked(home, names[0], 3) == names[:3]
    assert peeked(home, names[2], 1) == names[2:3]


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 5, 15, 16, 17, 0xFF, 0x100, 0xFFF, 0x1000])
@pytest.mark.parametrize("present", [[3], [1, 2, 3], [0xFF, 0x1000], [16, 17], [0xFFE, 0xFFF]])
def test_peek_goes_as_barman_goes(home, first, present):
    """Not against Barman itself, which would take minutes; its rule in Python, but for this: Barman
    jumps at the powers of two 1 and 2 as well, where no log file ends."""
    have = {segment_name(number) for number in present} | {"000000010000000100000000"}
    for name in have:
        (home.incoming / name).touch()

    def exists(log, segment):
        return f"00000001{log:08X}{segment:08X}" in have

    expected, log, segment, jumped = [], 0, first, False
    while len(expected) < 10:
        if exists(log, segment):
            expected.append(f"00000001{log:08X}{segment:08X}")
            segment, jumped = segment + 1, False
        elif not jumped and 4 <= segment <= 4096 and segment & (segment - 1) == 0:
            log, segment, jumped = log + 1, 0, True
        else:
            break
    assert peeked(home, f"0000000100000000{first:08X}") == expected


@pytest.mark.parametrize("start", [0xFE, 0x100, 3])
def test_peek_and_barman(home, start):
    for name in [*(f"0000000100000000{number:08X}" for number in (0xFE, 0xFF)), "000000010000000100000000"]:
        (home.incoming / name).touch()
    name = f"0000000100000000{start:08X}"
    theirs = home.barman("get-wal", "--peek", "5", "main", name)
    assert peeked(home, name, 5) == theirs.stdout.split()


def test_peek_of_other_kinds(home):
    for name in ["00000002.history", f"{NAME}.partial", f"{NAME}.00000028.backup"]:
        assert peeked(home, name) == []
        (home.incoming / name).touch()
        assert peeked(home, name) == [name]


@pytest.mark.parametrize("count", ["0", "-1", "x", "", "99999999999999"])
def test_peek_of_no_number(archive, count):
    done = archive.get(NAME, "--peek", count)
    assert done.returncode not in (0, 1)


# Certainly missing


@pytest.mark.parametrize("name", [OTHER, "00000002.history", f"{NAME}.00000028.backup", f"{NAME}.partial"])
def test_missing(archive, name):
    done = refused(archive.get(name), MISSING)
    assert f"WAL file '{name}' not found in server 'main'" in done.stderr
    assert not done.stdout


def test_missing_in_a_home_that_barman_made(home):
    """A new archive: directories, and an empty catalog."""
    home.xlogdb.touch()
    refused(home.get(NAME), MISSING)


# Not certain


def archive_gone(home):
    home.wals.rename(home.directory / "elsewhere")


def archive_not_mounted(home):
    archive_gone(home)
    home.wals.mkdir()


def archive_is_a_file(home):
    archive_gone(home)
    home.wals.touch()


def listed_but_gone(home):
    home.stored(NAME).unlink()


def hash_directory_gone(home):
    shutil.rmtree(home.stored(NAME).parent)


def other_contents(home):
    home.stored(NAME).write_bytes(wal_bytes(OTHER))


def truncated(home):
    home.stored(NAME).write_bytes(wal_bytes(NAME)[:-8192])


def empty(home):
    home.stored(NAME).write_bytes(b"")


def broken_gzip(home):
    home.stored(NAME).write_bytes(gzip.compress(wal_bytes(NAME))[:-5000])


def gzip_with_a_flipped_bit(home):
    data = bytearray(gzip.compress(wal_bytes(NAME)))
    data[-6] ^= 1  # in its checksum
    home.stored(NAME).write_bytes(data)


def gzip_of_too_little(home):
    home.stored(NAME).write_bytes(gzip.compress(wal_bytes(NAME)[:-8192]))


def arriving(home):
    home.stored(NAME).unlink()
    (home.incoming / NAME).write_bytes(wal_bytes(NAME)[:-8192])


def arriving_empty(home):
    home.stored(NAME).unlink()
    (home.incoming / NAME).touch()


def a_directory(home):
    home.stored(NAME).unlink()
    home.stored(NAME).mkdir()


def a_pipe(home):
    home.stored(NAME).unlink()
    os.mkfifo(home.stored(NAME))


def a_pipe_in_incoming(home):
    home.stored(NAME).unlink()
    os.mkfifo(home.incoming / NAME)


def catalog_is_a_pipe(home):
    home.stored(NAME).unlink()
    home.xlogdb.unlink()
    os.mkfifo(home.xlogdb)


def link_in_a_circle(home):
    home.stored(NAME).unlink()
    home.stored(NAME).symlink_to(home.stored(NAME))


def catalog_is_a_directory(home):
    home.stored(NAME).unlink()
    home.xlogdb.unlink()
    home.xlogdb.mkdir()


def lock_is_a_directory(home):
    home.stored(NAME).unlink()
    (home.path / ".main-xlogdb.lock").unlink()
    (home.path / ".main-xlogdb.lock").mkdir()


DOUBTS = [archive_gone, archive_not_mounted, archive_is_a_file, listed_but_gone, hash_directory_gone, other_contents,
          truncated, empty, broken_gzip, gzip_with_a_flipped_bit, gzip_of_too_little, arriving, arriving_empty,
          a_directory, a_pipe, a_pipe_in_incoming, link_in_a_circle, catalog_is_a_directory, catalog_is_a_pipe,
          lock_is_a_directory]


@pytest.mark.parametrize("doubt", DOUBTS)
def test_uncertain(archive, workdir, doubt):
    doubt(archive)
    done = refused(archive.get(NAME, timeout=10))
    assert done.stderr.startswith("ERROR: ")
    refused(archive.get(NAME, "--barman-exit-codes", timeout=10), 1)
    out = workdir / "out"
    out.mkdir()
    refused(archive.get(NAME, "-o", out, timeout=10))
    assert os.listdir(out) == []
    (workdir / "standby.signal").touch()
    done = archive.get(NAME, cwd=workdir, timeout=10)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2
    assert "WARNING: " in done.stderr


DAMAGED = [truncated, broken_gzip, gzip_with_a_flipped_bit, gzip_of_too_little, other_contents, empty]


@pytest.mark.parametrize("option", ["-z", "--keep-compression"])
@pytest.mark.parametrize("doubt", DAMAGED)
def test_damage_is_seen_also_when_the_file_is_sent_as_it_is_stored(archive, doubt, option):
    doubt(archive)
    refused(archive.get(NAME, option))


@pytest.mark.skipif(not TESTS_RUN_AS_ROOT, reason="needs another account")
@pytest.mark.parametrize("closed", ["wals", "hash directory", "file", "incoming", "streaming", "home", "catalog"])
def test_permission_denied(archive, closed):
    archive.globals["barman_user"] = "nobody"
    archive.globals["log_file"] = None
    archive.configure(restore_deadline=1)
    give_all(archive.path)
    archive.conf.rename(archive.path.parent / "conf")
    target = {"wals": archive.wals, "hash directory": archive.stored(NAME).parent, "file": archive.stored(NAME),
              "incoming": archive.incoming, "streaming": archive.streaming, "home": archive.path,
              "catalog": archive.xlogdb}[closed]
    os.chown(target, 0, 0)
    target.chmod(0)
    name = NAME if closed in ("wals", "hash directory", "file", "home") else OTHER
    begun = time.monotonic()
    done = execute([*as_user(), WALDEN, "-c", archive.path.parent / "conf", "get-wal", "main", name])
    assert time.monotonic() - begun < 5
    assert done.returncode == UNCERTAIN, done.stderr
    assert "Permission denied" in done.stderr
    os.chown(target, 65534, 65534)
    target.chmod(0o755)


@pytest.mark.skipif(not TESTS_RUN_AS_ROOT, reason="needs another account")
@pytest.mark.parametrize("name,code", [(NAME, 0), (OTHER, MISSING)])
def test_reader_of_a_read_only_home(archive, name, code):
    """Somebody who may read the archive, but not write its lock files."""
    archive.globals["barman_user"] = None
    archive.globals["log_file"] = None
    archive.configure()
    lock = archive.path / ".main-xlogdb.lock"
    for path in (lock, archive.path):
        path.chmod(path.stat().st_mode & 0o555 | 0o444)
    done = execute([*as_user(), WALDEN, "-c", archive.conf, "get-wal", "main", name], binary=True)
    assert done.returncode == code, done.stderr


def test_archive_that_appears_in_time(archive):
    archive.configure(restore_deadline=20)
    archive_gone(archive)
    with beside(archive, "get-wal", "main", NAME) as process:
        wait_for(lambda: "will try again" in archive.log_text(), what="the first try")
        (archive.directory / "elsewhere").rename(archive.wals)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and out == wal_bytes(NAME) and not err


def test_file_that_arrives_in_time(home):
    home.configure(restore_deadline=20)
    home.xlogdb.touch()
    (home.incoming / NAME).write_bytes(wal_bytes(NAME)[: MIB // 2])
    with beside(home, "get-wal", "main", NAME) as process:
        wait_for(lambda: "will try again" in home.log_text(), what="the first try")
        make_wal(home.incoming, NAME)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and out == wal_bytes(NAME)


def test_deadline_is_kept(archive):
    archive.configure(restore_deadline=1)
    archive_gone(archive)
    begun = time.monotonic()
    refused(archive.get(NAME))
    assert time.monotonic() - begun < 3


def test_catalog_lock_that_is_held_does_not_stop_a_reader(archive):
    """Barman may hold it for as long as a deletion takes. A file that is there needs no catalog; for one
    that is not the deadline counts."""
    archive.configure(restore_deadline=1)
    with locked(archive.path / ".main-xlogdb.lock"):
        sent(archive.get(NAME))
        begun = time.monotonic()
        refused(archive.get(OTHER, timeout=20))
        assert time.monotonic() - begun < 10


# Standard output


def test_closed_pipe(archive):
    with beside(archive, "get-wal", "main", NAME) as process:
        process.stdout.close()
        assert process.wait(20) not in range(0, 126)


def test_reader_that_goes_away(archive):
    shell = f"{WALDEN} -c {archive.conf} get-wal main {NAME} | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}"
    assert execute(["bash", "-c", shell]).returncode > 125


def test_closed_standard_output(archive):
    done = execute(["sh", "-c", f"{WALDEN} -c {archive.conf} get-wal main {NAME} >&-"])
    assert done.returncode > 125
    assert len(archive.log_text()) < 10_000


@pytest.mark.parametrize("option", [[], ["-z"], ["--keep-compression"]])
def test_full_disk(archive, option):
    with open("/dev/full", "wb") as full, beside(archive, "get-wal", *option, "main", NAME, stdout=full) as process:
        assert process.wait(20) == UNCERTAIN
        assert b"No space left" in process.stderr.read()


@pytest.mark.parametrize("option", [["-p", "5"], ["-o", "DIR"]])
def test_what_cannot_be_said_is_not_a_file_that_is_missing(archive, workdir, option):
    option = [str(workdir) if word == "DIR" else word for word in option]
    with open("/dev/full", "wb") as full, beside(archive, "get-wal", *option, "main", NAME, stdout=full) as process:
        assert process.wait(20) == UNCERTAIN


def test_file_size_limit(archive, workdir):
    """As a full disk in the middle of the file."""
    command = f"{WALDEN} -c {archive.conf} get-wal -o {workdir} main {NAME}"
    done = execute(["sh", "-c", f"ulimit -f 500; trap '' XFSZ; {command}"])
    assert done.returncode == UNCERTAIN
    assert not (workdir / NAME).exists()


# As PostgreSQL calls it


def test_restore_command_with_a_redirection(archive, workdir):
    path = workdir / "pg_wal"
    assert os.system(f"{WALDEN} -c {archive.conf} get-wal main {NAME} > {path}") == 0
    assert path.read_bytes() == wal_bytes(NAME)


@pytest.mark.parametrize("compression,magic", [("custom", None), ("custom", "0x5052")])
def test_custom_filter(home, compression, magic):
    """Without a magic, what is not recognised and no WAL is taken for the filter's, as Barman does."""
    home.configure(compression=compression, custom_compression_filter="(printf PR; rev -V >/dev/null; base64)",
                   custom_decompression_filter="tail -c +3 | base64 -d", custom_compression_magic=magic)
    names = [NAME, "00000002.history"]
    make_wal(home.incoming, NAME)
    (home.incoming / names[1]).write_text("1\t0/1\tno\n")
    assert home.archive().returncode == 0
    assert {row.compression for row in home.rows()} == {"custom"}
    assert home.stored(NAME).read_bytes()[:2] == b"PR"
    sent(home.get(NAME))
    sent(home.get(names[1]), b"1\t0/1\tno\n")
    make_wal(home.incoming, NAME)
    done = home.archive()
    assert done.returncode == 0 and home.rejected() == []
