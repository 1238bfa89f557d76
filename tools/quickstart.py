# SPDX-License-Identifier: PostgreSQL
"""./dev quickstart: what an archive is for, once, with a real server. Everything happens in one
temporary directory, which is left for the curious; no port is opened."""

import argparse
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test" / "e2e"))
import pg
from home import WALDEN, Home, execute

TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history")
MB = 1_000_000


class Failed(Exception):
    pass


def tell(text):
    print(text, flush=True)


def checksum(server):
    """One figure for all rows of all tables."""
    parts = " || ".join(
        f"(SELECT md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t)"
        for table in TABLES
    )
    return server.sql(f"SELECT md5({parts})")


def transactions(server):
    return int(server.sql("SELECT count(*) FROM pgbench_history"))


def pgbench(server, *args):
    server.program("pgbench", "-h", server.directory, "-p", server.port, "-U", "postgres", *args, "postgres")


def make_home(directory, compression):
    home = Home(directory / "home", compression=compression)
    home.globals["barman_user"] = pg.owner()
    home.configure()
    for path, _, files in os.walk(home.path):
        pg.give(path, *(os.path.join(path, file) for file in files))
    return home


def program(directory):
    """walden where the servers' user can run it: root's checkout may be closed to `postgres`."""
    if os.geteuid() != 0:
        return pathlib.Path(WALDEN)
    return pathlib.Path(shutil.copy(WALDEN, directory / "walden"))


def archive(walden, home):
    """walden archive-wal; returns how many files and bytes went in, and the seconds."""
    sizes = [file.stat().st_size for file in home.incoming.iterdir()]
    start = time.monotonic()
    done = execute(pg.as_owner(walden, "-c", home.conf, "archive-wal", home.server), cwd=home.path)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise Failed(f"walden archive-wal ended with {done.returncode}: {done.stderr.strip()}")
    if home.waiting() or home.rejected():
        raise Failed(f"left in incoming/: {home.waiting()}; in errors/: {home.rejected()}")
    return len(sizes), sum(sizes), seconds


def story(directory, compression, start_server):
    home = make_home(directory, compression)
    walden = program(directory)

    tell("1. A PostgreSQL server that hands its WAL to incoming/")
    primary = start_server(
        pg.Postgres(directory / "primary", wal_segsize=16, archive_to=home.incoming, fsync="on")
    )
    pgbench(primary, "-i", "-q", "-s", "10")
    tell("2. A base backup, and pgbench at work behind it")
    primary.base_backup(directory / "restored" / "data")
    pgbench(primary, "-c", "4", "-j", "2", "-T", "10")

    rows, figure = transactions(primary), checksum(primary)
    target = primary.sql("SELECT pg_current_wal_insert_lsn()")
    tell(f"3. The moment to come back to: LSN {target}, {rows:,} transactions, checksum {figure[:12]}")
    pgbench(primary, "--no-vacuum", "-c", "4", "-j", "2", "-T", "5")
    later = transactions(primary)
    primary.wait_archived(primary.switch_wal())
    tell(f"   ... after which {later - rows:,} more follow, unwanted")

    count, before, seconds = archive(walden, home)
    stored = sum(home.stored(name).stat().st_size for name in home.names())
    tell(f"4. walden archive-wal {home.server}: {count} files, {before / MB:.0f} MB in, {compression},")
    tell(
        f"   {stored / MB:.0f} MB stored ({before / stored:.1f} : 1) "
        f"in {seconds:.2f} s ({before / MB / seconds:.0f} MB/s)"
    )

    primary.stop("immediate")
    shutil.rmtree(primary.directory)
    tell("5. The server is lost: stopped at once, its directory deleted")

    start = time.monotonic()
    second = start_server(
        pg.restored(
            directory / "restored", f"{walden} -c {home.conf} get-wal {home.server} %f > %p",
            recovery_target_lsn=target, recovery_target_inclusive="off",
            recovery_target_action="promote",
        )
    )
    second.wait_recovered()
    seconds = time.monotonic() - start
    tell(f"6. The backup restored, its WAL fetched by walden get-wal: {seconds:.1f} s to {target}")

    if transactions(second) != rows:
        raise Failed(f"{transactions(second):,} transactions after the restore, not {rows:,}")
    if checksum(second) != figure:
        raise Failed("the rows differ from those at the target")
    tell(f"7. Proven: {rows:,} transactions, checksum {figure[:12]}, nothing of what came later")


def main():
    parser = argparse.ArgumentParser(prog="./dev quickstart", description=__doc__)
    parser.add_argument("--compression", default="zstd", help="codec of the archive (%(default)s)")
    options = parser.parse_args()

    directory = pg.short_directory("walden-quickstart-")
    pg.give(directory)
    servers = []

    def start_server(server):
        servers.append(server)
        return server.start()

    try:
        story(directory, options.compression, start_server)
    except (Failed, RuntimeError, OSError) as reason:
        tell(f"quickstart FAILED: {reason}")
        tell(f"logs: {directory}/home/walden.log, {directory}/primary/log, {directory}/restored/log")
        return 1
    finally:
        for server in servers:
            server.stop("immediate")
    tell(f"Left to look at: {directory} (servers stopped; the archive is home/main/wals)")
    return 0


sys.exit(main())
