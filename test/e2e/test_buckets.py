# SPDX-License-Identifier: PostgreSQL
"""What every provider of src/cloud/ does in the same way, against its server: Azure's own emulator,
and our fake of Google's."""

import hashlib
import random

import pytest

KEYS = ["main/wals/0000000100000000/000000010000000000000001.gz", "a b+c&d=e%20f?g#h", "é/ü.zst",
        "semi;colon'quote(1)!~*", "a..b/c-_d"]
PART = 256 * 1024
IMPATIENT = {"idle_ms": 1500, "total_ms": 20_000}


@pytest.fixture(params=["azure", "google"])
def empty(request):
    """A store whose bucket is not there yet."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def store(empty):
    assert empty("create") == "done"
    yield empty
    assert empty.server.faults == []  # each was met


@pytest.fixture
def make(workdir):
    """make(SIZE): a new file of so many bytes, and their SHA-256."""
    seeds = iter(range(1000))

    def made(size):
        seed = next(seeds)
        data = random.Random(seed).randbytes(size)
        path = workdir / f"file-{seed}"
        path.write_bytes(data)
        return path, hashlib.sha256(data).hexdigest()

    return made


def content(store, key, workdir):
    """What is under the key."""
    path = workdir / "fetched"
    assert store("get", key, path) == "done"
    return path.read_bytes()


def test_a_bucket_is_looked_for_and_made(empty):
    assert empty("check") == "missing"
    assert empty("create") == "done"
    assert empty("create") == "done"
    assert empty("check") == "done"
    assert empty.keys() == []


def test_a_missing_bucket_is_not_a_missing_object(empty, make, workdir):
    file, _ = make(10)
    for command in (("head", "key"), ("get", "key", workdir / "out"), ("list",), ("rm", "key"),
                    ("put", "key", file)):
        assert empty(*command).startswith("failed config:"), command
    assert empty.run("put", "big", make(2 * PART)[0], part=PART).outcome.startswith("failed config:")


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_what_is_put_is_got(store, make, workdir, size):
    file, sha256 = make(size)
    assert store.run("put", "key", file, sha256)[:2] == ("done", [f"size {size}"])
    got = store.run("get", "key", workdir / "out")
    assert got.outcome == "done" and (workdir / "out").read_bytes() == file.read_bytes()
    head = store.run("head", "key")
    assert head.lines == got.lines and head.lines[0].split()[0] == str(size)
    assert head.lines[0].split()[2:] == [sha256, "key"]


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 3 * PART - 1])
def test_larger_objects_go_in_parts(store, make, workdir, size):
    file, sha256 = make(size)
    assert store.run("put", "key", file, sha256, part=PART)[:2] == ("done", [f"size {size}"])
    assert content(store, "key", workdir) == file.read_bytes()
    assert store("put", "key", make(size)[0], part=PART) == "exists"
    assert content(store, "key", workdir) == file.read_bytes()


def test_an_object_is_never_replaced_unless_asked_for(store, make, workdir):
    first, second = make(1000)[0], make(2000)[0]
    assert store("put", "key", first) == "done"
    assert store("put", "key", second) == "exists"
    assert content(store, "key", workdir) == first.read_bytes()
    assert store("put", "key", second, replace=1) == "done"
    assert content(store, "key", workdir) == second.read_bytes()
    large = make(PART + 100)[0]
    assert store("put", "key", large, replace=1, part=PART) == "done"
    assert content(store, "key", workdir) == large.read_bytes()


def test_any_key_will_do(store, make, workdir):
    for key in KEYS:
        file, _ = make(100)
        assert store("put", key, file) == "done", key
        assert content(store, key, workdir) == file.read_bytes(), key
    assert store.keys() == sorted(KEYS, key=str.encode)
    assert store("rm", *KEYS) == "done"
    assert store.keys() == []


def test_missing_is_said_of_what_is_missing(store, workdir):
    assert store("head", "key") == "missing"
    assert store("get", "key", workdir / "out") == "missing"
    assert store.run("rm", "key", "other") == ("done", [], "")


def test_listings_have_pages(store, make):
    names = [f"wals/{n:02}" for n in range(8)]
    for name in [*names, "other", "wals0"]:
        assert store("put", name, make(3)[0]) == "done"
    store.small_pages()
    assert store.keys("wals/") == names
    assert store.keys("wals/", "wals/04") == names[5:]
    assert store.keys("wals/", "wals/045") == names[5:]
    assert store.keys() == ["other", *names, "wals0"]
    assert store.keys("none") == []
    pages = [line for line in store.server.requests if line.startswith("GET")]
    assert len(pages) >= 3 + 2


def test_busy_stores_are_asked_again(store, make, workdir):
    file, _ = make(1000)
    for status in (503, 429):
        store.server.fail(store.one_put, "status", status)
    assert store("put", "key", file) == "done"
    store.server.fail("GET", "status", 503)
    store.server.fail("GET", "reset")
    assert content(store, "key", workdir) == file.read_bytes()
    store.server.fail("(HEAD|GET)", "status", 503)
    assert store("head", "key") == "done"
    store.server.fail("DELETE", "status", 503)
    assert store("rm", "key") == "done"


def test_patience_has_an_end(store, make, workdir):
    file, _ = make(1000)
    store.server.fail(store.one_put, "status", 503, times=2)
    assert store("put", "key", file, retries=1).startswith("failed io:")
    assert store("head", "key") == "missing"
    store.server.fail("GET", "stall")
    assert store("get", "key", workdir / "out", retries=-1, **IMPATIENT).startswith(
        "failed timeout:")


def test_an_answer_that_is_lost_is_not_done(store, make, workdir):
    """The object is there, but was it us? The caller compares."""
    file, _ = make(1000)
    store.server.fail(store.one_put, "lost")
    assert store("put", "key", file) == "exists"
    assert content(store, "key", workdir) == file.read_bytes()


def test_parts_survive_broken_connections(store, make, workdir):
    file, _ = make(3 * PART + 5)
    for kind, value in (("reset", None), ("lost", None), ("status", 503)):
        store.server.fail(store.pieces, kind, value)
    assert store("put", "key", file, part=PART) == "done"
    assert content(store, "key", workdir) == file.read_bytes()


def test_an_upload_that_fails_leaves_nothing_to_be_seen(store, make):
    store.server.fail(store.pieces, "status", 403)
    assert store("put", "key", make(2 * PART)[0], part=PART).startswith("failed config:")
    assert store("head", "key") == "missing"
    assert store.keys() == []


def test_a_download_goes_on_where_it_broke(store, make, workdir):
    file, _ = make(100_000)
    assert store("put", "key", file) == "done"
    store.server.fail("GET", "cut", 60_000)
    store.server.fail("GET", "cut", 10_000)
    assert content(store, "key", workdir) == file.read_bytes()


def test_a_download_never_mixes_two_objects(store, make, workdir):
    assert store("put", "key", make(100_000)[0]) == "done"
    other, _ = make(100_000)

    def replace():
        assert store("put", "key", other, replace=1) == "done"

    store.server.fail("GET", "after", replace)
    store.server.fail("GET", "cut", 50_000)
    outcome = store("get", "key", workdir / "out")
    assert outcome.startswith("failed io:"), outcome


@pytest.mark.parametrize("size", [1000, 2 * PART], ids=["whole", "in parts"])
def test_what_changed_on_the_way_is_not_done(store, make, workdir, size):
    file, _ = make(size)
    assert store("put", "key", file, part=PART) == "done"
    store.server.fail("GET", "corrupt")
    outcome = store("get", "key", workdir / "out")
    assert outcome.startswith("failed ") and "what came has the " in outcome
    assert content(store, "key", workdir) == file.read_bytes()


def test_only_the_store_itself_says_missing(store, make, workdir):
    """Something between us and the store knows nothing of it."""
    assert store("put", "key", make(1000)[0]) == "done"
    for command in (("head", "key"), ("get", "key", workdir / "out"), ("rm", "key")):
        store.server.fail(".*/key", "status", 404)
        assert store(*command).startswith("failed "), command
    assert store.keys() == ["key"]


def test_an_object_that_goes_away_is_not_missing_from_its_middle_on(store, make, workdir):
    assert store("put", "key", make(100_000)[0]) == "done"
    store.server.fail("GET", "after", lambda: store("rm", "key"))
    store.server.fail("GET", "cut", 50_000)
    assert store("get", "key", workdir / "out").startswith("failed ")
    assert store("get", "key", workdir / "out") == "missing"


def test_what_is_refused_says_why(store, make):
    store.server.fail("GET", "status", 403)
    outcome = store("list")
    assert outcome.startswith(f"failed config: list '{store.name}") and "403" in outcome
