# SPDX-License-Identifier: PostgreSQL
"""What the stories have in common: a home, servers, walden as the account that owns both."""

import os
import pathlib
import shutil

import pg
from home import WALDEN, Home

MB = 1_000_000


class Failed(Exception):
    pass


def tell(text):
    print(text, flush=True)


def transactions(server):
    return int(server.sql("SELECT count(*) FROM pgbench_history"))


class Stage:
    """One temporary directory with all that a story needs; ends what was started on it."""

    def __init__(self):
        self.directory = pg.short_directory("walden-quickstart-")
        pg.give(self.directory)
        self.walden = self._program()
        self.home = None
        self.servers = []
        self.processes = []

    def _program(self):
        """walden where the servers' user can run it: root's checkout may be closed to `postgres`."""
        if os.geteuid() != 0:
            return pathlib.Path(WALDEN)
        return pathlib.Path(shutil.copy(WALDEN, self.directory / "walden"))

    def make_home(self, **options):
        self.home = Home(self.directory / "home", **options)
        self.home.globals["barman_user"] = pg.owner()
        self.home.configure()
        for path, _, files in os.walk(self.home.path):
            pg.give(path, *(os.path.join(path, file) for file in files))
        return self.home

    def command(self, *args):
        """walden's command line, run as the account that owns the home."""
        return pg.as_owner(self.walden, "-c", self.home.conf, *args)

    def start_server(self, server):
        self.servers.append(server)
        return server.start()

    def restore(self, options="", **settings):
        """Starts the base backup in restored/, which fetches its WAL by get-wal."""
        line = f"{self.walden} -c {self.home.conf} get-wal {options}{self.home.server} %f > %p"
        server = self.start_server(
            pg.restored(self.directory / "restored", line, recovery_target_action="promote", **settings)
        )
        server.wait_recovered()
        return server

    def stored(self):
        """Bytes in the archive."""
        return sum(self.home.stored(name).stat().st_size for name in self.home.names())

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
        for server in self.servers:
            server.stop("immediate")


def clients(server, *args):
    """pgbench's arguments."""
    return ["-h", server.directory, "-p", server.port, "-U", "postgres", *args, "postgres"]


def pgbench(server, *args):
    server.program("pgbench", *clients(server, *args))
