# SPDX-License-Identifier: PostgreSQL
"""How fast a server's backlog goes by the archive module, and by archive_command: each way gets the
same finished segments of a running server, and how soon one segment more is done."""

import shutil
import statistics
import subprocess
import time

from common import GOAL_HEAD, fresh, goal, machine, pg, tell, version
from home import BARMAN, BUILT, Home, reachable
from parcels import Far

PATIENCE_S = 900
ENOUGH_S = 60  # a slow way need not move the whole backlog
KINDS = {"1 MB": (1, True), "16 MB": (16, True), "1 MB, nearly empty": (1, False)}
MORE = 20
WORKERS = 2


class Server:
    """A server with a backlog of finished segments, and no archiving yet. They are full, or nearly
    empty, as archive_timeout makes them on an idle server."""

    def __init__(self, place, size, full, backlog):
        self.directory = fresh(place)
        self.begun = time.time()
        self.postgres = pg.Postgres(
            place / "pg", wal_segsize=size, archive_mode="on", archive_command="", checkpoint_timeout="1d",
            max_wal_size="100GB",
        ).start()
        self.status = self.postgres.data / "pg_wal" / "archive_status"
        step = "repeat(md5(i::text), 16384))" if full else "'x'); PERFORM pg_switch_wal()"
        steps = backlog * size * 2 if full else backlog  # md5() gives 32 bytes: 0.5 MB each
        self.postgres.sql(
            f"DO $$ BEGIN FOR i IN 1..{steps} LOOP "
            f"PERFORM pg_logical_emit_message(false, 'bench', {step}; END LOOP; END $$"
        )

    def waiting(self):
        return len(list(self.status.glob("*.ready")))

    def archive_by(self, **settings):
        self.postgres.configure(**{"archive_command": "", "archive_library": "", **settings})
        self.begun = time.time()
        self.postgres.reload()

    def rest(self):
        """No archiving any more, and all of it waits again."""
        self.archive_by()
        time.sleep(1)
        for path in self.status.glob("*.done"):
            path.rename(path.with_suffix(".ready"))

    def emptied(self):
        """Segments a second. For another library PostgreSQL starts its archiver process anew, after up
        to 10 s, which do not count."""
        backlog = self.waiting()
        deadline = time.monotonic() + PATIENCE_S
        while self.waiting() == backlog:
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing is archived: see '{self.postgres.log}'")
            time.sleep(0.001)
        begun = time.monotonic()
        while (left := self.waiting()) > 0 and time.monotonic() < begun + ENOUGH_S:
            time.sleep(0.005)
        now = time.time()
        started = self.postgres.sql(
            "SELECT extract(epoch FROM backend_start) FROM pg_stat_activity WHERE backend_type = 'archiver'"
        )
        return (backlog - left) / (now - max(self.begun, float(started)))

    def one_more(self):
        """Milliseconds from a segment's end to PostgreSQL's word that it is archived."""
        times = []
        for _ in range(MORE if self.waiting() == 0 else 0):
            name = self.postgres.fill_segment(8)
            begun = time.monotonic()
            while not (self.status / f"{name}.done").exists() and time.monotonic() < begun + ENOUGH_S:
                time.sleep(0.0005)
            times.append(1000 * (time.monotonic() - begun))
        return statistics.median(times) if times else None


def disk_rate(place, megabytes):
    """Megabytes a second that the disk takes of one writer at best: past the page cache."""
    command = ["dd", "if=/dev/zero", f"of={place}/floor", "bs=1M", f"count={megabytes}", "oflag=direct"]
    begun = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    taken = time.monotonic() - begun
    (place / "floor").unlink()
    return megabytes / taken


def by_cp(place):
    return {"archive_command": f"cp %p {place}/%f"}


def by_cp_and_sync(place):
    return {"archive_command": f"cp %p {place}/%f && sync {place}/%f"}


def by_module(place):
    module = reachable(BUILT.parent / "src/pgmodule/walden_archive.so")
    return {"archive_library": module, "walden.incoming_wals_directory": place}


def by_pgbackrest(place):
    for name in ("repo", "spool", "log", "lock"):
        fresh(place / name)
    conf = place / "pgbackrest.conf"
    conf.write_text(
        f"[global]\nrepo1-path={place}/repo\nspool-path={place}/spool\nlog-path={place}/log\n"
        f"lock-path={place}/lock\nlog-level-console=error\nlog-level-stderr=error\narchive-async=y\n"
        f"process-max={WORKERS}\ncompress-type=none\n\n[main]\npg1-path={place.parent}/pg/data\n"
    )
    command = f"pgbackrest --config={conf} --stanza=main"
    subprocess.run(pg.as_owner(*command.split(), "--no-online", "stanza-create"), check=True, cwd=place)
    return {"archive_command": f"{command} archive-push %p"}


def by_barman(place):
    home = Home(place / "home")
    home.globals["barman_user"] = pg.owner()
    home.configure()
    far = Far(place, home, BARMAN)
    pg.give(place, home.path, *home.path.rglob("*"))
    return {"archive_command": f"PATH={far.env['PATH']} barman-wal-archive -c {home.conf} host main %p"}


WAYS = {
    "walden_archive": by_module,
    "cp": by_cp,
    "cp and sync": by_cp_and_sync,
    "pgBackRest, asynchronous": by_pgbackrest,
    "barman-wal-archive (Barman's, ssh for nothing)": by_barman,
}


def measure(place, size, full, backlog):
    """(segments a second, milliseconds of one more) of each way"""
    server = Server(place / "module", size, full, backlog)
    found = {}
    try:
        if full:
            found["the disk, at best"] = (disk_rate(server.directory, size * backlog // 4) / size, None)
        for way, prepare in WAYS.items():
            tell(f"module: {size} MB, {'full' if full else 'nearly empty'}, {way}")
            directory = fresh(server.directory / "way")
            server.archive_by(**prepare(directory))
            found[way] = (server.emptied(), server.one_more())
            server.rest()
    finally:
        server.postgres.stop("immediate")
        shutil.rmtree(server.directory)
    return found


def report(place, options):
    lines = [f"{options.backlog} finished segments wait, {machine()}; PostgreSQL {version(pg.bindir() / 'postgres', '--version')}, "
             f"pgBackRest {version('pgbackrest', 'version')}, Barman {version(BARMAN, '--version')}.", "",
             "| segments of | by | segments/s | one more, ms |", "|---|---|--:|--:|"]
    goals = []
    for kind, (size, full) in KINDS.items():
        found = measure(place, size, full, options.backlog)
        for way, (rate, latency) in found.items():
            lines.append(f"| {kind} | {way} | {rate:.1f} | {'-' if latency is None else f'{latency:.1f}'} |")
        rate = {way: figures[0] for way, figures in found.items()}
        rival, least = ("cp", 5) if size == 1 else ("cp and sync", 1.5)
        times = rate["walden_archive"] / rate[rival]
        goals.append(goal(f"{kind}: at least {least} times {rival}", times, times >= least))
        if size == 1:
            times = rate["walden_archive"] / rate["pgBackRest, asynchronous"]
            goals.append(goal(f"{kind}: at least 10 times pgBackRest", times, times >= 10))
    return [*lines, "", *GOAL_HEAD, *goals]
