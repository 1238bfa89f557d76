# SPDX-License-Identifier: PostgreSQL
"""The whole way with a real PostgreSQL: archive_command, base backup, recovery. Walden runs as the
account that runs the servers, as on a host where both live."""

import shutil

import pytest

from home import WALDEN, Home, execute
from pg import Postgres, as_owner, bindir, give, owner, restored
from support import started


@pytest.fixture
def site(workdir):
    """A home that belongs to the servers' account."""
    home = Home(workdir / "home", compression="zstd", compression_level="low", restore_deadline="2")
    home.globals["barman_user"] = owner()
    home.configure()
    give(home.path, home.directory, home.incoming, home.streaming, home.wals, home.errors)
    return home


def archive(site):
    done = execute(as_owner(WALDEN, "-c", site.conf, "archive-wal", "main"))
    assert done.returncode == 0, done.stderr
    return done


def restore_command(site):
    return f"{WALDEN} -c {site.conf} get-wal main %f > %p"


def rows(server):
    return server.sql("SELECT count(*), md5(string_agg(t.*::text, ',' ORDER BY t.*::text)) FROM t")


def insert(server, first, last):
    server.sql(
        "CREATE TABLE IF NOT EXISTS t (i int, x text);"
        f"INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series({first}, {last}) i"
    )


@pytest.mark.parametrize(("megabytes", "ahead"), [(1, 0), (64, 0), (1, 4)])
def test_recovery_to_an_lsn(site, workdir, megabytes, ahead):
    """Destroyed and recovered to a position: the rows of that moment, none of what came later."""
    site.configure(restore_prefetch=ahead)
    settings = {"max_wal_size": "1GB", "min_wal_size": f"{2 * megabytes}MB"}
    with Postgres(
        workdir / "pg", wal_segsize=megabytes, archive_to=site.incoming, **settings
    ) as server:
        insert(server, 1, 1000)
        backup = server.base_backup(workdir / "restored" / "data")
        insert(server, 1001, 5000)
        target = server.sql("SELECT pg_current_wal_lsn()")
        expected = rows(server)
        insert(server, 5001, 9000)
        server.wait_archived(server.switch_wal())
        archive(site)
        assert site.waiting() == []
    shutil.rmtree(workdir / "pg")

    sizes = {row.name: row.size for row in site.rows() if len(row.name) == 24}
    assert sizes and all(size < megabytes << 20 for size in sizes.values())
    with restored(
        backup.parent, restore_command(site), recovery_target_lsn=target,
        recovery_target_action="promote",
    ) as second:
        second.wait_recovered()
        assert rows(second) == expected


def test_recovery_never_ends_early_because_the_archive_is_away(site, workdir):
    """With the archive not mounted, recovery stops with an error; it goes on when it is back."""
    with Postgres(workdir / "pg", archive_to=site.incoming) as server:
        insert(server, 1, 100)
        backup = server.base_backup(workdir / "restored" / "data")
        insert(server, 101, 2000)
        server.wait_archived(server.switch_wal())
        expected = rows(server)
        archive(site)
    site.wals.rename(workdir / "elsewhere")
    second = restored(backup.parent, restore_command(site))
    with pytest.raises(RuntimeError):
        second.start(timeout=15)
    assert "could not restore" in second.log.read_text() or "200" in second.log.read_text()
    second.stop("immediate")

    (workdir / "elsewhere").rename(site.wals)
    with second:
        second.wait_recovered()
        assert rows(second) == expected


def test_standby_follows_and_is_promoted(site, workdir):
    """A standby fed by get-wal alone; promoted, its history file and new timeline are archived, and a
    third server recovers along both timelines."""
    with Postgres(workdir / "pg", archive_to=site.incoming) as server:
        insert(server, 1, 100)
        backup = server.base_backup(workdir / "standby" / "data")
        shutil.copytree(backup, workdir / "third" / "data", symlinks=True)
        insert(server, 101, 1000)
        server.wait_archived(server.switch_wal())
        archive(site)
        expected = rows(server)

    for path in (workdir / "third" / "data").rglob("*"):
        give(path)
    give(workdir / "third", workdir / "third" / "data")
    standby = restored(
        workdir / "standby", restore_command(site), hot_standby="on",
        wal_retrieve_retry_interval="200ms",
    )
    standby.configure(archive_mode="on")
    (standby.data / "recovery.signal").rename(standby.data / "standby.signal")
    with standby:
        for _ in range(600):
            if standby.sql("SELECT count(*) FROM t", check=False).stdout.strip() == "1000":
                break
        assert rows(standby) == expected
        assert standby.sql("SELECT pg_is_in_recovery()") == "t"
        standby.sql("SELECT pg_promote()")
        standby.wait_recovered()
        insert(standby, 1001, 1500)
        standby.wait_archived(standby.switch_wal())
        expected = rows(standby)
        archive(site)
    names = site.names()
    assert "00000002.history" in names
    assert any(name.startswith("00000002") and len(name) == 24 for name in names)
    assert site.rejected() == []

    with restored(workdir / "third", restore_command(site)) as third:
        third.wait_recovered()
        assert rows(third) == expected
        assert int(third.sql("SELECT timeline_id FROM pg_control_checkpoint()")) == 3


def test_same_segment_again_after_a_crash_of_the_server(site, workdir):
    """What PostgreSQL offers again is recognised; nothing is stored or recorded twice."""
    with Postgres(workdir / "pg", archive_to=site.incoming) as server:
        name = server.fill_segment()
        server.wait_archived(name)
        kept = (site.incoming / name).read_bytes()
        archive(site)
        assert site.waiting() == []
        path = site.incoming / name
        path.write_bytes(kept)
        give(path)
        archive(site)
    assert site.names().count(name) == 1
    assert site.waiting() == site.rejected() == []


def test_full_validation_takes_what_a_server_writes(site, workdir):
    site.configure(wal_validation="full")
    with Postgres(workdir / "pg", archive_to=site.incoming) as server:
        for _ in range(3):
            server.wait_archived(server.fill_segment())
        archive(site)
    assert site.waiting() == site.rejected() == []


def test_recovery_to_the_last_received_commit(site, workdir):
    """The server is lost while its last segment is being received: --partial brings its rows."""
    site.configure(archiver="off", streaming_archiver="on", slot_name="walden")
    with Postgres(workdir / "pg", fsync="on", synchronous_standby_names="*") as server:
        receive = as_owner(
            bindir() / "pg_receivewal", "-d", server.conninfo, "-D", site.streaming, "--synchronous", "--no-loop",
            with_us=True,
        )
        server.sql("SELECT pg_create_physical_replication_slot('walden', true)")
        with started([*receive, "--slot=walden"]) as receiver:
            insert(server, 1, 100)
            backup = server.base_backup(workdir / "restored" / "data")
            insert(server, 101, 4000)
            archive(site)
            insert(server, 4001, 4100)
            expected = rows(server)
            server.kill()
            receiver.wait(20)
        archive(site)
    (tail,) = [path.name for path in site.streaming.iterdir()]
    assert tail.endswith(".partial")
    command = restore_command(site).replace("get-wal", "get-wal --partial")
    with restored(backup.parent, command) as second:
        second.wait_recovered()
        assert rows(second) == expected
