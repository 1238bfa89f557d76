# SPDX-License-Identifier: PostgreSQL
"""walden receive-wal while servers change their roles, lag, are set back, and while the network and
the slot go away: what can be had is received, and what cannot is said."""

import re
import signal

import pytest

from home import Home
from keys import new_key
from network import Network
from pg import Postgres, give, recovers, restored
from receiving import (
    MIB, compare, insert, point_to, received, receiver, streaming, wait_received,
)
from support import beside, wait_for


@pytest.fixture
def server(workdir):
    with Postgres(
        workdir / "pg", wal_keep_size="1GB", max_wal_size="1GB", wal_log_hints="on"
    ) as server:
        yield server


def home_of(server, path):
    home = Home(path, archiver="off", streaming_archiver="on", slot_name="walden", create_slot="auto")
    point_to(home, server)
    return home


@pytest.fixture
def site(workdir, server):
    return home_of(server, workdir / "home")


def standby_of(primary, directory, restore_command="false", **settings):
    """Streams from the primary. Not started."""
    backup = primary.base_backup(directory / "data")
    standby = restored(
        directory, restore_command, primary_conninfo=primary.conninfo, wal_keep_size="1GB",
        wal_retrieve_retry_interval="200ms", **settings,
    )
    (backup / "recovery.signal").rename(backup / "standby.signal")
    return standby


def caught_up(standby, primary):
    lsn = primary.sql("SELECT pg_current_wal_flush_lsn()")
    wait_for(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == "t", 60)


def check_switches(home, server, timeline):
    """Of each timeline that the server left, everything is there up to the switch."""
    text = (home.streaming / f"{timeline:08X}.history").read_text()
    assert text == (server.data / "pg_wal" / f"{timeline:08X}.history").read_text()
    switches = re.findall(r"^(\d+)\t([0-9A-F]+)/([0-9A-F]+)\t", text, re.MULTILINE)
    assert switches
    following = [int(switch[0]) for switch in switches[1:]] + [timeline]
    for (old, high, low), new in zip(switches, following):
        number, end = divmod((int(high, 16) << 32) + int(low, 16), MIB)
        place = f"{number >> 12:08X}{number & 0xFFF:08X}"
        found = [path for path in home.streaming.glob(f"{int(old):08X}{place}*")]
        assert len(found) == 1
        # The new timeline's segment begins with a copy.
        theirs = (server.data / "pg_wal" / f"{new:08X}{place}").read_bytes()
        assert found[0].read_bytes()[:end] == theirs[:end]


def test_cascading(site, server, workdir):
    """From a standby, which has the slot; the primary may come and go."""
    with standby_of(server, workdir / "standby") as standby:
        site.configure(wal_streaming_conninfo=standby.conninfo)
        with receiver(site) as process:
            wait_for(lambda: streaming(standby), 30)
            insert(server)
            wait_received(site, server.switch_wal())
            server.stop("fast")
            server.start()
            insert(server)
            wait_received(site, server.switch_wal())
            assert process.poll() is None
        compare(site, server)
        assert server.sql("SELECT count(*) FROM pg_replication_slots") == "0"
        assert standby.sql("SELECT slot_name FROM pg_replication_slots") == "walden"


def test_next_timeline_is_not_the_next_number(site, server, workdir):
    """Another standby was promoted before, and its history is in the archive: 1 is followed by 3."""
    archive = workdir / "archive"
    archive.mkdir()
    (archive / "00000002.history").write_text("1\t0/1000000\tno recovery target specified\n")
    with standby_of(
        server, workdir / "standby", f"cp {archive}/%f %p", recovery_target_timeline="current"
    ) as standby:
        site.configure(wal_streaming_conninfo=standby.conninfo)
        with receiver(site) as process:
            wait_for(lambda: streaming(standby), 30)
            insert(server)
            caught_up(standby, server)
            standby.sql("SELECT pg_promote()")
            insert(standby, 500)
            last = standby.switch_wal()
            assert last.startswith("00000003")
            wait_received(site, last)
            assert process.poll() is None
        compare(site, standby, server)
        check_switches(site, standby, 3)
        assert not (site.streaming / "00000002.history").exists()


def test_timelines_that_ended_while_away(site, server):
    """The server was recovered twice meanwhile, and wrote more on each timeline than a segment."""
    with receiver(site):
        wait_for(lambda: streaming(server))
        insert(server)
        wait_received(site, server.switch_wal())
        insert(server, 100)
    for _ in range(2):
        insert(server, 4000)
        server.stop("fast")
        recovers(server, restore_command="false")
        server.start()
        server.wait_recovered()
    insert(server)
    last = server.switch_wal()
    assert last.startswith("00000003")
    with receiver(site):
        wait_received(site, last)
        compare(site, server)
        check_switches(site, server, 3)
        insert(server, 100)
        wait_for(lambda: list(site.streaming.glob("00000003*.partial")), 30)
    # What has ended and what is whole goes into the archive, all of it under its own name.
    assert site.archive().returncode == 0
    assert site.rejected() == []
    assert {"00000002.history", "00000003.history"} < set(site.names())
    assert sum(name.endswith(".partial") for name in site.names()) == 2


