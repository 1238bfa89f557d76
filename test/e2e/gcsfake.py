# SPDX-License-Identifier: PostgreSQL
"""A fake of Google Cloud Storage: the part of its JSON interface that an archive uses, the token
endpoint of its accounts and the metadata server of its machines. It checks what Google checks (the
signature and the claims of a JWT, tokens, checksums, generations), and can be told to fail.
test_gcs_fake.py drives it with a client that is not ours, so that it stays honest."""

import base64
import email.utils
import hashlib
import json
import re
import secrets
import time
import urllib.parse

from gcsauth import Accounts, Refused
from httpfaults import FaultyHandler, FaultyServer

API = "/storage/v1"
HIDDEN = ("", "seconds", "sent")  # of an object: its bytes, when it came, what came with it
CHUNK = 256 * 1024  # what the pieces of a resumable upload are multiples of


def crc32c_table():
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc


TABLE = list(crc32c_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


class GcsFake(FaultyServer):
    """Beside the faults of httpfaults.py there is one more:
    partial  of a piece of a resumable upload only so many bytes are kept
    """

    def __init__(self, directory, token_seconds=3600, page=1000, anonymous=False):
        super().__init__(Handler)
        self.page, self.anonymous = page, anonymous
        self.buckets, self.sessions = {}, {}
        self.generation = 1000
        self.accounts = Accounts(directory, f"{self.url}/token", token_seconds)

    def store(self, bucket, name, data, query, resource):
        """A new object, if the conditions of the request hold and its checksums are right."""
        with self.lock:
            objects = self.bucket(bucket)
            there = objects.get(name)
            wanted = query.get("ifGenerationMatch")
            if wanted is not None and int(wanted) != (int(there["generation"]) if there else 0):
                raise Refused(412, "conditionNotMet")
            found = {"md5Hash": md5(data), "crc32c": crc32c(data)}
            for kind, value in found.items():
                if resource.get(kind, value) != value:
                    raise Refused(400, "invalid")
            self.generation += 1
            key, now = query.get("kmsKeyName"), time.time()
            objects[name] = {
                "kind": "storage#object", "name": name, "bucket": bucket,
                "generation": str(self.generation), "metageneration": "1",
                "size": str(len(data)), "contentType": resource.get("contentType", "text/plain"),
                "storageClass": resource.get("storageClass", "STANDARD"),
                "timeCreated": stamp(now), "updated": stamp(now), "etag": f"e{self.generation}",
                "metadata": resource.get("metadata", {}), **found,
                "seconds": now, "sent": resource, **({"kmsKeyName": f"{key}/cryptoKeyVersions/1"} if key else {}),
                "mediaLink": f"{self.url}/download{API}/b/{bucket}/o/"
                             f"{urllib.parse.quote(name, safe='')}?alt=media", "": data}
            return objects[name]

    def bucket(self, name):
        if name not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[name]

    def list(self, bucket, query):
        """A page: the token is the last name of the page before, in a wrapping."""
        objects = self.bucket(bucket)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = base64.b64decode(query.get("pageToken", "")).decode()
        items, prefixes, last = [], [], None
        for name in sorted(objects, key=str.encode):
            if (not name.startswith(prefix) or name.encode() < query.get("startOffset", "").encode()
                    or after and name.encode() <= after.encode()):
                continue
            if len(items) + len(prefixes) >= min(self.page, int(query.get("maxResults", 1000))):
                return {"kind": "storage#objects", "items": items, "prefixes": prefixes,
                        "nextPageToken": base64.b64encode(last.encode()).decode()}
            last = name
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                items.append(visible(objects[name]))
            elif name[: cut + 1] not in prefixes:
                prefixes.append(name[: cut + 1])
        found = {"items": items, "prefixes": prefixes}
        return {"kind": "storage#objects", **{key: value for key, value in found.items() if value}}


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime(seconds))


def visible(thing, fields=None):
    """What an answer shows: of the fields that were asked for, "kind,items(name,size)"."""
    shown = {key: value for key, value in thing.items() if key not in HIDDEN}
    if not fields:
        return shown
    inner = dict(re.findall(r"(\w+)\(([^)]*)\)", fields))
    wanted = re.sub(r"\([^)]*\)", "", fields).split(",")
    return {key: [visible(item, inner[key]) for item in value] if key in inner else value
            for key, value in shown.items() if key in wanted}


