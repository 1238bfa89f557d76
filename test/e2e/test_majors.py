# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL 10 to 18: both ways into the archive, and the way back into a server of the same major."""

import json
import os
import re
import shutil
import signal

import pytest

from home import WALDEN, Home, execute
from majors import MAJORS, cluster, programs
from pg import as_owner, bindir, give, owner, recovers, restored
from support import started, wait_for

SEGMENT = re.compile(r"[0-9A-F]{24}")
PAGE = 8192
OVERWRITES = 8  # a page's flag: the record before was never finished

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
    with cluster(workdir / "pg", major, max_wal_size="2GB", **keep) as server:
        yield server


def insert(server, count):
    """Rows, pages of an index, and a record that is longer than two segments of 1 MB."""
    server.sql(
        "CREATE TABLE IF NOT EXISTS t (i int, x text);"
        f"INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, {count}) i;"
        "REINDEX TABLE pg_class; CREATE INDEX ON t (i);"
        "SELECT pg_logical_emit_message(true, 'e2e', repeat('x', 2500000)) IS NULL"
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
    with cluster(
        workdir / "pg", major, archive_to=site.incoming, max_wal_size="2GB"
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


def torn(server):
    """Is there a record that was never finished? The page after it says so."""
    for path in (server.data / "pg_wal").iterdir():
        if path.is_file() and SEGMENT.fullmatch(path.name):
            data = path.read_bytes()
            if any(data[at + 2] & OVERWRITES for at in range(0, len(data), PAGE)):
                return True
    return False


def crash_in_a_record(server):
    """Kills a backend in the middle of a long record; the server recovers by itself."""
    long = "SELECT pg_logical_emit_message(false, 'e2e', repeat('x', 300000000)) IS NULL"
    psql = [bindir() / "psql", "-XAtq", "-d", server.conninfo, "-c", "SELECT pg_backend_pid()", "-c", long]
    before = server.sql("SELECT pg_current_wal_lsn()")
    with started(psql) as process:
        backend = int(process.stdout.readline())
        segments = "2 * pg_size_bytes(current_setting('wal_segment_size'))"
        grown = f"SELECT pg_current_wal_lsn() - '{before}' > {segments}"
        wait_for(lambda: server.sql(grown) == "t", 60, "a part of the record")
        os.kill(backend, signal.SIGKILL)
        process.wait(60)
    wait_for(server.ready, 60)


def test_crash_in_a_record(workdir, major, server):
    """What was received of a record that nobody ever finishes is the server's to the byte, and passes
    for what it is."""
    site = Site(workdir / "home", archiver="off", streaming_archiver="on", slot_name="walden",
                create_slot="auto")
    site.connect(server)
    with started(site.command("receive-wal", "main")) as receiver:
        wait_for(lambda: server.sql("SELECT state FROM pg_stat_replication") == "streaming", 30)
        for _ in range(5):
            crash_in_a_record(server)
            if torn(server):
                break
        assert torn(server)
        insert(server, 500)
        wait_for((site.streaming / server.switch_wal()).exists, 60, "the segment after the crash")
        assert receiver.poll() is None
    site.run("archive-wal", "main")
    check_archive(site, server, 1)