def test_rewound(site, server, workdir):
    """The old primary, which had gone on by itself, is rewound and follows the new one: we follow,
    too, and keep what only it ever had."""
    with standby_of(server, workdir / "standby") as standby, receiver(site) as process:
        wait_for(lambda: streaming(server))
        insert(server)
        caught_up(standby, server)
        standby.sql("SELECT pg_promote()")
        standby.wait_recovered()
        insert(standby, 100)
        standby.sql("CHECKPOINT")
        insert(server, 5000)
        alone = server.switch_wal()
        wait_received(site, alone)
        kept = (site.streaming / alone).read_bytes()
        server.stop("fast")
        # It takes the other's configuration along.
        mine = (server.data / "postgresql.conf").read_text()
        server.program(
            "pg_rewind", "--no-sync", "-D", server.data, f"--source-server={standby.conninfo}"
        )
        (server.data / "postgresql.conf").write_text(mine)
        server.configure(primary_conninfo=standby.conninfo)
        (server.data / "standby.signal").touch()
        give(server.data / "standby.signal")
        server.start()
        insert(standby)
        last = standby.switch_wal()
        assert last.startswith("00000002")
        # The slot does not survive a rewind.
        assert process.wait(60) == 1
        assert b"replication slot" in process.stderr.read()
        with receiver(site):
            wait_received(site, last)
        assert (site.streaming / alone).read_bytes() == kept
        for name in received(site):
            if name.startswith("00000002"):
                assert (site.streaming / name).read_bytes() == (standby.data / "pg_wal" / name).read_bytes()
        check_switches(site, standby, 2)


def segments(home):
    return {path.name: path.read_bytes() for path in home.streaming.glob("0*[!y]")}


@pytest.mark.parametrize("place", ["streaming", "archive", "zstd", "aead"])
def test_two_promotions_to_one_timeline(site, server, workdir, place):
    """Both standbys had the same when the server was stopped, so that their histories are the same.
    What the second one writes does not go on where the first one's ends."""
    site.configure(compression="zstd" if place == "zstd" else None)
    if place == "aead":
        site.configure(encryption="aead", encryption_key_file=new_key(workdir / "keys"))
    with standby_of(server, workdir / "b") as b, standby_of(server, workdir / "c") as c:
        insert(server)
        caught_up(b, server)
        caught_up(c, server)
        server.stop("fast")
        both = f"host={b.directory},{c.directory} port={b.port},{c.port} user=postgres"
        site.configure(wal_streaming_conninfo=both)
        c.sql("SELECT pg_create_physical_replication_slot('walden')")
        with receiver(site) as process:
            wait_for(lambda: streaming(b), 30)
            b.sql("SELECT pg_promote()")
            c.sql("SELECT pg_promote()")
            b.wait_recovered()
            c.wait_recovered()
            insert(b, 500)
            last = b.switch_wal()
            assert last.startswith("00000002")
            wait_received(site, last)
            process.send_signal(signal.SIGINT)
            process.wait(10)
        b.stop("immediate")
        while c.switch_wal() <= last:
            insert(c, 500)
        if place != "streaming":
            next_one = f"{last[:16]}{int(last[16:], 16) + 1:08X}"
            (site.streaming / f"{next_one}.partial").touch()
            for partial in site.streaming.glob("*.partial"):
                if partial.name[:24] <= last:
                    partial.unlink()
            assert site.archive().returncode == 0
            assert not (site.streaming / last).exists() and last in site.names()
        before = segments(site)
        restart = c.sql("SELECT restart_lsn FROM pg_replication_slots")
        with beside(site, "receive-wal", "main") as process:
            _, err = process.communicate(timeout=30)
        assert process.returncode == 1 and f"where segment '{last}' ends" in err.decode(), err
        assert segments(site) == before
        assert c.sql("SELECT restart_lsn FROM pg_replication_slots") == restart
        assert (b.data / "pg_wal" / "00000002.history").read_text() == (
            c.data / "pg_wal" / "00000002.history").read_text()


