# SPDX-License-Identifier: PostgreSQL
"""switch-wal against real servers, against servers that are not there or keep silent, and against
Barman's words."""

import contextlib
import json
import os
import signal
import socket
import time

import pytest

from pg import Postgres, give
from support import beside, locked, wait_for
from wal import MIB, make_wal


def write(server):
    """Something to switch."""
    server.sql("CREATE TABLE IF NOT EXISTS t (i int); INSERT INTO t VALUES (1)")


def current_segment(server):
    return server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")


def switch(home, *options, **kw):
    return home.walden("switch-wal", *options, "main", **kw)


def closed(name):
    return f"The WAL file {name} has been closed on server 'main'\n"


@contextlib.contextmanager
def silent_server(path, port=5432):
    """Takes connections and never says a word; yields the connection string."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / f".s.PGSQL.{port}"))
        listener.listen()
        yield f"host={path} port={port} user=postgres dbname=postgres"


def test_switch(home, postgres):
    write(postgres)
    name = current_segment(postgres)
    done = switch(home)
    assert (done.returncode, done.stdout, done.stderr) == (0, closed(name), "")
    assert current_segment(postgres) >= name
    postgres.wait_archived(name)

    done = switch(home)
    assert (done.returncode, done.stdout) == (0, "No switch required for server 'main'\n")


def test_old_name_and_all(home, postgres):
    write(postgres)
    name = current_segment(postgres)
    assert home.walden("switch-xlog", "all").stdout == closed(name)


def test_force(home, postgres):
    write(postgres)
    switch(home)
    done = switch(home, "--force")
    assert done.returncode == 0
    assert "has been closed" in done.stdout


def test_json(home, postgres):
    write(postgres)
    name = current_segment(postgres)
    done = home.walden("-f", "json", "switch-wal", "main")
    assert json.loads(done.stdout) == {"_INFO": [closed(name).strip()]}


def test_archive(home, postgres):
    write(postgres)
    name = current_segment(postgres)
    done = switch(home, "--archive", "--archive-timeout=30")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] + "\n" == closed(name)
    assert lines[1] == f"Waiting for the WAL file {name} from server 'main' (max: 30 seconds)"
    assert f"\t{name}" in lines
    assert name in home.names()


def record(home, name):
    with open(home.xlogdb, "a", encoding="ascii") as file:
        file.write(f"{name}\t{MIB}\t1.0\tNone\tNone\n")


def test_archive_while_another_archiver_has_the_lock(home, postgres):
    """Then the file is waited for, and not archived behind the other's back."""
    write(postgres)
    name = current_segment(postgres)
    with locked(home.path / ".main-archive-wal.lock"):
        with beside(home, "switch-wal", "--archive", "--archive-timeout=0", "main") as process:
            postgres.wait_archived(name)
            time.sleep(0.5)
            assert process.poll() is None
            assert home.names() == []
            path = home.wals / name[:16] / name
            path.parent.mkdir()
            path.write_bytes((home.incoming / name).read_bytes())
            time.sleep(0.5)
            assert process.poll() is None  # it may not be durable yet
            record(home, name)
            assert process.wait(10) == 0


def test_archive_while_the_catalog_is_written(home, postgres):
    """The line counts when it is durable, which its writer holds the catalog's lock for."""
    write(postgres)
    name = current_segment(postgres)
    with locked(home.path / ".main-archive-wal.lock"):
        with beside(home, "switch-wal", "--archive", "--archive-timeout=0", "main") as process:
            postgres.wait_archived(name)
            with locked(home.path / ".main-xlogdb.lock"):
                (home.wals / name[:16]).mkdir()
                make_wal(home.wals / name[:16], name)
                record(home, name)
                time.sleep(1)
                assert process.poll() is None
            assert process.wait(10) == 0


def test_archive_gives_up(home, postgres):
    postgres.configure(archive_command="false")
    postgres.reload()
    write(postgres)
    name = current_segment(postgres)
    begin = time.monotonic()
    done = switch(home, "--archive", "--archive-timeout=1")
    assert 1 <= time.monotonic() - begin < 5
    assert done.returncode == 1
    assert done.stderr == f"ERROR: The WAL file {name} has not been received in 1 seconds\n"

    done = switch(home, "--archive", "--archive-timeout=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "No switch required for server 'main'",
        "Waiting for a WAL file from server 'main' to be archived (max: 1 seconds)",
        "A WAL file has not been received in 1 seconds",
    ]


def test_archive_without_a_switch_waits_for_any_file(home, postgres):
    postgres.configure(archive_command="false")
    postgres.reload()
    write(postgres)
    name = current_segment(postgres)
    assert switch(home).stdout == closed(name)
    with beside(home, "switch-wal", "--archive", "--archive-timeout=30", "main") as process:
        time.sleep(0.5)
        assert process.poll() is None
        path = home.incoming / f"new.{name}"
        path.write_bytes((postgres.data / "pg_wal" / name).read_bytes())
        path.rename(home.incoming / name)
        assert process.wait(20) == 0
    assert home.names() == [name]


def test_a_problem_of_archiving_is_told_once(home, postgres):
    write(postgres)
    name = current_segment(postgres)
    home.wals.rmdir()
    home.wals.write_text("in the way")
    done = switch(home, "--archive", "--archive-timeout=2")
    assert done.returncode == 1
    assert done.stdout.startswith(closed(name))
    assert 0 < len(done.stderr.splitlines()) <= 4, done.stderr


def test_signal_ends_the_waiting(home, postgres):
    postgres.configure(archive_command="false")
    postgres.reload()
    write(postgres)
    with beside(home, "switch-wal", "--archive", "--archive-timeout=0", "main") as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM


