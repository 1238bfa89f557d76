# SPDX-License-Identifier: PostgreSQL
"""What an object store and the way to it may do to us, by a scripted peer."""

import base64
import hashlib
import os
import signal
import subprocess
import time

import pytest

from buckettool import Tool
from httppeer import Answer, Peer, S3Peer, error, listed, listing, xml
from support import started, wait_for

DATA = os.urandom(300_000)
MB = 1 << 20
MUCH = DATA * 6


def slow_down(after="1"):
    return error(503, "SlowDown", Retry_After=after)


# -- trying again


def test_storm_of_503(peer, tool):
    peer.then(slow_down(), slow_down())
    begin = time.monotonic()
    assert tool.put("k", DATA) == "done"
    assert time.monotonic() - begin >= 2  # as asked for
    assert peer.methods() == ["PUT"] * 3
    assert peer.objects["k"][0] == DATA
    dates = [request.headers["authorization"] for request in peer.requests]
    assert len(set(dates)) > 1  # signed anew


def test_gives_up(peer, tool):
    peer.always(error(503, "SlowDown"))
    said = tool.put("k", DATA, retries=1)
    assert said.startswith("failed io: write 's3://bucket/k': SlowDown: as the test told me")
    assert "after 2 tries" in said
    assert len(peer.requests) == 2


def test_waits_no_longer_than_it_may(peer, tool):
    peer.always(slow_down("3600"))
    assert "SlowDown" in tool.put("k", DATA, total_ms=20000)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 405, 409])
def test_a_refusal_is_final(peer, tool, status):
    peer.always(error(status, "Whatever"))
    assert "Whatever" in tool.put("k", DATA)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("code", ["RequestTimeout", "OperationAborted"])
def test_refusals_that_pass(peer, tool, code):
    peer.then(error(400, code))
    assert tool.put("k", DATA) == "done"


def test_nobody_listens(tool, peer, workdir):
    peer.__exit__()
    said = Tool(peer.url, workdir, retries=1).put("k", DATA)
    assert said.startswith("failed io: write 's3://bucket/k': ") and "connect" in said


def test_connection_breaks_before_the_answer(peer, tool):
    peer.then(Answer(hang_up=True))
    assert tool.put("k", DATA) == "done"
    assert len(peer.requests) >= 2


# -- silence


def test_silent_store(peer, tool):
    peer.always(Answer(body=DATA, stall=0, length=5))
    said = tool.get("k", idle_ms=200, retries=-1)
    assert said.startswith("failed timeout: read 's3://bucket/k': no answer, not a byte in 0.2")


def test_total_deadline(peer, tool):
    peer.always(Answer(body=DATA, stall=0, length=5))
    said = tool.get("k", idle_ms=60000, total_ms=500)
    assert said.startswith("failed timeout: read 's3://bucket/k': not done within its time")
    assert len(peer.requests) == 1


def test_told_to_stop(peer, tool):
    peer.always(Answer(body=DATA, stall=0, length=5))
    with started(tool.command("get", "k", "/dev/null"), env=tool.env, text=True) as process:
        wait_for(lambda: peer.requests, what="the request")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert out.startswith("failed stopped: read 's3://bucket/k'")


# -- downloads


def test_goes_on_where_it_broke(peer, tool):
    peer.objects["k"] = (DATA, {"ETag": '"one"'})
    peer.then(Answer(serve_first=True, cut=100_000), Answer(serve_first=True, cut=50_000),
              Answer(serve_first=True, stall=1000))
    assert tool.get("k", idle_ms=300) == DATA
    first, *later = peer.requests
    assert "range" not in first.headers
    assert len(later) == 3
    assert all(request.headers["if-match"] == '"one"' for request in later)
    starts = [int(request.headers["range"][6:-1]) for request in later]
    assert starts == sorted(starts) and starts[-1] > 0


def test_too_long_a_length(peer, tool):
    peer.objects["k"] = (DATA, {"ETag": '"one"'})
    peer.then(Answer(serve_first=True, length=len(DATA) + 7))
    peer.always(error(416, "InvalidRange"))
    assert tool.get("k").startswith("failed ")


