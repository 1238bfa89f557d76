# SPDX-License-Identifier: PostgreSQL
"""Real PostgreSQL clusters in directories of their own, for the tests, the quickstart and
the benchmarks.

A server is a child of the calling program, listens on a Unix socket in its own directory and
nowhere else, and ends with the program. PostgreSQL refuses to run as root: then it, and what must
read its files, runs as the user `postgres`.
"""

import glob
import os
import pathlib
import pwd
import re
import shlex
import signal
import subprocess
import tempfile
import time

from ports import free_port


def bindir():
    """The directory of PostgreSQL's programs: $PG_BINDIR, or Debian's newest version."""
    if os.environ.get("PG_BINDIR"):
        return pathlib.Path(os.environ["PG_BINDIR"])
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    if not found:
        raise RuntimeError("no PostgreSQL server below '/usr/lib/postgresql'")
    newest = max(found, key=lambda path: int(re.search(r"/(\d+)/bin/", path).group(1)))
    return pathlib.Path(newest).parent


def owner():
    """Who runs the servers: ourselves, or `postgres` if we are root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def as_owner(*command, with_us=False):
    """The command line that runs `command` as owner(). with_us: it gets SIGINT when we end."""
    options = ["--pdeathsig=INT"] if with_us else []
    if os.geteuid() == 0:
        options += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    lead = ["setpriv", *options, "--"] if options else []
    return lead + [str(word) for word in command]


def give(*paths):
    """Makes owner() the owner of these files or directories."""
    if os.geteuid() == 0:
        who = pwd.getpwnam("postgres")
        for path in paths:
            os.chown(path, who.pw_uid, who.pw_gid)


def short_directory(prefix):
    """A new directory that every user may enter; short, since it may hold a socket."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("TMPDIR", "/tmp")))
    path.chmod(0o755)
    return path


def archive_command(directory):
    """An archive_command that keeps PostgreSQL's rules: durable and atomic, never overwrites, and
    a file that is offered again succeeds only if the durable copy is identical."""
    d = shlex.quote(str(directory))
    return (
        f"if test -e {d}/%f; then cmp -s %p {d}/%f && sync {d}/%f {d}; "
        f"else cp %p {d}/.%f.tmp && sync {d}/.%f.tmp && mv {d}/.%f.tmp {d}/%f && sync {d}; fi"
    )


