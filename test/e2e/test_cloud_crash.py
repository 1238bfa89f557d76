# SPDX-License-Identifier: PostgreSQL
"""An archive in an object store: the archiver dies again and again, two of them race, and a real
PostgreSQL comes back from there."""

import os
import random
import shutil
import subprocess
import time

import pytest

from faults import digest, recorded
from home import WALDEN, Home, execute
from pg import Postgres, as_owner, give, owner, restored
from wal import segment_name, segment_start, wal_bytes

SEED = int(os.environ.get("WALDEN_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("WALDEN_KILL_ROUNDS", 200)) // 5
ROOT = "some/where/main/wals/"
TEMPLATE = wal_bytes(segment_name(1))


def segment(name):
    """A valid segment of its own contents, made faster than by make_wal."""
    data = bytearray(TEMPLATE)
    data[8:16] = segment_start(name).to_bytes(8, "little")
    data[40 : 40 + len(name)] = name.encode()
    return bytes(data)


class Producer:
    """An archive_command: whole files appear in incoming/ by a rename, in order."""

    def __init__(self, home, first=4000):
        self.home, self.number, self.digests = home, first, {}

    def put(self, count=1):
        for _ in range(count):
            name = segment_name(self.number)
            self.number += 1
            temporary = self.home.incoming / f"{name}.tmp"
            temporary.write_bytes(segment(name))
            temporary.rename(self.home.incoming / name)
            self.digests[name] = digest(segment(name))


def stored(bucket, extension):
    return {key[len(ROOT) + 17 :].removesuffix(extension) for key in bucket.keys(ROOT)}


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_killed_again_and_again(cloud_home, bucket, compression):
    """At any moment, what was acknowledged waits, or is in the bucket and in the catalog."""
    print(f"WALDEN_SEED={SEED}")
    chance = random.Random(SEED)
    extension = {"zstd": ".zst"}.get(compression, "")
    home = cloud_home
    home.configure(compression=compression)
    producer = Producer(home)
    killed, longest = 0, 0.1
    for _ in range(ROUNDS):
        producer.put(max(0, 6 - len(home.waiting())))
        process = subprocess.Popen(
            [WALDEN, "-c", str(home.conf), "archive-wal", "main"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        time.sleep(chance.uniform(0, longest))
        process.kill()
        out, err = process.communicate()
        assert process.returncode in (0, -9), out + err
        killed += process.returncode == -9
        longest *= 1.1 if process.returncode == -9 else 0.7
        waiting, rows = set(home.waiting()), recorded(home)
        there = stored(bucket, extension)
        for name in producer.digests.keys() - waiting:
            assert name in there, f"'{name}' is lost"
            assert name in rows, f"'{name}' is not recorded"
    assert killed > ROUNDS / 2
    for _ in range(2):
        done = home.archive()
        assert done.returncode == 0, done.stderr
    assert home.waiting() == home.rejected() == []
    names = [row.name for row in home.rows()]
    assert names == sorted(producer.digests), "recorded once each, in order"
    assert stored(bucket, extension) == set(names)
    for name, expected in producer.digests.items():
        got = home.get(name)
        assert got.returncode == 0 and digest(got.stdout) == expected, f"{name}: {got.stderr}"


def test_recovery_from_an_object_store(workdir, bucket, monkeypatch):
    """A server whose archive is in S3 is lost and comes back, to the byte."""
    home = Home(
        workdir / "home", compression="zstd", wals_directory=bucket.url, restore_deadline="5",
        cloud_endpoint_url=bucket.server.url,
    )
    monkeypatch.setenv("HOME", str(workdir))  # the servers' account may not read ours
    home.globals["barman_user"] = owner()
    home.configure()
    give(home.path, home.directory, home.incoming, home.streaming, home.wals, home.errors)
    with Postgres(workdir / "pg", archive_to=home.incoming) as server:
        server.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i")
        backup = server.base_backup(workdir / "restored" / "data")
        server.sql("INSERT INTO t SELECT i FROM generate_series(1001, 90000) i")
        expected = server.sql("SELECT count(*), sum(i) FROM t")
        target = server.sql("SELECT pg_current_wal_lsn()")
        server.sql("INSERT INTO t SELECT i FROM generate_series(1, 50000) i")
        server.wait_archived(server.switch_wal())
        done = execute(as_owner(WALDEN, "-c", home.conf, "archive-wal", "main"))
        assert done.returncode == 0, done.stderr
        assert home.waiting() == []
    shutil.rmtree(workdir / "pg")
    verified = execute(as_owner(WALDEN, "-c", home.conf, "verify", "main"))
    assert verified.returncode == 0, verified.stderr
    with restored(
        backup.parent, f"{WALDEN} -c {home.conf} get-wal main %f > %p",
        recovery_target_lsn=target, recovery_target_action="promote",
    ) as second:
        second.wait_recovered()
        assert second.sql("SELECT count(*), sum(i) FROM t") == expected
