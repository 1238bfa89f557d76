# SPDX-License-Identifier: PostgreSQL
"""Is the fake of Google Cloud Storage like the real thing? Debian's rclone, which was written
against that, has to get along with it."""

import random
import subprocess

import pytest

from gcsauth import openssl
from gcsfake import GcsFake, crc32c


@pytest.fixture
def fake(workdir):
    fake = GcsFake(workdir, page=3)
    fake.buckets["wal"] = {}
    yield fake
    fake.close()


@pytest.fixture
def rclone(fake, workdir):
    def run(*args, stdin=b"", **account):
        return subprocess.run(
            ["rclone", "--config", workdir / "none", "--gcs-endpoint", f"{fake.url}/storage/v1/",
             "--gcs-service-account-file", fake.accounts.service_account(**account), "--retries", "1",
             "--low-level-retries", "3", "--gcs-project-number", "project-1", *args],
            input=stdin, capture_output=True, check=False, timeout=60)

    return run


def done(result):
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def test_crc32c():
    assert crc32c(b"123456789") == "4waSgw=="  # 0xe3069283, the checksum's published check value


def test_objects_come_and_go(rclone, fake):
    names = [f"main/wals/0000000100000000/{n:024X}" for n in range(4)] + ["a b+c/é&%.gz"]
    for name in names:
        done(rclone("rcat", f":gcs:wal/{name}", stdin=name.encode()))
    assert sorted(fake.buckets["wal"]) == sorted(names)
    assert done(rclone("lsf", "--recursive", "--files-only", ":gcs:wal")).decode().split("\n")[:-1] == (
        sorted(names))
    assert done(rclone("lsf", ":gcs:wal/main/wals")) == b"0000000100000000/\n"
    for name in names:
        assert done(rclone("cat", f":gcs:wal/{name}")) == name.encode()
    done(rclone("deletefile", f":gcs:wal/{names[-1]}"))
    assert sorted(fake.buckets["wal"]) == sorted(names[:-1])


def test_the_md5_is_that_of_the_contents(rclone):
    done(rclone("rcat", ":gcs:wal/object", stdin=b"123456789"))
    assert done(rclone("md5sum", ":gcs:wal/object")).split()[0] == b"25f9e794323b453885f5181f1b624d0b"


def test_a_large_object_is_sent_in_pieces_and_read_by_ranges(rclone, fake, workdir):
    data = random.Random(1).randbytes(1000) * 17_000
    (workdir / "large").write_bytes(data)
    fake.fail("(PUT|POST) .*upload_id", "status", 503)
    done(rclone("copyto", str(workdir / "large"), ":gcs:wal/large"))
    assert fake.buckets["wal"]["large"][""] == data
    assert sum("upload_id" in line for line in fake.requests) >= 3
    assert done(rclone("cat", "--offset", "1000", "--count", "500", ":gcs:wal/large")) == data[1000:1500]


def test_a_bucket_is_made(rclone, fake):
    done(rclone("mkdir", ":gcs:another"))
    assert "another" in fake.buckets


def test_another_key_is_refused(rclone, fake, workdir):
    stranger = workdir / "stranger.pem"
    stranger.write_bytes(openssl("genrsa", "2048"))
    result = rclone("lsf", ":gcs:wal", private_key=stranger.read_text())
    assert result.returncode != 0 and b"invalid_grant" in result.stderr


def test_overload_is_met_again(rclone, fake):
    done(rclone("rcat", ":gcs:wal/object", stdin=b"x"))
    fake.fail("GET", "status", 503)
    fake.fail("GET", "status", 429)
    assert done(rclone("lsf", ":gcs:wal")) == b"object\n"
