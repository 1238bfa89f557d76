# SPDX-License-Identifier: PostgreSQL
"""barman-wal-restore: what it fetches, what it refuses to hand over, and the files that it fetches
ahead."""

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
import shlex
import shutil
import struct
import subprocess

import pytest
from home import BARMAN, WALDEN, execute
from parcels import CLIENTS, Far, called, let_serve, needs_client, scripted
from pg import restored
from support import running, set_time, started, wait_for
from wal import MIB, SYSID, make_wal, segment_name, segment_names, wal_bytes

NAMES = segment_names(5, 6)
NAME = NAMES[0]
DATA = wal_bytes(NAME)
NOT_SURE = 200


@pytest.fixture
def ours(workdir):
    return called(workdir, "barman-wal-restore")


@pytest.fixture
def to(workdir):
    """Where the file is to go; what is there already stays when nothing better comes."""
    path = workdir / "data" / "pg_wal" / "RECOVERYXLOG"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    return path


@pytest.fixture
def far(workdir, home):
    for name in NAMES:
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    return Far(workdir, home)


def restore(client, to, *options, name=NAME, env=None, server="main", user="barman", lead=()):
    """As PostgreSQL calls it: in the data directory, with a place in it."""
    place = to.relative_to(to.parents[1]) if to.is_absolute() else to
    command = [*lead, client, "-U", user, *options, "127.0.0.1", server, name, place]
    return execute(command, env=env, cwd=to.parents[1])


def untouched(done, to, code, reason=""):
    assert done.returncode == code, done
    assert reason in done.stderr, done
    assert to.read_bytes() == b"old" and [path.name for path in to.parent.iterdir()] == [to.name]


# Over ssh


@needs_client
@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
@pytest.mark.parametrize("side", [
    WALDEN,
    pytest.param(BARMAN, marks=[pytest.mark.barman, pytest.mark.skipif(
        not os.access(BARMAN, os.X_OK), reason="no Barman")]),
], ids=["Walden", "Barman"])
def test_client(home, ssh, ours, to, side, codec):
    if side == BARMAN and codec == "zstd":
        pytest.skip("Debian's Barman does not know it")
    let_serve(ssh, side, home)
    home.configure(compression=codec)
    for name in NAMES[:3]:
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    way = {"env": ssh.environment, "user": ssh.user}
    done = restore(ours, to, "--test", **way)
    assert done.returncode == 0 and "Ready to retrieve WAL files" in done.stdout, done
    done = restore(ours, to, **way)
    assert done.returncode == 0 and not done.stderr and to.read_bytes() == DATA, done
    assert [path.name for path in to.parent.iterdir()] == [to.name]
    spool = ["--parallel", 3, "--spool-dir", to.parent.parent / "spool"]
    done = restore(ours, to, *spool, name=NAMES[1], **way)
    assert done.returncode == 0 and to.read_bytes() == wal_bytes(NAMES[1]), done
    to.write_bytes(b"old")
    untouched(restore(ours, to, name=segment_name(99), **way), to, 1, "has failed")
    untouched(restore(ours, to, "--test", server="nobody", **way), to, 1 if side == BARMAN else NOT_SURE)
    ssh.directory.joinpath("authorized").write_text("")
    untouched(restore(ours, to, **way), to, 2, "Connection problem with ssh")
    untouched(restore(ours, to, "--postgres-exit-codes", **way), to, NOT_SURE)


@needs_client
def test_barmans_client_in_parallel(home, ssh, to):
    """Debian's against us: it peeks, and fills its own spool."""
    let_serve(ssh, WALDEN, home)
    for name in NAMES:
        make_wal(home.incoming, name)
    way = {"env": ssh.environment, "user": ssh.user}
    spool = to.parent.parent / "spool"
    for name in NAMES[:4]:
        done = restore(CLIENTS[1], to, "-p", 4, "--spool-dir", spool, name=name, **way)
        assert done.returncode == 0 and to.read_bytes() == wal_bytes(name), done
        wait_for(lambda: all((spool / later).exists() and (spool / later).stat().st_size == MIB
                             for later in NAMES[NAMES.index(name) + 1:4]), timeout=60)


