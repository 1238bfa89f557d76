# SPDX-License-Identifier: PostgreSQL
"""A distant server: a proxy that lets each round trip take some time and counts HTTP requests."""

import collections
import contextlib
import queue
import re
import socket
import threading
import time


class Distance:
    """with Distance(port, 0.05) as far: far.port is that of the server, 50 ms away from there.

    The line is as fast as ever: only what is asked takes so long to be answered, and so does
    connecting. far.requests are the first lines of all requests so far, without the version.
    """

    def __init__(self, port, seconds=0):
        self.server, self.seconds = port, seconds
        self.requests, self.connections = [], 0
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread(self._accept)
        return self

    def __exit__(self, *exception):
        for one in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def methods(self):
        """{"PUT": 3, ...}"""
        return dict(collections.Counter(line.split()[0] for line in self.requests))

    @staticmethod
    def _thread(function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.connections += 1
                self._thread(self._serve, near)

    def _serve(self, near):
        time.sleep(self.seconds)  # the handshake's round trip
        try:
            far = socket.create_connection(("127.0.0.1", self.server))
        except OSError:
            near.close()
            return
        self.sockets += [near, far]
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pass(near, far, Requests(self.requests))
        self._pass(far, near, None)

    def _pass(self, source, sink, requests):
        pieces = queue.Queue()
        self._thread(self._read, source, pieces, requests)
        self._thread(self._write, sink, pieces)

    def _read(self, source, pieces, requests):
        data = True
        while data:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b""
            if requests:
                requests.take(data)
            pieces.put((time.monotonic() + self.seconds / 2, data))

    @staticmethod
    def _write(sink, pieces):
        with contextlib.suppress(OSError):
            while True:
                due, data = pieces.get()
                time.sleep(max(0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)


class Requests:
    """Finds the requests in what a client sends: their bodies have a length."""

    def __init__(self, found):
        self.found, self.head, self.body = found, b"", 0

    def take(self, data):
        while data:
            skipped = min(self.body, len(data))
            self.body -= skipped
            self.head += data[skipped:]
            data = b""
            if (end := self.head.find(b"\r\n\r\n")) >= 0:
                head, data, self.head = self.head[:end], self.head[end + 4 :], b""
                length = re.search(rb"(?im)^content-length: *(\d+)", head)
                self.body = int(length.group(1)) if length else 0
                self.found.append(head.split(b"\r\n")[0].decode().rsplit(" ", 1)[0])