def test_standby(home, postgres, workdir):
    data = postgres.base_backup(workdir / "standby" / "data")
    (data / "standby.signal").touch()
    give(data / "standby.signal")
    with Postgres(
        workdir / "standby", initdb=False, archive_mode="off", primary_conninfo=postgres.conninfo
    ) as standby:
        home.configure(conninfo=standby.conninfo)
        done = switch(home, "--force")
        words = "No switch performed because server 'main' is a standby.\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, words, "")
        done = switch(home, "--archive", "--archive-timeout=1")  # for whatever the primary may send
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(words + "Waiting for a WAL file from server 'main' to be archived")

        home.configure(primary_conninfo=postgres.conninfo)
        write(postgres)
        name = current_segment(postgres)
        assert switch(home).stdout == closed(name)


def test_privileges(home, postgres):
    postgres.sql("CREATE USER lame")
    home.configure(conninfo=postgres.conninfo.replace("user=postgres", "user=lame"))
    write(postgres)
    done = switch(home)
    assert (done.returncode, done.stdout) == (1, "")
    assert "'lame' may not call pg_switch_wal()" in done.stderr
    postgres.sql("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO lame")
    assert switch(home).returncode == 0

    done = switch(home, "--force")
    assert (done.returncode, done.stdout) == (1, "")
    assert "may not make a checkpoint" in done.stderr
    if int(postgres.sql("SHOW server_version_num")) >= 150000:
        postgres.sql("GRANT pg_checkpoint TO lame")
        assert "has been closed" in switch(home, "--force").stdout


def test_nobody_there(home):
    done = switch(home, "--archive")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: Unable to perform pg_switch_wal for server 'main': ")
    assert str(home.path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_conninfo(home):
    home.configure(conninfo=None)
    done = switch(home)
    assert done.returncode == 1
    assert "'conninfo' is not set" in done.stderr


def test_silent_server(home, workdir):
    with silent_server(workdir) as conninfo:
        home.configure(conninfo=f"{conninfo} connect_timeout=1")
        begin = time.monotonic()
        done = switch(home)
        assert time.monotonic() - begin < 5
        assert done.returncode == 1
        assert "no answer in 1000 ms" in done.stderr


def test_signal_while_connecting(home, workdir):
    with silent_server(workdir) as conninfo:
        home.configure(conninfo=conninfo)
        with beside(home, "switch-wal", "main") as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 128 + signal.SIGINT


def test_frozen_server(home, postgres):
    """It hangs in the middle: told to checkpoint, nothing comes back. SIGTERM still ends us."""
    write(postgres)
    backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'walden'"
    checkpointer = int(
        postgres.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    )
    os.kill(checkpointer, signal.SIGSTOP)
    try:
        with beside(home, "switch-wal", "--force", "main") as process:
            pid = wait_for(lambda: postgres.sql(backend), what="the connection")
            time.sleep(0.5)
            assert process.poll() is None
            os.kill(int(pid), signal.SIGTERM)  # the server ends the session in the middle
            assert process.wait(10) == 1
            assert b"terminating connection" in process.stderr.read()
    finally:
        os.kill(checkpointer, signal.SIGCONT)


@pytest.mark.parametrize("form", ["keywords", "uri"])
def test_passwords(home, postgres, form):
    """Right ones work in both forms of connection strings; none is ever printed or logged."""
    postgres.sql("CREATE USER walter SUPERUSER PASSWORD 's3 c@ret'")
    rule = postgres.data / "pg_hba.conf"
    rule.write_text("local all walter scram-sha-256\n" + rule.read_text())
    postgres.reload()
    strings = {
        "keywords": "host={d} port={p} user=walter dbname=postgres password='{k}'",
        "uri": "postgresql://walter:{u}@/postgres?host={d}&port={p}",
    }

    def string(password, quoted):
        return strings[form].format(
            d=postgres.directory, p=postgres.port, k=password, u=quoted
        )

    home.globals["log_level"] = "DEBUG"
    write(postgres)
    home.configure(conninfo=string("s3 c@ret", "s3%20c%40ret"))
    done = switch(home)
    assert done.returncode == 0, done.stderr

    home.configure(conninfo=string("wr0ng", "wr0ng"))
    failed = switch(home)
    assert failed.returncode == 1
    assert "password authentication failed" in failed.stderr
    for text in (done.stdout, done.stderr, failed.stdout, failed.stderr, home.log.read_text()):
        assert "c@ret" not in text and "c%40ret" not in text and "wr0ng" not in text


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_archive_timeout_is_a_number(home, value):
    done = switch(home, "--archive", f"--archive-timeout={value}")
    assert done.returncode == 2
    assert value in done.stderr


def test_unknown_disabled_and_inactive(home):
    assert home.walden("switch-wal", "nobody").stderr == "ERROR: Unknown server 'nobody'\n"
    home.configure(active="false")
    done = switch(home)
    assert (done.returncode, done.stdout) == (0, "Skipping inactive server 'main'\n")
    home.configure(active=None, incoming_wals_directory=home.wals)
    done = switch(home)
    assert done.returncode == 1
    assert "disabled" in done.stderr


@pytest.mark.barman
def test_same_words_as_barman(home, postgres):
    home.barman("cron")

    def words(program, *options):
        write(postgres)
        name = current_segment(postgres)
        done = program("switch-wal", *options, "main")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.replace(name, "NAME").splitlines()
        # Which files a run of the archiver meets is chance.
        return [line for line in lines if not line.startswith(("\t", "Processing"))]

    for options in ([], ["--archive"], ["--archive", "--archive-timeout=0"]):
        assert words(home.walden, *options) == words(home.barman, *options)
    # Between two answers the server may write something.
    wait_for(lambda: switch(home).stdout == home.barman("switch-wal", "main").stdout, 60)
