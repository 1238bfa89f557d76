# SPDX-License-Identifier: PostgreSQL
"""What is around a receiver, whichever it is: what is asked of the server before, connection strings of
its own, and who starts and ends it."""

import json
import signal

import pytest
from home import Home
from pg import Postgres
from support import alive, beside, wait_for
from test_pg_receivewal import one_for_all, program_of, server  # noqa: F401 (fixtures)
from test_run import end, supervisor
from receiving import lock_holder, nobody_receives, point_to, receiver, streaming, wait_received


@pytest.fixture
def site(workdir, server):  # noqa: F811
    home = Home(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                create_slot="auto")
    point_to(home, server)
    yield home
    home.walden("receive-wal", "--stop", "main")  # what cron has started would outlive a failed test


def answer(site, code, *parts):
    done = site.walden("receive-wal", "main", timeout=30)
    assert done.returncode == code, done
    for part in parts:
        assert part in done.stderr, done


@pytest.mark.parametrize("name", ["walden", "pg_receivewal"])
def test_faults_of_the_setup(site, server, workdir, name):  # noqa: F811
    """Each has its message, and what to do; identity.json is not written by a mixture."""
    site.configure(receiver=name)
    with Postgres(workdir / "other", wal_level="minimal", max_wal_senders=0) as other:
        site.configure(conninfo=other.conninfo)
        answer(site, 1, "wal_level is 'minimal'", "wal_level = replica")
        other.stop()
        other.configure(wal_level="replica", max_wal_senders=2)
        other.start()
        answer(site, 1, "leads to the cluster", "check the connection strings")
        assert not (site.directory / "identity.json").exists()
        done = site.walden("receive-wal", "--reset", "main")
        assert done.returncode == 1 and "leads to the cluster" in done.stderr


def test_what_does_not_keep_wal_out(site, server):  # noqa: F811
    """No SQL, or no privileges: told, and WAL is received."""
    server.sql("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN REPLICATION")
    for conninfo, told in (
        (f"host={site.path} user=x dbname=y", "the server was not asked for its settings: "),
        (server.conninfo.replace("=postgres", "=poor", 1), "user 'poor' may not see"),
    ):
        site.configure(conninfo=conninfo)
        with receiver(site) as process:
            wait_for(lambda: streaming(server))
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=10)
        assert f"main: {told}" in out.decode()
        assert f"WARNING: server 'main': {told}" in site.log_text()


def test_overrides_are_told(site, server):  # noqa: F811
    """First of all, and without their passwords."""
    site.configure(conninfo="host=/nonexistent dbname=x", streaming_conninfo="host=/nonexistent",
                   wal_streaming_conninfo=f"{server.conninfo} password=s3cret")
    line = (f"WAL of server main: using wal_streaming_conninfo ({server.conninfo} password=*REDACTED*) "
            "in place of streaming_conninfo and conninfo\n")
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        done = site.walden("replication-status", "--source", "wal-host", "main")
        assert done.returncode == 0 and done.stdout.startswith(line)
        assert site.walden("cron").stdout.startswith(line)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    assert out.decode().startswith(line)
    site.configure(wal_conninfo=server.conninfo)
    told = json.loads(site.walden("-f", "json", "replication-status", "--source", "wal-host", "main").stdout)
    assert told["_INFO"][0].endswith(f"in place of streaming_conninfo, wal_conninfo ({server.conninfo}) "
                                     "in place of conninfo")
    assert "WAL of server" not in site.walden("replication-status", "main").stdout


@pytest.mark.parametrize("name", ["walden", "pg_receivewal"])
def test_cron_starts_and_ends_it(site, server, name):  # noqa: F811
    """A receiver that is not wanted any more is told to end; a fault of the configuration is no reason."""
    site.configure(receiver=name)
    starting = "Starting streaming archiver for server main\n"
    for unwanted in ({"streaming_archiver": "off", "archiver": "on"}, {"active": "false"}):
        assert starting in site.walden("cron").stdout
        wait_for(lambda: streaming(server))
        pid = lock_holder(site)
        wait_received(site, server.fill_segment())
        assert starting not in site.walden("cron").stdout
        site.configure(wals_directory=site.incoming, **unwanted)
        assert "Stopping" not in site.walden("cron").stdout
        assert streaming(server)
        site.configure(wals_directory=None)
        assert f"Stopping streaming archiver for server main (process {pid})\n" in site.walden("cron").stdout
        wait_for(lambda: not alive(pid))
        assert "Stopping" not in site.walden("cron").stdout
        site.configure(**{**dict.fromkeys(unwanted), "streaming_archiver": "on"})


def test_run_and_its_reloads(site, server):  # noqa: F811
    """From one receiver to the other and to none, each time with the log where it is said to be."""
    with beside(site, "run") as process:
        try:
            wait_for(lambda: streaming(server))
            first = lock_holder(site)
            site.log = site.path / "other.log"
            site.globals.update(log_file=site.log, log_level="DEBUG")
            site.configure(receiver="pg_receivewal")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: lock_holder(site) != first and streaming(server))

            class Running:
                pid = lock_holder(site)
            program_of(Running)
            assert f"[{process.pid}] walden INFO: the configuration was read again" in site.log_text()
            wait_received(site, server.fill_segment())
            site.configure(streaming_archiver="off", archiver="on")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: nobody_receives(server))
            wait_for(lambda: "receive-wal for 'main' has ended" in site.log_text())
        finally:
            process.terminate()
            process.wait(20)


def test_run_ends_with_its_receiver(site, server):  # noqa: F811
    """Within its five seconds, like without one."""
    with supervisor(site) as process:
        wait_for(lambda: streaming(server))
        pid = lock_holder(site)
        end(process)
    assert not alive(pid)
    wait_for(lambda: nobody_receives(server))
