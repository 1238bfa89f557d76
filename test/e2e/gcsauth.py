# SPDX-License-Identifier: PostgreSQL
"""Who Google's stores let in: the credentials of accounts, the token endpoint that takes them, the
tokens that it gave."""

import base64
import functools
import json
import secrets
import subprocess
import time

ACCOUNT = "archiver@project.iam.gserviceaccount.com"
CLIENT, CLIENT_SECRET, REFRESH_TOKEN = "client-1", "client-secret-1", "refresh-1"
SCOPES = {f"https://www.googleapis.com/auth/{scope}" for scope in (
    "cloud-platform", "devstorage.full_control", "devstorage.read_write")}


class Refused(Exception):
    """An answer that is an error, as Google words it."""

    def __init__(self, status, reason, message=None, **headers):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers
        self.message = message or f"refused: {reason}"


def openssl(*words, text=None):
    return subprocess.run(["openssl", *words], input=text, check=True, capture_output=True).stdout


@functools.cache
def key_pair():
    """The service account's, in PEM: made once, it takes its time."""
    private = openssl("genrsa", "2048")
    return private, openssl("rsa", "-pubout", text=private)


class Accounts:
    """One service account with a key of its own, and one person. The token endpoint is at `url`."""

    def __init__(self, directory, url, seconds):
        self.directory, self.url, self.seconds = directory, url, seconds
        self.tokens = {}
        self.key, self.public_key = directory / "gcs-key.pem", directory / "gcs-public.pem"
        for path, text in zip((self.key, self.public_key), key_pair()):
            path.write_bytes(text)

    def service_account(self, **changes):
        """Writes the credentials of the service account; the path."""
        return self._write("service-account.json", {
            "type": "service_account", "client_email": ACCOUNT, "private_key_id": "key-1",
            "private_key": self.key.read_text(), "token_uri": self.url, "project_id": "project-1",
            **changes})

    def authorized_user(self, **changes):
        """Writes those of the person."""
        return self._write("authorized-user.json", {
            "type": "authorized_user", "client_id": CLIENT, "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN, "token_uri": self.url, **changes})

    def _write(self, name, contents):
        path = self.directory / name
        path.write_text(json.dumps(contents))
        return path

    def issue(self):
        token = secrets.token_urlsafe(24)
        self.tokens[token] = time.time() + self.seconds
        return {"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"}

    def admit(self, authorization):
        kind, _, token = (authorization or "").partition(" ")
        if kind != "Bearer" or self.tokens.get(token, 0) < time.time():
            raise Refused(401, "authError")

    def answer(self, form):
        """The answer of the token endpoint."""
        grant = form.get("grant_type")
        if grant == "refresh_token":
            if (form.get("client_id"), form.get("client_secret"), form.get("refresh_token")) != (
                    CLIENT, CLIENT_SECRET, REFRESH_TOKEN):
                raise Refused(400, "invalid_grant")
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            self.check_jwt(form.get("assertion", ""))
        else:
            raise Refused(400, "unsupported_grant_type")
        return self.issue()

    def check_jwt(self, assertion):
        def decode(part):
            return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)

        try:
            signed, signature = assertion.rsplit(".", 1)
            header, claims = (json.loads(decode(part)) for part in signed.split("."))
            signature = decode(signature)
        except ValueError as error:
            raise Refused(400, "invalid_request") from error
        now = time.time()
        if not (self.is_signed(signed, signature) and header.get("alg") == "RS256"
                and claims.get("iss") == ACCOUNT and claims.get("aud") == self.url
                and now - 300 < claims.get("iat", 0) < now + 300
                and now < claims.get("exp", 0) <= claims["iat"] + 3600
                and set(claims.get("scope", "").split()) & SCOPES):
            raise Refused(400, "invalid_grant")

    def is_signed(self, text, signature):
        file = self.directory / f"signature-{secrets.token_hex(4)}"
        file.write_bytes(signature)
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", self.public_key, "-signature", file],
            input=text.encode(), check=False, capture_output=True)
        file.unlink()
        return done.returncode == 0
