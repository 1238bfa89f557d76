# SPDX-License-Identifier: PostgreSQL
"""A network that can be cut and stalled, between the program and a server."""

import contextlib
import socket
import threading

from ports import free_port


class Network:
    """Listens on 127.0.0.1 and passes on what it gets, both ways, to the server.

    cut() closes what is connected, and nobody can connect until mend(). stall() lets nothing pass
    until flow(), and nobody notices. The server is a Postgres, or (host, port).
    """

    def __init__(self, server):
        if isinstance(server, tuple):
            self.family, self.target = socket.AF_INET, server
        else:
            self.family = socket.AF_UNIX
            self.target = f"{server.directory}/.s.PGSQL.{server.port}"
        self.flowing = threading.Event()
        self.flowing.set()
        self.held = False  # something came while it was stalled
        self.sockets = []
        self.port = free_port()  # ours while it is cut, too
        self.listener = None
        self.mend()
        self.conninfo = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def mend(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        for end in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
        self.listener.close()
        self.sockets.clear()

    def stall(self):
        self.flowing.clear()

    def flow(self):
        self.flowing.set()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.cut()
        self.flow()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(self.family)
                self.sockets += [near, far]
                try:
                    far.connect(self.target)
                except OSError:  # the server is down
                    near.close()
                    continue
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.held = not self.flowing.is_set()
                self.flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
