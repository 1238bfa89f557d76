# SPDX-License-Identifier: PostgreSQL
"""HTTP servers on the loopback that can be told to fail: what the fake of a store and the proxy
before a real one have in common."""

import collections
import contextlib
import http.server
import re
import threading

# What the next request whose "METHOD PATH" matches the pattern meets:
# status   an answer with this status, nothing done
# reset    the connection broken before anything is done
# lost     ... after it is done
# cut      ... after so many bytes of the answer
# stall    no answer until the event is set
# corrupt  the first byte of the answer changed on its way
# after    the function called when it is done, before the answer
Fault = collections.namedtuple("Fault", "pattern kind value")


class FaultyServer:
    """Runs on a free port of the loopback until it is closed. `requests` is what it was asked."""

    def __init__(self, handler):
        self.requests, self.faults = [], []
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, pattern, kind, value=None, times=1):
        self.faults += [Fault(pattern, kind, value)] * times

    def fault(self, request, *kinds):
        """The next fault of these kinds that the request meets, which is used up, or None."""
        with self.lock:
            for fault in self.faults:
                if fault.kind in kinds and re.search(fault.pattern, request):
                    self.faults.remove(fault)
                    return fault
        return None


class FaultyHandler(http.server.BaseHTTPRequestHandler):
    """serve() answers (status, headers, content) to self.command, self.path and self.body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args):
        pass

    def serve(self):
        raise NotImplementedError

    def refuse(self, status):
        """What an answer is made of that a test wants."""
        return status, {"Retry-After": "0"}, b""

    def handle_request(self):
        owner = self.server.owner
        self.body = b"".join(self.read_body())
        request = f"{self.command} {self.path}"
        owner.requests.append(request)
        fault = owner.fault(request, "status", "reset", "stall")
        kind, value = (fault.kind, fault.value) if fault else (None, None)
        if kind == "stall":
            owner.closed.wait(60)
        if kind in ("reset", "stall"):
            return self.hang_up()
        status, headers, content = self.refuse(value) if kind == "status" else self.serve()
        if after := owner.fault(request, "after"):
            after.value()
        if owner.fault(request, "lost"):
            return self.hang_up()
        if content and owner.fault(request, "corrupt"):
            content = bytes([content[0] ^ 1]) + content[1:]
        return self.answer(status, headers, content, owner.fault(request, "cut"))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def answer(self, status, headers, content, cut):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in map(str.lower, headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: cut.value] if cut else content)
        self.wfile.flush()
        if cut:
            self.hang_up()

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def hang_up(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)
