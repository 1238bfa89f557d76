# SPDX-License-Identifier: PostgreSQL
"""put-wal: what it takes, what it refuses, and what is on disk afterwards."""

import contextlib
import fcntl
import gzip
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile

import pytest
from home import BARMAN, WALDEN, execute
from parcels import TIME, called, checksums, let_serve, member, needs_client, pack, parcel, scripted
from pg import Postgres, owner, restored
from support import beside, wait_for
from wal import MIB, SYSID, make_wal, segment_name, wal_bytes

NAME, OTHER = segment_name(1), segment_name(2)
DATA = wal_bytes(NAME)
CLIENT = "/usr/bin/barman-wal-archive"
RESTORE = "/usr/bin/barman-wal-restore"
HISTORY = b"1\t0/3000000\tno reason\n"


def put(home, stream, *options):
    return home.walden("put-wal", home.server, *options, input=stream, binary=True)


def taken(done):
    assert done.returncode == 0, done.stderr
    assert not done.stderr and not done.stdout


def refused(home, done, reason, waiting=()):
    """Nothing of it is left, not even under another name."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert reason in done.stderr.splitlines()[0], done.stderr
    assert home.waiting() == list(waiting) and home.rejected() == []


# What a crash left, on a file system without nameless files


@pytest.mark.parametrize("command", ["put-wal", "archive-wal"])
def test_temporary_files_are_swept(home, command):
    """Not one that is being written, by whatever process on whatever host."""
    left, made = (home.incoming / f".{NAME}.{digit * 16}.tmp" for digit in "ab")
    left.write_bytes(b"half")
    with open(made, "wb") as maker:
        fcntl.flock(maker, fcntl.LOCK_EX)
        if command == "put-wal":
            taken(put(home, parcel(OTHER, wal_bytes(OTHER))))
        else:
            assert home.archive().returncode == 0
        assert not left.exists() and made.exists()


# What is good


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_contents(home, form):
    time = TIME + 0.25 if form == tarfile.PAX_FORMAT else TIME
    taken(put(home, parcel(NAME, DATA, form, mtime=time, mode=0o4777, uname="pöstgres")))
    path = home.incoming / NAME
    assert path.read_bytes() == DATA
    assert path.stat().st_mtime == time
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert f"received WAL '{NAME}' for server 'main'" in home.log_text()
    assert home.archive().returncode == 0
    assert home.names() == [NAME] and home.get(NAME).stdout == DATA


@pytest.mark.parametrize("name", ["00000002.history", f"{NAME}.00000028.backup", f"{NAME}.partial"])
def test_other_kinds(home, name):
    data = DATA if name.endswith("partial") else HISTORY
    taken(put(home, parcel(name, data)))
    assert (home.incoming / name).read_bytes() == data


@pytest.mark.parametrize(
    "members",
    [
        (checksums(NAME, DATA), member(NAME, DATA)),
        (member(NAME, DATA), checksums(NAME, DATA, "md5")),
        (member(NAME, DATA), checksums(NAME, DATA, "md5"), checksums(NAME, DATA)),
        (member(f"./{NAME}", DATA), checksums(f"./{NAME}", DATA, mark=" ")),
    ],
    ids=["list first", "md5", "both", "dots"],
)
def test_forms_of_the_list(home, members):
    taken(put(home, pack(*members)))
    assert (home.incoming / NAME).read_bytes() == DATA


def test_incoming_is_made(home):
    shutil.rmtree(home.directory)
    taken(put(home, parcel(NAME, DATA)))
    assert (home.incoming / NAME).read_bytes() == DATA


def test_compressed_by_the_sender(home):
    packed = gzip.compress(DATA)
    taken(put(home, parcel(NAME, packed)))
    assert home.archive().returncode == 0 and home.get(NAME).stdout == DATA
    taken(put(home, parcel(NAME, DATA)))  # the same content
    assert home.waiting() == []


def test_the_question(home):
    done = home.walden("put-wal", "--test", "main")
    assert done.returncode == 0 and "Ready to accept WAL files for the server main" in done.stdout
    assert home.walden("put-wal", "-t", "nobody").returncode == 1
    home.configure(active="false")
    assert home.walden("put-wal", "-t", "main").returncode == 1


# Hostile streams


def altered(at=3):
    data = bytearray(DATA)
    data[-at] ^= 1
    return bytes(data)


SUM = checksums(NAME, DATA)
GOOD = parcel(NAME, DATA)
HOSTILE = {
    "nothing": (b"", "nothing came"),
    "garbage": (b"hello, world\n" * 1000, "no whole tar stream"),
    "zeros": (bytes(10240), "no WAL file"),
    "many zeros": (bytes(2 * MIB), "more in the stream"),
    "no file": (pack(SUM), "no WAL file"),
    "no checksum": (pack(member(NAME, DATA)), "no checksum"),
    "wrong checksum": (pack(member(NAME, altered()), SUM), "is damaged"),
    "wrong md5": (pack(member(NAME, altered()), checksums(NAME, DATA, "md5")), "is damaged"),
    "one of two wrong": (pack(member(NAME, DATA), SUM, checksums(NAME, b"", "md5")), "is damaged"),
    "checksum of another": (pack(member(NAME, DATA), checksums(OTHER, DATA)), f"of '{OTHER}'"),
    "checksums of two": (
        pack(member(NAME, DATA), member("SHA256SUMS", SUM[1] + checksums(OTHER, DATA)[1])),
        "does not hold the checksum",
    ),
    "checksum in capitals": (
        pack(member(NAME, DATA), member("SHA256SUMS", SUM[1].upper())),
        "does not hold the checksum",
    ),
    "zero in the list": (
        pack(member(NAME, DATA), member("SHA256SUMS", SUM[1] + b"\0x\n")),
        "does not hold the checksum",
    ),
    "empty list": (pack(member(NAME, DATA), member("SHA256SUMS")), "0 bytes long"),
    "long list": (pack(member(NAME, DATA), member("SHA256SUMS", SUM[1] * 50)), "bytes long"),
    "list twice": (pack(member(NAME, DATA), SUM, SUM), "more than once"),
    "two files": (
        pack(member(NAME, DATA), SUM, member(OTHER, wal_bytes(OTHER))),
        "more than one WAL file",
    ),
    "file twice": (pack(member(NAME, DATA), SUM, member(NAME, DATA)), "more than one WAL file"),
    "no WAL's name": (parcel("passwd", DATA), "not the name of a WAL file"),
    "hidden name": (parcel(f".{NAME}", DATA), "not the name of a WAL file"),
    "long name": (parcel(NAME * 9, DATA), "not the name of a WAL file"),
    "absolute path": (parcel(f"/tmp/{NAME}", DATA), "not the name of a WAL file"),
    "path upwards": (parcel(f"../{NAME}", DATA), "not the name of a WAL file"),
    "path downwards": (parcel(f"a/{NAME}", DATA), "not the name of a WAL file"),
    "symbolic link": (
        pack(member(NAME, type=tarfile.SYMTYPE, linkname="/etc/passwd"), SUM),
        "not a plain regular file",
    ),
    "link": (pack(member(NAME, type=tarfile.LNKTYPE, linkname=OTHER), SUM), "not a plain regular file"),
    "device": (pack(member(NAME, type=tarfile.CHRTYPE), SUM), "not a plain regular file"),
    "pipe": (pack(member(NAME, type=tarfile.FIFOTYPE), SUM), "not a plain regular file"),
    "directory": (pack(member(NAME, type=tarfile.DIRTYPE), SUM), "not a plain regular file"),
    "too large": (
        member(NAME, size=2 << 30)[0].tobuf(tarfile.GNU_FORMAT),
        "bytes long, which no such file is",
    ),
    "large history": (parcel("00000002.history", bytes(2 * MIB)), "bytes long, which no such file is"),
    "negative size": (member(NAME, size=-1)[0].tobuf(tarfile.GNU_FORMAT) + bytes(1024), "put-wal"),
    "another small stream behind": (
        parcel("00000002.history", HISTORY) * 2,
        "behind the end",
    ),
    "garbage behind": (GOOD + b"x", "behind the end"),
    "another stream behind": (GOOD + GOOD, "more in the stream"),
    "zeros without end behind": (GOOD + bytes(3 * MIB), "more in the stream"),
    "headers without end": (
        b"".join(member("x", type=tarfile.XHDTYPE)[0].tobuf(tarfile.USTAR_FORMAT) for _ in range(6000)),
        "put-wal",
    ),
    "compressed stream": (gzip.compress(GOOD), "no whole tar stream"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(home, case):
    stream, reason = HOSTILE[case]
    refused(home, put(home, stream), reason)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024, 4096, MIB, MIB + 512, MIB + 1536, MIB + 2048])
def test_truncated(home, size):
    stream = pack(member(NAME, DATA), SUM, form=tarfile.USTAR_FORMAT)
    assert len(stream) > size
    refused(home, put(home, stream[:size]), "put-wal for server 'main'")


def test_no_padding_behind_the_end(home):
    taken(put(home, pack(member(NAME, DATA), SUM, form=tarfile.USTAR_FORMAT)[: MIB + 2560]))


def holds_nameless_file(pid):
    with contextlib.suppress(FileNotFoundError):  # a descriptor closed meanwhile
        return any("/#" in os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_stopped_while_receiving(home):
    with beside(home, "put-wal", "main", stdin=subprocess.PIPE) as process:
        process.stdin.write(GOOD[: MIB // 2])
        process.stdin.flush()
        wait_for(lambda: holds_nameless_file(process.pid), timeout=60, what="the file")
        process.terminate()
        assert process.wait(60) == 1
    assert home.waiting() == []


# What is not taken into this archive


def test_another_cluster(home):
    (home.directory / "identity.json").write_text(json.dumps({"systemid": str(SYSID), "version": "15"}))
    foreign = wal_bytes(NAME, sysid=SYSID + 1)
    refused(home, put(home, parcel(NAME, foreign)), "system identifier")
    refused(home, put(home, parcel(NAME, gzip.compress(foreign))), "system identifier")
    taken(put(home, parcel(NAME, DATA)))


@pytest.mark.parametrize("packed", [False, True])
def test_first_contact(home, packed):
    """Whoever comes first is the archive's owner; both are named to the other."""
    stream = gzip.compress if packed else bytes
    refused(home, put(home, parcel(NAME, stream(wal_bytes(NAME, sysid=SYSID + 1, timeline=7)))), "belong")
    assert not (home.directory / "identity.json").exists()
    taken(put(home, parcel("00000002.history", HISTORY)))
    taken(put(home, parcel(NAME, stream(DATA))))
    identity = json.loads((home.directory / "identity.json").read_text())
    assert identity == {"systemid": str(SYSID), "version": "15"}
    foreign = parcel(OTHER, stream(wal_bytes(OTHER, sysid=SYSID + 1)))
    refused(home, put(home, foreign), f"system identifier {SYSID + 1}, and this archive of {SYSID}",
            [NAME, "00000002.history"])


