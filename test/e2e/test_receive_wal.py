# SPDX-License-Identifier: PostgreSQL
"""walden receive-wal against real servers: every byte of their WAL, whatever is killed or stopped on
the way, and nothing that was not received."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from faults import fault_environment
from home import WALDEN, Home
from pg import Postgres, bindir, give, restored
from receiving import (
    MIB, SEGMENT, compare, files, insert, nobody_receives, point_to, received, receiver, streaming, streaming_all,
    wait_received,
)
from support import beside, locked, wait_for


@pytest.fixture
def server(workdir):
    # What was received is compared with the server's own files, which must not be recycled.
    with Postgres(workdir / "pg", wal_keep_size="1GB", max_wal_size="1GB") as server:
        yield server


@pytest.fixture
def site(workdir, server):
    """A home that receives from the server, with a slot that is made by itself."""
    home = Home(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                create_slot="auto")
    point_to(home, server)
    return home


def test_receives_every_byte(site, server):
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        for _ in range(3):
            insert(server)
        last = server.switch_wal()
        wait_received(site, last)
        names = compare(site, server)
        assert len(names) >= 3
        assert (site.streaming / last).stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=2)
        assert process.returncode == 0, err
        assert out.decode().startswith("Starting receive-wal for server main\n")
        assert out.decode().endswith("SIGINT received. Terminate gracefully.\n")
    identity = site.directory / "identity.json"
    system = server.sql("SELECT system_identifier FROM pg_control_system()")
    expected = {"systemid": system, "version": "15"}
    assert identity.read_text() == json.dumps(expected, indent=4, sort_keys=True) + "\n"


def test_what_was_received_survives_a_stop(site, server):
    """SIGTERM: 143, quickly, and the received part of the segment is in the partial file."""
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        insert(server, 100)
        position = server.sql("SELECT pg_current_wal_lsn()")
        name, offset = server.sql(
            f"SELECT file_name, file_offset FROM pg_walfile_name_offset('{position}')"
        ).split("|")
        theirs = (server.data / "pg_wal" / name).read_bytes()[: int(offset)]
        partial = site.streaming / f"{name}.partial"
        wait_for(lambda: partial.exists() and partial.read_bytes()[: int(offset)] == theirs)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 143
    assert partial.stat().st_size == MIB and partial.read_bytes()[: int(offset)] == theirs
    # The server was told, at the very end.
    query = f"SELECT restart_lsn >= '{position}' FROM pg_replication_slots"
    wait_for(lambda: server.sql(query) == "t")


def test_killed_and_started_again(site, server):
    for _ in range(4):
        with receiver(site) as process:
            wait_for(lambda: streaming(server))
            insert(server, 3000)
            process.kill()
            process.wait()
        insert(server, 500)
    with receiver(site):
        wait_received(site, server.switch_wal())
        compare(site, server)


def test_walsender_killed(site, server):
    with receiver(site) as process:
        for _ in range(3):
            wait_for(lambda: streaming(server))
            insert(server)
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            insert(server)
        wait_received(site, server.switch_wal())
        compare(site, server)
        assert process.poll() is None
    assert "trying again in 1 s" in site.log_text()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_restarted(site, server, mode):
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        insert(server)
        begun = time.monotonic()
        server.stop(mode)
        assert time.monotonic() - begun < 5, "the shutdown waited for us"
        time.sleep(2.5)
        server.start()
        wait_for(lambda: streaming(server))
        insert(server)
        wait_received(site, server.switch_wal())
        compare(site, server)
        assert process.poll() is None


def test_a_clean_shutdown_leaves_nothing_behind(site, server):
    """The server waits until all its WAL is flushed here."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        insert(server, 100)
        server.stop("fast")
        control = server.program("pg_controldata", "-D", server.data).stdout
        redo = re.search(r"REDO WAL file: +(\w+)", control).group(1)
        (partial,) = site.streaming.glob("*.partial")
        assert partial.name == f"{redo}.partial"
        assert partial.read_bytes() == (server.data / "pg_wal" / redo).read_bytes()


