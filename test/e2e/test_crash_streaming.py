# SPDX-License-Identifier: PostgreSQL
"""Everything on the way of WAL is killed, again and again, while clients and pgbench write: the receiver, the
archiver, the supervisor, the walsender, the server. Then the server is lost with its disk, and what
a restore brings back is compared with what the clients were told."""

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time

from faults import check_catalog
from home import WALDEN, Home, execute
from pg import Postgres, as_owner, bindir, give, owner, restored
from support import about, running, wait_for

SEED = int(os.environ.get("WALDEN_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("WALDEN_CRASH_ROUNDS", 100))
WRITERS = 4
PATIENCE = 120
KINDS = ("receiver", "archiver", "supervisor", "walsender", "server")


def contents(writer, number, lines):
    """SQL for a text that belongs to this row alone, of so many lines."""
    return (
        f"(SELECT string_agg(md5(concat_ws('-', {writer}, {number}, i)), '')"
        f" FROM generate_series(1, {lines}) i)"
    )


class Client(threading.Thread):
    """Goes on as long as it may, whatever becomes of its program and its server."""

    def __init__(self, server):
        super().__init__()
        self.server, self.program = server, None
        self.ending = threading.Event()

    def end(self):
        self.ending.set()
        while self.is_alive():  # it may wait for a commit that nobody confirms
            if self.program:
                self.program.kill()
            self.join(0.1)


class Writer(Client):
    """A client that inserts numbered rows, one transaction each, and notes in `acknowledged` those
    whose COMMIT was answered. What it sent without an answer is not repeated: numbers up to
    `sent` may be there or not."""

    def __init__(self, server, number, pause):
        super().__init__(server)
        self.number, self.pause = number, pause
        self.sent, self.acknowledged = 0, set()

    def run(self):
        while not self.ending.is_set():
            command = [bindir() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.server.conninfo]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True,
            ) as self.program:
                with contextlib.suppress(BrokenPipeError):
                    self._session()
                self.program.kill()
                with contextlib.suppress(BrokenPipeError):
                    self.program.stdin.close()
            time.sleep(0.05)

    def _session(self):
        while not self.ending.is_set():
            number = self.sent = self.sent + 1
            text = contents(self.number, number, 3000 if number % 15 == 0 else 20)
            self.program.stdin.write(f"INSERT INTO t VALUES ({self.number}, {number}, {text});\n")
            # Said only after success; a warning before it would not be the answer either.
            self.program.stdin.write(f"\\echo committed {number}\n")
            self.program.stdin.flush()
            if self.program.stdout.readline() != f"committed {number}\n":
                return
            self.acknowledged.add(number)
            time.sleep(self.pause)


class Pgbench(Client):
    """PostgreSQL's own load, in the pace of a site that works: its tables agree with each other after
    whole transactions only."""

    agree = (
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers)"
        " AND (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)"
        " AND (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
    )

    def run(self):
        while not self.ending.wait(0.05):
            command = [bindir() / "pgbench", "-n", "-c", "2", "-R", "50", "-T", "3600", self.server.conninfo]
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as self.program:
                self.program.wait()  # it ends with its server


