# SPDX-License-Identifier: PostgreSQL
"""Azure's own: who is let in and how, and what of an upload only Azure has."""

import base64
import json
import random
import re
import time
import urllib.parse

import pytest

from azurite import ACCOUNT, KEY, Azurite, account_sas, blob, connection_string
from httpfaults import FaultyHandler, FaultyServer
from shared import shared
from stores import AzureStore, Store

PART = 256 * 1024
OTHER_KEY = base64.b64encode(b"another secret").decode()


@pytest.fixture
def file(workdir):
    path = workdir / "file"
    path.write_bytes(random.Random(1).randbytes(1000))
    return path


def works(store, file):
    assert store("create") == "done"
    assert store("put", "a b", file) == "done"
    assert store("put", "a b", file) == "exists"
    assert store("put", "parts", file, part=400) == "done"
    assert store("head", "a b") == "done"
    assert store("get", "a b", file.with_suffix(".got")) == "done"
    assert file.with_suffix(".got").read_bytes() == file.read_bytes()
    assert store.keys() == ["a b", "parts"]
    assert store("rm", "a b", "parts") == "done"
    assert store("check") == "done"


def refused(store, *command, **options):
    """Why; and nobody learns the credentials."""
    result = store.run(*command, **options)
    assert result.outcome.startswith("failed config:"), result
    said = result.outcome + result.err
    for secret in (KEY, OTHER_KEY, "sig=", "Bearer"):
        assert secret not in said
    return result.outcome


@pytest.mark.parametrize("way", [
    {"AZURE_STORAGE_KEY": KEY},
    {"AZURE_STORAGE_SAS_TOKEN": account_sas()},
    {"AZURE_STORAGE_SAS_TOKEN": f"?{account_sas()}", "AZURE_STORAGE_KEY": OTHER_KEY},
], ids=["key", "sas", "sas before key"])
def test_ways_in(azurite, file, way):
    store = AzureStore(azurite, **way)
    works(store, file)
    store.server.close()


def test_a_connection_string_names_the_endpoint(azure, file):
    container = azure.url.rpartition("/")[2]
    for url in (f"azure://{ACCOUNT}/{container}/a/b/",
                f"https://{ACCOUNT}.blob.core.windows.net/{container}/a/b"):
        assert azure.run("open", url=url).lines == [f"{azure.name} a/b"]
        assert azure.run("create", url=url).outcome == "done"
    works(azure, file)


def test_urls_that_name_nothing(azure):
    for url in ("azure://account", "https://account.blob.core.windows.net/", "http://host/account"):
        assert "no account or no container" in refused(azure, "open", url=url)


@pytest.mark.parametrize("way, why", [
    ({"AZURE_STORAGE_KEY": OTHER_KEY}, "403"),
    ({"AZURE_STORAGE_KEY": "not base64"}, "base64"),
    ({"AZURE_STORAGE_SAS_TOKEN": account_sas(seconds=-60)}, "403"),
    ({"AZURE_STORAGE_SAS_TOKEN": account_sas(key=OTHER_KEY)}, "403"),
    ({"AZURE_STORAGE_SAS_TOKEN": account_sas("l")}, "403"),
    ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a"}, "AZURE_STORAGE_CONNECTION_STRING"),
], ids=["other key", "no key", "expired", "forged", "for listing only", "incomplete"])
def test_who_is_not_let_in(azurite, azure, file, way, why):
    assert azure("create") == "done"
    store = AzureStore(azurite, **way)
    url = azure.url.replace(azure.server.url, store.server.url)
    for command in (("put", "key", file), ("get", "key", file.with_suffix(".got")), ("head", "key"),
                    ("rm", "key")):
        assert why in refused(store, *command, url=url), command
    store.server.close()


@pytest.mark.parametrize("part", [400, 2000], ids=["in parts", "whole"])
def test_what_goes_with_a_blob(azure, file, part):
    assert azure("create") == "done"
    sha256 = "a1" * 32
    words = [f"part={part}", "tag=server=main", "tag=a b=c/d=e", "class=Cool"]
    azure.options += words
    assert azure("put", "key", file, sha256) == "done"
    headers, _ = blob(azure, "key")
    assert headers["x-ms-meta-waldensha256"] == sha256
    assert headers["x-ms-access-tier"] == "Cool"
    assert headers["Content-Type"] == "application/octet-stream"
    _, tags = blob(azure, "key", "GET", "comp=tags")
    assert dict(re.findall("<Key>(.*?)</Key><Value>(.*?)</Value>", tags)) == {
        "server": "main", "a b": "c/d=e"}
    sent = [headers for headers in azure.server.headers if headers.get("Content-MD5")]
    assert len(sent) == (4 if part == 400 else 1)  # three blocks and their list


def test_an_encryption_scope_is_named(azure, file):
    assert azure("create") == "done"
    azure("put", "key", file, kms="my-scope")
    assert azure.server.headers[-1]["x-ms-encryption-scope"] == "my-scope"


def test_two_uploads_of_one_name_never_mix(azure, workdir):
    """Their blocks lie in one heap, and the second is through while the first is under way."""
    first, second = workdir / "first", workdir / "second"
    first.write_bytes(b"1" * (2 * PART + 1))
    second.write_bytes(b"2" * (3 * PART))
    assert azure("create") == "done"
    azure.server.fail(
        azure.pieces, "after", lambda: azure("put", "key", second, part=PART))
    assert azure("put", "key", first, part=PART) == "exists"
    assert azure("get", "key", workdir / "got") == "done"
    assert (workdir / "got").read_bytes() == second.read_bytes()


