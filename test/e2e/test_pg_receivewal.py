# SPDX-License-Identifier: PostgreSQL
"""receiver = pg_receivewal: PostgreSQL's own program under walden receive-wal, against real servers; and
each of the two receivers after the other."""

import json
import os
import shutil
import signal

import pytest
from home import BARMAN, WALDEN, Home
from pg import Postgres, bindir, give, short_directory
from support import about, alive, children, started, wait_for
from receiving import (
    MIB,
    compare,
    files,
    insert,
    nobody_receives,
    point_to,
    received,
    receiver,
    streaming,
    wait_received,
)

PROGRAM = shutil.which("pg_receivewal")


@pytest.fixture(scope="module", name="cluster")
def one_for_all():
    directory = short_directory("walden-test-")
    with Postgres(directory / "pg", wal_keep_size="1GB", max_wal_size="1GB") as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def server(cluster):
    """Without a slot; what a test changes, it changes back."""
    if cluster.process is None:
        cluster.start()
    wait_for(lambda: cluster.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
                                 check=False).returncode == 0)
    return cluster


@pytest.fixture
def apart(workdir, site):
    """A server that a test may change."""
    with Postgres(workdir / "pg", wal_keep_size="1GB", max_wal_size="1GB") as server:
        point_to(site, server)
        yield server


@pytest.fixture
def site(workdir, server):
    home = Home(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                create_slot="auto", receiver="pg_receivewal")
    point_to(home, server)
    return home


def program_of(process):
    """The process id of the pg_receivewal that it runs."""
    def look():
        return next((pid for pid in children(process.pid) if b"--no-loop" in about(pid, "cmdline")), None)
    return wait_for(look, what="pg_receivewal")


def arguments(pid):
    return about(pid, "cmdline").decode().split("\0")[:-1]


def fails(site, *parts, timeout=30):
    done = site.walden("receive-wal", "main", timeout=timeout)
    assert done.returncode == 1, done
    for part in parts:
        assert part in done.stderr, done
    return done


def test_receives_every_byte(site, server):
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        pid = program_of(process)
        line = arguments(pid)
        first = next(i for i, word in enumerate(line) if word.startswith("--dbname="))
        assert line[first + 1 :] == [
            "--verbose", "--no-loop", "--no-password", f"--directory={site.streaming}", "--slot=walden",
        ]
        assert sorted(line[first].removeprefix("--dbname=").split()) == sorted([
            "replication=true", "dbname=replication", "user=postgres", f"host={server.directory}",
            f"port={server.port}", "application_name=barman_receive_wal", "connect_timeout=20",
        ])
        # One walsender, the program's: ours has gone.
        wait_for(lambda: server.sql("SELECT count(*) FROM pg_stat_replication") == "1")
        for _ in range(3):
            insert(server)
        last = server.switch_wal()
        wait_received(site, last)
        assert len(compare(site, server)) >= 3
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 0, err
        assert not alive(pid)
    out = out.decode()
    assert out.startswith("Starting receive-wal for server main\n")
    assert "\nmain: pg_receivewal: starting log streaming at " in out
    assert out.endswith("SIGINT received. Terminate gracefully.\n")
    assert "server 'main': pg_receivewal: starting log streaming at " in site.log_text()
    assert "server 'main': pg_receivewal: received interrupt signal, exiting" in site.log_text()


