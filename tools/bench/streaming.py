# SPDX-License-Identifier: PostgreSQL
"""Receives the WAL of a local server with Walden and pg_receivewal: how fast they catch up, how
long a commit waits for them, and how soon a segment is in the archive."""

import concurrent.futures
import contextlib
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass

from common import GOAL_HEAD, MB, fresh, goal, machine, pg, sha256, tell, version
from receivers import APPLICATION, CATCH_UP, SYNCHRONOUS, PgReceivewal, Walden, WaldenArchive

SEGMENT = 16 << 20
PATIENCE_S = 600
LOOK_S = 0.001  # between two looks whether a receiver is done
CLIENTS = (1, 16)
# Of pgbench. What else a machine does moves a single run by more than the two programs differ, and by
# more the farther runs are from each other: many short ones, in turns.
COMMIT_S = 2
COMMIT_RUNS = 20  # for one of catching up
SWITCHES = 20


@dataclass
class CatchUp:
    """Medians of all runs."""

    wall: float
    cpu: float
    size: float  # MB


@dataclass
class Commits:
    """Means of all runs: of all commits, then."""

    latency: float  # ms
    rate: float  # transactions a second
    cpu: float  # seconds of the receiver for 1,000 transactions


def name_of(number):
    """The segment of that number, on the first timeline."""
    return f"00000001{number // 256:08X}{number % 256:08X}"


def number_of(name):
    return int(name[8:16], 16) * 256 + int(name[16:], 16)