@needs_client
def test_shared_connection(home, ssh, ours, to, workdir):
    """As the manual says: the second call opens no connection of its own, whichever client it is, nor do
    the calls that fetch ahead."""
    let_serve(ssh, WALDEN, home)
    with open(ssh.directory / "client.conf", "a", encoding="ascii") as file:
        file.write(f"ControlMaster auto\nControlPath {ssh.directory}/%C\nControlPersist 10m\n")
    log = ssh.directory / "sshd.log"
    way = {"env": ssh.environment, "user": ssh.user}
    try:
        for name in NAMES[:4]:
            command = [called(workdir / name, "barman-wal-archive"), "-U", ssh.user, "127.0.0.1", "main"]
            assert execute([*command, make_wal(workdir / name, name)], env=ssh.environment).returncode == 0
        done = restore(ours, to, "-p", 4, "--spool-dir", workdir / "spool", **way)
        assert done.returncode == 0 and to.read_bytes() == DATA, done
        assert waiting(workdir / "spool") == NAMES[1:4]
        assert log.read_text().count("Accepted publickey") == 1
    finally:
        command = ["ssh", "-O", "exit", f"{ssh.user}@127.0.0.1"]
        assert subprocess.run(command, env=ssh.environment, capture_output=True).returncode == 0


# What comes, and what is refused


def answering(workdir, data, code=0):
    (workdir / "answer").write_bytes(data)
    return scripted(workdir, f"cat {workdir}/answer; exit {code}")["env"]


PACKED = {
    "gzip": gzip.compress(DATA),
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA),
}


@pytest.mark.parametrize("codec", PACKED)
def test_compressed(workdir, ours, to, codec):
    env = answering(workdir, PACKED[codec])
    assert restore(ours, to, env=env).returncode == 0
    assert to.read_bytes() == DATA


@pytest.mark.parametrize("options, sent", [
    (["-z"], "get-wal --gzip main"), (["-j"], "get-wal --bzip2 main"),
    (["--keep-compression", "-P"], "get-wal --keep-compression --partial main"),
])
def test_options_for_the_way(home, far, ours, to, options, sent):
    home.configure(compression="zstd")
    done = restore(ours, to, *options, env=far.env)
    assert done.returncode == 0 and to.read_bytes() == DATA, done
    assert far.asked() == [f"barman {sent} {NAME}"]
    assert ("deprecated" in done.stdout) == (options[0] in ("-z", "-j"))