def test_sigterm(site, server):
    """143, and the program has synced what it had and told the server."""
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        pid = program_of(process)
        insert(server, 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        assert not alive(pid)
    assert "received interrupt signal, exiting" in site.log_text()


def test_killed(site, server):
    """The program never outlives us, and whoever comes next goes on."""
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        pid = program_of(process)
        insert(server)
        process.kill()
        process.wait()
        wait_for(lambda: not alive(pid))
    wait_for(lambda: nobody_receives(server))
    with receiver(site):
        wait_received(site, server.switch_wal())
        compare(site, server)


def test_program_that_ends(site, server):
    """By itself: exit code 1 and its last words; told by somebody: 0, as with Barman."""
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert f"'{PROGRAM}' ended with exit code 1: ".encode() in err
        assert b"terminating connection" in err and b"error: disconnected" in err
    wait_for(lambda: nobody_receives(server))
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        os.kill(program_of(process), signal.SIGKILL)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1 and b"ended with signal 9" in err
    wait_for(lambda: nobody_receives(server))
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        os.kill(program_of(process), signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize("slot", ["walden", None])
def test_switching_between_the_two(site, server, slot):
    """By the option alone, in the middle of segments, also with nothing but whole ones left."""
    site.configure(slot_name=slot)
    for turn in range(3):
        for name in ("walden", "pg_receivewal"):
            site.configure(receiver=name)
            wait_for(lambda: nobody_receives(server))
            with receiver(site):
                wait_for(lambda: streaming(server))
                insert(server, 700)
                if turn == 1:
                    wait_received(site, server.switch_wal())
            if turn == 2:
                for partial in site.streaming.glob("*.partial"):
                    partial.unlink()
            insert(server, 100)
    for name in ("walden", "pg_receivewal"):
        site.configure(receiver=name)
        with receiver(site):
            wait_received(site, server.switch_wal())
    compare(site, server)


def test_partial_of_a_wrong_size(site, server):
    """The program would refuse it. It is filled up: what was received is there until it is received again."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
        insert(server, 100)
        wait_for(lambda: list(site.streaming.glob("*.partial")))
    (partial,) = site.streaming.glob("*.partial")
    os.truncate(partial, 12345)
    before = partial.read_bytes()
    server.stop()
    fails(site, "connect to the server")
    assert partial.read_bytes() == before
    server.start()
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.switch_wal())
        compare(site, server)
    assert "12345 bytes" in site.log_text()
    with receiver(site):
        wait_for(lambda: streaming(server))
        insert(server, 100)
        wait_for(lambda: list(site.streaming.glob("*.partial")))
    (partial,) = site.streaming.glob("*.partial")
    os.truncate(partial, MIB + 1)
    fails(site, partial.name, "a segment has only")
    assert partial.stat().st_size == MIB + 1


def test_begins_where_the_slot_keeps_wal(site, server):
    """Also with programs before version 15, which would begin where the server is."""
    assert site.walden("receive-wal", "--create-slot", "main").returncode == 0
    first = server.fill_segment()
    server.fill_segment()
    with receiver(site):
        wait_received(site, server.fill_segment())
        assert received(site)[0] <= first
        compare(site, server)


def test_where_the_program_would_err(site, server):
    """It looks for the highest number on any timeline. Nothing is begun anywhere else than it must."""
    with receiver(site):
        wait_received(site, server.fill_segment())
    foreign = "0000000700000000000000FF"
    (site.streaming / foreign).write_bytes(bytes(MIB))
    kept = files(site)
    done = fails(site, "would begin with 000000070000000000000100")
    assert "receiver = walden" in done.stderr
    assert files(site) == kept
    site.configure(receiver="walden")
    with receiver(site):
        wait_received(site, server.fill_segment())


def test_follows_a_timeline(site, apart):
    server = apart
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
    server.stop()
    (server.data / "recovery.signal").touch()
    give(server.data / "recovery.signal")
    server.configure(restore_command="false")
    server.start()
    server.wait_recovered()
    site.configure(slot_name=None)
    with receiver(site):
        wait_for(lambda: streaming(server))
        last = server.fill_segment()
        assert last.startswith("00000002")
        wait_received(site, last)
    assert "00000002.history" in files(site)
    site.configure(receiver="walden")
    with receiver(site):
        wait_received(site, server.fill_segment())


def script(workdir, name, text):
    directory = workdir / "bin"
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)
    return directory


def show(site, *options):
    done = site.walden(*options, "show-servers", "main")
    assert done.returncode == 0, done
    return done.stdout


def status(site):
    shown = json.loads(show(site, "-f", "json"))["main"]
    names = ("installed", "path", "version", "compatible", "supports_slots", "synchronous")
    return tuple(shown[f"pg_receivexlog_{name}"] for name in names)


def test_which_program(site, server, workdir, monkeypatch):
    """What does not say its version is passed over; what is too old does not fit; none is an error."""
    version = status(site)[2]
    # A link in a directory of its own works with the program itself, not with Debian's wrapper.
    links = workdir / "links"
    links.mkdir()
    (links / "pg_receivewal").symlink_to(bindir() / "pg_receivewal")
    path = script(workdir, "pg_receivewal", "echo no >&2; exit 1")
    site.configure(path_prefix=f"{workdir}/none:{path}:{links}")
    assert status(site) == (True, f"{links}/pg_receivewal", version, True, True, False)
    with receiver(site):
        wait_for(lambda: streaming(server))
    script(workdir, "pg_receivewal", "echo 'pg_receivewal (PostgreSQL) 9.6.24'")
    assert status(site) == (True, f"{path}/pg_receivewal", "9.6.24", False, True, False)
    fails(site, "of version 9.6.24 cannot receive from a server of version 15", "path_prefix")
    script(workdir, "pg_receivewal", "echo nonsense")
    script(workdir, "pg_receivexlog", "echo 'pg_receivexlog (PostgreSQL) 9.5.1'")
    assert status(site)[1:3] == (f"{path}/pg_receivexlog", "9.5.1")
    monkeypatch.setenv("PATH", "")
    site.configure(path_prefix=str(workdir / "none"))
    assert status(site) == (False, None, None, None, None, None)
    fails(site, "there is no pg_receivewal", "receiver = walden")


def test_passwords_stay_secret(site, apart):
    """They are in no argument, no output and no log; the program gets them all the same."""
    server = apart
    server.sql("CREATE ROLE r LOGIN SUPERUSER REPLICATION PASSWORD 's3 cret'''")
    hba = server.data / "pg_hba.conf"
    hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n"
                   "local replication all scram-sha-256\n")
    server.reload()
    conninfo = server.conninfo.replace("user=postgres", "user=r")
    site.configure(conninfo=f"{conninfo} password='s3 cret\\''",
                   streaming_conninfo=f"{conninfo} password='s3 cret\\'' application_name='my own'")
    with receiver(site) as process:
        wait_for(lambda: streaming(server, "my own"))
        pid = program_of(process)
        assert "s3 cret" not in " ".join(arguments(pid))
        assert "password" not in " ".join(arguments(pid)).replace("--no-password", "")
        assert "PGPASSWORD=s3 cret'" in about(pid, "environ").decode().split("\0")
        wait_received(site, server.fill_segment())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert "s3 cret" not in out.decode() + err.decode() + site.log_text()
    site.configure(streaming_conninfo=f"{conninfo} password='s3 cret\\'' sslpassword=deep3r")
    assert "deep3r" not in fails(site, "'sslpassword'", "receiver = walden").stderr


def test_synchronous(site, server):
    server.configure(synchronous_standby_names="ANY 1 (barman_receive_wal)")
    server.reload()
    wait_for(lambda: server.sql("SHOW synchronous_standby_names") != "")
    assert status(site)[5] is True
    with receiver(site) as process:
        assert arguments(program_of(process))[-1] == "--synchronous"
        wait_for(lambda: server.sql("SELECT sync_state FROM pg_stat_replication") == "quorum", 20)
        server.sql("CREATE TABLE s (i int)")
        server.configure(synchronous_standby_names="")
        server.reload()


def test_slot_in_use(site, server):
    other = Home(site.path.parent / "other", archiver="off", streaming_archiver="on", slot_name="walden",
                 create_slot="auto")
    point_to(other, server)
    with receiver(other):
        wait_for(lambda: streaming(server))
        fails(site, "is active for PID")


def test_stop_reset_and_barman(site, server):
    done = site.walden("receive-wal", "--reset", "main")
    assert done.returncode == 0 and "aligned" in done.stdout
    for program in (WALDEN, BARMAN) if os.access(BARMAN, os.X_OK) else (WALDEN,):
        with receiver(site) as process:
            wait_for(lambda: streaming(server))
            pid = program_of(process)
            assert site.walden("receive-wal", "main").returncode == 1
            # Whoever stops it waits until it is gone; it is our child, and we must wait for it.
            with started([program, "-c", site.conf, "receive-wal", "--stop", "main"]) as stopper:
                assert process.wait(10) == 0
                out, _ = stopper.communicate(timeout=20)
            assert f"Stopped process receive-wal({process.pid})" in out.decode()
            assert not alive(pid)


def test_states_of_the_receiver_shown(site, server):
    """For our own receiver, for a server that does not answer, and without one."""
    site.configure(receiver="walden")
    installed, path, version, *others = status(site)
    assert installed is True and path == WALDEN
    assert site.walden("--version").stdout == f"walden {version}\n"
    assert others == [True, True, False]
    site.configure(receiver=None)
    assert "\tpg_receivexlog_compatible: True\n" in show(site)
    server.stop()
    shown = json.loads(show(site, "-f", "json"))["main"]
    assert shown["pg_receivexlog_synchronous"] is None and str(server.port) in shown["connection_error"]
    site.configure(receiver="pg_receivewal")
    assert status(site)[:1] + status(site)[3:] == (True, None, None, None)
    assert "\tpg_receivexlog_compatible: None\n" in show(site)
    site.configure(streaming_archiver="off", archiver="on")
    assert "pg_receivexlog" not in show(site)
