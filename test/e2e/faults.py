# SPDX-License-Identifier: PostgreSQL
"""The preloaded library test/fault, and what must hold whatever went wrong (the invariants)."""

import hashlib
import os
import shutil
import struct

from home import BUILT, Home
from wal import make_wal, segment_name, wal_bytes

LIBRARY = BUILT.resolve().parent / "test/fault/libfault.so"


def fault_environment(directory, **settings):
    """Environment of a process whose file operations below the directory may go wrong:
    at=7, mode="error", errno=5, sticky=1, only="write,fsync", trace=PATH, no_tmpfile=1, ..."""
    env = dict(os.environ, LD_PRELOAD=str(LIBRARY), WALDEN_FAULT_DIR=str(directory))
    env.update({f"WALDEN_FAULT_{name.upper()}": str(value) for name, value in settings.items()})
    # AddressSanitizer wants to be first; the library does not mind.
    options = env.get("ASAN_OPTIONS", "")
    env["ASAN_OPTIONS"] = f"{options}:verify_asan_link_order=0:detect_leaks=0"
    return env


class Clock:
    """The time of a process with `env`, which the test moves on; sleeping takes it none."""

    def __init__(self, path):
        self.path, self.ahead = path, 0
        self.path.write_bytes(bytes(8))
        self.env = fault_environment("/nowhere", clock=path)

    def advance(self, seconds):
        self.ahead += seconds * 1000
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", self.ahead))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def archived_files(home):
    """Every file below wals/ but the catalog: {name: path}. Temporary files, too."""
    return {
        path.name: path
        for path in home.wals.rglob("*")
        if path.is_file() and path != home.xlogdb
    }


def recorded(home):
    """The names in the catalogue's whole lines: the last one may be torn."""
    lines = home.xlogdb.read_bytes().splitlines(True) if home.xlogdb.exists() else []
    return {line.split(b"\t")[0].decode() for line in lines if line.endswith(b"\n")}


def check_catalog(home, labels=True):
    """The rows are the files in the archive, each once, with their sizes, in order. labels=False:
    backup labels may stand behind later segments, which came by another way."""
    rows = home.rows()
    names = [row.name for row in rows]
    files = archived_files(home)
    assert len(names) == len(set(names)), f"recorded twice: {names}"
    assert set(names) == set(files)
    for row in rows:
        assert row.size == files[row.name].stat().st_size, row
    for timeline in {name[:8] for name in names}:
        segments = [n for n in names if n.startswith(timeline) and not n.endswith(".history")]
        if not labels:
            segments = [n for n in segments if not n.endswith(".backup")]
        assert segments == sorted(segments)


class Scene:
    """A home with an archive and one file of each kind waiting in incoming/. `good` are the
    contents by name, `bad` those of files that belong into errors/."""

    def __init__(self, path, archive_some=True, **options):
        self.home = Home(path, **options)
        self.home.globals["log_file"] = str(path) + ".log"
        self.home.configure()
        names = [segment_name(number) for number in range(4090, 4098)]
        self.good, self.bad, self.before = {}, {}, {}
        if archive_some:
            for name in (names[0], names[2], names[3]):
                self.good[name] = make_wal(self.home.incoming, name).read_bytes()
            done = self.home.archive()
            assert done.returncode == 0, done.stderr
        for name in (names[2], names[4], names[5], names[6]):  # the first was archived before
            self.good[name] = make_wal(self.home.incoming, name).read_bytes()
        self._put("00000002.history", b"1\t0/FFA00000\tno recovery target specified\n")
        self._put(f"{names[5]}.00000028.backup", b"START WAL LOCATION: 0/FFF00028\n")
        self._put("notes.txt", b"not WAL\n", self.bad)
        if archive_some:
            self._put(names[3], wal_bytes(names[3], seed=1), self.bad)
        self.waiting = self.home.waiting()
        self.remember()

    def _put(self, name, data, contents=None):
        (self.good if contents is None else contents)[name] = data
        (self.home.incoming / name).write_bytes(data)

    def remember(self):
        """What is archived now must stay as it is."""
        self.before = {
            name: (path.stat().st_mtime_ns, digest(path.read_bytes()))
            for name, path in archived_files(self.home).items()
        }

    def copy(self, path):
        """The same scene once more in another directory."""
        other = Scene.__new__(Scene)
        other.__dict__.update(self.__dict__)
        shutil.copytree(self.home.path, path)
        other.home = Home(path, **self.home.options)
        other.home.globals["log_file"] = str(path) + ".log"
        other.home.configure(conninfo=None)
        return other

    def rejected(self, name):
        """Contents of what errors/ holds of this name."""
        files = self.home.errors.glob(f"{name}.*Z.*")
        return [path.read_bytes() for path in files if path.name.count(".") == name.count(".") + 2]

    def check_moment(self):
        """Whatever happened a moment ago: what is gone from incoming/ is archived and recorded, or
        is in errors/ if it was bad; what was archived is untouched."""
        rows = recorded(self.home)
        for name, (mtime, data) in self.before.items():
            path = self.home.stored(name)
            assert path.stat().st_mtime_ns == mtime and digest(path.read_bytes()) == data, name
        for name in set(self.waiting) - set(self.home.waiting()):
            if name in self.bad:
                assert self.bad[name] in self.rejected(name), name
                continue
            assert name in rows, f"'{name}' is not recorded"
            got = self.home.get(name)
            assert got.returncode == 0 and got.stdout == self.good[name], name

    def check_end(self, env=None):
        """Runs the archiver until nothing waits, and checks everything."""
        for _ in range(3):
            done = self.home.archive(env=env)
            assert done.returncode in (0, 1), done.stderr
            if not self.home.waiting():
                break
        assert self.home.waiting() == [], done.stdout + done.stderr
        self.check_moment()
        check_catalog(self.home)
        assert set(archived_files(self.home)) == set(self.good)
        for name, data in self.good.items():
            got = self.home.get(name)
            assert got.returncode == 0 and got.stdout == data, name
        held = [path.read_bytes() for path in self.home.errors.iterdir()]
        assert sorted(held) == sorted(self.bad.values())
