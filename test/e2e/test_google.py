# SPDX-License-Identifier: PostgreSQL
"""Google's own: who is let in and how, upload sessions, and what goes with an object. Against the
fake, which test_gcs_fake.py keeps honest."""

import random
import time

import pytest

from buckettool import Tool
from gcsauth import REFRESH_TOKEN, openssl
from gcsfake import CHUNK, GcsFake, crc32c, md5
from httppeer import Answer, Peer
from stores import Store


@pytest.fixture
def file(workdir):
    path = workdir / "file"
    path.write_bytes(random.Random(1).randbytes(1000))
    return path


@pytest.fixture
def large(workdir):
    path = workdir / "large"
    path.write_bytes(random.Random(2).randbytes(3 * CHUNK + 100))
    return path


@pytest.fixture
def store(google):
    google.server.buckets["wal"] = {}
    return google


def works(store, file):
    assert store("create") == "done"
    assert store("put", "a b", file) == "done"
    assert store("put", "a b", file) == "exists"
    assert store("get", "a b", file.with_suffix(".got")) == "done"
    assert file.with_suffix(".got").read_bytes() == file.read_bytes()
    assert store.keys() == ["a b"]
    assert store("rm", "a b") == "done"
    assert store("check") == "done"


def tokens_asked_for(server):
    return sum(line.endswith("/token") for line in server.requests)


def test_a_service_account(google, file):
    works(google, file)


def test_a_person_who_logged_in(google, file, workdir):
    """gcloud leaves their credentials where it is looked for them."""
    del google.env["GOOGLE_APPLICATION_CREDENTIALS"]
    google.env["GOOGLE_CLOUD_PROJECT"] = "project-1"
    google.env["CLOUDSDK_CONFIG"] = str(workdir)
    google.server.accounts.authorized_user().rename(
        workdir / "application_default_credentials.json")
    works(google, file)


def test_the_account_of_the_machine(google, file):
    del google.env["GOOGLE_APPLICATION_CREDENTIALS"]
    google.env["GCE_METADATA_HOST"] = google.server.host
    works(google, file)
    assert not any(line.startswith("POST /token") for line in google.server.requests)


def test_an_emulator_gets_no_credentials(workdir, file):
    fake = GcsFake(workdir, anonymous=True)
    store = Store(fake, "gs://wal", STORAGE_EMULATOR_HOST=fake.host, GOOGLE_CLOUD_PROJECT="any",
                  GOOGLE_APPLICATION_CREDENTIALS=fake.accounts.service_account())
    works(store, file)
    assert tokens_asked_for(fake) == 0
    fake.close()


def test_urls(google):
    for url in ("gs://wal/a/b/", "https://console.cloud.google.com/storage/browser/wal/a/b"):
        assert google.run("open", url=url).lines == ["gs://wal a/b"]
    assert "names no bucket" in google("open", url="gs://")


def test_who_is_not_let_in(store, workdir):
    accounts = store.server.accounts
    stranger = workdir / "stranger.pem"
    stranger.write_bytes(openssl("genrsa", "2048"))
    cases = (
        (lambda: accounts.service_account(private_key=stranger.read_text()), "invalid_grant"),
        (lambda: accounts.service_account(private_key="secret-2"), "no RSA key"),
        (lambda: accounts.authorized_user(refresh_token="secret-3"), "invalid_grant"),
        (lambda: accounts.authorized_user(type="external_account"), "external_account"),
        (lambda: workdir / "none", "No such file"),
    )
    for credentials, why in cases:
        store.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(credentials())
        result = store.run("check")
        assert result.outcome.startswith("failed ") and why in result.outcome, result
        for secret in ("secret-", REFRESH_TOKEN, "PRIVATE KEY", "eyJ"):
            assert secret not in result.outcome + result.err


def test_nobody_gives_a_token(google):
    del google.env["GOOGLE_APPLICATION_CREDENTIALS"]
    google.env["GCE_METADATA_HOST"] = "127.0.0.1:1"
    outcome = google("check", retries=-1)
    assert outcome.startswith("failed io:") and "metadata server" in outcome


def test_a_token_is_asked_for_once(store, large):
    assert store("put", "key", large, part=CHUNK) == "done"
    assert tokens_asked_for(store.server) == 1


def test_a_token_that_is_refused_is_replaced_once(store, file):
    for n in range(8):
        assert store("put", f"key-{n}", file) == "done"
    store.small_pages()
    asked = tokens_asked_for(store.server)
    store.server.fail("GET .*/o", "after", store.server.accounts.tokens.clear)
    assert len(store.keys()) == 8
    assert tokens_asked_for(store.server) == asked + 2
    for _ in range(2):
        store.server.fail("GET .*/o", "status", 401)
    assert store("list").startswith("failed config:")


def test_tokens_are_asked_for_again_when_busy(store):
    store.server.fail("POST /token", "status", 503)
    store.server.fail("POST /token", "reset")
    assert store("check") == "done"