def test_standby_that_lags(site, server, workdir):
    """A server of which we have more than it has itself is waited for; at the first try that is the
    end, with the reason."""
    with standby_of(server, workdir / "standby") as standby:
        caught_up(standby, server)
        standby.configure(primary_conninfo="")
        standby.reload()
        wait_for(lambda: not streaming(server, "walreceiver"), 30)
        behind = standby.sql("SELECT pg_last_wal_receive_lsn()")
        both = f"host={server.directory},{standby.directory} port={server.port},{standby.port}"
        site.configure(wal_streaming_conninfo=f"{both} user=postgres")
        with receiver(site) as process:
            wait_for(lambda: streaming(server))
            for _ in range(3):
                insert(server)
                ahead = server.switch_wal()
            wait_received(site, ahead)
            server.stop("fast")
            wait_for(lambda: site.log_text().count(f"only up to {behind}") > 1, 60)
            assert process.poll() is None
            server.start()
            wait_for(lambda: streaming(server), 60)
            insert(server)
            wait_received(site, server.switch_wal())
        compare(site, server)
        point_to(site, standby)
        site.configure(wal_streaming_conninfo=None)
        done = site.walden("receive-wal", "main")
        assert done.returncode == 1
        assert f"only up to {behind}" in done.stderr and "gap" not in done.stderr


def test_network_cut(site, server):
    """In the middle of messages, and gone for a while: nothing is missing, nothing is twice."""
    with Network(server) as network:
        site.configure(wal_streaming_conninfo=network.conninfo)
        with receiver(site) as process:
            for _ in range(3):
                wait_for(lambda: streaming(server), 60)
                before = len(received(site))
                insert(server, 20000)
                wait_for(lambda: len(received(site)) > before, 30, "a segment")
                network.cut()
                insert(server)
                network.mend()
            wait_received(site, server.switch_wal(), 60)
            assert process.poll() is None
        compare(site, server)


def test_network_stalled(site, server):
    """The server gives up on us and we do not know. What stalls does not keep us from ending; and
    when it goes on, so do we."""
    server.configure(wal_sender_timeout="2s")
    server.reload()
    with Network(server) as network:
        site.configure(wal_streaming_conninfo=network.conninfo)
        with receiver(site) as process:
            wait_for(lambda: streaming(server), 30)
            insert(server, 100)
            network.stall()
            insert(server)
            wait_for(lambda: not streaming(server), 60)
            network.flow()
            wait_received(site, server.switch_wal(), 60)
            network.stall()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 143
        network.flow()
        insert(server)
        with receiver(site):
            wait_received(site, server.switch_wal(), 60)
        compare(site, server)


def test_slot_dropped_while_away(site, server):
    """It is not made anew behind the DBA's back, for it took WAL with it."""
    drop = (
        "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_replication; LOOP BEGIN "
        "PERFORM pg_drop_replication_slot('walden'); EXIT; EXCEPTION WHEN object_in_use THEN END; "
        "END LOOP; END $$"
    )
    with receiver(site) as process:
        wait_for(lambda: streaming(server))
        wait_received(site, server.fill_segment())
        server.sql(drop)
        assert process.wait(60) == 1
        text = process.stderr.read().decode()
    missing = re.search(r"receive WAL from segment (\w{24}) on", text).group(1)
    assert missing > received(site)[-1]
    assert "replication slot \"walden\" does not exist" in text and "gap" in text


def test_slot_invalidated_while_the_network_is_gone(site, server):
    """max_slot_wal_keep_size: the server throws away what we have not got. The first missing segment
    is named, and nothing is stepped over before --reset says so."""
    server.configure(
        wal_keep_size="0", max_slot_wal_keep_size="1MB", max_wal_size="2MB", min_wal_size="2MB"
    )
    server.reload()
    with Network(server) as network:
        site.configure(wal_streaming_conninfo=network.conninfo)
        with receiver(site) as process:
            wait_for(lambda: streaming(server))
            wait_received(site, server.fill_segment())
            network.cut()
            for _ in range(40):
                server.fill_segment(4096)
                server.sql("CHECKPOINT")
                if server.sql("SELECT wal_status FROM pg_replication_slots") == "lost":
                    break
            assert server.sql("SELECT wal_status FROM pg_replication_slots") == "lost"
            network.mend()
            assert process.wait(60) == 1
            text = process.stderr.read().decode()
        missing = re.search(r"receive WAL from segment (\w{24}) on", text).group(1)
        assert "already been removed" in text and "gap" in text
        assert missing > received(site)[-1]
        assert not (server.data / "pg_wal" / missing).exists()
        before = set(received(site))
        done = site.walden("receive-wal", "main")
        assert done.returncode == 1 and missing in done.stderr
        assert set(received(site)) == before
        assert "--drop-slot" in done.stderr
        for what in ("--drop-slot", "--reset"):
            assert site.walden("receive-wal", what, "main").returncode == 0
        with receiver(site):
            wait_received(site, server.fill_segment(), 60)
        assert server.sql("SELECT wal_status FROM pg_replication_slots") != "lost"


def test_two_receivers(server, workdir):
    """Each with its slot: both have everything."""
    homes = [home_of(server, workdir / name) for name in ("first", "second")]
    homes[1].configure(slot_name="other", streaming_archiver_name="second")
    with receiver(homes[0]), receiver(homes[1]):
        wait_for(lambda: streaming(server) and streaming(server, "second"))
        insert(server)
        last = server.switch_wal()
        for home in homes:
            wait_received(home, last)
            compare(home, server)
