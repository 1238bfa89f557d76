# SPDX-License-Identifier: PostgreSQL
"""Google's S3-compatible interface with HMAC keys, in memory: the objects are httppeer's, the rest is
what Google documents of its XML interface and people have seen of it.

Every request must carry a signature of Google's V4 signing process, which is computed here anew from
what came over the wire, with nothing of src/. Headers of Amazon beside Google's are refused,
If-None-Match is not heeded, and x-goog-if-generation-match is, except where parts are put together.
"""

import hashlib
import hmac
import re
import urllib.parse

from buckettool import SECRET
from httppeer import S3Peer, error

ACCESS = "GOOG1EWALDEN"
HOST = "storage.googleapis.com"
AUTHORIZATION = re.compile(
    r"GOOG4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/storage/goog4_request,"
    r"SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})")


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_request(request, names):
    """The request as the signature covers it; names: of the signed headers, in order."""
    url = urllib.parse.urlsplit(request.target)
    query = sorted((quote(name), quote(value)) for name, value in request.query.items())
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    return "\n".join([
        request.method, url.path, "&".join(f"{name}={value}" for name, value in query), headers,
        ";".join(names), request.headers["x-goog-content-sha256"]])


def signature(request, day, region, names):
    digest = hashlib.sha256(canonical_request(request, names).encode()).hexdigest()
    scope = f"{day}/{region}/storage/goog4_request"
    text = f"GOOG4-HMAC-SHA256\n{request.headers['x-goog-date']}\n{scope}\n{digest}"
    key = ("GOOG4" + SECRET).encode()
    for step in (day, region, "storage", "goog4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class GooglePeer(S3Peer):
    """Reached as an HTTP proxy on the way to HOST: environment() makes it one."""

    def environment(self):
        return {"http_proxy": self.url, "no_proxy": "", "AWS_ACCESS_KEY_ID": ACCESS,
                "AWS_SECRET_ACCESS_KEY": SECRET}

    def serve(self, request):
        return self._refusal(request) or super().serve(request)

    def _refusal(self, request):
        """Why the request is not let in, or None."""
        names = request.headers
        if {name[:6] for name in names if name.startswith(("x-amz-", "x-goog-"))} != {"x-goog"}:
            return error(400, "ExcessHeaderValues",
                         "Requests cannot specify both x-amz and x-goog headers.")
        found = AUTHORIZATION.fullmatch(names.get("authorization", ""))
        if not found or names.get("host") != HOST or found[1] != ACCESS:
            return error(403, "AccessDenied")
        signed = found[4].split(";")
        must = {"host", *(name for name in names if name.startswith("x-goog-"))}
        wrong = signed != sorted(signed) or not must <= set(signed)
        if wrong or found[5] != signature(request, found[2], found[3], signed):
            return error(403, "SignatureDoesNotMatch")
        if hashlib.sha256(request.body).hexdigest() != names["x-goog-content-sha256"]:
            return error(400, "XGoogContentSHA256Mismatch")
        return None

    def _put(self, request, key):
        if request.headers.get("x-goog-if-generation-match") == "0" and key in self.objects:
            return error(412, "PreconditionFailed")
        kept = {name: value for name, value in request.headers.items()
                if name.startswith("x-goog-meta-") or name == "x-goog-storage-class"}
        return self._store(key, request.body, kept)

    def _part(self, request, key):
        if "uploads" in request.query and "x-goog-if-generation-match" in request.headers:
            return error(400, "NotImplemented")
        return super()._part(request, key)
