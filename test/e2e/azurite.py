# SPDX-License-Identifier: PostgreSQL
"""Azurite, Microsoft's own Azure Blob Storage for tests, and a proxy before it that can fail."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import os
import re
import shutil
import socket
import time
import urllib.parse
import urllib.request

import pytest

from home import ROOT
from httpfaults import FaultyHandler, FaultyServer
from objectstore import Server, self_signed
from ports import free_port

ACCOUNT, KEY = "walaccount", base64.b64encode(b"walsecret" * 4).decode()
VERSION = re.search(
    r'"azurite": "([\d.]+)"', (ROOT / "test/servers/azurite/package.json").read_text())[1]


def program():
    """Without it the test fails, or is skipped where that was asked for."""
    path = ROOT / "build-servers" / f"azurite-{VERSION}" / "node_modules/.bin/azurite-blob"
    if not path.exists():
        reason = f"Azurite {VERSION} is not in build-servers/"
        if os.environ.get("WALDEN_OFFLINE"):
            pytest.skip(f"{reason}, and ./dev test --offline fetches nothing")
        pytest.fail(f"{reason}: ./dev test fetches it, and with --offline goes without")
    if not shutil.which("node"):
        pytest.fail("Azurite needs node: apt-get install nodejs")
    return path


class Azurite(Server):
    """A server of its own, in memory. With `tls` it takes bearer tokens, too, as it does over TLS
    only; `certificate` is its own authority."""

    def __init__(self, directory, tls=False):
        super().__init__(directory)
        self.scheme, self.certificate = "https" if tls else "http", self.directory / "cert.pem"
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{self.scheme}://{self.host}/{ACCOUNT}"

    def start(self):
        command = [program(), "--inMemoryPersistence", "--silent", "--disableTelemetry",
                   "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", self.port]
        if self.scheme == "https":
            key = self_signed(self.directory).with_name("key.pem")
            command += ["--oauth", "basic", "--cert", self.certificate, "--key", key]
        self.daemon("azurite", *command)
        self.wait("azurite", self.listens)

    def listens(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def environment(self):
        return {**super().environment(), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}


def connection_string(url, key=KEY):
    return f"AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={url};"


def account_sas(permissions="rwdlacxt", seconds=3600, key=KEY):
    """A signature for the whole account, as its owner makes one."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    fields = [ACCOUNT, permissions, "b", "sco", "", ends, "", "", "2021-12-02", "", ""]
    mac = hmac.new(base64.b64decode(key), "\n".join(fields).encode(), hashlib.sha256)
    return urllib.parse.urlencode({
        "sv": "2021-12-02", "ss": "b", "srt": "sco", "sp": permissions, "se": ends,
        "sig": base64.b64encode(mac.digest()).decode()})


def blob(store, key, method="HEAD", query="", data=None, **headers):
    """(headers, text) that the store answers to its owner's own request."""
    request = urllib.request.Request(
        f"{store.url}/{key}?{query}&{account_sas()}", method=method, data=data,
        headers={"x-ms-version": "2021-12-02", **headers})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as got:
        return got.headers, got.read().decode()


class AzureProxy(FaultyServer):
    """Passes on to the server what comes, but for pages of listings, which it can make smaller:
    with a SAS the query is not signed."""

    def __init__(self, azurite):
        super().__init__(Handler)
        self.target, self.page = azurite.host, None
        self.headers = []  # of all requests
        self.endpoint = f"{self.url}/{ACCOUNT}"


class Handler(FaultyHandler):
    def serve(self):
        proxy = self.server.owner
        path = self.path
        if proxy.page:
            path = re.sub(r"maxresults=\d+", f"maxresults={proxy.page}", path)
        proxy.headers.append(dict(self.headers.items()))
        connection = http.client.HTTPConnection(proxy.target, timeout=60)
        connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(self.body or None)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in (
            "connection", "keep-alive", "transfer-encoding")}
        return answer.status, headers, content
