# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL 10 to 18: both ways into the archive, and the way back into a server of the same major."""

import json
import shutil
import signal

import pytest

from home import WALDEN, Home, execute
from majors import MAJORS, programs
from pg import Postgres, as_owner, give, owner, recovers, restored
from support import started, wait_for

pytestmark = pytest.mark.parametrize("major", MAJORS)


class Site(Home):
    """A home that belongs to the servers' account, under which walden runs, too."""

    def __init__(self, path, **options):
        super().__init__(path, wal_validation="full", compression="lz4", restore_deadline="2", **options)
        self.globals["barman_user"] = owner()
        self.configure()
        give(path, self.directory, self.incoming, self.streaming, self.wals, self.errors)

    def connect(self, server):
        self.configure(conninfo=server.conninfo, streaming_conninfo=server.conninfo)

    def command(self, *args):
        return as_owner(WALDEN, "-c", self.conf, *args, with_us=True)

    def run(self, *args, **kw):
        done = execute(self.command(*args), **kw)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def server(workdir, major):
    """Keeps its WAL, so that it can be compared with what was received."""
    keep = {"wal_keep_size": "1GB"} if major >= 13 else {"wal_keep_segments": "100"}
    with Postgres(
        workdir / "pg", programs=programs(major), max_wal_size="2GB", wal_sender_timeout="20s", **keep
    ) as server:
        yield server


def insert(server, count):
    server.sql(
        "CREATE TABLE IF NOT EXISTS t (i int, x text);"
        f"INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, {count}) i"
    )


def rows(server):
    return server.sql("SELECT count(*), md5(string_agg(t.*::text, ',' ORDER BY t.*::text)) FROM t")


def check_archive(site, server, least):
    """What is archived is what the server has, without a gap, and nothing was rejected."""
    assert site.rejected() == []
    compared = 0
    for name in site.names():
        theirs = server.data / "pg_wal" / name
        if theirs.exists():
            assert site.get(name).stdout == theirs.read_bytes(), name
            compared += len(name) == 24
    assert compared >= least
    per_log = (1 << 32) // int(server.sql("SELECT pg_size_bytes(current_setting('wal_segment_size'))"))
    names = [name for name in site.names() if len(name) == 24]
    numbers = {int(name[8:16], 16) * per_log + int(name[16:], 16) for name in names}
    assert numbers == set(range(min(numbers), max(numbers) + 1))
    return names


def test_received_by_streaming(workdir, major, server):
    """With a slot, through a stop, a restart of the server and a switch of the timeline."""
    site = Site(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                create_slot="auto")
    site.connect(server)

    def streaming():
        query = "SELECT application_name, state FROM pg_stat_replication"
        return server.sql(query) == "barman_receive_wal|streaming"

    def received(name):
        wait_for((site.streaming / name).exists, 60, f"'{name}' received")

    def switch():
        (closed,) = json.loads(site.run("-f", "json", "switch-wal", "main"))["_INFO"]
        return closed.split()[3]

    with started(site.command("receive-wal", "main")) as receiver:
        wait_for(streaming, 30)
        insert(server, 2000)
        received(switch())
        status = json.loads(site.run("-f", "json", "replication-status", "main"))["main"]
        (client,) = status["streaming_clients"]
        assert client["application_name"] == "barman_receive_wal"
        receiver.send_signal(signal.SIGINT)
        assert receiver.wait(10) == 0, receiver.stderr.read()
    assert server.sql("SELECT slot_name, active FROM pg_replication_slots") == "walden|f"
    insert(server, 2000)

    with started(site.command("receive-wal", "main")) as receiver:
        received(switch())
        insert(server, 100)
        server.stop()
        recovers(server, restore_command="false")
        server.start()
        server.wait_recovered()
        wait_for(streaming, 60)
        insert(server, 2000)
        last = server.switch_wal()
        assert last.startswith("00000002")
        received(last)
        assert receiver.poll() is None

    site.run("archive-wal", "main")
    assert "00000002.history" in site.names()
    # Where nothing was written since, the newest segment waits for the next receiver.
    assert last in check_archive(site, server, 2) + [path.name for path in site.streaming.iterdir()]
    identity = json.loads((site.directory / "identity.json").read_text())
    assert identity["version"] == str(major)


def test_archived_and_restored(workdir, major):
    """By archive_command; a backup of the server becomes the server again, on a new timeline that is
    archived as well."""
    site = Site(workdir / "home")
    with Postgres(
        workdir / "pg", programs=programs(major), archive_to=site.incoming, max_wal_size="2GB"
    ) as server:
        site.connect(server)
        insert(server, 500)
        backup = server.copied(workdir / "restored" / "data")
        insert(server, 2000)
        site.run("switch-wal", "--archive", "--archive-timeout=60", "main")
        insert(server, 500)
        server.wait_archived(server.switch_wal())
        expected = rows(server)
        site.run("archive-wal", "main")
        assert site.waiting() == []
        names = check_archive(site, server, 2)
        assert any(name.endswith(".backup") for name in site.names())
    shutil.rmtree(workdir / "pg")

    command = f"{WALDEN} -c {site.conf} get-wal main %f > %p"
    second = restored(backup.parent, command, programs=programs(major))
    second.configure(archive_mode="on")
    with second:
        second.wait_recovered()
        assert rows(second) == expected
        second.wait_archived(second.fill_segment())
        site.run("archive-wal", "main")
        assert "00000002.history" in site.names()
        assert len(check_archive(site, second, 1)) > len(names)
