# SPDX-License-Identifier: PostgreSQL
"""An archive in a store that has other bytes than it was given, or does not hand them out: nothing
good is removed, rejected or called missing for that. By a scripted peer."""

import json

import pytest

from httppeer import Answer, S3Peer, error, xml
from wal import make_wal, segment_names, wal_bytes

NAMES = segment_names(4000, 8)
NAME = NAMES[0]


@pytest.fixture
def archive(home, peer, monkeypatch):
    """A Home with its archive there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "walaccess")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    home.configure(wals_directory="s3://bucket", cloud_endpoint_url=peer.url, restore_deadline=1)
    home.catalog = home.directory / "xlogdb" / "main-xlog.db"
    return home


def key(name):
    return f"main/wals/{name[:16]}/{name}"


def put(home, *names, **kw):
    for name in names:
        make_wal(home.incoming, name, **kw)
    return home.archive()


def bad_write(peer, *more):
    """The next object that is written is another than was sent; then what `more` says."""
    serve, answers = peer.serve, list(more)

    def damaging(request):
        if request.method == "PUT" and not peer.objects:
            request.body = request.body[:-1] + b"!"
            answer = serve(request)
            return answers.pop(0) if answers else answer
        return serve(request)

    peer.serve = damaging


def heals(home, peer):
    """Once the bad copy is away the file is archived; the catalog has it once."""
    assert home.waiting() == [NAME] and home.rejected() == []
    peer.objects.clear()
    peer.serve = S3Peer.serve.__get__(peer)
    assert home.archive().returncode == 0
    assert home.waiting() == [] and home.names() == [NAME]
    assert home.get(NAME).stdout == wal_bytes(NAME)


def says_damaged(done):
    assert done.returncode == 1
    assert f"the archived copy of '{NAME}' is damaged: it is not what was to be stored" in done.stderr


def test_damaged_and_not_removable(archive, peer):
    """The digest that travels with an object says what was sent, not what is there."""
    bad_write(peer)
    serve = peer.serve
    peer.serve = lambda request: (
        error(403, "AccessDenied") if request.method == "DELETE" else serve(request))
    done = put(archive, NAME)
    assert done.returncode == 1 and "it could not be removed" in done.stderr
    for _ in range(2):
        says_damaged(archive.archive())
    heals(archive, peer)


def test_damaged_and_the_answer_lost(archive, peer):
    """The next try finds the key taken: by what nobody has compared."""
    bad_write(peer, Answer(hang_up=True))
    says_damaged(put(archive, NAME))
    heals(archive, peer)


def test_a_lost_answer_alone(archive, peer):
    peer.then(None, Answer(serve_first=True, hang_up=True))
    assert put(archive, NAME).returncode == 0
    assert archive.waiting() == archive.rejected() == [] and archive.names() == [NAME]


def test_a_duplicate_is_read(archive, peer):
    """... in one request that says where it is, and one that hands it out."""
    put(archive, *NAMES[:2])
    peer.requests.clear()
    assert put(archive, NAME).returncode == 0 and archive.waiting() == []
    assert peer.methods() == ["GET", "GET"]
    assert put(archive, NAME, seed=1).returncode == 1
    assert len(archive.rejected()) == 1


def test_a_good_file_waits_while_the_archived_one_cannot_be_read(archive, peer):
    """By bytes that are not those of its checksum, or by where it was moved to."""
    put(archive, NAME)
    body, headers = peer.objects[key(NAME)]
    peer.objects[key(NAME)] = body[:-1] + b"!", headers
    for _ in range(2):
        done = put(archive, NAME)
        assert done.returncode == 1 and "what came has the MD5" in done.stderr
    peer.objects[key(NAME)] = body, headers
    serve = peer.serve
    peer.serve = lambda request: (
        error(403, "InvalidObjectState") if request.path.endswith(NAME) else serve(request))
    done = archive.archive()
    assert done.returncode == 1 and "restore it there first" in done.stderr
    assert archive.waiting() == [NAME] and archive.rejected() == []
    peer.serve = serve
    assert archive.archive().returncode == 0 and archive.waiting() == []


def test_damaged_on_the_way(archive, peer):
    """Once is no matter; what comes so again is damaged, and not missing."""
    put(archive, NAME)
    body, headers = peer.objects[key(NAME)]
    bad = Answer(200, body[:-1] + b"!", headers)
    peer.then(None, bad)
    got = archive.get(NAME)
    assert got.returncode == 0 and got.stdout == wal_bytes(NAME)
    assert "reading it once more" in archive.log_text()
    peer.then(None, bad, bad)
    got = archive.get(NAME)
    assert got.returncode not in (0, 1) and got.stdout == b""
    assert "what came has the MD5" in got.stderr


def test_some_objects_say_nothing_of_the_store(archive, peer):
    """It goes on being asked for the others."""
    put(archive, *NAMES)
    cold = {f"/bucket/{key(name)}" for name in NAMES[:4]}
    for name in NAMES[4:7]:
        body, headers = peer.objects[key(name)]
        peer.objects[key(name)] = body[:-1] + b"!", headers
    serve = peer.serve
    peer.serve = lambda request: (
        error(403, "InvalidObjectState") if request.path in cold else serve(request))
    done = archive.walden("-f", "json", "verify", "main")
    assert done.returncode != 0 and "not asking" not in done.stdout + done.stderr
    problems = {p["first"]: p for p in json.loads(done.stdout)["main"]["problems"]}
    for name in NAMES[:4]:
        assert "InvalidObjectState" in problems[name]["text"]
    for name in NAMES[4:7]:
        assert problems[name]["kind"] == "damaged" and "the MD5" in problems[name]["text"]
    assert "record at" in problems[NAMES[7]]["text"], "read, and found to be invented"
    assert archive.get(NAMES[7]).stdout == wal_bytes(NAMES[7])
    assert archive.get(NAME).returncode not in (0, 1)


def test_an_answer_without_sense(archive, peer):
    """It is no reason to call the WAL invalid that was being sent."""
    archive.configure(cloud_part_size="5 MiB")
    name = segment_names(100, 1, seg_size=16 << 20)[0]
    peer.then(None, xml("<html>"))
    done = put(archive, name, seg_size=16 << 20)
    assert done.returncode == 1 and "no whole XML" in done.stderr
    assert archive.waiting() == [name] and archive.rejected() == []
    assert archive.archive().returncode == 0