def test_refused_is_no_contact(home):
    """Other content under a name that is taken does not make its cluster the owner."""
    make_wal(home.incoming, NAME)
    foreign = parcel(NAME, wal_bytes(NAME, sysid=SYSID + 1))
    refused(home, put(home, foreign), "other content", [NAME])
    assert not (home.directory / "identity.json").exists()
    taken(put(home, parcel(NAME, DATA)))
    assert (home.directory / "identity.json").exists()


def test_clusters_racing_at_first_contact(home):
    """Under different names: one wins, the others are told, and nothing of theirs is left."""
    names = [segment_name(number) for number in range(1, 5)]
    streams = [parcel(name, wal_bytes(name, sysid=SYSID + i)) for i, name in enumerate(names)]
    codes, errors = at_once(home, streams)
    assert sorted(codes) == [0, 1, 1, 1]
    winner = codes.index(0)
    assert home.waiting() == [names[winner]]
    assert json.loads((home.directory / "identity.json").read_text())["systemid"] == str(SYSID + winner)
    assert all(f"this archive of {SYSID + winner}" in error for error in errors if error)


@pytest.mark.parametrize(
    "data", [b"", DATA[:8192], bytes(MIB), wal_bytes(OTHER), gzip.compress(DATA)[:-100]],
    ids=["empty", "short", "zeros", "another", "cut"],
)
def test_not_what_its_name_says(home, data):
    refused(home, put(home, parcel(NAME, data)), "does not belong into this archive")


