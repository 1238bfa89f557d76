# SPDX-License-Identifier: PostgreSQL
"""Where keys for S3 come from that are not written down: metadata services, roles, web identities; and
what becomes of those that expire. By scripted peers."""

import hashlib
import hmac
import json
import os
import time
import urllib.parse

from buckettool import SECRET
from httppeer import Answer, Peer, error, xml

DATA = os.urandom(300_000)
MB = 1 << 20


def in_seconds(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def keys(name, expires=3600):
    return json.dumps({
        "Code": "Success", "AccessKeyId": name, "SecretAccessKey": SECRET, "Token": f"token-{name}",
        "Expiration": in_seconds(expires)}).encode()


def without_keys(tool):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        tool.env.pop(name, None)


def users(peer):
    """Who made each request."""
    return [request.headers["authorization"].split("Credential=")[1].split("/")[0]
            for request in peer.requests]


class Machine(Peer):
    """EC2's metadata service, version 2, with these keys one after the other."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def serve(self, request):
        if request.path == "/latest/api/token":
            assert request.method == "PUT"
            return Answer(200, b"session-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "session-token":
            return Answer(401)
        if request.path == "/latest/meta-data/iam/security-credentials/":
            return Answer(200, b"our-role")
        assert request.path == "/latest/meta-data/iam/security-credentials/our-role"
        return Answer(200, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def on_machine(tool, machine):
    without_keys(tool)
    tool.env["AWS_EC2_METADATA_DISABLED"] = "false"
    tool.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = machine.url


def test_machine(peer, tool):
    with Machine(keys("ASIA1")) as machine:
        on_machine(tool, machine)
        assert tool.put("k", DATA * 40, part=5 * MB) == "done"
        assert set(users(peer)) == {"ASIA1"}
        assert peer.requests[0].headers["x-amz-security-token"] == "token-ASIA1"
        assert "x-amz-security-token" in peer.requests[0].headers["authorization"]
        assert len(machine.requests) == 3  # asked once


def test_expired_in_between(peer, tool):
    with Machine(keys("ASIA1"), keys("ASIA2")) as machine:
        on_machine(tool, machine)
        peer.then(error(400, "ExpiredToken"))
        assert tool.put("k", DATA) == "done"
        assert users(peer) == ["ASIA1", "ASIA2"]


def test_expires_soon(peer, tool):
    with Machine(keys("ASIA1", expires=-5), keys("ASIA2")) as machine:
        on_machine(tool, machine)
        assert tool.put("k", DATA * 40, part=5 * MB) == "done"
        assert users(peer) == ["ASIA1"] + ["ASIA2"] * 6


def test_expired_and_no_others(peer, tool):
    peer.always(error(400, "ExpiredToken"))
    assert "renew them" in tool.put("k", DATA)
    assert len(peer.requests) == 1  # the environment has no others
    with Machine(keys("ASIA1")) as machine:
        on_machine(tool, machine)
        assert "renew them" in tool.put("k", DATA)
        assert len(peer.requests) == 3


def test_no_machine(peer, tool):
    without_keys(tool)
    said = tool.put("k", DATA)
    assert said.startswith("failed config: write 's3://bucket/k': there are no credentials for S3")
    with Machine(b"") as machine:
        on_machine(tool, machine)
        machine.always(Answer(404))
        assert "there are no credentials for S3" in tool.put("k", DATA)
    assert "there are no credentials for S3" in tool.put("k", DATA)  # nobody listens there
    assert peer.requests == []


def test_container(peer, tool, workdir):
    with Peer() as container:
        container.then(Answer(200, keys("ASIA3")), Answer(403), Answer(200, b"{}"))
        without_keys(tool)
        (workdir / "token").write_text("let-me-in")
        tool.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = container.url + "/v2/creds?id=1"
        tool.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(workdir / "token")
        assert tool.put("k", DATA) == "done"
        assert users(peer) == ["ASIA3"]
        assert container.requests[0].headers["authorization"] == "let-me-in"
        assert container.requests[0].query == {"id": "1"}
        assert "answered with status 403" in tool.put("l", DATA)
        assert "its answer has none" in tool.put("l", DATA)


def granted(name, action="AssumeRoleWithWebIdentity"):
    return xml(
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"<Credentials><AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
        f"<SessionToken>t4</SessionToken><Expiration>{in_seconds(3600)}</Expiration></Credentials>"
        f"</{action}Result></{action}Response>")


def signature(request, secret):
    """What Amazon would compute for a POST of a form."""
    scope = request.headers["authorization"].split("/", 1)[1].split(",")[0]
    names = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    lines = "".join(f"{name}:{request.headers[name]}\n" for name in names.split(";"))
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{request.path}\n\n{lines}\n{names}\n{body}"
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for step in [*scope.split("/"), text]:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key.hex()


def test_role(peer, tool, workdir):
    (workdir / ".aws").mkdir()
    (workdir / ".aws/config").write_text(
        "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = basesecret\n"
        "[profile wal]\nrole_arn = arn:aws:iam::1:role/wal\nsource_profile = base\n"
        "external_id = e x\nregion = eu-west-1\n")
    without_keys(tool)
    with Peer() as tokens:
        tool.env["AWS_ENDPOINT_URL_STS"] = tokens.url
        tokens.then(granted("ASIA5", "AssumeRole"), Answer(403))
        assert tool.put("k", DATA, profile="wal") == "done"
        assert users(peer) == ["ASIA5"]
        asked = tokens.requests[0]
        assert asked.body == (b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A"
                              b"role%2Fwal&RoleSessionName=walden&ExternalId=e%20x")
        assert "Credential=AKIABASE/" in asked.headers["authorization"]
        assert "/eu-west-1/sts/aws4_request" in asked.headers["authorization"]
        assert asked.headers["authorization"].endswith(signature(asked, "basesecret"))
        assert "whose keys ask for it" in tool.put("l", DATA, profile="wal")


def test_web_identity(peer, tool, workdir):
    with Peer() as tokens:
        tokens.then(Answer(500), granted("ASIA4"), Answer(403, b"<no/>"))
        without_keys(tool)
        (workdir / "token").write_text("eyJhbGci+/=\n")
        tool.env |= {"AWS_WEB_IDENTITY_TOKEN_FILE": str(workdir / "token"),
                     "AWS_ROLE_ARN": "arn:aws:iam::1:role/wal", "AWS_ENDPOINT_URL_STS": tokens.url}
        assert tool.put("k", DATA) == "done"
        assert users(peer) == ["ASIA4"]
        assert tokens.requests[1].body == (
            b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A"
            b"role%2Fwal&RoleSessionName=walden&WebIdentityToken=eyJhbGci%2B%2F%3D")
        said = tool.put("l", DATA)
        assert "status 403" in said and "trusts the identity" in said and "eyJ" not in said


def test_order_of_roles(peer, tool, workdir):
    """A profile that is named by an option counts for more than the identity in the environment; so
    does a role that the profile of AWS_PROFILE asks for with other keys, but not its mere keys."""
    (workdir / ".aws").mkdir()
    (workdir / ".aws/credentials").write_text(
        f"[wal]\naws_access_key_id = AKIAWAL\naws_secret_access_key = {SECRET}\n"
        "[role]\nrole_arn = arn:aws:iam::1:role/wal\nsource_profile = wal\n"
        f"[own]\nrole_arn = arn:aws:iam::1:role/own\nweb_identity_token_file = {workdir}/own\n"
        "role_session_name = mine\n")
    (workdir / "pod").write_text("pod\n")
    (workdir / "own").write_text("own\n")
    without_keys(tool)

    def role(request):
        asked = dict(urllib.parse.parse_qsl(request.body.decode()))
        who = [asked.get("WebIdentityToken", "keys"), asked["RoleSessionName"], asked["RoleArn"][-3:]]
        return granted("-".join(who), asked["Action"])

    with Peer() as tokens:
        tokens.serve = role
        tool.env |= {"AWS_WEB_IDENTITY_TOKEN_FILE": str(workdir / "pod"),
                     "AWS_ROLE_ARN": "arn:aws:iam::1:role/pod", "AWS_ENDPOINT_URL_STS": tokens.url}
        cases = [
            ("wal", None, "AKIAWAL"), ("role", None, "keys-walden-wal"),
            ("own", None, "own-mine-own"), (None, None, "pod-walden-pod"),
            (None, "wal", "pod-walden-pod"), (None, "role", "keys-walden-wal"),
            (None, "own", "pod-mine-pod")]
        for option, variable, who in cases:
            tool.env["AWS_PROFILE"] = variable or ""
            assert tool("list", "", profile=option)[-1] == "done"
            assert users(peer)[-1] == who, (option, variable)