def test_a_blob_in_use_stays_and_the_others_go(azure, file):
    assert azure("create") == "done"
    for key in ("a", "key", "z"):
        assert azure("put", key, file) == "done"
    blob(azure, "key", "PUT", "comp=lease", **{
        "x-ms-lease-action": "acquire", "x-ms-lease-duration": "60", "Content-Length": "0"})
    result = azure.run("rm", "a", "key", "z")
    assert result.outcome == "done" and len(result.lines) == 1
    assert result.lines[0].startswith("kept key: ") and "412" in result.lines[0]
    assert azure.keys() == ["key"]


def jwt(seconds=3600):
    """Azurite looks at audience and time of a token, not at its signature."""
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/" + "1" * 36 + "/",
              "nbf": now - 60, "iat": now - 60, "exp": now + seconds, "ver": "1.0"}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"sig"])


class Identities(FaultyServer):
    """Entra ID and the metadata service of a machine; `asked` are (path, parameters, headers)."""

    def __init__(self):
        super().__init__(IdentityHandler)
        self.asked = []


class IdentityHandler(FaultyHandler):
    def serve(self):
        path, _, query = self.path.partition("?")
        form = dict(urllib.parse.parse_qsl(query or self.body.decode()))
        self.server.owner.asked.append((path, form, self.headers))
        # A number here, a text there: both are met.
        content = {"access_token": jwt(), "expires_in": "3599" if self.command == "GET" else 3599}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


@pytest.fixture
def identities():
    server = Identities()
    yield server
    server.close()


@pytest.fixture(scope="session")
def secure():
    """Tokens are taken over TLS only."""
    with shared("azurite-tls", lambda path: Azurite(path, tls=True)) as server:
        yield server


@pytest.fixture
def by_token(secure, identities, workdir):
    """by_token(VARIABLE=...): a store, whose server is that of the identities."""
    def made(**env):
        return Store(identities, f"{secure.url}/{workdir.name.replace('_', '0').lower()}",
                     [f"ca={secure.certificate}"], **env)

    return made


def test_the_identity_of_the_machine(by_token, identities, file):
    store = by_token(AZURE_POD_IDENTITY_AUTHORITY_HOST=identities.url, AZURE_CLIENT_ID="mine")
    works(store, file)
    path, form, headers = identities.asked[0]
    assert path == "/metadata/identity/oauth2/token" and headers["Metadata"] == "true"
    assert form["resource"] == "https://storage.azure.com/" and form["client_id"] == "mine"
    store.options.append("credential=managed-identity")
    store.env["AZURE_STORAGE_KEY"] = OTHER_KEY  # an explicit word comes first
    assert store("check") == "done"


def test_the_identity_of_a_service(by_token, identities):
    store = by_token(IDENTITY_ENDPOINT=f"{identities.url}/msi", IDENTITY_HEADER="secret-1")
    assert store("check") == "missing"
    path, form, headers = identities.asked[0]
    assert path == "/msi" and headers["X-IDENTITY-HEADER"] == "secret-1"
    assert form["resource"] == "https://storage.azure.com/"


@pytest.mark.parametrize("how", ["workload", "secret"])
def test_the_identity_of_an_application(by_token, identities, file, workdir, how):
    (workdir / "token").write_text("from-kubernetes\n")
    env = {"AZURE_FEDERATED_TOKEN_FILE": workdir / "token"}
    if how == "secret":
        env = {"AZURE_CLIENT_SECRET": "s/e=c&t"}
    store = by_token(AZURE_AUTHORITY_HOST=f"{identities.url}/", AZURE_TENANT_ID="tenant-1",
                     AZURE_CLIENT_ID="client-1", **env)
    works(store, file)
    path, form, _ = identities.asked[0]
    assert path == "/tenant-1/oauth2/v2.0/token"
    assert form["client_id"] == "client-1" and form["scope"] == "https://storage.azure.com/.default"
    assert form.get("client_assertion") == ("from-kubernetes" if how == "workload" else None)
    assert form.get("client_secret") == ("s/e=c&t" if how == "secret" else None)


def test_whoever_logged_in_with_az(by_token, workdir):
    az = workdir / "az"
    az.write_text(f"#!/bin/sh\necho \"$@\" >{workdir}/said\n"
                  f"echo '{json.dumps({'accessToken': jwt(), 'expires_on': int(time.time()) + 3600})}'\n")
    az.chmod(0o755)
    store = by_token(PATH=f"{workdir}:/usr/bin:/bin")
    store.options.append("credential=azure-cli")
    assert store("check") == "missing"
    assert "--resource https://storage.azure.com/" in (workdir / "said").read_text()
    az.write_text("#!/bin/sh\necho 'Please run az login' >&2\nexit 1\n")
    assert "Please run az login" in refused(store, "check")


def test_tokens_are_asked_for_again_when_busy(by_token, identities):
    store = by_token(AZURE_POD_IDENTITY_AUTHORITY_HOST=identities.url)
    identities.fail("GET /metadata", "status", 429)
    identities.fail("GET /metadata", "status", 503)
    assert store("check") == "missing"
    assert len(identities.asked) == 1


def test_nobody_gives_a_token(by_token, workdir):
    store = by_token(AZURE_POD_IDENTITY_AUTHORITY_HOST="http://127.0.0.1:1", PATH=workdir)
    outcome = refused(store, "check")
    assert "no credentials" in outcome and "AZURE_STORAGE_CONNECTION_STRING" in outcome


def test_a_strangers_certificate_is_refused(secure):
    store = Store(None, f"{secure.url}/container",
                  AZURE_STORAGE_CONNECTION_STRING=connection_string(secure.url))
    assert "certificate" in refused(store, "check")