def test_timeline_switch(site, server, workdir):
    """A promoted standby takes the primary's place: both timelines are whole up to the switch."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        backup = server.base_backup(workdir / "standby" / "data")
        insert(server)
        wait_received(site, server.switch_wal())
    standby = restored(
        workdir / "standby", "false", hot_standby="on", primary_conninfo=server.conninfo,
        primary_slot_name="", wal_keep_size="1GB",
    )
    (backup / "recovery.signal").rename(backup / "standby.signal")
    with standby:
        flushed = server.sql("SELECT pg_current_wal_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{flushed}'"
        wait_for(lambda: standby.sql(replayed) == "t")
        point_to(site, standby)
        with receiver(site) as process:
            wait_for(lambda: streaming(standby))
            insert(server, 100)
            server.stop("fast")
            standby.sql("SELECT pg_promote()")
            insert(standby)
            wait_received(site, standby.switch_wal())
            assert process.poll() is None
        compare(site, standby, server)
    names = files(site)
    assert "00000002.history" in names
    history = (site.streaming / "00000002.history").read_bytes()
    assert history == (standby.data / "pg_wal" / "00000002.history").read_bytes()
    old = [name for name in names if name.startswith("00000001") and name.endswith(".partial")]
    new = [name for name in names if name.startswith("00000002") and SEGMENT.fullmatch(name)]
    assert len(old) == 1 and new[0][8:] == old[0][8:24]


def test_server_promoted_before_what_was_received(site, server, workdir):
    """The standby that takes over had less than we: its timeline is received from the switch on, and
    what we have of the old one stays."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        backup = server.base_backup(workdir / "standby" / "data")
        archive = workdir / "archive"
        shutil.copytree(server.data / "pg_wal", archive)
        for _ in range(3):
            insert(server)
            ahead = server.switch_wal()
        wait_received(site, ahead)
    server.stop("fast")
    standby = restored(workdir / "standby", f"cp {archive}/%f %p", wal_keep_size="1GB")
    for path in [archive, *archive.iterdir()]:
        give(path)
    with standby:
        standby.wait_recovered()
        point_to(site, standby)
        with receiver(site) as process:
            insert(standby)
            name = standby.switch_wal()
            assert name.startswith("00000002") and name[8:] < ahead[8:]
            wait_received(site, name)
            assert process.poll() is None
        assert (site.streaming / ahead).exists()
        for name in received(site):
            if name.startswith("00000002"):
                theirs = (standby.data / "pg_wal" / name).read_bytes()
                assert (site.streaming / name).read_bytes() == theirs


def test_killed_where_a_timeline_begins(site, server, workdir):
    """The first segment of the new timeline begins with what the old one had received of it: as soon as
    a recovery finds it, all of that is there, whenever the receiver died."""
    site.configure(slot_name=None)
    with receiver(site):
        wait_for(lambda: streaming(server))
        server.switch_wal()
        insert(server, 500)
        server.stop("fast")
    (server.data / "standby.signal").touch()
    give(server.data / "standby.signal")
    server.start().sql("SELECT pg_promote()")
    server.wait_recovered()
    (old,) = site.streaming.glob("*.partial")
    history = (server.data / "pg_wal" / "00000002.history").read_text().split()
    end = int(history[1].split("/")[1], 16) % MIB
    expected, name = old.read_bytes()[:end], "00000002" + old.name[8:24]
    assert end > 300_000 and any(expected[-5000:])

    assert site.archive().returncode == 0  # an empty archive would not say that something is missing
    shutil.copytree(site.streaming, workdir / "before")
    for number in range(1, 60):
        shutil.rmtree(site.streaming)
        shutil.copytree(workdir / "before", site.streaming)
        wait_for(lambda: nobody_receives(server))
        env = fault_environment(site.streaming, at=number, mode="kill-before")
        with beside(site, "receive-wal", "main", env=env) as process:
            done = wait_for(lambda: process.poll() or streaming_all(server), 30)
        if done is True:
            break
        assert done == -signal.SIGKILL
        got = site.get(name, "--partial")
        assert got.returncode in (0, 1), got.stderr
        assert got.returncode == 1 or got.stdout[:end] == expected, f"killed before operation {number}"
    assert done is True
    assert site.get(name, "--partial").stdout[:end] == expected