# Names that are taken


def test_again_while_it_waits(home):
    taken(put(home, parcel(NAME, DATA)))
    before = (home.incoming / NAME).stat()
    taken(put(home, parcel(NAME, DATA, mtime=TIME + 9)))
    after = (home.incoming / NAME).stat()
    assert (before.st_ino, before.st_mtime) == (after.st_ino, after.st_mtime)
    refused(home, put(home, parcel(NAME, wal_bytes(NAME, seed=1))), "other content", [NAME])
    assert (home.incoming / NAME).read_bytes() == DATA


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_again_when_archived(home, codec):
    home.configure(compression=codec)
    taken(put(home, parcel(NAME, DATA)))
    assert home.archive().returncode == 0
    taken(put(home, parcel(NAME, DATA)))
    assert home.waiting() == []
    refused(home, put(home, parcel(NAME, wal_bytes(NAME, seed=1))), "other content")
    assert home.get(NAME).stdout == DATA


def test_name_taken_by_no_file(home):
    (home.incoming / NAME).symlink_to("/etc/passwd")
    refused(home, put(home, parcel(NAME, DATA)), "put-wal", [NAME])


def at_once(home, streams):
    """The exit codes and errors of as many put-wal at the same time."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(beside(home, "put-wal", "main", stdin=subprocess.PIPE))
                     for _ in streams]
        for process, stream in zip(processes, streams):
            process.stdin.write(stream)
        for process in processes:
            process.stdin.close()
        return ([process.wait(60) for process in processes],
                [process.stderr.read().decode() for process in processes])


def test_two_at_once(home):
    """One wins, the other is told."""
    codes, errors = at_once(home, [parcel(NAME, wal_bytes(NAME, seed=seed)) for seed in range(4)])
    assert sorted(codes) == [0, 1, 1, 1]
    winner = codes.index(0)
    assert (home.incoming / NAME).read_bytes() == wal_bytes(NAME, seed=winner)
    assert all("other content" in error for error in errors if error)


# Barman's client, over ssh


def send(ssh, path, *options, client=CLIENT, server="main", **kw):
    command = [client, "-U", ssh.user, *options, "127.0.0.1", server, path]
    return execute(command, env=ssh.environment, **kw)


@pytest.fixture
def ours(workdir):
    return called(workdir, "barman-wal-archive")


@needs_client
@pytest.mark.parametrize("whose", ["Barman's", "ours"])
def test_client(home, ssh, workdir, ours, whose):
    client = ours if whose == "ours" else CLIENT
    let_serve(ssh, WALDEN, home)
    path = make_wal(workdir / NAME, NAME)
    os.utime(path, (TIME, TIME + 0.25))
    done = send(ssh, path, "--test", client=client)
    assert done.returncode == 0 and "Ready to accept" in done.stdout, done
    for _ in range(2):
        done = send(ssh, path, client=client)
        assert done.returncode == 0 and not done.stderr, done.stderr
    assert (home.incoming / NAME).read_bytes() == DATA
    assert (home.incoming / NAME).stat().st_mtime == TIME + 0.25
    assert "(SSH host: 127.0.0.1)" in home.log_text()
    make_wal(path, NAME, seed=1)
    done = send(ssh, path, client=client)
    assert done.returncode == 1 and "other content" in done.stderr, done
    assert "Remote 'barman put-wal' command has failed!" in done.stderr
    # Barman's may break off before it hears what ssh says
    assert send(ssh, path, server="nobody", client=client).returncode in ([1] if whose == "ours" else [1, 2])
    assert send(ssh, workdir, client=client).returncode == 2
    assert (home.incoming / NAME).read_bytes() == DATA
    if whose == "ours":
        ssh.directory.joinpath("authorized").write_text("")
        done = send(ssh, path, client=client)
        assert done.returncode == 3 and "Connection problem with ssh" in done.stderr, done


@needs_client
def test_barman_wal_restore(home, ssh, workdir):
    """What went in by the one of Barman's clients comes back by the other."""
    let_serve(ssh, WALDEN, home)
    assert send(ssh, make_wal(workdir / NAME, NAME)).returncode == 0
    assert home.archive().returncode == 0
    to = workdir / "restored"
    command = [RESTORE, "-U", ssh.user, "127.0.0.1", "main"]
    assert execute([*command, "--test", NAME, to], env=ssh.environment).returncode == 0
    done = execute([*command, NAME, to], env=ssh.environment)
    assert done.returncode == 0 and to.read_bytes() == DATA, done
    assert execute([*command, OTHER, to], env=ssh.environment).returncode == 1