class Site:
    """A server under load, `walden run` beside it, and their pids."""

    def __init__(self, workdir, chance, synchronous, **options):
        self.workdir, self.chance, self.synchronous = workdir, chance, synchronous
        self.home = Home(
            workdir / "home", compression="zstd", streaming_archiver="on", slot_name="walden",
            create_slot="auto", restore_deadline="20", sweep_interval="5", **options,
        )
        self.home.globals["barman_user"] = owner()
        home = self.home
        give(home.path, home.directory, home.incoming, home.streaming, home.wals, home.errors)
        self.server = Postgres(
            workdir / "pg", archive_to=home.incoming if options.get("archiver") == "on" else None,
            checkpoint_timeout="30s", max_wal_size="32MB",
            dynamic_shared_memory_type="mmap",  # what is killed for good leaves nothing in /dev/shm
        )
        if synchronous:
            self.server.configure(
                synchronous_standby_names="barman_receive_wal", synchronous_commit="on"
            )
        home.configure(conninfo=self.server.conninfo, streaming_conninfo=self.server.conninfo)
        self.run = None
        self.errors = open(workdir / "run.err", "ab")  # pylint: disable=consider-using-with
        # With nobody to wait for they would only make the restore long.
        pause = 0 if synchronous else 0.005
        self.writers = [Writer(self.server, number, pause) for number in range(WRITERS)]
        self.pgbench = Pgbench(self.server)
        self.killed, self.compared = dict.fromkeys(KINDS, 0), 0

    @property
    def clients(self):
        return [*self.writers, self.pgbench]

    # Who is there

    def holder(self, command):
        """The process that holds this lock of ours, 0 if there is none."""
        path = self.home.path / f".main-{command}.lock"
        pid = int(path.read_text() or 0) if path.exists() else 0
        words = about(pid, "cmdline").decode().split("\0")
        return pid if str(self.home.conf) in words and command in words else 0

    def walsender(self):
        done = self.server.sql("SELECT pid FROM pg_stat_replication LIMIT 1", check=False)
        return int(done.stdout.strip() or 0) if done.returncode == 0 else 0

    # Who comes and goes

    def start_run(self):
        self.run = subprocess.Popen(  # pylint: disable=consider-using-with
            as_owner(WALDEN, "-c", self.home.conf, "run"), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.errors,
        )

    def kill_leftovers(self):
        while left := running(self.home.conf):
            for pid in left:
                self.kill_pid(pid)
            time.sleep(0.01)

    def kill_run(self):
        self.run.kill()
        self.run.wait()

    def kill_walden(self):
        self.kill_run()
        self.kill_leftovers()

    @staticmethod
    def kill_pid(pid):
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        return pid != 0

    def kill(self, kind):
        """False if there was none."""
        if kind == "receiver":
            killed = self.kill_pid(self.holder("receive-wal"))
            if killed:
                self.check_confirmed()
            return killed
        if kind == "archiver":
            return self.kill_pid(self.holder("archive-wal"))
        if kind == "walsender":
            return self.kill_pid(self.walsender())
        if kind == "supervisor":
            self.kill_run()
            if self.chance.random() < 0.5:  # as the service manager; else they stay, orphans
                self.kill_leftovers()
                self.check_confirmed()
            self.start_run()
        if kind == "server":
            self.server.kill()
            self.server.start(PATIENCE)
        return True

    def check_confirmed(self):
        """The receiver is dead a moment: what it had told the server to be flushed is in its file, or
        the next receiver would only seem to have had it."""
        done = self.server.sql(
            "SELECT file_name, file_offset FROM pg_replication_slots,"
            " pg_walfile_name_offset(restart_lsn)", check=False,
        )
        if done.returncode != 0:  # dead, too
            return
        name, end = done.stdout.strip().split("|")
        path = self.home.streaming / f"{name}.partial"
        with contextlib.suppress(FileNotFoundError):  # it had its final name already
            theirs = (self.server.data / "pg_wal" / name).read_bytes()[: int(end)]
            assert path.read_bytes()[: int(end)] == theirs, f"'{path}' up to {end}"
            self.compared += len(theirs) > 0

    def acknowledged(self):
        return {(w.number, number) for w in self.writers for number in set(w.acknowledged)}

    def count(self):
        return sum(len(writer.acknowledged) for writer in self.writers)

    def await_commit(self, timeout):
        """Whether one more was acknowledged."""
        before, deadline = self.count(), time.monotonic() + timeout
        while self.count() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.count() > before

    # The test

    def __enter__(self):
        self.start_run()
        self.server.start(PATIENCE)
        wait_for(self.walsender, PATIENCE, "the receiver's connection")
        self.server.sql("CREATE TABLE t (writer int, number int, x text, PRIMARY KEY (writer, number))")
        self.server.program("pgbench", "-iq", self.server.conninfo)
        for client in self.clients:
            client.start()
        wait_for(lambda: self.count() > 100, PATIENCE, "the first hundred commits")
        self.server.base_backup(self.workdir / "backup")
        return self

    def __exit__(self, *exception):
        for client in self.clients:
            client.end()
        self.kill_walden()
        self.server.kill()
        self.errors.close()

    def round(self):
        """One death at a random moment: often before all have recovered from the last one, else
        when commits are confirmed again."""
        if self.chance.random() < 0.35:
            self.await_commit(5)
        time.sleep(self.chance.uniform(0, 0.25))
        kinds = list(KINDS)
        self.chance.shuffle(kinds)
        kind = next(kind for kind in kinds if self.kill(kind))
        self.killed[kind] += 1
        self.home.check_nothing_rejected()
        assert self.run.poll() is None

    def restore(self, name, **settings):
        """A server made of the backup and the archive; not started."""
        (self.workdir / name).mkdir()
        data = self.workdir / name / "data"
        shutil.copytree(self.workdir / "backup", data, symlinks=True)
        give(data, *data.rglob("*"))
        command = f"{WALDEN} -c {self.home.conf} get-wal --partial main %f > %p"
        return restored(self.workdir / name, command, **settings)

    def check_rows(self, server, expected):
        """The server has all that is expected, and nothing that was not sent. The number of rows."""
        rows = {
            tuple(map(int, line.split("|")))
            for line in server.sql("SELECT writer, number FROM t").splitlines()
        }
        text = contents("writer", "number", "length(x) / 32")
        assert server.sql(f"SELECT count(*) FROM t WHERE x <> {text}") == "0", "wrong contents"
        assert server.sql(Pgbench.agree) == "t"
        lost = sorted(expected - rows)
        assert not lost, f"{len(lost)} of {len(expected)} are lost: {lost[:20]}"
        sent = {w.number: w.sent for w in self.writers}
        assert all(number <= sent[writer] for writer, number in rows)
        return len(rows)

    def check_restore(self, name, expected):
        with self.restore(name, synchronous_standby_names="") as server:
            server.wait_recovered(PATIENCE)
            return self.check_rows(server, expected)