def test_wal_that_is_gone(site, server):
    """Exit code 1 and the name of what is missing; never a step over it."""
    site.configure(slot_name=None)
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
        insert(server, 100)
        wait_for(lambda: list(site.streaming.glob("*.partial")))
    kept = files(site)
    (partial,) = [name for name in kept if name.endswith(".partial")]
    missing = partial[:24]
    server.configure(wal_keep_size="0", max_wal_size="2MB", min_wal_size="2MB")
    server.reload()
    for _ in range(6):
        server.fill_segment(512)
        server.sql("CHECKPOINT")
    wait_for(lambda: not (server.data / "pg_wal" / missing).exists())
    done = site.walden("receive-wal", "main", timeout=20)
    assert done.returncode == 1
    assert missing in done.stderr and "already been removed" in done.stderr
    assert "gap" in done.stderr
    assert files(site) == kept
    done = site.walden("receive-wal", "--reset", "main")
    assert done.returncode == 0, done.stderr
    # The server has thrown that segment away: what was received of it is all that is left.
    assert f"Keeping {site.streaming / partial}, to be archived\n" in done.stdout
    expected = (site.streaming / partial).read_bytes()
    with receiver(site):
        wait_received(site, server.fill_segment())
        wait_received(site, server.fill_segment())
        insert(server, 100)
        wait_for(lambda: set(site.streaming.glob("*.partial")) - {site.streaming / partial})
    assert site.archive().returncode == 0
    assert partial in site.names() and site.get(missing).returncode == 1
    assert site.get(missing, "--partial").stdout == expected
    done = site.walden("verify", "main")
    assert done.returncode == 1 and missing in done.stdout + done.stderr  # the gap


def test_invalidated_slot(site, server):
    with receiver(site):
        wait_for(lambda: streaming(server))
        for _ in range(2):
            wait_received(site, server.fill_segment())
    server.configure(wal_keep_size="0", max_slot_wal_keep_size="1MB", max_wal_size="2MB",
                     min_wal_size="2MB")
    server.reload()
    for _ in range(6):
        server.fill_segment(512)
        server.sql("CHECKPOINT")
    wait_for(lambda: server.sql("SELECT wal_status FROM pg_replication_slots") == "lost")
    done = site.walden("receive-wal", "main", timeout=20)
    assert done.returncode == 1
    assert "gap" in done.stderr
    # With its files gone, too, the slot looks like one that has never kept WAL.
    assert site.archive().returncode == 0
    shutil.rmtree(site.streaming)
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert f"the archive ends with {site.names()[-1]}: what is between them is missing" in out.decode()


@pytest.mark.parametrize("name", ["walden", "pg_receivewal"])
def test_slot_and_what_was_received_are_lost(site, server, name):
    """Nothing says where to go on but the archive: what is missing since is told, and is a gap."""
    site.configure(receiver=name, path_prefix=bindir())
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        for _ in range(3):
            wait_received(site, server.fill_segment())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "missing" not in process.stdout.read().decode() + site.log_text()
    wait_for(lambda: nobody_receives(server))
    done = site.walden("receive-wal", "--drop-slot", "main")
    assert done.returncode == 0
    assert site.archive().returncode == 0
    last = site.names()[-1]
    shutil.rmtree(site.streaming)
    for _ in range(2):
        server.fill_segment()
    server.sql("CHECKPOINT")  # where a new slot begins
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        first = server.fill_segment()
        wait_received(site, first)
        wait_received(site, server.fill_segment())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    told = f"receiving begins with segment {first}, and the archive ends with {last}: what is"
    assert f"main: {told}" in out.decode() and told in site.log_text()
    assert site.archive().returncode == 0
    assert site.walden("verify", "main").returncode == 1