@needs_client
@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz", "zstd", "lz4", "snappy"])
def test_compressing_client(home, ssh, workdir, ours, codec):
    let_serve(ssh, WALDEN, home)
    done = send(ssh, make_wal(workdir / NAME, NAME), f"--{codec}", client=ours)
    assert done.returncode == 0, done.stderr
    assert (home.incoming / NAME).stat().st_size < MIB
    assert home.archive().returncode == 0 and home.get(NAME).stdout == DATA


@needs_client
@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
def test_our_client_and_barman(home, ssh, workdir, ours):
    let_serve(ssh, BARMAN, home)
    path = make_wal(workdir / NAME, NAME)
    done = send(ssh, path, "--md5", "-c", home.conf, client=ours)
    assert done.returncode == 0, done.stderr
    assert (home.incoming / NAME).read_bytes() == DATA


def test_our_client_quotes(workdir, ours):
    env = scripted(workdir, 'for word; do echo "<$word>"; done; cat > /dev/null')
    path = make_wal(workdir / NAME, NAME)
    done = execute([ours, "--port", "77", "-c", "it's $HOME", "host", "a b", path], **env)
    words = ["-q", "-T", "-p", "77", "barman@host"]
    remote = "barman '--config=it'\\''s $HOME' put-wal 'a b'"
    assert done.stdout.splitlines() == [f"<{word}>" for word in [*words, remote]]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "script, code", [("exit 7", 7), ("exit 255", 3), ("exit 200", 2), ("kill -9 $$", 2), ("exit 0", 2)]
)
def test_our_client_when_ssh_does_not_read(workdir, ours, script, code):
    """Also success is none of somebody who has not read everything."""
    path = make_wal(workdir / NAME, NAME)
    assert execute([ours, "host", "main", path], **scripted(workdir, script)).returncode == code