def wait_for(condition, process=None):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process and process.poll() is not None:
            raise RuntimeError(f"'{process.args[-1]}' ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"a receiver was not done in {PATIENCE_S} s")
        time.sleep(LOOK_S)


class Source:
    """A server with `count` whole segments of pgbench's WAL behind each other; kept for next time."""

    def __init__(self, place, count):
        self.directory = pg.short_directory("walden-bench-")  # of the socket
        data = place / "server"
        known = place / "server.txt"
        names = known.read_text().split() if known.exists() else []
        if len(names) < count:
            known.unlink(missing_ok=True)
            fresh(data)
        (self.directory / "data").symlink_to(data)
        self.server = pg.Postgres(
            self.directory, wal_segsize=16, initdb=len(names) < count, wal_keep_size="64GB",
            max_wal_size="64GB", checkpoint_timeout="1h", autovacuum="off", max_connections=50,
        )
        self.server.start()
        if len(names) < count:
            tell(f"Making {count} segments of WAL in {data}, once.")
            names = self.run_pgbench(count)
            known.write_text("\n".join(names))
        self.names = names[:count]

    def run_pgbench(self, count):
        self.pgbench("-i", "-q", "-s", "20")
        first = number_of(self.server.switch_wal()) + 1
        while self.position() < first + count:
            self.server.sql("CHECKPOINT")  # after which whole pages are logged, as in real life
            self.pgbench("-n", "-c", "8", "-j", "2", "-T", "5", PGOPTIONS="-c synchronous_commit=off")
        return [name_of(first + i) for i in range(count)]

    def position(self):
        """The number of the segment that takes the next byte."""
        return number_of(self.server.sql("SELECT pg_walfile_name(pg_current_wal_lsn() + 1)"))

    def pgbench(self, *args, **environment):
        done = self.server.program(
            "pgbench", "-h", self.server.directory, "-p", self.server.port, "-U", "postgres", *args,
            "postgres", env={**os.environ, **environment},
        )
        return done.stdout

    def check(self, receiver, names):
        """What was received is what the server has."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            ours = pool.map(lambda name: sha256(receiver.unpack, receiver.path(name)), names)
            theirs = pool.map(lambda name: sha256(["cat"], self.server.data / "pg_wal" / name), names)
            for name, mine, its in zip(names, ours, theirs):
                if mine is None or mine != its:
                    raise RuntimeError(f"{receiver.name}: '{name}' is not what the server has")

    def set(self, **settings):
        self.server.configure(**settings)
        self.server.reload()
        for name, value in settings.items():
            wait_for(lambda: self.server.sql(f"SHOW {name}") == value)

    def synchronous_with(self):
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        return self.server.sql(query) == "1"

    def deserted(self):
        return self.server.sql("SELECT count(*) FROM pg_stat_replication") == "0"

    def close(self):
        self.server.stop()
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def running(command, place):
    """The command beside us, with its output in a file; told to stop at the end. `cpu` of what it
    gives is then the seconds that it and its children have used."""
    with open(place / "receiver.log", "wb") as log:
        process = subprocess.Popen(
            pg.as_owner(*command, with_us=True), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=place,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            process.cpu = used.ru_utime + used.ru_stime


class Bench:
    def __init__(self, place, source, runs):
        self.place, self.source, self.runs = place, source, runs

    def catch_up(self):
        """{name: CatchUp}"""
        found = {kind.name: [] for kind in CATCH_UP}
        names = self.source.names
        for run in range(self.runs):
            for kind in CATCH_UP:
                receiver = kind(self.place, self.source.server)
                receiver.prepare(names[0])
                os.sync()
                start = time.monotonic()
                with running(receiver.command(), self.place) as process:
                    wait_for(lambda: receiver.has(names[-1]), process)
                    wall = time.monotonic() - start
                self.source.check(receiver, names)
                size = sum(receiver.path(name).stat().st_size for name in names) / MB
                found[kind.name].append((wall, process.cpu, size))
                tell(f"catch up  {kind.name:20}run {run + 1}: {wall:7.3f} s, CPU {process.cpu:6.3f} s")
                wait_for(self.source.deserted)
        return {name: CatchUp(*map(statistics.median, zip(*runs))) for name, runs in found.items()}

    def commits(self, clients):
        """{name: Commits}, and the standard error of the quotient of their latencies."""
        found = {kind.name: [] for kind in SYNCHRONOUS}
        for run in range(COMMIT_RUNS * self.runs):
            # Whoever comes second finds the server warmer.
            for kind in SYNCHRONOUS if run % 2 else reversed(SYNCHRONOUS):
                receiver = kind(self.place, self.source.server)
                receiver.prepare()
                first = self.source.position() + 1
                with running(receiver.synchronous(), self.place) as process:
                    wait_for(self.source.synchronous_with, process)
                    os.sync()
                    said = self.source.pgbench("-n", "-c", clients, "-j", "2", "-T", COMMIT_S)
                    last = self.source.server.switch_wal()
                    wait_for(lambda: receiver.has(last), process)
                names = [name_of(number) for number in range(first, number_of(last) + 1)]
                self.source.check(receiver, names)
                latency, rate = (
                    float(re.search(rf"{what} = ([\d.]+)", said).group(1)) for what in ("latency average", "tps")
                )
                found[kind.name].append((latency, rate, process.cpu / (rate * COMMIT_S) * 1000))
                tell(f"{clients:2} clients {kind.name:20}run {run + 1}: {latency:7.3f} ms")
                wait_for(self.source.deserted)
        pairs = zip(found[Walden.name], found[PgReceivewal.name])
        quotients = [math.log(ours[0] / theirs[0]) for ours, theirs in pairs]
        error = statistics.stdev(quotients) / math.sqrt(len(quotients))
        return {name: Commits(*map(statistics.fmean, zip(*runs))) for name, runs in found.items()}, error

    def archive_latency(self):
        """Medians in ms: from the order to switch the segment until it is received, and from then
        until its line in the catalog is durable."""
        receiver = WaldenArchive(self.place, self.source.server)
        receiver.prepare()
        found = []
        with running(receiver.command(), self.place) as process, self.session() as session:
            wait_for(lambda: not self.source.deserted(), process)
            for _ in range(SWITCHES):
                time.sleep(0.2)
                name = name_of(self.source.position())
                start = time.monotonic()
                # The newest segment stays with the receiver: something has to follow.
                session.stdin.write(
                    "SELECT pg_logical_emit_message(true, 'bench', 'last'), pg_switch_wal();\n"
                    "SELECT pg_logical_emit_message(true, 'bench', 'next');\n"
                )
                session.stdin.flush()
                wait_for(lambda: receiver.received(name) or receiver.has(name), process)
                received = time.monotonic()
                wait_for(lambda: receiver.has(name), process)
                found.append(((received - start) * 1000, (time.monotonic() - received) * 1000))
        wait_for(self.source.deserted)
        return [statistics.median(column) for column in zip(*found)]

    @contextlib.contextmanager
    def session(self):
        """psql that waits for commands."""
        with subprocess.Popen(
            [pg.bindir() / "psql", "-Xq", "-o", os.devnull, "-d", self.source.server.conninfo],
            stdin=subprocess.PIPE, text=True,
        ) as psql:
            yield psql
            psql.stdin.close()


# The report


def catch_up_table(results, total):
    yield "| program | wall s | walden's / its | MB/s | CPU s | stored MB |"
    yield "|---|--:|--:|--:|--:|--:|"
    ours = results[Walden.name].wall
    for name, r in results.items():
        yield (
            f"| {name} | {r.wall:.3f} | {ours / r.wall:.2f} | {total / r.wall:,.0f} "
            f"| {r.cpu:.2f} | {r.size:.1f} |"
        )


def commit_table(results):
    yield "| clients | program | latency, ms | walden's / its | transactions/s | receiver's CPU s for 1,000 |"
    yield "|--:|---|--:|--:|--:|--:|"
    for clients, (row, error) in results.items():
        ours = row[Walden.name].latency
        for name, r in row.items():
            spread = "" if name == Walden.name else f" ± {error:.2f}"
            yield (
                f"| {clients} | {name} | {r.latency:.3f} | {ours / r.latency:.2f}{spread} | {r.rate:,.0f} "
                f"| {r.cpu:.3f} |"
            )


def goal_table(caught_up, commits, recorded):
    yield from GOAL_HEAD
    theirs = caught_up[PgReceivewal.name].wall
    ratio = caught_up[Walden.name].wall / theirs
    yield goal("catching up: at most 0.40 of pg_receivewal's time", ratio, ratio <= 0.4)
    ratio = caught_up[WaldenArchive.name].wall / theirs
    yield goal(
        "catching up and archiving with zstd: at most 1.10 of pg_receivewal's time without compression",
        ratio, ratio <= 1.1,
    )
    for clients, (row, _) in commits.items():
        ratio = row[Walden.name].latency / row[PgReceivewal.name].latency
        yield goal(f"synchronous commit, clients: {clients}: at most pg_receivewal's latency", ratio, ratio <= 1)
    yield goal("received to recorded: under 100 ms", recorded, recorded < 100)


def report(place, options):
    """Measures, and yields the lines of the report."""
    source = Source(place, options.segments)
    bench = Bench(place, source, options.runs)
    try:
        caught_up = bench.catch_up()
        # Not every run shall find another share of pages that are still to be logged whole.
        source.set(full_page_writes="off", synchronous_standby_names=APPLICATION)
        commits = {clients: bench.commits(clients) for clients in CLIENTS}
        source.set(full_page_writes="on", synchronous_standby_names="")
        received, recorded = bench.archive_latency()
    finally:
        source.close()
    total = len(source.names) * SEGMENT / MB
    yield (
        f"{len(source.names)} segments, {total:,.0f} MB, median of {options.runs} runs. {machine()}; "
        f"PostgreSQL {version(pg.bindir() / 'postgres', '--version')}, zstd {version('zstd', '--version')}."
    )
    yield from ["", *catch_up_table(caught_up, total)]
    yield from [
        "",
        f"`pgbench` with the receiver as the only synchronous standby, mean of {COMMIT_RUNS * options.runs} runs "
        f"of {COMMIT_S} s, in turns; ±: standard error:",
        "",
        *commit_table(commits),
    ]
    yield from [
        "",
        f"A segment that `pg_switch_wal()` ends is received after {received:.0f} ms, and {recorded:.0f} ms later "
        f"its line in the catalog is durable (median of {SWITCHES}; the segment is nearly empty, so that "
        "hardly any of that is compression).",
    ]
    yield from ["", *goal_table(caught_up, commits, recorded)]