def test_reset_to_a_slot_on_an_older_timeline(site, server):
    """The slot keeps WAL from before the server's promotion: there it is to be had, under its name."""
    insert(server, 100)
    assert site.walden("receive-wal", "--create-slot", "main").returncode == 0
    first = server.fill_segment()
    server.stop("fast")
    (server.data / "standby.signal").touch()
    give(server.data / "standby.signal")
    server.start().sql("SELECT pg_promote()")
    server.wait_recovered()
    (site.streaming / f"{first[:16]}00000000.partial").touch()
    done = site.walden("receive-wal", "--reset", "main")
    assert done.returncode == 0, done.stderr
    assert files(site) == [f"{first}.partial"]
    with receiver(site):
        wait_received(site, server.fill_segment())
        compare(site, server)


def test_a_server_that_is_idle_behind_a_whole_segment(site, server):
    """Nothing comes that could prove that it is this server's; a commit before may be waiting."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
        end = server.sql("SELECT pg_current_wal_flush_lsn()")
    wait_for(lambda: nobody_receives(server))
    with receiver(site):
        query = "SELECT flush_lsn FROM pg_stat_replication WHERE flush_lsn IS NOT NULL"
        assert wait_for(lambda: server.sql(query)) == end


def test_slot_commands(site, server):
    def slots():
        return server.sql("SELECT slot_name || restart_lsn::text FROM pg_replication_slots")

    site.configure(create_slot="manual")
    done = site.walden("receive-wal", "main", timeout=20)
    assert done.returncode == 1 and "replication slot 'walden' doesn't exist" in done.stderr
    done = site.walden("receive-wal", "--drop-slot", "main")
    assert done.returncode == 1 and "Replication slot 'walden' does not exist" in done.stderr
    done = site.walden("receive-wal", "--drop-slot", "--if-exists", "main")
    assert done.returncode == 0
    done = site.walden("receive-wal", "--create-slot", "main")
    assert done.returncode == 0
    assert done.stdout == (
        "Creating physical replication slot 'walden' on server 'main'\n"
        "Replication slot 'walden' created\n"
    )
    assert slots().startswith("walden0/")
    done = site.walden("receive-wal", "--create-slot", "main")
    assert done.returncode == 1 and "Replication slot 'walden' already exists" in done.stderr
    done = site.walden("receive-wal", "--create-slot", "--if-not-exists", "main")
    assert done.returncode == 0
    with receiver(site):
        wait_for(lambda: streaming(server))
        done = site.walden("receive-wal", "--drop-slot", "main")
        assert done.returncode == 1 and "because it is in use" in done.stderr
    wait_for(lambda: nobody_receives(server))
    done = site.walden("receive-wal", "--drop-slot", "main")
    assert done.returncode == 0, done.stderr
    assert slots() == ""
    site.configure(slot_name=None)
    for option in ("--create-slot", "--drop-slot"):
        done = site.walden("receive-wal", option, "main")
        assert done.returncode == 1 and "slot_name configuration option required" in done.stderr


def test_all_slots_in_use(site, server):
    """A server without one left: told, with what to do; by the command, and by who makes its own."""
    server.stop()
    server.configure(max_replication_slots=1)
    server.start()
    server.sql("SELECT pg_create_physical_replication_slot('other')")
    done = site.walden("receive-wal", "--create-slot", "main")
    assert (done.returncode, done.stderr) == (
        1, "ERROR: All replication slots for server 'main' are in use: free one or increase the "
        "max_replication_slots value on your PostgreSQL server\n",
    )
    done = site.walden("receive-wal", "main", timeout=20)
    assert done.returncode == 1 and "all replication slots are in use" in done.stderr
    assert files(site) == []


def test_begins_where_the_slot_keeps_wal(site, server):
    done = site.walden("receive-wal", "--create-slot", "main")
    assert done.returncode == 0
    first = server.fill_segment()
    server.fill_segment()
    with receiver(site):
        wait_received(site, server.fill_segment())
        assert received(site)[0] <= first
        compare(site, server)


def test_one_receiver(site, server):
    with receiver(site):
        wait_for(lambda: streaming(server))
        done = site.walden("receive-wal", "main")
        assert done.returncode == 1
        assert "Another receive-wal process is already running for server main." in done.stderr
        done = site.walden("receive-wal", "--reset", "main")
        assert done.returncode == 1 and "Process is still running" in done.stderr


def test_two_receivers_that_do_not_know_each_other(site, server, workdir):
    """As on two hosts with one file system: their locks are elsewhere, and there is no slot. The
    second stays away from the file, less and less impatient, and the first goes on."""
    site.configure(slot_name=None)
    other = Home(workdir / "other", archiver="off", streaming_archiver="on")
    point_to(other, server)
    other.configure(streaming_wals_directory=site.streaming)
    with receiver(site) as first:
        wait_for(lambda: streaming(server))
        insert(server, 10)
        wait_for(lambda: any(site.streaming.glob("*.partial")))
        with receiver(other) as second:
            for pause in (1, 2, 4):
                told = f".partial' is being archived, or written by another receiver; trying again in {pause} s"
                wait_for(lambda: told in other.log_text(), 20, told)
            insert(server)
            wait_received(site, server.fill_segment())
            compare(site, server)
            assert first.poll() is second.poll() is None


def test_slot_in_use(site, server):
    with pg_receivewal(site, server, "--create-slot", "--if-not-exists") as other:
        assert other.wait(20) == 0
    with pg_receivewal(site, server) as other:
        wait_for(lambda: streaming(server, "pg_receivewal"))
        done = site.walden("receive-wal", "main", timeout=20)
        assert done.returncode == 1
        assert "replication slot 'walden' is already in use" in done.stderr
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=20)


def test_reset_leaves_what_others_receive(site, server):
    """Who receives by the slot, under whatever lock, writes into the partial that would go."""
    assert site.walden("receive-wal", "--create-slot", "main").returncode == 0
    with pg_receivewal(site, server) as other:
        wait_for(lambda: streaming(server, "pg_receivewal") and any(site.streaming.iterdir()))
        held = sorted(site.streaming.iterdir())
        server.switch_wal()
        insert(server)
        done = site.walden("receive-wal", "--reset", "main", timeout=20)
        assert done.returncode == 1
        assert "replication slot 'walden' is already in use" in done.stderr
        assert "pg_stat_replication shows who" in done.stderr
        wait_for(lambda: len(list(site.streaming.iterdir())) > len(held))
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=20)
    assert site.walden("receive-wal", "--reset", "main", timeout=20).returncode == 0


def test_switched_segment_is_archived(site, server):
    """What was switched is the newest in streaming/ until something follows, and stays there so long."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        with beside(site, "switch-wal", "--force", "--archive", "main") as process:
            wait_for(lambda: insert(server) or process.poll() is not None)
            out = process.communicate()[0].decode()
        closed = re.search(r"The WAL file (\w+) has been closed", out).group(1)
        assert process.returncode == 0 and f"\t{closed}\n" in out
        assert closed in site.names()


