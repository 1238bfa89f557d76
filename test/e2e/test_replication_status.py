# SPDX-License-Identifier: PostgreSQL
"""replication-status: who receives WAL, in Barman's words."""

import contextlib
import json

import pytest

from pg import Postgres, as_owner, bindir, give
from support import started, wait_for

VIEWS = [
    [], ["--minimal"], ["--target=wal-streamer"], ["--target=hot-standby"],
    ["--target=hot-standby", "--minimal"], ["--target=wal-streamer", "--minimal"],
]


def status(home, *options):
    return home.walden("replication-status", *options, "main")


def answer(program, *options):
    done = program("-f", "json", "replication-status", *options, "main")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["main"]


@pytest.fixture
def primary(workdir, home):
    with Postgres(workdir / "pg", listen_addresses="127.0.0.1") as server:
        home.configure(conninfo=server.conninfo, streaming_conninfo=server.conninfo)
        yield server


@contextlib.contextmanager
def receiver(primary, directory, name, conninfo, *options):
    """PostgreSQL's pg_receivewal, once it streams."""
    directory.mkdir()
    give(directory)
    program = [bindir() / "pg_receivewal", "-D", directory, "-d", f"{conninfo} application_name={name}"]
    with started(as_owner(*program, *options)):
        streaming = f"SELECT 1 FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        wait_for(lambda: primary.sql(streaming), what="streaming")
        yield


@contextlib.contextmanager
def standby(primary, directory):
    data = primary.base_backup(directory / "data")
    (data / "standby.signal").touch()
    give(data / "standby.signal")
    with Postgres(
        directory, initdb=False, archive_mode="off", listen_addresses="",
        primary_conninfo=f"{primary.conninfo} application_name=second", hot_standby_feedback="on",
    ) as server:
        caught_up = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
        wait_for(lambda: primary.sql(caught_up), what="a standby that has replayed all")
        yield server


@pytest.mark.parametrize("options", VIEWS)
def test_nobody(home, primary, options):
    done = status(home, *options)
    assert done.returncode == 0, done.stderr
    lsn = primary.sql("SELECT pg_current_wal_lsn()")
    lines = done.stdout.splitlines()
    assert lsn in done.stdout
    assert lines[-1].startswith("  No ") and lines[-1].endswith(" attached")


@pytest.mark.barman
def test_as_barman_says_it(home, primary, workdir):
    """A standby, a synchronous receiver with a slot, and one over TCP, in every view."""
    home.barman("cron")
    primary.sql("SELECT pg_create_physical_replication_slot('sync')")
    tcp = f"host=127.0.0.1 port={primary.port} user=postgres"
    with (
        standby(primary, workdir / "second") as second,
        receiver(primary, workdir / "a", "local", primary.conninfo, "--slot=sync", "--synchronous"),
        receiver(primary, workdir / "b", "remote", tcp),
    ):
        primary.configure(synchronous_standby_names="local")
        primary.reload()
        wait_for(lambda: primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))
        for options in VIEWS:
            assert status(home, *options).returncode == 0
            # Between two answers the server may write something.
            wait_for(lambda: status(home, *options).stdout == home.barman("replication-status", *options, "main").stdout)
            wait_for(lambda: answer(home.walden, *options) == answer(home.barman, *options))
        full = status(home).stdout
        assert "Replication slot: sync" in full and "127.0.0.1" in full
        assert "#1 Sync WAL streamer" in full and "5/5 Hot standby (max)" in full

        home.configure(wal_conninfo=second.conninfo)
        assert "No streaming clients" in status(home, "--source=wal-host").stdout
        assert status(home, "--source=backup-host").stdout == full


def test_privileges(home, primary):
    primary.sql("CREATE USER lame")
    home.configure(conninfo=primary.conninfo.replace("user=postgres", "user=lame"))
    done = status(home)
    assert (done.returncode, done.stdout) == (1, "")
    assert "'lame' may not see who receives WAL" in done.stderr
    primary.sql("GRANT pg_monitor TO lame")
    assert status(home).returncode == 0


def test_failures(home):
    done = status(home)
    assert (done.returncode, done.stdout) == (1, "")
    assert "replication-status of server 'main': " in done.stderr
    for option in ("--target=none", "--source=none"):
        done = status(home, option)
        assert done.returncode == 2
        assert "'none'" in done.stderr
    home.configure(active="false")
    assert status(home).stdout == "Skipping inactive server 'main'\n"
