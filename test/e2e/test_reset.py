# SPDX-License-Identifier: PostgreSQL
"""receive-wal --reset, and partial segments that must not be lost: what a server may not have any more
is removed by nobody, and nobody archives a file that a receiver writes into."""

import signal

import pytest

from support import beside
from test_receive_protocol import FIRST, START, files, history, site  # noqa: F401 (a fixture)
from wal import MIB, segment_name
from walsender import receiving, wal

HELD = 5000  # bytes in the partial segments here


def receive(site, sender, data, timeline=1):  # noqa: F811
    """A receiver gets this, acknowledges it, and ends."""
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, data)
        client.asked()
        client.flushed(START + len(data))
        receiver.stop(client)


def reset(site, sender, slot, code=0):  # noqa: F811
    """What it says: on standard output, or, when it fails, as an error."""
    site.configure(slot_name="walden", conninfo=None)  # the sender has no SQL
    sender.slots["walden"] = slot
    with beside(site, "receive-wal", "--reset", "main") as process:
        sender.accept().until_gone()
        out, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    return (err if code else out).decode()


@pytest.mark.parametrize("foreign", [True, False], ids=["foreign timeline", "left timeline"])
def test_what_the_server_does_not_have(site, sender, foreign):  # noqa: F811
    """Received from a server that is gone, or on a timeline that ended before: kept in errors/."""
    sender.timeline = 2 if foreign else 1
    sender.histories[2] = history((1, START - MIB + 77))
    data = wal(FIRST, 2, timeline=sender.timeline)[: MIB + HELD]
    receive(site, sender, data, sender.timeline)
    name = f"{segment_name(FIRST + 1, sender.timeline)}.partial"
    assert site.archive().returncode == 0 and files(site)[-1] == name

    sender.timeline, sender.flush = (3 if foreign else 2), START + 9 * MIB
    sender.histories[3] = history((1, START - MIB + 77))
    if not foreign:
        sender.histories[2] = history((1, START + 500))
    out = reset(site, sender, START - MIB + 5 if foreign else START + 400)
    (kept,) = site.rejected()
    assert kept.startswith(name) and kept.endswith(".reset")
    assert f"Moving {site.streaming / name} to {site.errors}" in out
    assert (site.errors / kept).read_bytes()[:HELD] == data[MIB:]
    assert name not in files(site) and len([each for each in files(site) if each.endswith(".partial")]) == 1


def test_what_the_server_has(site, sender):  # noqa: F811
    """As Barman: it is received again from where the slot is."""
    receive(site, sender, wal(FIRST, 3)[: 2 * MIB + HELD])
    sender.flush = START + 9 * MIB
    out = reset(site, sender, START + 400)
    assert f"Removing status file {site.streaming / segment_name(FIRST + 2)}.partial" in out
    assert site.rejected() == []


def test_position_behind_the_slot(site, sender):  # noqa: F811
    """A whole segment is there: no mark would make the receiver begin before its end."""
    receive(site, sender, wal(FIRST, 3))
    assert site.archive().returncode == 0
    before = files(site)
    assert before == [segment_name(FIRST + 2)]
    out = reset(site, sender, START + 400)
    assert "Nothing to do" in out and segment_name(FIRST + 2) in out
    assert files(site) == before


def test_position_ahead_of_the_server(site, sender):  # noqa: F811
    """One that was set back: what we have may be all that there is of the lost time."""
    receive(site, sender, wal(FIRST, 3)[: 2 * MIB + HELD])
    before = files(site)
    sender.flush, sender.receiver = START + 5000, None
    err = reset(site, sender, START + 400, code=1)
    assert "is ahead of PostgreSQL current WAL lsn" in err and segment_name(FIRST + 2) in err
    assert files(site) == before and site.rejected() == []


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_partial_in_work(site, sender, compression):  # noqa: F811
    """Beside one that sorts behind it, which a server that is gone has left."""
    site.configure(compression=compression)
    site.streaming.mkdir(exist_ok=True)
    left = site.streaming / f"{segment_name(FIRST, 2)}.partial"
    left.write_bytes(wal(FIRST, 1, timeline=2)[:HELD].ljust(MIB, b"\0"))
    (site.streaming / segment_name(FIRST - 1)).write_bytes(wal(FIRST - 1, 1))
    data = wal(FIRST, 1)
    name = f"{segment_name(FIRST)}.partial"
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:100_000])
        client.asked()
        client.flushed(START + 100_000)
        done = site.archive()
        assert done.returncode == 0 and site.names() == [segment_name(FIRST - 1)]
        assert name in files(site)
        client.wal(START + 100_000, data[100_000:200_000])
        client.asked()
        client.flushed(START + 200_000)
        receiver.process.send_signal(signal.SIGKILL)
        receiver.process.wait()
    assert (site.streaming / name).read_bytes()[:200_000] == data[:200_000]
    assert site.archive().returncode == 0  # nobody writes into it any more
    assert site.get(name[:24], "--partial").stdout[:200_000] == data[:200_000]


def test_partial_that_is_taken_away(site, sender):  # noqa: F811
    """By somebody who asks no lock: no byte is acknowledged that lies in no file, and all come again."""
    data = wal(FIRST, 1)
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:100_000])
        client.asked()
        client.flushed(START + 100_000)
        (site.streaming / f"{segment_name(FIRST)}.partial").rename(site.path / "taken")
        client.wal(START + 100_000, data[100_000:200_000])
        client.keepalive(reply=True)
        client.until_gone()
        client = sender.accept().begin()
        client.wal(client.start, data)
        client.flushed(client.start + MIB)
        receiver.stop(client)
    assert "was moved or removed while it was received" in site.log_text()