@pytest.mark.parametrize("words", [[], ["host", "main"], ["--nothing"], ["host", "main", "/no/such/file"],
                                   ["--zstd", "--compression-level", "x", "host", "main", "/etc/passwd"]])
def test_our_client_does_not_begin(workdir, ours, words):
    done = execute([ours, *words], **scripted(workdir, "cat > /dev/null"))
    assert done.returncode == 2 and done.stderr.startswith("ERROR: ")


def test_our_client_explains_itself(ours):
    assert "--compression-level LEVEL" in execute([ours, "--help"]).stdout
    assert execute([ours, "-V"]).stdout.startswith("barman-wal-archive (Walden) ")


def clone(backup, wal, directory, command):
    """A server of its own from the backup, which archives by the command from timeline 2 on."""
    shutil.copytree(backup, directory / "data")
    subprocess.run(["chown", "-R", owner(), directory], check=True)
    server = restored(directory, f"cp {wal}/%f %p")
    server.configure(archive_mode="on", archive_command=command)
    return server


@needs_client
def test_archive_command(home, ssh, workdir):
    """A server archives through it; so does a clone that is promoted. A second clone that is promoted
    at the same point is told, and the others go on."""
    let_serve(ssh, WALDEN, home)
    command = f"PATH={ssh.environment['PATH']} {CLIENT} -U {ssh.user} 127.0.0.1 main %p"
    with Postgres(workdir / "parent", archive_mode="on", archive_command=command) as parent:
        backup = parent.base_backup(workdir / "backup" / "data")
        parent.wait_archived(parent.fill_segment())
        wal = shutil.copytree(home.incoming, workdir / "wal")
        with clone(backup, wal, workdir / "first", command) as first:
            first.wait_recovered()
            name = first.fill_segment()
            first.wait_archived(name)
        data = (home.incoming / name).read_bytes()
        with clone(backup, wal, workdir / "second", command) as second:
            second.wait_recovered()
            assert second.fill_segment() == name
            failed = "select failed_count from pg_stat_archiver"
            wait_for(lambda: int(second.sql(failed)) > 0, timeout=120, what="the refusal")
            assert "with other content" in second.log.read_text(errors="replace")
        parent.wait_archived(parent.fill_segment())
        assert int(parent.sql(failed)) == 0
    assert (home.incoming / name).read_bytes() == data
    assert home.archive().returncode == 0 and home.rejected() == []