class Handler(FaultyHandler):
    def refuse(self, status):
        reason = "forbidden" if status == 403 else "rateLimitExceeded"
        return self.refusal(Refused(status, reason, Retry_After="0"))

    def refusal(self, error):
        content = {"error": {"code": error.status, "message": error.message,
                             "errors": [{"reason": error.reason, "domain": "global"}]}}
        if self.path == "/token":
            content = {"error": error.reason, "error_description": "refused"}
        return self.as_json(error.status, content, error.headers)

    def as_json(self, status, content, headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers["Content-Type"] = "application/json; charset=UTF-8"
        return status, headers, content

    def serve(self):
        fake = self.server.owner
        where, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.request_line = f"{self.command} {self.path}"
        try:
            with fake.lock:
                return self.as_json(*self.dispatch(fake, where))
        except Refused as error:
            return self.refusal(error)

    def dispatch(self, fake, where):
        """(status, content, headers) of what is at this path."""
        if where == "/token":
            return 200, fake.accounts.answer(dict(urllib.parse.parse_qsl(self.body.decode()))), {}
        if where.startswith("/computeMetadata/"):
            return self.metadata_server(fake, where)
        session = self.query.get("upload_id")
        if session is None and not fake.anonymous:
            fake.accounts.admit(self.headers.get("Authorization"))
        match = re.fullmatch(rf"(/upload|/download)?{API}/b(?:/([^/]+)(?:/o(?:/([^/]+))?)?)?", where)
        if not match:
            raise Refused(404, "notFound")
        way, bucket, name = (part and urllib.parse.unquote(part) for part in match.groups())
        if way == "/upload":
            return self.upload(fake, bucket, session)
        if bucket is None:
            return self.create(fake)
        if name is not None:
            return self.one(fake, bucket, name)
        found = fake.bucket(bucket)
        if not where.endswith("/o"):
            return 200, {"kind": "storage#bucket", "name": bucket, "objects": len(found)}, {}
        return 200, visible(fake.list(bucket, self.query), self.query.get("fields")), {}

    def metadata_server(self, fake, where):
        if self.headers.get("Metadata-Flavor") != "Google":
            raise Refused(403, "forbidden")
        if where != "/computeMetadata/v1/instance/service-accounts/default/token":
            if where == "/computeMetadata/v1/project/project-id":
                return 200, b"project-1", {"Metadata_Flavor": "Google"}
            raise Refused(404, "notFound")
        return 200, fake.accounts.issue(), {"Metadata_Flavor": "Google"}

    def create(self, fake):
        if not self.query.get("project"):
            raise Refused(400, "required")
        name = json.loads(self.body)["name"]
        if name in fake.buckets:
            raise Refused(409, "conflict")
        fake.buckets[name] = {}
        return 200, {"kind": "storage#bucket", "name": name}, {}

    def one(self, fake, bucket, name):
        objects = fake.bucket(bucket)
        there = objects.get(name)
        wanted = self.query.get("generation")
        if not there or wanted is not None and wanted != there["generation"]:
            raise Refused(404, "notFound", f"No such object: {bucket}/{name}")
        if self.query.get("ifGenerationMatch", there["generation"]) != there["generation"]:
            raise Refused(412, "conditionNotMet")
        if self.command == "DELETE":
            del objects[name]
            return 204, b"", {}
        if self.query.get("alt") != "media":
            return 200, visible(there, self.query.get("fields")), {}
        return self.media(fake, there)

    def media(self, fake, there):
        data, status = there[""], 200
        headers = {"X_Goog_Hash": f"crc32c={there['crc32c']},md5={there['md5Hash']}",
                   "X_Goog_Generation": there["generation"], "Content_Type": there["contentType"],
                   "X_Goog_Stored_Content_Length": there["size"],
                   "X_Goog_Stored_Content_Encoding": "identity",
                   "Last_Modified": email.utils.formatdate(there["seconds"], usegmt=True),
                   **{f"X_Goog_Meta_{key}": value for key, value in there["metadata"].items()}}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
            if first >= len(data):
                raise Refused(416, "requestedRangeNotSatisfiable")
            headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        return status, data, headers

    def upload(self, fake, bucket, session):
        if session is not None:
            return self.resume(fake, session)
        kind = self.query.get("uploadType")
        if kind == "media":
            resource, data = {"name": self.query["name"]}, self.body
        elif kind == "multipart":
            resource, data = self.related()
        elif kind == "resumable":
            resource = json.loads(self.body or b"{}")
            fake.bucket(bucket)
            name = secrets.token_urlsafe(12)
            fake.sessions[name] = [bucket, resource, self.query, b"", None]
            return 200, b"", {"Location": f"{fake.url}{self.path}&upload_id={name}"}
        else:
            raise Refused(400, "badRequest")
        name = resource.get("name") or self.query["name"]
        made = fake.store(bucket, name, data, self.query, resource)
        return 200, visible(made, self.query.get("fields")), {}

    def related(self):
        """(resource, data) of a multipart/related body."""
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        start, first, second, end = re.split(rb"(?:^|\r\n)--" + re.escape(boundary), self.body, 3)
        if start.strip() or not end.startswith(b"--"):
            raise Refused(400, "badRequest")
        (head, resource), (_, data) = (part.split(b"\r\n\r\n", 1) for part in (first, second))
        if b"application/json" not in head.lower():
            raise Refused(400, "badRequest")
        return json.loads(resource), data

    def resume(self, fake, session):
        """One piece of a resumable upload, the question how far it came, or its end."""
        if session not in fake.sessions:
            raise Refused(404, "notFound")
        if self.command == "DELETE":
            del fake.sessions[session]
            return 499, b"", {}
        bucket, resource, query, data, made = fake.sessions[session]
        if made:
            return 200, made, {}
        said = self.headers.get("Content-Range", f"bytes 0-{len(self.body) - 1}/{len(self.body)}")
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", said)
        if not match or match[1] and int(match[2]) - int(match[1]) + 1 != len(self.body):
            raise Refused(400, "badRequest")
        total = None if match[3] == "*" else int(match[3])
        if match[1]:
            if int(match[1]) > len(data) or total is None and len(self.body) % CHUNK:
                raise Refused(400, "badRequest")
            piece = self.body
            if fault := fake.fault(self.request_line, "partial"):
                piece = piece[: fault.value]
            data = data[: int(match[1])] + piece
            fake.sessions[session][3] = data
        if total is not None and len(data) == total:
            name = resource.get("name") or query["name"]
            made = visible(fake.store(bucket, name, data, query, resource), query.get("fields"))
            fake.sessions[session][4] = made
            return 200, made, {}
        status, headers = 308, {"Range": f"bytes=0-{len(data) - 1}"} if data else {}
        if self.headers.get("X-GUploader-No-308") == "yes":  # what takes 308 for a redirect asks so
            status, headers["X_HTTP_Status_Code_Override"] = 200, "308"
        return status, b"", headers