def test_another_object_on_the_way(peer, tool):
    peer.objects["k"] = (DATA, {"ETag": '"one"'})
    peer.then(Answer(serve_first=True, cut=100_000))
    peer.then(lambda request: peer.objects.update(k=(DATA[::-1], {"ETag": '"two"'})))
    assert tool.get("k") == "failed io: read 's3://bucket/k': it was replaced on the way ()"


def test_range_ignored(peer, tool):
    peer.objects["k"] = (DATA, {"ETag": '"one"'})
    peer.then(Answer(serve_first=True, cut=100_000))
    peer.then(Answer(200, DATA, {"ETag": '"one"'}))
    assert "does not continue where the connection broke" in tool.get("k")


def test_damaged_on_the_way(peer, tool):
    tool.put("k", DATA)
    body, headers = peer.objects["k"]
    peer.objects["k"] = (body[:-1] + b"\0" * (body[-1] != 0) + b"\1" * (body[-1] == 0), headers)
    said = tool.get("k")
    assert said.startswith("failed data: ") and "what came has the MD5" in said


def test_missing_and_unknown_are_different(peer, tool):
    assert tool.get("none") == "missing"
    assert tool("head", "none") == ["missing"]
    for answer in (Answer(404, b"<html>no such page</html>"), Answer(404),
                   error(404, "NoSuchBucket"), error(404, "NoSuchWebsite")):
        peer.always(answer)
        assert tool.get("none").startswith("failed ")
        assert tool("head", "none")[-1].startswith("failed ")


# -- uploads


def test_taken(peer, tool):
    assert tool.put("k", DATA) == "done"
    assert tool.put("k", DATA[1:]) == "exists"
    assert peer.objects["k"][0] == DATA
    assert tool.put("k", b"new", replace=1) == "done"
    assert peer.objects["k"][0] == b"new"


def test_lost_answer(peer, tool):
    peer.then(Answer(serve_first=True, hang_up=True))
    assert tool.put("k", DATA) == "exists"
    assert peer.objects["k"][0] == DATA


def test_store_has_something_else(peer, tool):
    wrong = {"ETag": '"00000000000000000000000000000000"'}
    peer.then(Answer(serve_first=True, headers=wrong))
    said = tool.put("k", DATA)
    assert said.startswith("failed io: ") and "the MD5 00000000000000000000000000000000" in said
    assert peer.objects == {}  # so that it can be tried again


def test_store_has_something_else_instead_of_much(peer, tool):
    peer.then(Answer(serve_first=True, headers={"ETag": '"00000000000000000000000000000000"'}))
    assert "the MD5 00000000000000000000000000000000" in tool.put("k", MUCH)
    assert peer.objects == {}


def test_md5_ahead_only_where_it_is_wanted(peer, tool):
    """Under a lock some stores want the header; of much it is made while the body is on its way."""
    assert tool.put("k", MUCH) == "done"
    assert "content-md5" not in peer.requests[0].headers
    wanted = error(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for "
                   "Put Object requests with Object Lock parameters")
    peer.then(wanted)
    assert tool.put("l", MUCH) == "done"
    sent = [request.headers.get("content-md5") for request in peer.requests]
    assert sent == [None, None, base64.b64encode(hashlib.md5(MUCH).digest()).decode()]
    assert peer.objects["l"][0] == MUCH
    peer.always(wanted)
    assert "InvalidRequest" in tool.put("m", MUCH)
    assert len(peer.requests) == 5


