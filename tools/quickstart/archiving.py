# SPDX-License-Identifier: PostgreSQL
"""The story of archive_command: back to a moment before the server was lost."""

import shutil
import time

import pg
from home import execute
from stage import MB, Failed, pgbench, tell, transactions

TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history")


def checksum(server):
    """One figure for all rows of all tables."""
    parts = " || ".join(
        f"(SELECT md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t)"
        for table in TABLES
    )
    return server.sql(f"SELECT md5({parts})")


def archive(stage):
    """walden archive-wal; returns how many files and bytes went in, and the seconds."""
    home = stage.home
    sizes = [file.stat().st_size for file in home.incoming.iterdir()]
    start = time.monotonic()
    done = execute(stage.command("archive-wal", home.server), cwd=home.path)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise Failed(f"walden archive-wal ended with {done.returncode}: {done.stderr.strip()}")
    if home.waiting() or home.rejected():
        raise Failed(f"left in incoming/: {home.waiting()}; in errors/: {home.rejected()}")
    return len(sizes), sum(sizes), seconds


def story(stage, compression):
    home = stage.make_home(compression=compression)
    directory = stage.directory

    tell("1. A PostgreSQL server that hands its WAL to incoming/")
    primary = stage.start_server(
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

    count, before, seconds = archive(stage)
    stored = stage.stored()
    tell(f"4. walden archive-wal {home.server}: {count} files, {before / MB:.0f} MB in, {compression},")
    tell(
        f"   {stored / MB:.0f} MB stored ({before / stored:.1f} : 1) "
        f"in {seconds:.2f} s ({before / MB / seconds:.0f} MB/s)"
    )

    primary.stop("immediate")
    shutil.rmtree(primary.directory)
    tell("5. The server is lost: stopped at once, its directory deleted")

    start = time.monotonic()
    second = stage.restore(recovery_target_lsn=target, recovery_target_inclusive="off")
    seconds = time.monotonic() - start
    tell(f"6. The backup restored, its WAL fetched by walden get-wal: {seconds:.1f} s to {target}")

    if transactions(second) != rows:
        raise Failed(f"{transactions(second):,} transactions after the restore, not {rows:,}")
    if checksum(second) != figure:
        raise Failed("the rows differ from those at the target")
    tell(f"7. Proven: {rows:,} transactions, checksum {figure[:12]}, nothing of what came later")
