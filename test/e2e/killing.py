# SPDX-License-Identifier: PostgreSQL
"""Servers that write while they, or what their archivers run, are killed at random moments."""

import contextlib
import os
import random
import signal
import threading
import time

from support import about

PATIENCE = 90  # after three failures PostgreSQL may rest for a minute


def writes_until(server, stop, pause=0.0):
    """Segments one after the other, whatever happens to the server."""
    while not stop.wait(pause):
        done = server.sql(
            "SELECT pg_logical_emit_message(false, 'x', repeat(random()::text, 3000)), pg_switch_wal()"
            " FROM generate_series(1, 3)", check=False,
        )
        if done.returncode != 0:
            stop.wait(0.05)


@contextlib.contextmanager
def writing(server, pause=0.0):
    """The same beside the test."""
    stop = threading.Event()
    writer = threading.Thread(target=writes_until, args=(server, stop, pause))
    writer.start()
    try:
        yield stop
    finally:
        stop.set()
        writer.join()


def below(pid):
    """All that this process has started, and that these have."""
    started = about(pid, f"task/{pid}/children").decode().split()
    return [one for child in started for one in (int(child), *below(child))]


def archiver(server):
    """Its pid, or None."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'"
    found = server.sql(query, check=False).stdout.strip()
    return int(found) if found else None


def kill_program(server, moments):
    """One that the archiver runs, at some moment of its short life; False if none comes."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if running := below(archiver(server)):
            time.sleep(moments.uniform(0, 0.03))
            with contextlib.suppress(ProcessLookupError):
                os.kill(moments.choice(running), signal.SIGKILL)
                return True
        time.sleep(0.005)
    return False


def kill_at_random(server, seed, turns=12):
    """Kills programs of the archiver, and each third time all of the server."""
    moments = random.Random(seed)
    killed = 0
    with writing(server, pause=0.25):
        for turn in range(turns):
            time.sleep(moments.uniform(0.1, 0.5))
            if turn % 3 == 2:
                server.kill_all()
                server.start(PATIENCE)
            else:
                killed += kill_program(server, moments)
    assert killed > 2
    server.stop()  # an archiver that rests is replaced
    server.start()
