# SPDX-License-Identifier: PostgreSQL
"""The story of streaming: the server is killed at work, and no transaction is missing of which it
had said that it is done."""

import shutil
import subprocess
import time

import pg
from stage import MB, Failed, clients, pgbench, tell, transactions

CLIENTS = 4
WORK_S = 10
RECEIVER = "barman_receive_wal"  # streaming_archiver_name, unless it is configured

# pgbench's own transaction, and a receipt in it by which each one can be found again: the
# client and its count, which pgbench writes into its log once COMMIT was answered.
SCRIPT = r"""\set receipt :receipt + 1
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
    VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
INSERT INTO receipts VALUES (:client_id, :receipt);
COMMIT;
"""


def until(condition, what, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not in {timeout} s")
        time.sleep(0.05)


def start_receiving(stage, primary):
    """walden run, until the server counts it as its synchronous standby."""
    log = open(stage.directory / "run.log", "wb")
    stage.processes.append(subprocess.Popen(
        stage.command("run"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=stage.home.path,
    ))
    query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    until(lambda: primary.sql(query) == "1", "walden receives")


def lose_at_work(stage, primary):
    """pgbench until everything of the server is killed and deleted; its acknowledged receipts."""
    logs = stage.directory / "acknowledged"
    logs.mkdir()
    script = logs / "script.sql"
    script.write_text(SCRIPT)
    pg.give(logs, script)
    load = subprocess.Popen(
        pg.as_owner(pg.bindir() / "pgbench", *clients(
            primary, "--no-vacuum", "-c", CLIENTS, "-j", 2, "-T", 600, "-f", script, "-D", "receipt=0",
            "--log", f"--log-prefix={logs}/log",
        )),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    time.sleep(WORK_S)
    if load.poll() is not None:
        raise Failed(f"pgbench ended with {load.returncode}: {load.stdout.read()}")
    primary.kill_all()
    shutil.rmtree(primary.data)
    load.communicate(timeout=60)
    return {
        tuple(map(int, line.split()[:2])) for path in logs.glob("log*") for line in path.read_text().splitlines()
    }


def receipts(server):
    lines = server.sql("SELECT client, number FROM receipts").splitlines()
    return {tuple(map(int, line.split("|"))) for line in lines}


def balanced(server):
    """Does what the transactions moved add up in all tables alike?"""
    sums = [
        f"(SELECT coalesce(sum({column}), 0) FROM {table})"
        for column, table in (
            ("abalance", "pgbench_accounts"), ("tbalance", "pgbench_tellers"),
            ("bbalance", "pgbench_branches"), ("delta", "pgbench_history"),
        )
    ]
    return len(set(server.sql(f"SELECT {', '.join(sums)}").split("|"))) == 1


def settled(stage):
    """All that can be archived is: one partial segment is left."""
    return all(path.suffix == ".partial" for path in stage.home.streaming.iterdir())


def story(stage, compression):
    directory = stage.directory
    primary = pg.Postgres(
        directory / "primary", wal_segsize=16, fsync="on", synchronous_standby_names=RECEIVER
    )
    home = stage.make_home(
        archiver="off", streaming_archiver="on", slot_name="walden", create_slot="auto",
        streaming_archiver_name=RECEIVER, compression=compression,
        conninfo=primary.conninfo, streaming_conninfo=primary.conninfo,
    )

    tell("1. A PostgreSQL server without archive_command; walden run receives its WAL, and is")
    tell("   its synchronous standby: a commit is answered when its WAL is durable here, too")
    stage.start_server(primary)
    start_receiving(stage, primary)
    pgbench(primary, "-i", "-q", "-s", "10")
    primary.sql("CREATE TABLE receipts (client int, number int)")
    tell("2. A base backup, and pgbench at work behind it")
    primary.base_backup(directory / "restored" / "data")
    acknowledged = lose_at_work(stage, primary)
    if not acknowledged:
        raise Failed("pgbench has not got a single transaction through")
    tell(f"3. After {WORK_S} s of that the server is lost: all its processes killed (SIGKILL), its data")
    tell(f"   directory deleted. {len(acknowledged):,} transactions were acknowledged")

    until(lambda: settled(stage), "what was received is archived")
    count, stored = len(home.names()), stage.stored()
    before = count * (16 << 20)
    tell(f"4. Meanwhile archived: {count} segments, {before / MB:.0f} MB, {compression},")
    tell(f"   {stored / MB:.0f} MB stored ({before / stored:.1f} : 1); the last one is still partial")

    start = time.monotonic()
    second = stage.restore("--partial ", synchronous_standby_names="")
    seconds = time.monotonic() - start
    tell("5. The backup restored, its WAL fetched by walden get-wal --partial, to the end of what was")
    tell(f"   received: {seconds:.1f} s")

    found = receipts(second)
    missing, more = acknowledged - found, found - acknowledged
    if missing:
        raise Failed(f"{len(missing):,} acknowledged transactions are missing, {min(missing)} the first")
    if len(more) > CLIENTS:
        raise Failed(f"{len(more):,} transactions were never acknowledged, by {CLIENTS} clients")
    if transactions(second) != len(found) or not balanced(second):
        raise Failed("the tables do not agree with each other")
    tell(f"6. Proven: {len(acknowledged):,} transactions acknowledged, {len(acknowledged):,} of them found, by")
    tell(f"   client and number; and {len(more)} more of which the clients were not told any more")