def stopped_by(program, site, receiver_process, patience):
    """What the program's --stop says. The receiver is our child: gone only when it was waited for."""
    with subprocess.Popen(
        [program, "-c", str(site.conf), "receive-wal", "--stop", "main"], stdout=subprocess.PIPE, text=True
    ) as stopper:
        assert receiver_process.wait(patience) == 0
        out, _ = stopper.communicate(timeout=15)
    assert stopper.returncode == 0
    return out


def test_inactive_server(site, server):
    """Nothing is received any more; what was asked for by an option is done."""
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        site.configure(active="false")
        assert site.walden("receive-wal", "main").stdout == "Skipping inactive server 'main'\n"
        done = site.walden("receive-wal", "--reset", "main")
        assert done.returncode == 1 and "Process is still running" in done.stderr
        assert "Stopped process receive-wal" in stopped_by(process.args[0], site, process, 10)
    wait_for(lambda: not streaming(server))
    assert "Replication slot 'walden' dropped" in site.walden("receive-wal", "--drop-slot", "main").stdout
    assert "Replication slot 'walden' created" in site.walden("receive-wal", "--create-slot", "main").stdout
    assert site.walden("receive-wal", "--reset", "main").returncode == 0


def test_stop(site, server):
    done = site.walden("receive-wal", "--stop", "main")
    assert done.returncode == 1
    assert "Termination of receive-wal failed: no such process for server main" in done.stderr
    with beside(site, "receive-wal", "main") as process:
        wait_for(lambda: streaming(server))
        out = stopped_by(process.args[0], site, process, 5)
        assert out == f"Stopped process receive-wal({process.pid})\n"


