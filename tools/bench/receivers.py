# SPDX-License-Identifier: PostgreSQL
"""Who receives: each prepares an empty place of its own, names its command and shows its segments."""

import os

from common import fresh, pg
from home import WALDEN, Home

APPLICATION = "receiver"


class PgReceivewal:
    name = "pg_receivewal"
    suffix = ""
    unpack = ["cat"]
    options = []

    def __init__(self, place, server):
        self.place, self.server = place / "received", server

    def prepare(self, first=None):
        """first: the segment to begin with; else where the server is."""
        fresh(self.place)
        if first:
            start_at(self.place / f"{first}{self.suffix}.partial")

    def command(self, *more):
        return [
            pg.bindir() / "pg_receivewal", "-D", self.place, "--no-loop", *self.options, *more,
            "-d", f"{self.server.conninfo} application_name={APPLICATION}",
        ]

    def synchronous(self):
        return self.command("--synchronous")

    def path(self, name):
        """Of a whole segment."""
        return self.place / f"{name}{self.suffix}"

    def has(self, name):
        return self.path(name).exists()


class PgReceivewalLz4(PgReceivewal):
    name = "pg_receivewal, lz4"
    suffix = ".lz4"
    unpack = ["lz4", "-dcq"]
    options = ["--compress=lz4"]


class Walden:
    """The receiver alone: segments stay in streaming/."""

    name = "walden receive-wal"
    unpack = ["cat"]
    words = ["receive-wal", "main"]
    options = {}

    def __init__(self, place, server):
        self.place, self.server = place / "received", server
        self.home = None

    def prepare(self, first=None):
        fresh(self.place)
        self.home = Home(
            self.place, archiver="off", streaming_archiver="on", streaming_archiver_name=APPLICATION,
            conninfo=self.server.conninfo, streaming_conninfo=self.server.conninfo, **self.options,
        )
        self.home.globals["barman_user"] = pg.owner()
        self.home.configure()
        for path, _, _ in os.walk(self.place):
            pg.give(path)
        if first:
            start_at(self.home.streaming / f"{first}.partial")

    def command(self):
        return [WALDEN, "-c", self.home.conf, *self.words]

    def synchronous(self):
        return self.command()  # the server's synchronous_standby_names say so

    def path(self, name):
        return self.home.streaming / name

    def has(self, name):
        return self.path(name).exists()


class WaldenArchive(Walden):
    """Received and archived. The source goes once the catalog has its line, durably."""

    name = "walden run, zstd"
    unpack = ["zstd", "-dcq"]
    words = ["run"]
    options = {"compression": "zstd", "compression_level": 3}

    def path(self, name):
        return self.home.stored(name)

    def received(self, name):
        return (self.home.streaming / name).exists()

    def has(self, name):
        return self.path(name).exists() and not self.received(name)


def start_at(path):
    """An empty partial segment: that is where every receiver goes on."""
    path.touch(mode=0o600)
    pg.give(path)


CATCH_UP = [Walden, PgReceivewal, PgReceivewalLz4, WaldenArchive]
SYNCHRONOUS = [Walden, PgReceivewal]
