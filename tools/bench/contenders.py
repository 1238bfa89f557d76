# SPDX-License-Identifier: PostgreSQL
"""Who archives: each prepares itself, names its command and shows what it stored."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from common import fresh, pg
from home import BARMAN, WALDEN, Home

WORKERS = 2


@dataclass
class Codec:
    name: str
    level: int
    pack: str  # shell; $1: input, $2: output
    unpack: list
    pgbackrest: str
    magic: str = ""


CODECS = [
    Codec("none", 0, 'cp "$1" "$2" && exec sync "$2"', ["cat"], "none"),
    Codec("lz4", 1, 'exec lz4 -1 -q "$1" "$2"', ["lz4", "-dcq"], "lz4", "0x04224d18"),
    Codec("zstd", 3, 'exec zstd -3 -q "$1" -o "$2"', ["zstd", "-dcq"], "zst", "0x28b52ffd"),
    Codec("gzip", 6, 'exec gzip -6 -c "$1" >"$2"', ["gzip", "-dc"], "gz"),
]


def copy(wal, names, directory):
    for name in names:
        shutil.copy2(wal / name, directory / name)
        pg.give(directory / name)


class Floor:
    """The codec's own tool, one process for each file and two at once. Nothing is made durable
    (but for `none`, which is cp and a sync of the file), nothing recorded, nothing removed."""

    name = "bare tool"

    def __init__(self, place, wal, names, codec):
        self.place, self.wal, self.names, self.codec = place / "floor", wal, names, codec

    def prepare(self):
        fresh(self.place)

    def command(self):
        script = 'printf "%s\\n" {names} | xargs -P{n} -I@ sh -c \'{pack}\' sh {wal}/@ {out}/@'
        return ["sh", "-c", script.format(
            names=" ".join(self.names), n=WORKERS, pack=self.codec.pack, wal=self.wal, out=self.place
        )]

    def stored(self):
        return {name: self.place / name for name in self.names}


class Archiver:
    """Walden or Barman, with all segments waiting in incoming/."""

    def __init__(self, place, wal, names, codec):
        self.place, self.wal, self.names, self.codec = place / self.name, wal, names, codec
        self.home = None

    def prepare(self):
        fresh(self.place)
        self.home = Home(self.place, **self.options())
        self.home.globals["barman_user"] = pg.owner()
        self.home.configure()
        copy(self.wal, self.names, self.home.incoming)
        for path, _, _ in os.walk(self.place):
            pg.give(path)

    def command(self):
        return [self.program, "-c", self.home.conf, "archive-wal", self.home.server]

    def get_command(self, name):
        return [self.program, "-c", self.home.conf, "get-wal", self.home.server, name]

    def stored(self):
        if self.home.names() != self.names or self.home.waiting() or self.home.rejected():
            raise RuntimeError(f"{self.name} did not archive all segments: see '{self.home.log}'")
        return {name: self.home.stored(name) for name in self.names}


class Walden(Archiver):
    name = "walden"
    program = WALDEN

    def options(self):
        if self.codec.name == "none":
            return {}
        return {"compression": self.codec.name, "compression_level": self.codec.level}


class Barman(Archiver):
    """Debian's 3.4 knows gzip; the other codecs are custom filters around the codec's tool."""

    name = "barman"
    program = BARMAN

    def options(self):
        if self.codec.name == "none":
            return {}
        if self.codec.name == "gzip":
            return {"compression": "gzip"}  # the program gzip at its standard level, 6
        return {
            "compression": "custom",
            "custom_compression_filter": f"{self.codec.name} -{self.codec.level} -c",
            "custom_decompression_filter": f"{self.codec.name} -d -c",
            "custom_compression_magic": self.codec.magic,
        }


class PgBackRest:
    """Asynchronous archive-push with two processes, called in order for every segment, as
    PostgreSQL does; the first call starts the worker, which finds all of them ready."""

    name = "pgbackrest"

    def __init__(self, place, wal, names, codec):
        self.place, self.wal, self.names, self.codec = place / self.name, wal, names, codec
        self.data = place / "data"
        self.conf = self.place / "pgbackrest.conf"
        self.repository = f"repo1-path={self.place}/repo"

    def prepare(self):
        fresh(self.place)
        for name in ("repo", "spool", "log", "lock"):
            fresh(self.place / name)
        self.conf.write_text(
            f"[global]\n{self.repository}\nspool-path={self.place}/spool\n"
            f"log-path={self.place}/log\nlock-path={self.place}/lock\nlog-level-console=error\n"
            f"log-level-stderr=error\narchive-async=y\nprocess-max={WORKERS}\n\n"
            f"[main]\npg1-path={self.data}\n"
        )
        subprocess.run(
            pg.as_owner(*self.pgbackrest(), "--no-online", "stanza-create"), check=True, cwd=self.place
        )
        pg_wal = fresh(self.data / "pg_wal")
        copy(self.wal, self.names, pg_wal)
        status = fresh(pg_wal / "archive_status")
        for name in self.names:
            (status / f"{name}.ready").touch()
            pg.give(status / f"{name}.ready")

    def pgbackrest(self):
        return ["pgbackrest", f"--config={self.conf}", "--stanza=main"]

    def command(self):
        push = " ".join(str(word) for word in [
            *self.pgbackrest(), f"--compress-type={self.codec.pgbackrest}",
            *([f"--compress-level={self.codec.level}"] if self.codec.level else []), "archive-push",
        ])
        names = " ".join(self.names)
        return ["sh", "-c", f"for s in {names}; do {push} {self.data}/pg_wal/$s || exit 1; done"]

    def stored(self):
        found = {path.name[:24]: path for path in (self.place / "repo").rglob("0*-*") if path.is_file()}
        if sorted(found) != self.names:
            raise RuntimeError(f"pgbackrest did not archive all segments: see '{self.place}/log'")
        return found


CONTENDERS = [Walden, Floor, PgBackRest, Barman]