class Postgres:
    """One cluster below `directory` (data/, log, the socket). Settings are given by name:

    Postgres(directory, wal_segsize=1, archive_to=home.incoming, max_wal_size="64MB")

    For a cluster that exists already (a restored backup in directory/data) give initdb=False. For
    another major than Debian's give the directory of its programs; its clients are Debian's.
    """

    def __init__(
        self, directory=None, wal_segsize=1, archive_to=None, initdb=True, programs=None, **settings
    ):
        self.directory = pathlib.Path(directory or short_directory("walden-pg-"))
        self.directory.mkdir(exist_ok=True)
        self.directory.chmod(0o755)
        give(self.directory)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.port = free_port()  # of its own even after a kill; most use it as the socket's name only
        self.process = None
        self.under = []  # what the server runs under: valgrind and its options
        self.programs = programs or bindir()
        self.major = int(re.search(r" (\d+)", self.program("postgres", "--version").stdout).group(1))
        if initdb:
            # Before version 11 segments have 16 MB.
            size = [f"--wal-segsize={wal_segsize}"] if self.major >= 11 else []
            self.program(
                "initdb", "--no-sync", "--username=postgres", "--auth=trust", *size,
                "--encoding=UTF8", "--locale=C", "-D", self.data,
            )
        self.configure(
            listen_addresses="", unix_socket_directories=self.directory, wal_level="replica",
            shared_buffers="64MB", fsync="off", max_wal_senders=4,
        )
        if archive_to is not None:
            give(archive_to)  # where archive_command leaves the files
            self.configure(archive_mode="on", archive_command=archive_command(archive_to))
        self.configure(**settings)

    # The server

    def configure(self, **settings):
        """Appends settings; they count from the next start() or reload()."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            for name, value in settings.items():
                text = str(value).replace("'", "''")
                file.write(f"{name} = '{text}'\n")

    def start(self, timeout=60):
        """Starts the server and waits until it answers."""
        deadline = time.monotonic() + timeout
        while True:
            # A killed server's backends may still hold its shared memory for a moment.
            if self.process is None or self.process.poll() is not None:
                self._spawn()
            if self.ready():
                return self
            if time.monotonic() > deadline:
                self.stop("immediate")
                raise RuntimeError(f"the server did not start; see '{self.log}'\n{self.log_tail()}")
            time.sleep(0.1)

    def _spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                as_owner(*self.under, self.programs / "postgres", "-D", self.data, "-p", self.port, with_us=True),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
            )

    def ready(self):
        """Does it answer, recovery included?"""
        return self.sql("SELECT 1", check=False).returncode == 0

    def stop(self, mode="fast", timeout=60):
        """smart, fast, immediate; a server that does not stop in time is killed."""
        if self.process is None:
            return
        sign = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.process = None

    def kill(self):
        """kill -9 of the postmaster; what belonged to it ends by itself."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def kill_all(self):
        """kill -9 of the postmaster and of all that it has started, as a power failure would."""
        task = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.process.send_signal(signal.SIGSTOP)  # it starts nobody meanwhile
        children = [int(pid) for pid in task.read_text().split()]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self.kill()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop("immediate")

    def log_tail(self, lines=20):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    # Its clients

    @property
    def conninfo(self):
        return f"host={self.directory} port={self.port} user=postgres dbname=postgres"

    def program(self, name, *args, **kw):
        """Runs one of PostgreSQL's programs as owner(); raises with its output if it fails."""
        own = self.programs / name
        done = subprocess.run(
            as_owner(own if own.exists() else bindir() / name, *args), text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=300, cwd=self.directory, check=False, **kw,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def sql(self, query, check=True):
        """The answer as text, columns divided by '|'. check=False: the CompletedProcess."""
        done = subprocess.run(
            [str(bindir() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo, "-c", query],
            text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False,
        )
        if not check:
            return done
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr}{query}")
        return done.stdout.rstrip("\n")

    def switch_wal(self):
        """Ends the segment in use and returns its name."""
        return self.sql("SELECT pg_walfile_name(pg_switch_wal())")

    def fill_segment(self, kilobytes=64):
        """Writes some WAL and switches: one more finished segment, whose name is returned."""
        self.sql(
            "CREATE TABLE IF NOT EXISTS filler (t text);"
            f"INSERT INTO filler SELECT repeat(md5(i::text), 32) FROM generate_series(1, {kilobytes}) i"
        )
        return self.switch_wal()

    def wait_archived(self, name, timeout=60):
        """Until archive_command has succeeded for this file, or a later one."""
        query = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
        deadline = time.monotonic() + timeout
        while self.sql(query)[:24] < name:
            if time.monotonic() > deadline:
                raise RuntimeError(f"'{name}' was not archived in {timeout} s\n{self.log_tail()}")
            time.sleep(0.05)

    def wait_recovered(self, timeout=120):
        """Until recovery has ended and the server takes writes."""
        deadline = time.monotonic() + timeout
        while self.sql("SELECT pg_is_in_recovery()", check=False).stdout.strip() != "f":
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"recovery did not end well; see '{self.log}'\n{self.log_tail()}")
            time.sleep(0.05)

    def base_backup(self, directory):
        """A plain base backup without WAL in a new directory."""
        directory = pathlib.Path(directory)
        directory.mkdir(mode=0o700, parents=True)
        give(directory)
        self.program(
            "pg_basebackup", "-d", self.conninfo, "-D", directory, "--wal-method=none",
            "--checkpoint=fast", "--no-sync", "--no-manifest",
        )
        return directory

    def copied(self, directory):
        """As base_backup, by the server's functions and a copy: Debian's pg_basebackup does not
        talk to servers that are newer."""
        directory = pathlib.Path(directory)
        directory.parent.mkdir()
        start, stop, label = "pg_backup_start('e2e', true)", "pg_backup_stop(false)", "labelfile"
        if self.major < 15:
            start = "pg_start_backup('e2e', true, false)"
            stop = "pg_stop_backup(false, false)"
        copy = (  # what a program's end leaves behind, and WAL, are not part of a backup
            f"cp -a {shlex.quote(str(self.data))} {shlex.quote(str(directory))}; "
            f"cd {shlex.quote(str(directory))} && rm -rf postmaster.* pg_wal/0* pg_wal/archive_status/* pg_replslot/*"
        )
        with subprocess.Popen(
            [str(bindir() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as psql:
            out, err = psql.communicate(
                f"SELECT 1 FROM {start};\n\\! {copy}\nSELECT {label} FROM {stop};\n", timeout=120
            )
        if psql.returncode != 0:
            raise RuntimeError(f"psql: {err}")
        backup_label = directory / "backup_label"
        backup_label.write_text(out.removeprefix("1\n"), encoding="utf-8")
        give(backup_label)
        return directory


def recovers(server, **settings):
    """Makes the cluster recover at its next start, as a server that is restored does."""
    old = server.major < 12  # then the settings of recovery have a file of their own
    path = server.data / ("recovery.conf" if old else "recovery.signal")
    path.touch()
    give(path)
    if old:
        path.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    else:
        server.configure(**settings)


def restored(directory, restore_command, programs=None, **settings):
    """The base backup in directory/data made ready to recover. Not started."""
    server = Postgres(directory, initdb=False, programs=programs, archive_mode="off", **settings)
    recovers(server, restore_command=restore_command)
    return server
