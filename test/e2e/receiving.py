# SPDX-License-Identifier: PostgreSQL
"""A receiver beside the test, what it has received, and the comparison with its server's files."""

import contextlib
import re
import signal

from support import beside, wait_for

SEGMENT = re.compile(r"[0-9A-F]{24}")
MIB = 1 << 20


def point_to(home, server):
    home.configure(conninfo=server.conninfo, streaming_conninfo=server.conninfo)


@contextlib.contextmanager
def receiver(home, **kw):
    """A receiver that runs beside the test, streaming already."""
    with beside(home, "receive-wal", home.server, **kw) as process:
        wait_for(lambda: lock_holder(home) == process.pid or process.poll() is not None)
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def lock_holder(home):
    path = home.path / f".{home.server}-receive-wal.lock"
    text = path.read_text(encoding="ascii") if path.exists() else ""
    return int(text or 0)


def streaming(server, application="barman_receive_wal"):
    """Is somebody connected who receives?"""
    query = f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{application}'"
    return server.sql(query + " AND state = 'streaming'") != "0"


def nobody_receives(server):
    """The walsender of a receiver that is gone may still be there for a moment."""
    return server.sql("SELECT count(*) FROM pg_stat_replication") == "0"


def streaming_all(server):
    """Has somebody all that there is?"""
    return server.sql("SELECT count(*) FROM pg_stat_replication"
                      " WHERE write_lsn = pg_current_wal_flush_lsn()") != "0"


def received(home):
    """Whole segments, sorted."""
    return sorted(path.name for path in home.streaming.iterdir() if SEGMENT.fullmatch(path.name))


def files(home):
    return sorted(path.name for path in home.streaming.iterdir())


def wait_received(home, name, timeout=30):
    wait_for(lambda: (home.streaming / name).exists(), timeout, f"'{name}' received")


def compare(home, *servers):
    """Every whole segment is a server's, without a gap; the partial one has the full size."""
    names = received(home)
    assert names
    for name in names:
        paths = [server.data / "pg_wal" / name for server in servers]
        theirs = next(path for path in paths if path.exists()).read_bytes()
        assert (home.streaming / name).read_bytes() == theirs, name
    numbers = [int(name[8:16], 16) * 4096 + int(name[16:], 16) for name in names]  # of 1 MB
    assert sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1))
    for path in home.streaming.glob("*.partial"):
        assert path.stat().st_size == MIB
    return names


def insert(server, count=2000):
    server.sql(
        "CREATE TABLE IF NOT EXISTS t (i int, x text);"
        f"INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, {count}) i"
    )