@pytest.mark.parametrize("part", [CHUNK, 8 * CHUNK], ids=["in parts", "whole"])
def test_what_goes_with_an_object(store, large, part):
    sha256 = "a1" * 32
    store.options += ["tag=server=main", "tag=a b=c/d=e"]
    assert store("put", "key", large, sha256, part=part, **{"class": "NEARLINE", "kms": "my/key"}) == (
        "done")
    there = store.server.buckets["wal"]["key"]
    tags = {"server": "main", "a b": "c/d=e"}
    assert there["metadata"] == ({**tags, "walden-sha256": sha256} if part > CHUNK else tags)
    assert there["storageClass"] == "NEARLINE"
    assert there["kmsKeyName"].startswith("my/key/")
    assert there["contentType"] == "application/octet-stream"
    data = large.read_bytes()
    if part > CHUNK:
        assert there["sent"]["md5Hash"] == md5(data) and there["sent"]["crc32c"] == crc32c(data)


def test_what_the_store_has_is_compared(store, large, file, monkeypatch):
    """As if it had stored something else and said so."""
    monkeypatch.setattr("gcsfake.crc32c", lambda data: "AAAAAA==")
    assert store("put", "parts", large, part=CHUNK).startswith("failed io:")
    assert store("put", "key", file).startswith("failed config:")  # the checksum that was sent
    monkeypatch.undo()
    monkeypatch.setattr("gcsfake.md5", lambda data: None)
    assert store("put", "composite", large, part=CHUNK) == "done"  # has none, as composed objects
    monkeypatch.undo()
    assert store("put", "good", file) == "done"
    store.server.buckets["wal"]["good"]["crc32c"] = "AAAAAA=="
    assert "CRC-32C" in store("get", "good", file)


def test_a_session_goes_on_where_it_came_to(store, large, workdir):
    """It may have kept less than was sent, or all without having said so."""
    store.server.fail("PUT .*upload_id", "partial", CHUNK)
    store.server.fail("PUT .*upload_id", "lost")
    store.server.fail("PUT .*upload_id", "status", 503)
    assert store("put", "key", large, part=3 * CHUNK) == "done"
    assert store.server.faults == []
    assert store("get", "key", workdir / "got") == "done"
    assert (workdir / "got").read_bytes() == large.read_bytes()


def test_a_session_waits_as_long_as_it_was_told(workdir, large):
    with Peer() as peer:
        came = []

        def serve(request):
            if request.method == "POST":
                return Answer(200, b"{}", {"Location": f"{peer.url}/session"})
            came.append(time.monotonic())
            return Answer(503, b"{}", {"Retry-After": "3"})

        peer.serve = serve
        tool = Tool(None, workdir, scheme="gs", env={"STORAGE_EMULATOR_HOST": peer.url})
        assert "503" in tool("put", "k", large, part=CHUNK, retries=1)[-1]
        assert came[1] - came[0] >= 3


@pytest.fixture
def lister(workdir):
    """lister(PAGE): a tool whose store has no object "k", and answers each listing with the page."""
    with Peer() as peer:
        def tool(page):
            peer.serve = lambda request: Answer(404) if request.path.endswith("/k") else Answer(200, page)
            return Tool(None, workdir, scheme="gs", env={"STORAGE_EMULATOR_HOST": peer.url})

        yield tool


@pytest.mark.parametrize("page", [b"{}", b'{"kind": "storage#bucket"}', b'["storage#objects"]'])
def test_what_is_no_listing(lister, workdir, page):
    """Something on the way that answers with other JSON: nothing is known then."""
    for words in (["list", "p/"], ["head", "k"], ["get", "k", workdir / "out"]):
        assert lister(page)(*words)[-1].startswith("failed "), words


def test_an_empty_page_is_not_the_last(lister):
    page = b'{"kind": "storage#objects", "nextPageToken": "t"}'
    assert lister(page)("head", "k")[-1].startswith("failed io:")
    assert lister(b'{"kind": "storage#objects"}')("head", "k")[-1] == "missing"


def test_a_session_that_is_gone_is_a_failure(store, large):
    store.server.fail("PUT .*upload_id", "after", store.server.sessions.clear)
    outcome = store("put", "key", large, part=CHUNK)
    assert outcome.startswith("failed ") and "404" in outcome
    assert store("head", "key") == "missing"


def test_a_session_that_fails_is_cancelled(store, large):
    store.server.fail("PUT .*upload_id", "status", 400)
    assert store("put", "key", large, part=CHUNK).startswith("failed config:")
    assert store.server.requests[-1].startswith("DELETE ") and store.server.sessions == {}


def test_who_is_first_wins(store, large, file):
    """Another writer is through while our session is open."""
    store.server.fail("PUT .*upload_id", "after", lambda: store("put", "key", file))
    assert store("put", "key", large, part=CHUNK) == "exists"
    assert store.server.buckets["wal"]["key"][""] == file.read_bytes()
    assert store("put", "key", large, part=CHUNK) == "exists"
    assert store("put", "key", large, part=CHUNK, replace=1) == "done"


def test_what_is_held_stays_and_the_others_go(store, file):
    for key in ("a", "key", "z"):
        assert store("put", key, file) == "done"
    store.server.fail("DELETE .*/key", "status", 403)
    result = store.run("rm", "a", "key", "z")
    assert result.outcome == "done" and len(result.lines) == 1
    assert result.lines[0].startswith("kept key: ") and "403" in result.lines[0]
    assert store.keys() == ["key"]
