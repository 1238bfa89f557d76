# SPDX-License-Identifier: PostgreSQL
"""A Barman home in a directory of its own, and walden and Barman run on it."""

import atexit
import collections
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = pathlib.Path(os.path.abspath(os.environ.get("WALDEN", ROOT / "build" / "walden")))
BARMAN = "/usr/bin/barman"
TIMEOUT = 120


def reachable(program):
    """A copy that every account can run: the checkout may lie in a home that nobody else may enter."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="walden-program-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    return shutil.copy(program, directory) if os.access(program, os.X_OK) else str(program)


WALDEN = reachable(BUILT)
Row = collections.namedtuple("Row", "name size time compression encryption")


def execute(command, binary=False, timeout=TIMEOUT, **kw):
    """Runs a command to its end and returns a CompletedProcess; a failure never raises,
    except for a sanitizer's finding. Standard output is bytes if binary, else text. After the
    timeout it is killed and the code is 124."""
    kw.setdefault("stdin", None if "input" in kw else subprocess.DEVNULL)
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **kw)
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = 124, late.stdout or b"", late.stderr or b""
        err += f"\ntest: killed after {timeout} s\n".encode()
    err = err.decode(errors="backslashreplace")
    # Never what a test expects, whatever code it ends with.
    assert "Sanitizer" not in err and "runtime error:" not in err, err
    return subprocess.CompletedProcess(
        command, code, out if binary else out.decode(errors="backslashreplace"), err
    )


def run(*args, **kw):
    """walden with these arguments; see execute()."""
    return execute([WALDEN, *args], **kw)


class Home:
    """barman_home with the server `main`; its directories exist, as after `barman check`."""

    def __init__(self, path, server="main", **options):
        self.path = pathlib.Path(path)
        self.server = server
        self.conf = self.path / "walden.conf"
        self.log = self.path / "walden.log"
        self.directory = self.path / server
        self.incoming = self.directory / "incoming"
        self.streaming = self.directory / "streaming"
        self.wals = self.directory / "wals"
        self.errors = self.directory / "errors"
        self.catalog = None  # where it is, if not in wals/
        for directory in (self.incoming, self.streaming, self.wals, self.errors):
            directory.mkdir(parents=True, exist_ok=True)
        self.globals = {
            "barman_user": pwd.getpwuid(os.geteuid()).pw_name,
            "barman_home": self.path,
            "log_file": self.log,
        }
        self.options = {
            "description": "test",
            "archiver": "on",
            "backup_method": "postgres",
            "conninfo": f"host={self.path} user=postgres dbname=postgres",
            "streaming_conninfo": f"host={self.path} user=postgres",
        }
        self.configure(**options)

    def configure(self, **options):
        """Changes options of the server (None: takes one away) and writes the file."""
        self.options.update(options)
        lines = ["[barman]"]
        lines += [f"{name} = {value}" for name, value in self.globals.items() if value is not None]
        lines += ["", f"[{self.server}]"]
        lines += [f"{name} = {value}" for name, value in self.options.items() if value is not None]
        self.conf.write_text("\n".join(lines) + "\n")

    # Programs

    def walden(self, *args, **kw):
        return run("-c", self.conf, *args, **kw)

    def barman(self, *args, **kw):
        """Debian's Barman with the same configuration file."""
        return execute([BARMAN, "-c", self.conf, *args], **kw)

    def archive(self, *options, **kw):
        """walden archive-wal."""
        return self.walden("archive-wal", *options, self.server, **kw)

    def get(self, name, *options, **kw):
        """walden get-wal; stdout is bytes."""
        return self.walden("get-wal", *options, self.server, name, binary=True, **kw)

    # What is on disk

    @property
    def xlogdb(self):
        """The catalogue: that of Barman before 3.13 if a home has it, else the current name."""
        if self.catalog:
            return self.catalog
        old = self.wals / "xlog.db"
        return old if old.exists() else self.wals / f"{self.server}-xlog.db"

    def rows(self):
        """The catalogue's lines; size is a number, time the text as written."""
        if not self.xlogdb.exists():
            return []
        found = []
        for line in self.xlogdb.read_text().splitlines():
            fields = line.split("\t")
            fields += ["None"] * (5 - len(fields))
            found.append(Row(fields[0], int(fields[1]), *fields[2:]))
        return found

    def names(self):
        """The names in the catalogue, in its order."""
        return [row.name for row in self.rows()]

    def stored(self, name):
        """Where the file rests in wals/."""
        if name.endswith(".history"):
            return self.wals / name
        return self.wals / name[:16].upper() / name

    def waiting(self):
        """The files in incoming/, sorted."""
        return sorted(path.name for path in self.incoming.iterdir())

    def rejected(self):
        """The files in errors/, sorted."""
        return sorted(path.name for path in self.errors.iterdir())

    def check_nothing_rejected(self):
        said = [line for line in self.log_text().splitlines() if "errors directory" in line]
        assert self.rejected() == [], said

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""
