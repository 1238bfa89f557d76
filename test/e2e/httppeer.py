# SPDX-License-Identifier: PostgreSQL
"""A scripted HTTP server: it answers what the test told it to, and misbehaves as told.

Peer.then(Answer(...), ...) queues answers for the next requests; when none is left, the peer's own
`serve` answers. S3Peer's is a small store in memory, which checks no signature: Ceph and Swift do
that in other tests.
"""

import dataclasses
import hashlib
import http.server
import socket
import ssl
import struct
import threading
import urllib.parse
from email.utils import formatdate
from xml.sax.saxutils import escape, unescape


@dataclasses.dataclass
class Request:
    method: str
    path: str  # decoded
    query: dict
    headers: dict  # names in lower case
    body: bytes
    target: str = ""  # path and query as they came


@dataclasses.dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    length: int = None  # what Content-Length says, if not the truth
    cut: int = None  # the connection is reset after so many bytes of the body
    stall: int = None  # nothing more comes after so many bytes of the body
    hang_up: bool = False  # reset without a byte
    serve_first: bool = False  # the request is carried out; only what is answered is this


def error(status, code, message="as the test told me", **headers):
    """S3's way to say no."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {k.replace("_", "-"): v for k, v in headers.items()})


class Peer:
    def __init__(self, certificate=None):
        self.requests = []
        self.connections = 0
        self.script = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def then(self, *answers):
        """For the next requests. None: the usual answer; a function gets the request."""
        with self.lock:
            self.script += answers
        return self

    def always(self, answer):
        """From now on, whatever is asked."""
        self.serve = lambda request: answer

    def serve(self, request):
        return Answer(404)

    def methods(self):
        return [request.method for request in self.requests]

    def answer(self, request):
        with self.lock:
            self.requests.append(request)
            told = self.script.pop(0) if self.script else None
            if callable(told):
                told = told(request)
            usual = self.serve(request) if told is None or told.serve_first else None
        if told is None:
            return usual
        if told.serve_first and not told.hang_up and not told.body and told.status == 200:
            told = dataclasses.replace(  # the usual answer, badly delivered
                usual, length=told.length, cut=told.cut, stall=told.stall,
                headers={**usual.headers, **told.headers},
            )
        return told

    def _handler(peer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with peer.lock:
                    peer.connections += 1

            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(
                    self.command, urllib.parse.unquote(url.path), query, headers, body, self.path
                )
                self._send(peer.answer(request))

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

            def _send(self, answer):
                if answer.hang_up:
                    return self._reset()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not any(name.lower() == "content-length" for name in answer.headers):
                    length = len(answer.body) if answer.length is None else answer.length
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "HEAD":
                    return None
                end = min(x for x in (answer.cut, answer.stall, len(answer.body)) if x is not None)
                self.wfile.write(answer.body[:end])
                self.wfile.flush()
                if answer.stall is not None:
                    peer.closing.wait(60)
                if answer.cut is not None:
                    return self._reset()
                if answer.length is not None:
                    self.close_connection = True
                return None

            def _reset(self):
                self.close_connection = True
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.connection.close()
                self.wfile = open("/dev/null", "wb")

            def log_message(self, *args):
                pass

        return Handler


class S3Peer(Peer):
    """One bucket, "bucket", of objects: key -> (contents, headers)."""

    def __init__(self, **options):
        super().__init__(**options)
        self.objects = {}
        self.parts = {}

    def serve(self, request):
        bucket, _, key = request.path.lstrip("/").partition("/")
        if bucket != "bucket":
            return error(404, "NoSuchBucket")
        if not key:
            return self._remove(request) if request.method == "POST" else self._list(request)
        if request.method == "POST" or "uploadId" in request.query:
            return self._part(request, key)
        return getattr(self, "_" + request.method.lower())(request, key)

    def _put(self, request, key):
        if request.headers.get("if-none-match") == "*" and key in self.objects:
            return error(412, "PreconditionFailed")
        kept = {n: v for n, v in request.headers.items() if n.startswith("x-amz-meta-")}
        return self._store(key, request.body, kept)

    def _store(self, key, body, headers):
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        changed = formatdate(usegmt=True)
        self.objects[key] = (body, {"ETag": etag, "Last-Modified": changed, **headers})
        return Answer(200, headers={"ETag": etag})

    def _get(self, request, key):
        if key not in self.objects:
            return error(404, "NoSuchKey")
        body, headers = self.objects[key]
        if request.headers.get("if-match", headers["ETag"]) != headers["ETag"]:
            return error(412, "PreconditionFailed")
        first, _, last = request.headers.get("range", "").removeprefix("bytes=").partition("-")
        if not first:
            return Answer(200, body, headers)
        end = int(last) + 1 if last else len(body)
        content = f"bytes {first}-{end - 1}/{len(body)}"
        return Answer(206, body[int(first) : end], {**headers, "Content-Range": content})

    def _head(self, request, key):
        if key not in self.objects:
            return Answer(404)
        body, headers = self.objects[key]
        return Answer(200, b"", {**headers, "Content-Length": str(len(body))})

    def _delete(self, request, key):
        self.objects.pop(key, None)
        return Answer(204)

    def _part(self, request, key):
        if "uploads" in request.query:
            self.parts = {}
            return xml("<InitiateMultipartUploadResult><UploadId>U 1</UploadId>"
                       "</InitiateMultipartUploadResult>")
        if request.query["uploadId"] != "U 1" or self.parts is None:
            return error(404, "NoSuchUpload")
        if request.method == "DELETE":
            self.parts = None
            return Answer(204)
        if request.method == "PUT":
            self.parts[int(request.query["partNumber"])] = request.body
            return Answer(200, headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})
        whole = b"".join(body for _, body in sorted(self.parts.items()))
        digests = b"".join(hashlib.md5(body).digest() for _, body in sorted(self.parts.items()))
        etag = f'"{hashlib.md5(digests).hexdigest()}-{len(self.parts)}"'
        self._store(key, whole, {"ETag": etag})
        self.parts = None
        return xml(f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag>"
                   "</CompleteMultipartUploadResult>")

    def _list(self, request):
        start = request.query.get("continuation-token", request.query.get("start-after", ""))
        keys = [k for k in sorted(self.objects)
                if k.startswith(request.query.get("prefix", "")) and k > start]
        page = keys[: int(request.query.get("max-keys", 2))]
        more = len(page) < len(keys)
        entries = "".join(listed(key, len(self.objects[key][0])) for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return listing(entries, more, token)

    def _remove(self, request):
        keys = [unescape(part.partition("</Key>")[0])
                for part in request.body.decode().split("<Key>")[1:]]
        for key in keys:
            self.objects.pop(key, None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return xml(f"<DeleteResult>{gone}</DeleteResult>")


def xml(text):
    return Answer(200, text.encode(), {"Content-Type": "application/xml"})


def listed(key, size=1):
    """Quoted as Amazon does: a space is a plus. (Ceph and Swift write %20.)"""
    quoted = urllib.parse.quote_plus(key, safe="/")
    return (f"<Contents><Key>{quoted}</Key><Size>{size}</Size>"
            "<LastModified>2026-11-21T13:11:33.000Z</LastModified></Contents>")


def listing(entries, more=False, token=""):
    return xml("<ListBucketResult><EncodingType>url</EncodingType>"
               f"<IsTruncated>{str(more).lower()}</IsTruncated>{entries}{token}</ListBucketResult>")