def test_barman_stops_us(site, server):
    with beside(site, "receive-wal", "main") as process:
        wait_for(lambda: streaming(server))
        out = stopped_by("/usr/bin/barman", site, process, 10)
        assert f"Stopped process receive-wal({process.pid})" in out


def test_refusals(site, server):
    done = site.walden("receive-wal", "--stop", "--reset", "main")
    assert done.returncode == 1
    assert "--stop and --reset options are not compatible" in done.stderr
    with locked(site.path / ".main-receive-wal.lock"):
        assert site.walden("receive-wal", "main").returncode == 1
    site.configure(streaming_archiver="off")
    done = site.walden("receive-wal", "main")
    assert done.returncode == 1 and "streaming_archiver option set to 'off'" in done.stderr
    site.configure(streaming_archiver="on", streaming_conninfo=f"host={site.path} user=x")
    done = site.walden("receive-wal", "main")
    assert done.returncode == 1 and "connect" in done.stderr


def test_foreign_cluster(site, server):
    identity = site.directory / "identity.json"
    identity.write_text('{"systemid": "7000000000000000001", "version": "15"}')
    done = site.walden("receive-wal", "main", timeout=20)
    assert done.returncode == 1
    assert "7000000000000000001" in done.stderr
    assert files(site) == []


def pg_receivewal(site, server, *options):
    return subprocess.Popen(
        [bindir() / "pg_receivewal", "-d", server.conninfo, "-D", site.streaming, "--no-password",
         "--no-loop", "--slot=walden", *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def test_turns_with_pg_receivewal(site, server):
    """Each goes on where the other stopped, in the middle of a segment."""
    for _ in range(2):
        with receiver(site):
            wait_for(lambda: streaming(server))
            insert(server, 1500)
        insert(server, 300)
        with pg_receivewal(site, server) as other:
            wait_for(lambda: streaming(server, "pg_receivewal"))
            insert(server, 1500)
            wait_received(site, server.switch_wal())
            insert(server, 300)
            other.send_signal(signal.SIGINT)
            _, err = other.communicate(timeout=20)
            assert other.returncode == 0, err
    with receiver(site):
        wait_received(site, server.switch_wal())
        compare(site, server)


def test_partial_of_a_wrong_size(site, server):
    """Its bytes stay until they are received again."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
        insert(server, 100)
        wait_for(lambda: list(site.streaming.glob("*.partial")))
    (partial,) = site.streaming.glob("*.partial")
    os.truncate(partial, 12345)
    with receiver(site):
        wait_for(lambda: streaming(server))
        wait_received(site, server.switch_wal())
        compare(site, server)
    assert "12345 bytes" in site.log_text()


@pytest.mark.parametrize("begun", [True, False])
def test_partial_as_long_as_another_segment_size(workdir, begun):
    """A crash leaves any size. What the first page says, or that it says nothing, decides."""
    with Postgres(workdir / "pg", wal_segsize=4, wal_keep_size="64MB") as server:
        home = Home(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                    create_slot="auto")
        point_to(home, server)
        with receiver(home):
            wait_for(lambda: streaming(server))
            insert(server, 200)
            wait_for(lambda: list(home.streaming.glob("*.partial")))
        (partial,) = home.streaming.glob("*.partial")
        for size in (2 * MIB, MIB):
            os.truncate(partial, size if begun else 0)
            os.truncate(partial, size)
            with receiver(home) as process:
                wait_for(lambda: partial.stat().st_size == 4 * MIB)
                assert process.poll() is None
            assert f"{size} bytes long" in home.log_text()
        with receiver(home):
            last = server.switch_wal()
            wait_received(home, last)
        assert (home.streaming / last).read_bytes() == (server.data / "pg_wal" / last).read_bytes()


def test_segments_of_64_mb(workdir):
    with Postgres(workdir / "pg", wal_segsize=64, wal_keep_size="256MB") as server:
        home = Home(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                    create_slot="auto", compression="zstd")
        point_to(home, server)
        with receiver(home):
            wait_for(lambda: streaming(server))
            insert(server, 5000)
            last = server.switch_wal()
            wait_received(home, last)
            insert(server, 100)
            wait_for(lambda: list(home.streaming.glob("*.partial")))
        (partial,) = home.streaming.glob("*.partial")
        assert partial.stat().st_size == 64 * MIB
        assert home.archive().returncode == 0
        assert home.names() == [last]
        got = home.get(last)
        assert got.stdout == (server.data / "pg_wal" / last).read_bytes()


def test_synchronous(site, server):
    """Commits wait for us, and go on when their WAL is flushed here."""
    server.configure(synchronous_standby_names="ANY 1 (other, barman_receive_wal)")
    with receiver(site):
        wait_for(lambda: streaming(server))
    server.reload()
    wait_for(lambda: server.sql("SHOW synchronous_standby_names") != "")
    create = [str(bindir() / "psql"), "-XAtq", "-d", server.conninfo, "-c", "CREATE TABLE s (i int)"]
    with subprocess.Popen(create, stdin=subprocess.DEVNULL) as psql:
        with pytest.raises(subprocess.TimeoutExpired):
            psql.wait(1)
        with receiver(site):
            assert psql.wait(15) == 0
            begun = time.monotonic()
            for i in range(50):
                server.sql(f"INSERT INTO s VALUES ({i})")
                lsn = server.sql("SELECT pg_current_wal_flush_lsn()")
                assert server.sql(f"SELECT flush_lsn >= '{lsn}' FROM pg_stat_replication") == "t"
            assert time.monotonic() - begun < 20
            assert server.sql("SELECT sync_state FROM pg_stat_replication") == "quorum"
            # What was acknowledged is in the file.
            position = server.sql(
                "SELECT file_name || ' ' || file_offset FROM pg_walfile_name_offset("
                "(SELECT flush_lsn FROM pg_stat_replication))"
            )
            name, offset = position.split()
            got = (site.streaming / f"{name}.partial").read_bytes()[: int(offset)]
            assert got == (server.data / "pg_wal" / name).read_bytes()[: int(offset)]
            server.configure(synchronous_standby_names="")
            server.reload()


def test_synchronous_under_another_name(site, server):
    """The connection string's application_name is what the server knows us by."""
    point_to(site, server)
    site.configure(streaming_conninfo=server.conninfo + " application_name=other")
    server.configure(synchronous_standby_names="other", synchronous_commit="remote_write")
    server.sql("CREATE TABLE s (i int)")
    server.reload()
    with receiver(site):
        wait_for(lambda: streaming(server, "other"))
        begun = time.monotonic()
        server.sql("SET synchronous_commit = on; INSERT INTO s VALUES (1)")
        assert time.monotonic() - begun < 5
        assert ", synchronous" in site.log_text()
        status = site.walden("show-servers", "main").stdout
        assert re.search("pg_receivexlog_synchronous: True", status)
        server.configure(synchronous_standby_names="")
        server.reload()


def test_disk_full(site, server):
    """A disk that refuses ends it with its reason, and nothing is said to be flushed."""
    with receiver(site):
        wait_for(lambda: streaming(server))
    command = ["prlimit", "--fsize=524288", "--", WALDEN, "-c", str(site.conf)]
    with subprocess.Popen(
        [*command, "receive-wal", "main"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    ) as process:
        insert(server)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b".partial" in err and b"File too large" in err
    with receiver(site):
        wait_received(site, server.switch_wal())
        compare(site, server)