def lose_walden(site):
    """All of it dies at once under load; the commits that were acknowledged until then."""
    if not site.await_commit(5):
        site.kill("supervisor")  # so that nobody is waited for
        assert site.await_commit(PATIENCE)
    time.sleep(site.chance.uniform(0, 0.1))
    site.kill_walden()
    time.sleep(0.1)  # answers under way
    return site.acknowledged()


def lose_server(site):
    """SIGKILL, and the disk is gone."""
    site.server.kill()
    while site.server.data.exists():  # what belonged to it may still write
        shutil.rmtree(site.server.data, ignore_errors=True)


def check_archive(site):
    """Archives what is left in streaming/ and incoming/; then all is as if nothing had happened."""
    home = site.home
    for _ in range(2):
        done = execute(as_owner(WALDEN, "-c", home.conf, "archive-wal", "main"))
        assert done.returncode == 0, done.stdout + done.stderr
    check_catalog(home, labels=home.options["archiver"] == "off")  # else they may come late
    home.check_nothing_rejected()
    # A copy that was interrupted is nobody's.
    assert [name for name in home.waiting() if not name.endswith(".tmp")] == []
    assert len(list(home.streaming.iterdir())) <= 2
    segments = sorted(name[8:] for name in home.names() if len(name) == 24)
    numbers = [int(name[:8], 16) * 4096 + int(name[8:], 16) for name in segments]
    assert sorted(set(numbers)) == list(range(numbers[0], numbers[-1] + 1)), "the archive has a gap"
    assert "Sanitizer" not in (site.workdir / "run.err").read_text(errors="replace")


def die_and_restore(site, rounds):
    """The rounds, with restores in between. Only the death of all at once shows what the receiver had:
    the next one receives again."""
    for number in range(1, rounds + 1):
        site.round()
        if number % max(25, rounds // 10) == 0:
            acknowledged = lose_walden(site)
            site.check_restore(f"after-{number}", acknowledged if site.synchronous else set())
            site.start_run()


def finish(site, acknowledged):
    """Nothing is left but the backup and the home, and nobody runs."""
    lose_server(site)
    for client in site.clients:
        client.end()
    rows = site.check_restore("end", acknowledged)
    check_archive(site)
    print(f"{site.killed}, compared {site.compared}, {len(acknowledged)} commits, {rows} rows,"
          f" {len(site.home.names())} files")
    assert len(acknowledged) > 5 * sum(site.killed.values())


def test_every_acknowledged_commit_is_restored(workdir):
    """Synchronous: a commit is acknowledged when its WAL is durable in streaming/."""
    print(f"WALDEN_SEED={SEED}")
    site = Site(workdir, random.Random(SEED), synchronous=True, archiver="off")
    with site:
        die_and_restore(site, ROUNDS)
        finish(site, lose_walden(site))
    assert ROUNDS < 50 or (all(site.killed.values()) and site.compared)


def test_two_ways_into_one_archive(workdir):
    """Asynchronous, and archive_command brings the same segments: they are the same for us, too."""
    print(f"WALDEN_SEED={SEED}")
    site = Site(workdir, random.Random(SEED), synchronous=False, archiver="on")
    with site:
        die_and_restore(site, (ROUNDS + 1) // 2)
        for client in site.clients:
            client.end()
        site.server.wait_archived(site.server.switch_wal(), PATIENCE)
        site.kill_walden()
        finish(site, site.acknowledged())
    assert ROUNDS < 50 or "is in the archive already, with the same content" in site.home.log_text()


def test_the_restored_server_takes_over(workdir):
    """It goes on where the lost one ended, on a timeline of its own, in the same archive; and is lost,
    too. Those before it are gone, but the first backup leads through all timelines."""
    site = Site(workdir, random.Random(SEED), synchronous=True, archiver="off")
    with site:
        for timeline in (2, 3):
            acknowledged = lose_walden(site)
            lose_server(site)
            site.server = site.restore(f"timeline-{timeline}").start(PATIENCE)
            site.server.wait_recovered(PATIENCE)
            site.check_rows(site.server, acknowledged)
            for client in site.clients:
                client.server = site.server
            conninfo = site.server.conninfo
            site.home.configure(conninfo=conninfo, streaming_conninfo=conninfo)
            site.start_run()
            assert site.await_commit(PATIENCE)
            site.server.switch_wal()
            assert site.await_commit(PATIENCE)
        finish(site, lose_walden(site))
    names = site.home.names()
    assert {"00000002.history", "00000003.history"} < set(names)
    assert {name[:8] for name in names} == {"00000001", "00000002", "00000003"}
