# SPDX-License-Identifier: PostgreSQL
"""src/cloud/ against real stores: Ceph's gateway, and Swift, which is strict where Ceph is lax."""

import concurrent.futures
import hashlib
import itertools
import json
import os
import re

import pytest

from buckettool import Tool
from objectstore import Ceph
from support import started

MB = 1 << 20
DATA = os.urandom(3 * MB)
SHA256 = hashlib.sha256(DATA).hexdigest()
ODD = ["a b", "a+b", "a&b=c", "a%2Fb", "a'\"<>`", "é€", "~*!()", "x//y", "../up", "tab\there", "a:b@c,d;e"]

_numbers = itertools.count(1)


@pytest.fixture(params=["ceph", "swift"])
def store(request):
    return request.getfixturevalue(request.param)


def open_bucket(store, directory, endpoint=None, **options):
    """A Tool for a new bucket."""
    tool = Tool(endpoint or store.url, directory, f"wal-{os.getpid()}-{next(_numbers)}",
                store.access_key, **options)
    assert tool("create") == ["done"]
    return tool


def test_everything(store, workdir):
    """One after the other, since Swift should be started once only."""
    tool = open_bucket(store, workdir)
    assert tool("check") == ["done"]
    assert tool("create") == ["done"]
    round_trip(tool)
    odd_keys(tool)
    parts(tool)
    refusals(store, tool)


def round_trip(tool):
    assert tool.put("p/small", DATA, SHA256) == "done"
    assert tool.put("p/small", DATA[1:]) == "exists"
    assert re.match(rf"{len(DATA)} \d{{10}} {SHA256} p/small$", tool("head", "p/small")[0])
    assert tool.get("p/small") == DATA
    assert tool.put("p/empty", b"") == "done"
    assert tool("head", "p/empty")[0].startswith("0 ")
    assert tool.get("p/empty") == b""
    assert tool.get("p/none") == "missing"
    assert tool("head", "p/none") == ["missing"]
    assert tool.put("p/empty", b"no longer", replace=1) == "done"
    assert tool.get("p/empty") == b"no longer"
    assert tool("rm", "p/small", "p/empty", "p/none") == ["done"]
    assert tool("rm", "p/none") == ["done"]
    assert tool.list() == []


def odd_keys(tool):
    for key in ODD:
        assert tool.put(f"o/{key}", key.encode()) == "done"
    for key in ODD:
        assert tool.get(f"o/{key}") == key.encode()
    assert tool.list("o/") == sorted((f"o/{key}" for key in ODD), key=str.encode)
    assert tool.list("o/a", "o/a+b") == [k for k in tool.list("o/a") if k > "o/a+b"]
    assert tool("rm", *(f"o/{key}" for key in ODD)) == ["done"]
    assert tool.list("o/") == []


def parts(tool):
    big = DATA * 4
    assert tool("put", "big", tool.file("in", big), part=5 * MB) == [f"size {len(big)}", "done"]
    assert tool.get("big") == big
    assert tool.put("big", big[1:], part=5 * MB) == "exists"
    assert tool.put("big", big[::-1], part=5 * MB, replace=1) == "done"
    assert tool.get("big") == big[::-1]


def refusals(store, tool):
    stranger = Tool(store.url, tool.directory, "wal-there-is-no-such", store.access_key)
    assert stranger("check") == ["missing"]
    for words in (("head", "k"), ("list",), ("rm", "k", "l")):
        assert "NoSuchBucket" in stranger(*words)[-1]
    assert stranger.get("k").startswith("failed config: read 's3://wal-there-is-no-such/k'")
    assert "NoSuchBucket" in stranger.put("k", DATA)
    wrong = Tool(store.url, tool.directory, tool.url[5:], store.access_key)
    wrong.env["AWS_SECRET_ACCESS_KEY"] = "not-the-one"
    for words in (("check",), ("list",), ("get", "big", "/dev/null")):
        said = wrong(*words)[-1]
        assert said.startswith("failed config: ") and "SignatureDoesNotMatch" in said
        assert said.endswith("(check the secret key)")


def test_wrong_region(swift, workdir):
    tool = Tool(swift.url, workdir, access_key=swift.access_key, region="eu-west-9")
    assert tool("check") == ["missing"]
    assert "the bucket is in the region us-east-1, not in eu-west-9" in tool.log


def test_google_region(ceph, workdir):
    tool = open_bucket(ceph, workdir, region="auto")
    assert tool.put("k", DATA) == "done"


def test_race(ceph, workdir):
    tool = open_bucket(ceph, workdir)
    for i in range(8):
        tool.file(f"in{i}", bytes([i]) * MB)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda i: tool("put", "k", tool.file(f"in{i}"))[-1], range(8)))
    assert sorted(said) == ["done"] + ["exists"] * 7
    assert tool.get("k") == bytes([said.index("done")]) * MB


def attributes(ceph, tool, key):
    said = ceph.run("radosgw-admin", "object", "stat", f"--bucket={tool.url[5:]}", f"--object={key}")
    return json.loads(said, strict=False)["attrs"]


def test_options(ceph, workdir):
    (workdir / "key").write_bytes(b"k" * 32)
    tool = open_bucket(ceph, workdir)
    assert tool.put("class", DATA, **{"class": "STANDARD_IA"}) == "done"
    assert attributes(ceph, tool, "class")["user.rgw.storage_class"].startswith("STANDARD_IA")
    assert "InvalidArgument" in tool.put("other", DATA, **{"class": "NO_SUCH"})
    assert tool.put("tags", DATA, tag="team=db & wal") == "done"
    assert "user.rgw.x-amz-tagging" in attributes(ceph, tool, "tags")
    for key, options in (("kms", {"encryption": "aws:kms", "kms": "testkey-1"}),
                         ("customer", {"customer": workdir / "key"})):
        for contents in (DATA, DATA * 4):
            name = f"{key}{len(contents)}"
            assert tool.put(name, contents, SHA256, part=5 * MB, **options) == "done"
            assert tool.get(name, **options) == contents
            assert "user.rgw.crypt.mode" in attributes(ceph, tool, name)
            assert tool("head", name, **options)[0].startswith(f"{len(contents)} ")
    assert tool.get(f"customer{len(DATA)}").startswith("failed ")
    assert "failed" in tool.put("k", DATA, encryption="aws:kms", kms="no-such-key")


def test_virtual_style_and_certificate(ceph, workdir):
    tool = open_bucket(ceph, workdir, ca=ceph.ca, addressing="virtual",
                       endpoint=f"https://s3.localhost:{ceph.secure_port}")
    assert tool.put("d/a b", DATA) == "done"
    assert tool.get("d/a b") == DATA
    assert tool.list() == ["d/a b"]
    for bad in ({"ca": None}, {"endpoint": f"https://elsewhere.localhost:{ceph.secure_port}"}):
        assert "certificate is not accepted" in tool.get("d/a b", **bad)


def test_gateway_that_dies(workdir):
    with Ceph(workdir / "ceph") as ceph:
        tool = open_bucket(ceph, workdir)
        tool.file("in", DATA)
        ceph.daemons["rgw"].kill()
        ceph.daemons["rgw"].wait()
        with started(tool.command("put", "k", tool.file("in"), retries=100), env=tool.env,
                     text=True) as process:
            ceph.start_gateway()
            out, _ = process.communicate(timeout=120)
        assert out.splitlines()[-1] == "done"
        assert tool.get("k") == DATA
