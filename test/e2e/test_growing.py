# SPDX-License-Identifier: PostgreSQL
"""streaming_partial_upload: the growing segment in pieces in an object store, and a recovery on
another host from what the store has."""

import shutil
import signal
import time

import pytest
from home import WALDEN, Home, execute
from network import Network
from pg import Postgres, as_owner, give, owner, restored
from receiving import point_to, receiver, streaming
from support import wait_for
from wal import MIB

PARTIAL = "some/where/main/partial/"
ROWS = "SELECT count(*), max(i) FROM t"


@pytest.fixture
def site(cloud_home, workdir):
    """A server whose WAL goes by streaming into the bucket, in pieces every second."""
    cloud_home.configure(
        streaming_archiver="on", archiver="off", streaming_partial_upload=1, slot_name="walden",
        create_slot="auto",
    )
    with Postgres(workdir / "pg") as server:
        point_to(cloud_home, server)
        server.sql("CREATE TABLE t (i int)")
        cloud_home.postgres = server
        yield cloud_home


def insert(site, value):
    """A row; the position behind it."""
    site.postgres.sql(f"INSERT INTO t VALUES ({value})")
    return position(site.postgres.sql("SELECT pg_current_wal_flush_lsn()"))


def position(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def pieces(bucket):
    """[(segment, offset, length)] in order."""
    keys = [key.removeprefix(PARTIAL) for key in bucket.keys(PARTIAL)]
    return [(key[:24], *(int(number, 16) for number in key[25:42].split("-"))) for key in keys]


def shipped(bucket):
    """How far the pieces of the newest segment reach, each behind the one before."""
    found = pieces(bucket)
    if not found:
        return 0
    newest, end = found[-1][0], 0
    for name, offset, length in found:
        if name == newest:
            assert offset == end, found
            end = offset + length
    return (int(newest[8:16], 16) << 32) + int(newest[16:], 16) * MIB + end


@pytest.mark.parametrize("encryption", [None, "aead"])
def test_the_host_is_lost(site, bucket, workdir, encryption):
    """Server and archiver are gone; what a second passed over is there."""
    server = site.postgres
    (workdir / "key").write_text("5a" * 32)
    (workdir / "key").chmod(0o600)
    give(workdir / "key")
    site.configure(encryption=encryption, encryption_key_file=encryption and workdir / "key")
    with receiver(site):
        wait_for(lambda: streaming(server), timeout=30)
        backup = server.base_backup(workdir / "restored" / "data")
        for value in range(3):
            end = insert(site, value)
            wait_for(lambda: shipped(bucket) >= end, timeout=30)
        assert len(pieces(bucket)) >= 3
        plain = [bucket.get(key)[:2] == b"\x10\xd1" for key in bucket.keys(PARTIAL) if "/00000000-" in key]
        assert plain and all(plain) == (encryption is None)
        server.switch_wal()
        end = insert(site, 99)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
        assert site.archive().returncode == 0
    expected = server.sql(ROWS)
    server.stop()
    shutil.rmtree(site.path)
    shutil.rmtree(workdir / "pg")

    other = Home(workdir / "other", **{**site.options, "streaming_archiver": "off", "archiver": "on"})
    command = f"{WALDEN} -c {other.conf} get-wal --partial main %f > %p"
    other.globals["barman_user"] = owner()
    other.configure()
    give(other.path, other.directory, other.incoming, other.streaming, other.wals, other.errors)
    done = execute(as_owner(WALDEN, "-c", other.conf, "rebuild-xlogdb", "main"))
    assert done.returncode == 0, done.stderr
    with restored(backup.parent, command) as second:
        second.wait_recovered()
        assert second.sql(ROWS) == expected == "4|99"


def test_what_is_archived_is_not_kept_in_pieces(site, bucket):
    with receiver(site):
        end = insert(site, 1)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
        name = pieces(bucket)[-1][0]
        site.postgres.switch_wal()
        wait_for(lambda: (site.streaming / name).exists(), timeout=30)
        insert(site, 2)
        wait_for(lambda: pieces(bucket)[-1][0] > name, timeout=30)
        # All of it: the segment is of no use without its end.
        assert sum(length for piece, _, length in pieces(bucket) if piece == name) == MIB
        assert site.archive().returncode == 0
        wait_for(lambda: name not in [piece[0] for piece in pieces(bucket)], timeout=30)
        assert any(name in key for key in bucket.keys("some/where/main/wals/"))


def test_a_receiver_after_another(site, bucket):
    """Whoever comes next goes on where the pieces end, also after a kill."""
    site.configure(restore_deadline=0)
    with receiver(site) as first:
        end = insert(site, 1)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    with receiver(site):
        before = pieces(bucket)
        end = insert(site, 2)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
        assert pieces(bucket)[: len(before)] == before


@pytest.mark.parametrize("encryption", [None, "aead"])
def test_pieces_of_another_cluster(site, bucket, workdir, encryption):
    """They are not gone on with: the two would make a segment that never was."""
    (workdir / "key").write_text("5a" * 32)
    (workdir / "key").chmod(0o600)
    give(workdir / "key")
    site.configure(encryption=encryption, encryption_key_file=encryption and workdir / "key")
    server = site.postgres
    with receiver(site):
        end = insert(site, 1)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
    name = pieces(bucket)[-1][0]
    first = bucket.keys(f"{PARTIAL}{name}/")[0]
    there = bytearray(bucket.get(first))
    there[-1 if encryption else 24] ^= 1  # 24: of the system identifier
    bucket.put(first, bytes(there))
    before = pieces(bucket)
    with receiver(site) as process:
        end = insert(site, 2)
        wait_for(lambda: "cannot be brought to" in site.log.read_text(), timeout=30)
        assert encryption or f"pieces of '{name}' in the store are of other WAL" in site.log.read_text()
        assert process.poll() is None and pieces(bucket) == before
        for key in bucket.keys(PARTIAL):
            bucket.client.delete_object(Bucket=bucket.name, Key=key)
        wait_for(lambda: shipped(bucket) >= end, timeout=30)
    assert server.sql(ROWS) == "2|2"


def test_a_store_that_is_away(site, bucket):
    """The receiver goes on, the log says it once, and later all is made up for."""
    with Network(("127.0.0.1", bucket.server.port)) as way:
        site.configure(cloud_endpoint_url=f"http://127.0.0.1:{way.port}", cloud_timeout=2)
        way.cut()
        with receiver(site) as process:
            insert(site, 1)
            wait_for(lambda: "cannot be brought to" in site.log.read_text(), timeout=60)
            time.sleep(3)
            end = insert(site, 2)
            assert process.poll() is None
            assert site.log.read_text().count("cannot be brought to") == 1
            way.mend()
            wait_for(lambda: shipped(bucket) >= end, timeout=120)


def test_only_asked_for(site, bucket):
    site.configure(streaming_partial_upload=None)
    with receiver(site):
        insert(site, 1)
        time.sleep(2)
    assert pieces(bucket) == []
