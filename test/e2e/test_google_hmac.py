# SPDX-License-Identifier: PostgreSQL
"""Google's store by its S3-compatible interface and HMAC keys: signatures, conditions, what it does
not have. Against googlepeer.py, which makes each signature anew."""

import os

import pytest

from buckettool import Tool
from googlepeer import HOST, GooglePeer
from home import execute
from httppeer import Answer
from parcels import called
from wal import make_wal, segment_names, wal_bytes

DATA = os.urandom(300_000)
MUCH = DATA * 40
MB = 1 << 20
NAMES = segment_names(5, 5)


@pytest.fixture
def peer():
    with GooglePeer() as peer:
        yield peer


@pytest.fixture
def tool(peer, workdir):
    return Tool(f"http://{HOST}", workdir, env=peer.environment())


def of_kind(request, kind):
    return {name for name in request.headers if name.startswith(kind)}


def test_there_and_back(peer, tool):
    assert tool.put("a b+c/é", DATA, "a1" * 32, **{"class": "NEARLINE"}) == "done"
    (put,) = peer.requests
    assert not of_kind(put, "x-amz-") and "/auto/storage/goog4_request" in put.headers["authorization"]
    _, kept = peer.objects["a b+c/é"]
    assert kept["x-goog-meta-walden-sha256"] == "a1" * 32
    assert kept["x-goog-storage-class"] == "NEARLINE"
    assert tool.get("a b+c/é") == DATA
    assert "a1" * 32 in tool("head", "a b+c/é")[0]
    assert tool("check")[-1] == "done"


def test_never_replaced(peer, tool):
    assert tool.put("k", DATA) == "done"
    assert tool.put("k", b"other") == "exists"
    assert peer.objects["k"][0] == DATA
    assert tool.put("k", b"other", replace=1) == "done"


def test_parts(peer, tool):
    """The completion does not heed a condition, and the beginning refuses it: looked at before."""
    assert tool.put("k", MUCH, part=5 * MB) == "done"
    assert peer.objects["k"][0] == MUCH
    assert not any("x-goog-if-generation-match" in r.headers for r in peer.requests)
    assert tool.put("k", MUCH[1:], part=5 * MB) == "exists"
    assert peer.objects["k"][0] == MUCH


def test_listed_and_removed(peer, tool):
    keys = [f"p/{n} &" for n in range(5)]
    for key in keys:
        assert tool.put(key, b"x") == "done"
    assert tool.list("p/") == keys
    assert tool("rm", *keys[:3])[-1] == "done"
    assert list(peer.objects) == keys[3:]
    assert tool("rm", keys[3])[-1] == "done"


def test_a_key_of_the_stores_own_encrypts(peer, tool):
    """Then the ETag is no MD5 of the content."""
    answer = Answer(200, headers={"ETag": f'"{"0" * 32}"', "x-goog-encryption-kms-key-name": "k"})
    peer.then(answer)
    assert tool.put("k", DATA) == "done"


@pytest.mark.parametrize("options", [
    {"encryption": "AES256"}, {"encryption": "aws:kms", "kms": "key-1"}, {"kms": "key-1"},
    {"tag": "a=b"}])
def test_what_it_does_not_have(peer, tool, options):
    said = tool.put("k", DATA, **options)
    assert said.startswith("failed config:") and "by Google's S3-compatible interface" in said
    assert peer.requests == []


@pytest.fixture
def archive(home, peer, monkeypatch):
    for name, value in peer.environment().items():
        monkeypatch.setenv(name, value)
    home.configure(wals_directory="s3://bucket/p", cloud_endpoint_url=f"http://{HOST}",
                   compression="zstd")
    home.catalog = home.directory / "xlogdb" / "main-xlog.db"
    return home


def key_of(name, extension=".zst"):
    return f"p/main/wals/{name[:16]}/{name}{extension}"


def test_an_archive(archive, peer):
    for name in NAMES[:4]:
        make_wal(archive.incoming, name)
    done = archive.archive()
    assert done.returncode == 0 and archive.waiting() == archive.rejected() == [], done.stderr
    assert sorted(peer.objects) == [key_of(name) for name in NAMES[:4]]
    for name in NAMES[:4]:
        assert archive.get(name).stdout == wal_bytes(name)
    assert archive.get(NAMES[4]).returncode == 1
    make_wal(archive.incoming, NAMES[0])
    make_wal(archive.incoming, NAMES[1], seed=7)
    assert archive.archive().returncode == 1
    (rejected,) = archive.rejected()
    assert rejected.startswith(NAMES[1]) and rejected.endswith(".duplicate")
    done = archive.walden("delete-wals", "main", "--before", NAMES[2])
    assert done.returncode == 0, done.stderr
    assert sorted(peer.objects) == [key_of(name) for name in NAMES[2:4]]


def test_the_cloud_client(peer, workdir):
    client = called(workdir, "barman-cloud-wal-archive")
    env = {**os.environ, **peer.environment(), "HOME": str(workdir)}
    codes = []
    for seed in (0, 0, 1):
        source = make_wal(workdir, NAMES[0], seed=seed)
        codes.append(execute([client, "--endpoint-url", f"http://{HOST}", "s3://bucket/p", "main",
                              source], env=env).returncode)
    assert codes == [0, 0, 1]
    assert peer.methods()[0] == "PUT"  # and nothing before it
    assert peer.objects[key_of(NAMES[0], "")][0] == wal_bytes(NAMES[0])