@pytest.mark.parametrize("data, reason", [
    (b"", "is empty"),
    (DATA[: MIB // 2], "bytes long, and its header says"),
    (DATA + b"x", "bytes long, and its header says"),
    (DATA[:20], "bytes long"),
    (bytes(MIB), "begins with zeros"),
    (wal_bytes(NAMES[1]), "what its name says"),
    (b"an error message\n", "neither a whole segment nor compressed"),
    (gzip.compress(DATA)[:-9], ""),
    (gzip.compress(DATA[:-8192]), "bytes long, and its header says"),
    (b"\x85\x01\x0c\x03" + os.urandom(MIB - 4), "is encrypted"),
], ids=["nothing", "half", "more", "little", "zeros", "another", "text", "cut", "packed half", "encrypted"])
def test_not_handed_over(workdir, ours, to, data, reason):
    """Barman's client would, with success."""
    untouched(restore(ours, to, env=answering(workdir, data)), to, NOT_SURE, reason)


def test_endless(workdir, ours, to):
    """What has no end does not fill the disk."""
    env = scripted(workdir, "yes 1")["env"]
    untouched(restore(ours, to, name="00000002.history", env=env), to, NOT_SURE, "longer than")


def test_other_kinds(workdir, ours, to):
    env = answering(workdir, b"1\t0/3000000\tno reason\n")
    assert restore(ours, to, name="00000002.history", env=env).returncode == 0
    assert to.read_bytes().startswith(b"1\t0/3")


@pytest.mark.parametrize("sysid, code", [(SYSID, 0), (SYSID + 1, NOT_SURE)])
def test_whose_wal_it_is(workdir, ours, to, sysid, code):
    control = to.parents[1] / "global" / "pg_control"
    control.parent.mkdir()
    control.write_bytes(struct.pack("=Q", sysid) + bytes(100))
    env = answering(workdir, DATA)
    done = restore(ours, to, env=env)
    assert done.returncode == code, done
    assert code == 0 or f"identifier {SYSID}, and this server's is {sysid}" in done.stderr
    # Somebody looks by hand, who happens to be here
    elsewhere = workdir / "elsewhere"
    done = execute([ours, "host", "main", NAME, elsewhere], env=env, cwd=to.parents[1])
    assert done.returncode == 0 and elsewhere.read_bytes() == DATA


def test_partial(workdir, ours, to):
    """That of a Barman may be short: it is filled up."""
    env = answering(workdir, DATA[: MIB // 2])
    assert restore(ours, to, "--partial", env=env).returncode == 0
    assert to.read_bytes() == DATA[: MIB // 2] + bytes(MIB // 2)


@pytest.mark.parametrize("size", [0, MIB])
def test_partial_without_wal(workdir, ours, to, size):
    """Nothing was written into it yet."""
    untouched(restore(ours, to, "--partial", env=answering(workdir, bytes(size))), to, 1)


@pytest.mark.parametrize("code, told, strict", [
    (1, 1, 1), (2, 2, 200), (3, 3, 200), (127, 127, 200), (200, 200, 200), (255, 2, 200)])
def test_exit_codes(workdir, ours, to, code, told, strict):
    env = answering(workdir, DATA[:5000], code)
    untouched(restore(ours, to, env=env), to, told)
    untouched(restore(ours, to, "--postgres-exit-codes", env=env), to, strict)
    (to.parents[1] / "standby.signal").touch()
    untouched(restore(ours, to, env=env), to, told if told <= 125 else 1)


def test_killed_on_the_way(workdir, ours, to):
    env = scripted(workdir, f"head -c 5000 /dev/zero | tr '\\0' x; echo $$ > {workdir}/pid; exec sleep 600")["env"]
    command = [ours, "host", "main", NAME, "pg_wal/RECOVERYXLOG"]
    with started(command, env=env, cwd=to.parents[1]) as process:
        wait_for((workdir / "pid").exists, timeout=60)
        process.terminate()
        assert process.wait(60) == 128 + 15
    assert to.read_bytes() == b"old"
    pid = wait_for((workdir / "pid").read_text, timeout=60).strip()
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), timeout=60, what="the end of ssh")


def test_sleeps_before_it_tells(workdir, ours, to):
    env = scripted(workdir, f"touch {workdir}/asked; exit 1")["env"]
    with started([ours, "-s", 600, "host", "main", NAME, to], env=env) as process:
        wait_for((workdir / "asked").exists, timeout=60)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.terminate()
        assert process.wait(60) == 1


@pytest.mark.parametrize("words, code", [
    ([], 2), (["host", "main", NAME], 2), (["--nothing"], 2), (["-z", "-j", "h", "main", NAME, "x"], 2),
    (["-p", "x", "h", "main", NAME, "x"], 2), (["-s", "-1", "h", "main", NAME, "x"], 2),
    (["h", "main", "passwd", "x"], 3), (["h", "main", NAME, "/"], 3), (["h", "main", NAME, "/no/such/x"], 3),
    (["h", "main", NAME, "/dev/null"], 3),
])
def test_does_not_begin(workdir, ours, words, code):
    env = scripted(workdir, f"touch {workdir}/called")["env"]
    done = execute([ours, *words], env=env, cwd=workdir)
    assert done.returncode == code and done.stderr.startswith("ERROR: "), done
    assert not (workdir / "called").exists()


def test_explains_itself(ours):
    assert "--postgres-exit-codes" in execute([ours, "--help"]).stdout
    assert execute([ours, "-V"]).stdout.startswith("barman-wal-restore (Walden) ")
    assert execute([ours, "h", "main", NAME, "x"], env={"PATH": "/nowhere"}).returncode == 2


# Ahead


def waiting(spool):
    """The names in the one spool below the directory."""
    return sorted(path.name for path in spool.glob("walden-*/*"))


def get(name):
    return f"barman get-wal main {name}"


def test_parallel(far, ours, to, workdir):
    spool = workdir / "spool"
    ahead = ["--parallel", 4, "--spool-dir", spool]
    done = restore(ours, to, *ahead, env=far.env)
    assert done.returncode == 0 and to.read_bytes() == DATA and not done.stderr, done
    assert far.asked() == [f"barman get-wal --peek 4 main {NAME}", *map(get, NAMES[:4])]
    assert waiting(spool) == NAMES[1:4]
    for name in NAMES[1:4]:
        assert restore(ours, to, *ahead, name=name, env=far.env).returncode == 0
        assert to.read_bytes() == wal_bytes(name)
    assert far.asked() == [] and waiting(spool) == []
    # The last of them that there are
    assert restore(ours, to, *ahead, name=NAMES[4], env=far.env).returncode == 0
    assert waiting(spool) == NAMES[5:]
    assert oct(next(spool.glob("walden-*")).stat().st_mode)[-3:] == "700"


def test_parallel_when_there_is_none(far, ours, to, workdir):
    ahead = ["-p", 4, "--spool-dir", workdir / "spool"]
    untouched(restore(ours, to, *ahead, name=segment_name(99), env=far.env), to, 1)
    untouched(restore(ours, to, *ahead, name="00000002.history", env=far.env), to, 1)
    assert f"barman get-wal --peek 4 main {segment_name(99)}" in far.asked()
    assert not (workdir / "spool").exists()


def fill_spool(far, ours, to, spool, **kw):
    assert restore(ours, to, "-p", 4, "--spool-dir", spool, env=far.env, **kw).returncode == 0
    far.asked()
    return next(spool.glob("walden-*"))


@pytest.mark.parametrize("damage", [
    lambda path: os.truncate(path, MIB // 2),
    lambda path: path.write_bytes(bytes(MIB)),
    lambda path: make_wal(path, NAMES[2]),
    lambda path: make_wal(path, NAMES[1], timeline=2),
    lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
], ids=["half", "zeros", "another", "timeline", "link"])
def test_spooled_file_that_is_damaged(far, ours, to, workdir, damage):
    """It is fetched anew."""
    spool = workdir / "spool"
    damage(fill_spool(far, ours, to, spool) / NAMES[1])
    done = restore(ours, to, "--spool-dir", spool, name=NAMES[1], env=far.env)
    assert done.returncode == 0 and to.read_bytes() == wal_bytes(NAMES[1]), done
    assert far.asked() == [get(NAMES[1])]


def test_spooled_file_of_another_cluster(far, ours, to, workdir):
    """As when the server was made anew, and the spool is of before."""
    spool = workdir / "spool"
    make_wal(fill_spool(far, ours, to, spool) / NAMES[1], NAMES[1], sysid=SYSID + 1)
    control = to.parents[1] / "global" / "pg_control"
    control.parent.mkdir()
    control.write_bytes(struct.pack("=Q", SYSID))
    assert restore(ours, to, "--spool-dir", spool, name=NAMES[1], env=far.env).returncode == 0
    assert to.read_bytes() == wal_bytes(NAMES[1]) and far.asked() == [get(NAMES[1])]


def test_spools_apart(far, ours, to, workdir):
    """Another far side's, or another data directory's, is not looked at; nor what Barman left."""
    spool = workdir / "spool"
    fill_spool(far, ours, to, spool)
    (spool / NAMES[1]).write_bytes(b"half")
    other = workdir / "other" / "pg_wal" / "RECOVERYXLOG"
    other.parent.mkdir(parents=True)
    for place, kw in [(other, {}), (to, {"user": "nobody"})]:
        options = ["--spool-dir", spool, *(["--port", "7"] if kw else [])]
        assert restore(ours, place, *options, name=NAMES[1], env=far.env, **kw).returncode == 0
        assert place.read_bytes() == wal_bytes(NAMES[1]) and far.asked() == [get(NAMES[1])]


def test_spool_is_swept(far, ours, to, workdir):
    """What is not asked for any more goes, and so do spools that nobody uses."""
    spool = workdir / "spool"
    own = fill_spool(far, ours, to, spool)
    make_wal(own, segment_name(2))
    make_wal(own, segment_name(6, timeline=2))
    (own / f".{NAME}.0123456789abcdef.tmp").touch()
    old, young = spool / "walden-old-00000000", spool / "walden-young-00000000"
    for path in (old, young, spool / "kept"):
        path.mkdir()
        make_wal(path, NAME)
    for path in (old, spool / "kept"):
        set_time(path, 1_000_000_000)
    assert restore(ours, to, "-p", 3, "--spool-dir", spool, name=NAMES[4], env=far.env).returncode == 0
    assert sorted(path.name for path in own.iterdir()) == NAMES[5:]
    assert not old.exists() and (young / NAME).exists() and (spool / "kept" / NAME).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two")
@pytest.mark.parametrize("which", ["root", "own", "open"])
def test_spool_of_somebody_else(far, ours, to, workdir, which):
    """WAL from there could be anything: it is not used, the recovery goes on without."""
    spool = workdir / "spool"
    own = fill_spool(far, ours, to, spool)
    if which == "open":
        spool.chmod(0o777)
    else:
        shutil.chown(spool if which == "root" else own, "nobody")
    for options in (["-p", 4], []):
        done = restore(ours, to, *options, "--spool-dir", spool, name=NAMES[1], env=far.env)
        assert done.returncode == 0 and to.read_bytes() == wal_bytes(NAMES[1]), done
        assert "only its owner can write" in done.stderr
        assert get(NAMES[1]) in far.asked()


def test_ahead_fails(workdir, home, far, ours, to):
    """What is asked for comes all the same."""
    (home.stored(NAMES[1])).write_bytes(wal_bytes(NAMES[1])[:5000])
    spool = workdir / "spool"
    done = restore(ours, to, "-p", 3, "--spool-dir", spool, env=far.env)
    assert done.returncode == 0 and to.read_bytes() == DATA
    assert waiting(spool) == [NAMES[2]]
    done = restore(ours, to, "-p", 3, "--spool-dir", "/proc/nowhere", env=far.env)
    assert done.returncode == 0 and "nothing is fetched ahead" in done.stderr, done


def test_fetching_ahead_hangs(workdir, far, ours, to):
    """What was asked for is there, and PostgreSQL waits."""
    slow = workdir / "slow"
    slow.mkdir()
    inner = shlex.quote(far.env["PATH"].split(":")[0] + "/ssh")
    (slow / "ssh").write_text(f'#!/bin/sh\nfor last; do :; done\ncase $last in *{NAMES[1]}) sleep 600;; esac\n'
                              f'exec {inner} "$@"\n')
    (slow / "ssh").chmod(0o755)
    env = dict(far.env, PATH=f"{slow}:{far.env['PATH']}")
    done = restore(ours, to, "-p", 3, "--spool-dir", workdir / "spool", env=env)
    assert done.returncode == 0 and to.read_bytes() == DATA
    assert "WARNING" in done.stderr and "ahead" in done.stderr


def test_killed_while_it_fetches_ahead(workdir, far, ours, to):
    """Half a file is never there under its name."""
    spool = workdir / "spool"
    slow = workdir / "slow"
    slow.mkdir()
    inner = shlex.quote(far.env["PATH"].split(":")[0] + "/ssh")
    script = (
        f'for last; do :; done\ncase $last in *{NAMES[1]}) touch {workdir}/begun; {inner} "$@" | '
        f"{{ head -c 500000; sleep 600; }};; *) exec {inner} \"$@\";; esac"
    )
    (slow / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (slow / "ssh").chmod(0o755)
    env = dict(far.env, PATH=f"{slow}:{far.env['PATH']}")
    command = [ours, "-p", 3, "--spool-dir", spool, "host", "main", NAME, to]
    with started(command, env=env) as process:
        wait_for((workdir / "begun").exists, timeout=60)
        wait_for(lambda: waiting(spool) == [NAMES[2]], timeout=60, what="the other file")
        process.kill()
        process.wait(60)
    for pid in running(slow):
        with contextlib.suppress(OSError):
            os.killpg(os.getpgid(pid), 9)
    assert [name for name in waiting(spool) if not name.startswith(".")] == [NAMES[2]]
    done = execute([ours, "--spool-dir", spool, "host", "main", NAMES[1], to], env=far.env)
    assert done.returncode == 0 and to.read_bytes() == wal_bytes(NAMES[1])


# A server


@needs_client
def test_recovery(home, ssh, ours, postgres, workdir):
    """A server recovers through it to the end of WAL, with files fetched ahead."""
    let_serve(ssh, WALDEN, home)
    home.configure(compression="gzip")
    ahead = workdir / "copy"
    postgres.base_backup(ahead / "data")
    for _ in range(6):
        name = postgres.fill_segment(8)
    rows = postgres.sql("select count(*) from filler")
    postgres.wait_archived(name)
    assert home.archive().returncode == 0
    command = (f"PATH={ssh.environment['PATH']} {ours} -U {ssh.user} -p 3 --spool-dir {ahead}/spool "
               "127.0.0.1 main %f %p")
    with restored(ahead, command) as server:
        server.wait_recovered()
        assert server.sql("select count(*) from filler") == rows
        assert "restored log file" in server.log.read_text()
    assert list(ahead.glob("spool/walden-main-*"))