def test_checksum_goes_ahead(peer, tool):
    """... what stores take instead, but for those that do not know it."""
    assert tool.put("k", MUCH) == "done"
    sent = peer.requests[0].headers
    assert sent["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(MUCH).digest()).decode()
    assert "x-amz-checksum-sha256" in sent["authorization"]
    peer.then(error(501, "NotImplemented", "Header 'x-amz-checksum-sha256' is not implemented"))
    assert tool.put("l", MUCH) == "done"
    sent = peer.requests[-1].headers
    assert "x-amz-checksum-sha256" not in sent and sent["content-md5"]


def test_damaged_and_not_removable(peer, tool):
    peer.then(Answer(serve_first=True, headers={"ETag": '"00000000000000000000000000000000"'}),
              error(403, "AccessDenied"))
    assert "it could not be removed: do so by hand" in tool.put("k", MUCH)


def test_no_conditions(peer, tool):
    not_here = error(501, "NotImplemented")
    peer.then(not_here)
    assert tool.put("k", DATA) == "done"
    assert tool.log.count("knows no conditional requests") == 1
    assert peer.methods() == ["PUT", "HEAD", "PUT"]
    peer.then(not_here)
    assert tool.put("k", DATA[1:]) == "exists"
    assert peer.objects["k"][0] == DATA


def without_conditions(peer, then=None):
    """A store that knows none; then(request) answers what is left to it, or None for as usual."""
    serve = peer.serve

    def old(request):
        if "if-none-match" in request.headers:
            return error(501, "NotImplemented")
        return (then and then(request)) or serve(request)

    peer.serve = old


def busy_once(peer, key, method):
    """... and is busy at the first try, in which time somebody else writes there."""
    tries = []

    def busy(request):
        if request.method == method and "uploads" not in request.query:
            tries.append(request)
            if len(tries) == 1:
                peer._store(key, b"theirs", {})
                return slow_down("0")
        return None

    return busy


def test_no_conditions_and_another_writer(peer, tool):
    """What must not replace anything looks before each try, not before the first alone."""
    without_conditions(peer, busy_once(peer, "k", "PUT"))
    assert tool.put("k", DATA) == "exists"
    assert peer.methods() == ["PUT", "HEAD", "PUT", "HEAD"]
    assert peer.objects["k"][0] == b"theirs"
    peer.requests.clear()
    assert tool.put("k", DATA, replace=1) == "done"
    assert peer.methods() == ["PUT"]


def test_no_conditions_and_a_lost_answer(peer, tool):
    peer.then(error(501, "NotImplemented"), None, Answer(serve_first=True, hang_up=True))
    assert tool.put("k", DATA) == "exists", "it may be ours: whoever asked compares"
    assert peer.objects["k"][0] == DATA and peer.methods().count("PUT") == 2


@pytest.mark.parametrize("known", [True, False], ids=["ignored", "unknown"])
def test_parts_and_another_writer(peer, tool, known):
    """The same when the parts are put together; some stores ignore the condition there."""
    busy, serve = busy_once(peer, "k", "POST"), peer.serve
    if known:
        peer.serve = lambda request: busy(request) or serve(request)
    else:
        without_conditions(peer, busy)
    assert tool.put("k", DATA * 40, part=5 * MB) == "exists"
    assert peer.objects["k"][0] == b"theirs"
    assert peer.methods()[-1] == "DELETE" and peer.parts is None


def test_parts(peer, tool):
    big = DATA * 40
    assert tool("put", "k", tool.file("in", big), part=5 * MB) == [f"size {len(big)}", "done"]
    assert peer.objects["k"][0] == big
    assert tool.get("k") == big
    # start, three parts, look, finish, look; the last to be sure
    assert peer.methods()[:-1] == ["POST", "PUT", "PUT", "PUT", "HEAD", "POST", "HEAD"]
    assert peer.connections == 2  # one for each program
    assert tool.put("k", big, part=5 * MB) == "exists"
    assert peer.methods()[-1] == "DELETE" and peer.parts is None


def test_failed_part_leaves_nothing(peer, tool):
    peer.then(None, None, error(403, "AccessDenied"))
    assert "AccessDenied" in tool.put("k", DATA * 40, part=5 * MB)
    assert peer.methods() == ["POST", "PUT", "PUT", "DELETE"]
    assert peer.parts is None and peer.objects == {}


def test_stopped_between_parts(peer, tool):
    peer.then(None, None, Answer(200, DATA, stall=0))
    tool.file("in", DATA * 40)
    with started(tool.command("put", "k", tool.file("in"), part=5 * MB), env=tool.env,
                 text=True) as process:
        wait_for(lambda: len(peer.requests) == 3, timeout=60, what="the second part")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert out.startswith("failed stopped: write 's3://bucket/k'")
    assert peer.methods()[-1] == "DELETE" and peer.parts is None


def test_damaged_part(peer, tool):
    wrong = {"ETag": '"00000000000000000000000000000000"'}
    peer.then(None, Answer(serve_first=True, headers=wrong))
    assert "has part 1 with the MD5 0000" in tool.put("k", DATA * 40, part=5 * MB)
    assert peer.methods()[-1] == "DELETE"


def test_finish_that_fails_with_200(peer, tool):
    failed = error(200, "InternalError")
    peer.then(None, None, None, None, None, failed)
    assert tool.put("k", DATA * 40, part=5 * MB) == "done"
    assert peer.objects["k"][0] == DATA * 40
    peer.objects.clear()
    peer.then(None, None, None, None, None, error(200, "MalformedXML"))
    assert "MalformedXML" in tool.put("k", DATA * 40, part=5 * MB)


def test_finish_whose_answer_is_lost(peer, tool):
    peer.then(None, None, None, None, None, Answer(serve_first=True, hang_up=True))
    assert tool.put("k", DATA * 40, part=5 * MB) == "done"
    assert peer.objects["k"][0] == DATA * 40


def test_finish_of_less(peer, tool):
    def lose_one(request):
        del peer.parts[2]
    peer.then(None, None, None, None, None, lose_one)
    assert "bytes of" in tool.put("k", DATA * 40, part=5 * MB)


# -- listings


def fill(peer, count=5):
    for i in range(count):
        peer.objects[f"p/{i} +&<é"] = (b"x" * i, {"ETag": '"e"'})
    return sorted(peer.objects)


def test_pages(peer, tool):
    keys = fill(peer)
    assert tool.list("p/") == keys
    assert len(peer.requests) == 3
    assert tool.list("p/", keys[2]) == keys[3:]
    assert tool.list("q/") == []


@pytest.mark.parametrize("page, reason", [
    (listing(listed("p/1"), more=True), "does not say where it goes on"),
    (xml("<ListBucketResult><Contents><Key>p/1</Key></Contents></ListBucketResult>"),
     "does not say whether it is complete"),
    (xml("<html></html>"), "does not say whether it is complete"),
    (Answer(200, listing(listed("p/1")).body[:-20]), "no whole XML"),
    (Answer(200, b""), "no whole XML"),
    (listing(listed("p/2") + listed("p/1")), "does not belong behind 'p/2'"),
    (listing(listed("q/1")), "the key 'q/1' does not belong"),
    (listing(listed("p/1", size="many")), "the size 'many'"),
])
def test_odd_listings(peer, tool, page, reason):
    peer.always(page)
    last = tool("list", "p/", retries=-1)[-1]
    assert last.startswith("failed ") and reason in last


def test_listing_in_circles(peer, tool):
    token = "<NextContinuationToken>t</NextContinuationToken>"
    peer.always(listing(listed("p/1"), True, token))
    assert "does not belong behind 'p/1'" in tool("list", "p/")[-1]
    peer.always(listing("", True, token))
    assert "the same page again" in tool("list", "p/")[-1]


def test_listing_without_end(peer, tool):
    """Ever new tokens and nothing behind them; a few empty pages are no matter."""
    def page(entries=""):
        token = f"<NextContinuationToken>{len(peer.requests)}</NextContinuationToken>"
        return listing(entries, True, token)

    peer.serve = lambda request: page()
    assert "pages without an object" in tool("list", "p/")[-1]
    peer.requests.clear()
    peer.serve = lambda request: (
        listing("") if len(peer.requests) > 40 else
        page(listed(f"p/{len(peer.requests)}") if len(peer.requests) % 20 == 0 else ""))
    assert tool.list("p/") == ["p/20", "p/40"]


def test_listing_cut_by_the_connection(peer, tool):
    keys = fill(peer)
    peer.then(Answer(serve_first=True, cut=60))
    assert tool.list("p/") == keys


# -- removal


def test_removal(peer, tool):
    keys = fill(peer)
    assert tool("rm", *keys[:3], "p/none") == ["done"]
    assert sorted(peer.objects) == keys[3:]
    assert peer.requests[0].headers["content-md5"]


def test_removal_refused_for_some(peer, tool):
    peer.always(xml(
        "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
        "<Message>locked</Message></Error><Error><Key>c</Key><Code>NoSuchKey</Code></Error>"
        "</DeleteResult>"))
    assert tool("rm", "a", "b", "c", "d") == [
        "kept b: AccessDenied: locked", "kept d: the store says nothing about it", "done"]


def test_removal_one_by_one(peer, tool):
    keys = fill(peer)
    peer.then(error(501, "NotImplemented"), None, error(403, "AccessDenied"))
    lines = tool("rm", *keys)
    assert [line[:9] for line in lines] == [f"kept {keys[1]}"[:9], "done"]
    assert "AccessDenied" in lines[0]
    assert list(peer.objects) == [keys[1]]


def test_removal_fails(peer, tool):
    peer.always(error(200, "AccessDenied"))
    assert "AccessDenied" in tool("rm", "a", "b")[-1]
    peer.always(Answer(200, b"<DeleteResult><Deleted>"))
    assert tool("rm", "a", "b")[-1].startswith("failed ")


# -- what a person can do about it


@pytest.mark.parametrize("status, code, advice", [
    (403, "RequestTimeTooSkewed", "set this machine's clock right"),
    (400, "ExpiredToken", "the credentials have expired; renew them"),
    (403, "InvalidAccessKeyId", "check the access key; is it one of this store?"),
    (403, "SignatureDoesNotMatch", "check the secret key"),
    (403, "AccessDenied", "the policies of user and bucket do not allow this"),
    (404, "NoSuchBucket", "create the bucket, or check its name and the endpoint"),
])
def test_advice(peer, tool, status, code, advice):
    peer.always(error(status, code))
    said = tool.put("k", DATA)
    assert said.startswith(f"failed config: write 's3://bucket/k': {code}")
    assert said.endswith(f"({advice})")


def test_moved_to_where_nothing_is_read_from(peer, tool):
    """Another object may be read: this says nothing of credentials, or of the store."""
    peer.always(error(403, "InvalidObjectState"))
    said = tool.get("k")
    assert said.startswith("failed unsupported: read 's3://bucket/k': InvalidObjectState")
    assert said.endswith("restore it there first)")


def test_redirections_are_not_followed(peer, tool):
    with Peer() as other:
        peer.then(error(307, "TemporaryRedirect", Location=f"{other.url}/bucket/k"))
        assert "redirections are not followed" in tool.put("k", DATA)
        assert other.requests == []


def test_another_region(peer, tool):
    peer.then(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-9"))
    assert tool.put("k", DATA) == "done"
    assert "/eu-west-9/s3/" in peer.requests[1].headers["authorization"]
    peer.then(Answer(400, headers={"x-amz-bucket-region": "eu-west-9"}))
    assert tool("head", "k")[-1] == "done"
    elsewhere = error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-9")
    peer.then(elsewhere, elsewhere)
    assert tool.put("l", DATA).endswith("(the bucket is in the region eu-west-9)")
    peer.then(error(301, "PermanentRedirect", x_amz_bucket_region="evil.example.com/"))
    assert tool.put("l", DATA).startswith("failed config: ")


# -- certificates


@pytest.fixture
def certificate(workdir):
    def make(name, alternative):
        path = workdir / f"{name}.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName={alternative}", "-keyout", workdir / "key", "-out", path],
            check=True, capture_output=True)
        path.write_text(path.read_text() + (workdir / "key").read_text())
        return path
    return make


def test_certificates(certificate, workdir):
    good, other = certificate("good", "IP:127.0.0.1"), certificate("other", "DNS:elsewhere")
    with S3Peer(certificate=good) as peer:
        tool = Tool(peer.url, workdir)
        assert tool.put("k", DATA, ca=good) == "done"
        for ca in (None, other):
            said = tool.put("l", DATA, ca=ca)
            assert said.startswith("failed config: write 's3://bucket/l': the server's certificate "
                                   "is not accepted")
        tool.env["AWS_CA_BUNDLE"] = str(good)
        assert tool.put("l", DATA) == "done"
        assert "CA file" in tool.put("m", DATA, ca=workdir / "none")
    with S3Peer(certificate=other) as peer:  # known, but not for this host
        said = Tool(peer.url, workdir).put("k", DATA, ca=other)
        assert "certificate is not accepted" in said
        assert peer.requests == []
