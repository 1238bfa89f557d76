# SPDX-License-Identifier: PostgreSQL
"""walden receive-wal against a walsender that breaks the rules, or keeps them in a way that no real
one does on demand: what is received is the stream, byte for byte, or nothing; and every end has its
reason."""

import random
import re
import struct
import time

import pytest

from faults import fault_environment
from support import wait_for
from wal import MIB, SYSID, segment_name
from walsender import Gone, Refusal, Rows, lsn_text, received, receiving, refused, row, wal

FIRST = 3  # the segment where streams begin
START = FIRST * MIB
KIB = 1024


@pytest.fixture
def site(home, sender):
    home.configure(archiver="off", streaming_archiver="on", streaming_conninfo=sender.conninfo)
    sender.receiver = home.streaming
    return home


def files(home):
    return sorted(path.name for path in home.streaming.iterdir())


# The conversation as it should be


def test_the_fake_is_taken_for_a_server(site, sender):
    sender.password = "xyzzy"
    site.configure(streaming_conninfo=f"{sender.conninfo} password=xyzzy", slot_name="walden")
    sender.slots["walden"] = START + 4711
    data = wal(FIRST, 2)
    with receiving(site) as receiver:
        client = sender.accept().begin()
        assert client.parameters["replication"] == "true"
        assert client.parameters["application_name"] == "barman_receive_wal"
        assert (client.slot, client.start, client.timeline) == ("walden", START, 1)
        assert client.status()[:3] == (START, START, 0)
        client.wal(START, data)
        assert client.flushed(START + 2 * MIB).written == START + 2 * MIB
        code, err = receiver.stop(client)
        assert (code, err) == (0, "")
    assert received(site) == data
    assert client.commands[0] == "IDENTIFY_SYSTEM"


def test_a_wrong_password(site, sender):
    sender.password = "xyzzy"
    site.configure(streaming_conninfo=f"{sender.conninfo} password=other")
    with receiving(site) as receiver:
        with pytest.raises(Gone):
            sender.accept()
        sender.clients.clear()
        sender.socket.close()
        code, err = receiver.end()
    assert code == 1 and "password authentication failed" in err and "other" not in err


# Messages


def pieces(kind, data):
    """The same stream in messages of other sizes."""
    chance = random.Random(kind)
    if kind == "many segments at once":
        return [data]
    if kind == "one byte each":
        data = data[: 3 * KIB]
    size = {"one byte each": 1, "odd": 8191, "whole segments": MIB}.get(kind)
    parts, at = [], 0
    while at < len(data):
        step = size or chance.choice([0, 1, 7, 8192, 100_000, 300_000])
        parts.append(data[at : at + step])
        at += step
    return parts


@pytest.mark.parametrize(
    "kind", ["many segments at once", "one byte each", "odd", "whole segments", "any, or none"]
)
def test_messages_of_any_size(site, sender, kind):
    data, at = wal(FIRST, 5) + wal(FIRST + 5, 1)[:300_000], START
    with receiving(site):
        client = sender.accept().begin()
        parts = pieces(kind, data)
        for part in parts:
            client.wal(at, part)
            at += len(part)
        assert client.asked().written <= at
        client.keepalive(reply=True)
        client.flushed(at)
    sent = b"".join(parts)
    assert received(site)[: len(sent)] == sent
    assert not any(received(site)[len(sent) :])


@pytest.mark.parametrize("times", [1, 3])
def test_frames_in_pieces(site, sender, times):
    """TCP cuts where it likes. An empty CopyData says nothing."""
    data = wal(FIRST, 1)
    with receiving(site):
        client = sender.accept().begin()
        client.copy(b"")
        for n in range(times):
            part = data[n * 1000 : (n + 1) * 1000]
            body = b"w" + struct.pack(">QQQ", START + n * 1000, 0, 0) + part
            frame = b"d" + struct.pack(">I", len(body) + 4) + body
            for at in range(0, len(frame), 97 if n else 1):
                client.raw(frame[at : at + (97 if n else 1)])
        client.keepalive(reply=True)
        client.flushed(START + times * 1000)
    assert received(site)[: times * 1000] == data[: times * 1000]


BAD_MESSAGES = {
    "unknown type": b"x what is this",
    "only a type": b"w",
    "a cut header": b"w" + bytes(23),
    "a cut keepalive": b"k" + bytes(16),
    "a long keepalive": b"k" + bytes(18),
    "the client's own": b"r" + bytes(33),
    "a gap": b"w" + struct.pack(">QQQ", START + 1001, 0, 0) + b"gap",
    "a jump by segments": b"w" + struct.pack(">QQQ", START + 8 * MIB, 0, 0) + b"far",
    "going back": b"w" + struct.pack(">QQQ", START, 0, 0) + b"back",
    "overlapping": b"w" + struct.pack(">QQQ", START + 999, 0, 0) + b"over",
    "the end of all positions": b"w" + struct.pack(">QQQ", 2**64 - 2, 0, 0) + b"end",
}


@pytest.mark.parametrize("payload", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_bad_messages(site, sender, payload):
    """They end it with exit code 1; what came before is kept, nothing of them, nothing after them."""
    data = wal(FIRST, 1)
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:1000])
        client.copy(payload)
        client.wal(START + 1000, data[1000:2000])
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and err.count("\n") <= 2, err
    assert "the server sent" in err and segment_name(FIRST) in err
    assert received(site) == data[:1000] + bytes(MIB - 1000)
    assert all(status.flushed <= START + 1000 for status in client.statuses)


@pytest.mark.parametrize(
    "frame",
    [b"?\0\0\0\x08abcd", b"Z\0\0\0\x05I", b"d\0\0\0\x03", b"d\xff\xff\xff\xff", b"\0" * 64,
     b"D\0\0\0\x06\0\0", b"c\0\0\0\x04Z\0\0\0\x05I"],
    ids=["unknown", "ready", "too short", "too long", "zeros", "a row", "done"],
)
def test_bad_frames(site, sender, clock, frame):
    """Not even the protocol: the connection is given up and made again; nothing is taken from it."""
    data = wal(FIRST, 1)
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:1000])
        client.raw(frame)
        client.while_waiting(lambda: clock.advance(2))
        client.until_gone()
        client = sender.accept().begin()
        assert client.start == START
        client.wal(START, data)
        client.flushed(START + MIB)
        assert receiver.stop(client) == (0, "")
    assert received(site) == data


# Silence


def test_keepalives_are_answered_at_once(site, sender, clock):
    """And by themselves every 10 seconds, with what was flushed before."""
    with receiving(site, env=clock.env):
        client = sender.accept().begin()
        client.status()
        for _ in range(20):
            client.asked()
        client.wal(START, wal(FIRST, 1)[:1000])
        client.while_waiting(lambda: clock.advance(1))
        client.flushed(START + 1000)


def test_silence_is_noticed(site, sender, clock):
    """After 30 s the server is asked, after 60 s it is lost, and then the connection is made again."""
    data = wal(FIRST, 2)
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:MIB])
        assert not client.flushed(START + MIB).wants_reply
        clock.advance(31)
        while not client.status().wants_reply:
            pass
        client.asked()
        clock.advance(31)
        while not client.status().wants_reply:
            pass
        assert receiver.process.poll() is None
        clock.advance(30)
        client.until_gone()
        client = sender.accept().begin()
        assert client.start == START + MIB
        client.wal(START + MIB, data[MIB:])
        client.flushed(START + 2 * MIB)
    assert "the server was silent for 60 s" in site.log_text()
    assert received(site) == data


@pytest.mark.parametrize("command", ["IDENTIFY_SYSTEM", "SHOW wal_segment_size", "START_REPLICATION"])
def test_no_answer(site, sender, clock, command):
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept()
        while not (asked := client.command()).startswith(command):
            client.give(sender.answer(asked))
        clock.advance(21)
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and "no answer in 20000 ms" in err
    assert files(site) == []


def test_nobody_answers(site, sender, clock):
    """The connection is taken, and then nothing."""
    with receiving(site, env=clock.env) as receiver:
        connection, _ = sender.socket.accept()
        connection.recv(1)
        clock.advance(21)
        code, err = receiver.end()
        connection.close()
    assert code == 1 and "no answer in 20000 ms" in err


def test_a_name_server_that_keeps_silent(site, sender):
    """It is not waited for: not when told to stop, nor while another host is there."""
    env = fault_environment("/nowhere", slow_host="db.example.com")
    site.configure(streaming_conninfo="host=db.example.com user=walden connect_timeout=20")
    with receiving(site, env=env) as receiver:
        time.sleep(0.5)
        begun = time.monotonic()
        receiver.process.terminate()
        assert receiver.process.wait(10) == 143
        assert time.monotonic() - begun < 5
    port = sender.socket.getsockname()[1]
    site.configure(streaming_conninfo=f"host=db.example.com,localhost port={port} user=walden "
                   "connect_timeout=1 gssencmode=disable")
    with receiving(site, env=env) as receiver:
        client = sender.accept().begin()
        client.wal(START, wal(FIRST, 1))
        client.flushed(START + MIB)
        receiver.stop(client)


def test_a_stream_that_does_not_end(site, sender, clock):
    """CopyDone, and nothing after it."""
    with receiving(site, env=clock.env):
        client = sender.accept().begin()
        client.wal(START, wal(FIRST, 1)[:1000])
        client.copy_done()
        clock.advance(11)
        client.until_gone()
        assert sender.accept().begin().start == START
    assert "the server does not end the stream" in site.log_text()


# A server that begins to wait


def test_synchronous_without_a_restart(site, sender, clock):
    """The server is asked now and then beside the stream; after that a commit does not wait for the
    next report. The receiver's clock is behind while it asks, so that 30 s are one."""
    clock.advance(-29)
    with receiving(site, env=clock.env):
        client = sender.accept().begin()
        sender.settings["synchronous_standby_names"] = "*"
        sender.accept().until_gone()
        clock.advance(29)
        wait_for(lambda: "synchronous from now on" in site.log_text())
        client.asked()
        client.wal(START, wal(FIRST, 1)[:1000])
        while (status := client.status()).written < START + 1000:
            pass
        assert status.flushed == START + 1000
        assert len(sender.clients) == 2


# Connections that break


def test_reset_anywhere(site, sender, clock):
    """A hundred connections that end anywhere, in any way: at the end the files are the stream."""
    chance = random.Random(1)
    data = wal(FIRST, 24)
    top = START
    with receiving(site, env=clock.env) as receiver:
        for _ in range(100):
            client = sender.accept().begin()
            assert client.start % MIB == 0 and client.start <= top
            # Nothing that was called flushed is asked for again, but for the segment it is in.
            flushed = max((s.flushed for c in sender.clients for s in c.statuses), default=START)
            assert client.start == max(START, flushed // MIB * MIB) or client.start > flushed
            at, end = client.start, min(client.start + chance.randrange(2 * MIB), START + len(data))
            while at < end:
                part = data[at - START : min(at + chance.choice([1, 8192, 131072]), end) - START]
                client.wal(at, part)
                at += len(part)
            top = max(top, at)
            match chance.randrange(6):
                case 0:
                    client.raw(b"d" + struct.pack(">IcQ", 5000, b"w", at) + bytes(100))
                    client.reset()
                case 1:
                    client.reset()
                case 2:
                    client.close()
                case 3:
                    client.refuse("57P01", "terminating connection due to administrator command",
                                  "FATAL")
                    client.until_gone()
                case 4:
                    client.asked()
                    client.reset()
                case 5:
                    client.copy_done()
                    client.send(b"C", b"COPY 0\0")
                    client.ready()
                    client.until_gone()
        client = sender.accept().begin()
        client.wal(client.start, data[client.start - START :])
        client.flushed(START + len(data))
        assert receiver.process.poll() is None
    assert received(site) == data


@pytest.mark.parametrize("at", ["start-up", "IDENTIFY_SYSTEM", "SHOW", "START_REPLICATION"])
def test_reset_before_the_stream(site, sender, clock, at):
    """The first connection must succeed; a later one is made again, whatever it fails at."""
    def meet():
        if at == "start-up":
            sender.socket.accept()[0].close()
            return
        client = sender.accept()
        while not (command := client.command()).startswith(at):
            client.give(sender.answer(command))
        client.reset()

    with receiving(site, env=clock.env) as receiver:
        meet()
        code, err = receiver.end()
        assert code == 1 and err
    with receiving(site, env=clock.env):
        sender.accept().begin().reset()
        meet()
        client = sender.accept().begin()
        client.wal(START, wal(FIRST, 1))
        client.flushed(START + MIB)
    assert received(site) == wal(FIRST, 1)


# Refusals


REMOVED = Refusal("58P01", f"requested WAL segment {segment_name(FIRST)} has already been removed")
SHUTDOWN = Refusal("57P01", "terminating connection due to administrator command", "FATAL")
STARTING = Refusal("57P03", "the database system is starting up", "FATAL")
CORRUPT = Refusal("XX001", "something is corrupt")


@pytest.mark.parametrize("refusal", [SHUTDOWN, STARTING, CORRUPT], ids=["shutdown", "starting", "other"])
@pytest.mark.parametrize(
    "command", ["IDENTIFY_SYSTEM", "SHOW wal", "SHOW sync", "READ_REPLICATION_SLOT", "START_REPL"]
)
def test_refused_at_first(site, sender, command, refusal):
    """Exit code 1 and the server's words."""
    site.configure(slot_name="walden")
    sender.slots["walden"] = START
    sender.answers = {command: refusal}
    code, err, asked = refused(site, sender)
    assert code == 1 and refusal.message in err, err
    assert asked[-1].startswith(command)
    assert files(site) == []


@pytest.mark.parametrize("command", ["IDENTIFY_SYSTEM", "SHOW wal", "SHOW sync", "START_REPL"])
def test_refused_later(site, sender, clock, command):
    """What passes is waited for; what does not pass ends it."""
    with receiving(site, env=clock.env) as receiver:
        sender.accept().begin().reset()
        for refusal in (SHUTDOWN, STARTING, CORRUPT):
            sender.answers = {command: refusal}
            sender.accept().until_gone()
        code, err = receiver.end()
    assert code == 1 and CORRUPT.message in err and SHUTDOWN.message not in err
    log = site.log_text()
    assert f"{SHUTDOWN.message}; trying again in 2 s" in log
    assert f"{STARTING.message}; trying again in 4 s" in log


@pytest.mark.parametrize("when", ["at once", "before WAL", "after WAL"])
def test_wal_that_is_gone(site, sender, when):
    """The name of what is missing, and what to do; never a step over it."""
    data = wal(FIRST, 1)
    if when == "at once":
        sender.answers["START_REPL"] = REMOVED
        code, err, _ = refused(site, sender)
    else:
        with receiving(site) as receiver:
            client = sender.accept().begin()
            if when == "after WAL":
                client.wal(START, data[:1000])
            time.sleep(0.2)  # a server may need that to find out
            client.refuse(*REMOVED)
            client.until_gone()
            code, err = receiver.end()
        # The position of a slot would move to what is said before.
        assert when == "after WAL" or client.statuses == []
    assert code == 1
    assert REMOVED.message in err and "gap" in err and "--reset" in err
    assert "receive WAL from segment" in err
    if when == "after WAL":
        assert received(site) == data[:1000] + bytes(MIB - 1000)


def test_shutdown_in_the_stream(site, sender, clock):
    """FATAL in the middle of WAL: all that came before it counts, and it comes again."""
    data = wal(FIRST, 2)
    with receiving(site, env=clock.env):
        client = sender.accept().begin()
        client.wal(START, data[: MIB + 1000])
        client.refuse(*SHUTDOWN)
        client.until_gone()
        client = sender.accept().begin()
        assert client.start == START + MIB
        assert received(site)[: MIB + 1000] == data[: MIB + 1000]
        client.wal(START + MIB, data[MIB:])
        client.flushed(START + 2 * MIB)
    assert f"{SHUTDOWN.message}; trying again" in site.log_text()


def test_slot_in_use_for_a_moment(site, sender, clock):
    """The walsender of a receiver that was killed: it is waited for."""
    site.configure(slot_name="walden")
    sender.slots["walden"] = START
    with receiving(site, env=clock.env):
        sender.answers = {"START_REPL": Refusal("55006", 'replication slot "walden" is active')}
        sender.accept().until_gone()
        sender.accept().until_gone()
        sender.answers = {}
        assert sender.accept().begin().slot == "walden"


# Answers


ODD_ANSWERS = {
    "no rows": Rows(["systemid", "timeline", "xlogpos", "dbname"], []),
    "no columns": Rows([], [[]]),
    "too few columns": row(systemid=str(SYSID), timeline="1"),
    "two rows": Rows(["systemid", "timeline", "xlogpos"], [[str(SYSID), "1", "0/300000"]] * 2),
    "no identifier": row(systemid=None, timeline="1", xlogpos="0/300000", dbname=None),
    "identifier 0": row(systemid="0", timeline="1", xlogpos="0/300000", dbname=None),
    "a negative one": row(systemid="-1", timeline="1", xlogpos="0/300000", dbname=None),
    "a large one": row(systemid="18446744073709551616", timeline="1", xlogpos="0/300000"),
    "a word": row(systemid="seven", timeline="1", xlogpos="0/300000", dbname=None),
    "timeline 0": row(systemid=str(SYSID), timeline="0", xlogpos="0/300000", dbname=None),
    "a large timeline": row(systemid=str(SYSID), timeline="4294967296", xlogpos="0/300000"),
    "no position": row(systemid=str(SYSID), timeline="1", xlogpos=None, dbname=None),
    "a bad position": row(systemid=str(SYSID), timeline="1", xlogpos="0/3000000000", dbname=None),
    "no answer at all": b"Z\0\0\0\x05I",
    "an empty one": b"I\0\0\0\x04Z\0\0\0\x05I",
    "garbage": b"\xff\xfe\xfd\xfc\xfb\xfa",
    "another message": b"C\0\0\0\x0bSELECT\0Z\0\0\0\x05I",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_odd_answers_to_identify_system(site, sender, answer):
    sender.answers["IDENTIFY_SYSTEM"] = answer
    code, err, asked = refused(site, sender)
    assert code == 1 and err
    assert asked == ["IDENTIFY_SYSTEM"]
    assert files(site) == [] and not (site.directory / "identity.json").exists()


@pytest.mark.parametrize(
    "size", ["0", "", "3MB", "2GB", "512kB", "16", "-1MB", "1MB ", "MB", "1048576B", "16 MB", None]
)
def test_odd_segment_sizes(site, sender, size):
    sender.settings["wal_segment_size"] = size
    code, err, _ = refused(site, sender)
    assert code == 1 and "wal_segment_size" in err
    assert files(site) == []


@pytest.mark.parametrize(
    "answer",
    [row(slot_type="logical", restart_lsn="0/300000", restart_tli="1"),
     row(slot_type="physical", restart_lsn="nowhere", restart_tli="1"),
     row(slot_type=None, restart_lsn=None, restart_tli=None)],
    ids=["logical", "a bad position", "missing"],
)
def test_odd_slots(site, sender, answer):
    site.configure(slot_name="walden")
    sender.answers["READ_REPLICATION_SLOT"] = answer
    code, err, _ = refused(site, sender)
    assert code == 1 and "replication slot 'walden'" in err
    assert files(site) == []


STARTS = {
    "nothing": b"C\0\0\0\x16START_REPLICATION\0Z\0\0\0\x05I",
    "an empty table": Rows(["next_tli", "next_tli_startpos"], []),
    "no next timeline": row(next_tli=None, next_tli_startpos="0/300000"),
    "only the client sends": b"G\0\0\0\x07\0\0\0",
}


@pytest.mark.parametrize("answer", STARTS.values(), ids=STARTS)
def test_odd_answers_to_start_replication(site, sender, answer):
    """A stream that has not begun is not one."""
    sender.answers["START_REPL"] = answer
    code, err, _ = refused(site, sender)
    assert code == 1 and err
    assert files(site) == []


# Another cluster


def test_another_cluster_when_it_comes_again(site, sender, clock):
    """Behind the same address there is another server now: not a byte of it is taken."""
    data = wal(FIRST, 1)
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:1000])
        client.keepalive(reply=True)
        client.flushed(START + 1000)
        client.reset()
        sender.system = SYSID + 1
        client = sender.accept()
        client.until_gone()
        assert client.commands == ["IDENTIFY_SYSTEM"]
        code, err = receiver.end()
    assert code == 1 and str(SYSID) in err and str(SYSID + 1) in err
    assert received(site) == data[:1000] + bytes(MIB - 1000)


@pytest.mark.parametrize("size", ["16MB", "2MB"])
def test_another_segment_size_when_it_comes_again(site, sender, clock, size):
    """What is there says nothing of where to go on: positions must not be guessed from it."""
    data = wal(FIRST, 1)
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept().begin()
        client.wal(START, data + bytes(1000))
        client.flushed(START + MIB)
        client.reset()
        sender.settings["wal_segment_size"] = size
        client = sender.accept()
        client.until_gone()
        assert not any(command.startswith("START_REPL") for command in client.commands)
        code, err = receiver.end()
    assert code == 1 and "wal_segment_size" in err
    assert received(site) == data + bytes(MIB)


# Timelines


def history(*switches):
    """The text of a history file: pairs of timeline and position."""
    return "".join(f"{tli}\t{lsn_text(lsn)}\tno recovery target specified\n" for tli, lsn in switches)


@pytest.mark.parametrize("following", [2, 7, 4_000_000_000])
def test_next_timeline(site, sender, following):
    """Numbers may be left out. The switch is in the middle of a segment, which both have."""
    switch = START + MIB + 1000
    sender.histories[following] = history((1, switch))
    old, new = wal(FIRST, 2)[: MIB + 1000], wal(FIRST + 1, 1, timeline=following)
    with receiving(site):
        client = sender.accept().begin()
        client.wal(START, old)
        client.switch(following, switch)
        client.begin()
        assert (client.timeline, client.start) == (following, START + MIB)
        assert (site.streaming / f"{following:08X}.history").read_text() == history((1, switch))
        client.wal(START + MIB, new)
        client.flushed(START + 2 * MIB)
    assert received(site) == old + bytes(MIB - 1000)
    assert received(site, following) == new


def test_next_timeline_began_before_what_was_received(site, sender):
    """We had more of the old one than became history. It stays, and is not in the way."""
    switch = START + 500
    sender.histories[2] = history((1, switch))
    old, new = wal(FIRST, 2), wal(FIRST, 3, timeline=2)
    with receiving(site):
        client = sender.accept().begin()
        client.wal(START, old)
        client.switch(2, switch)
        client.begin()
        assert (client.timeline, client.start) == (2, START)
        client.wal(START, new)
        client.flushed(START + 3 * MIB)
    assert received(site) == old and received(site, 2) == new


def test_timelines_that_ended_while_nobody_listened(site, sender):
    """Each is asked for up to its end: one ends after WAL, the next has none that we lack."""
    sender.timeline, sender.slots["walden"] = 5, START - 1
    sender.histories = {5: history((1, START), (3, START)), 3: history((1, START))}
    site.configure(slot_name="walden")
    with receiving(site):
        client = sender.accept().begin()
        assert (client.timeline, client.start) == (1, START - MIB)
        client.wal(START - MIB, wal(FIRST - 1, 1))
        client.switch(3, START)
        assert client.serve().endswith("TIMELINE 3")
        client.give(row(next_tli="5", next_tli_startpos=lsn_text(START)))
        client.begin()
        assert (client.timeline, client.start) == (5, START)
        client.wal(START, wal(FIRST, 1, timeline=5))
        client.flushed(START + MIB)
    assert files(site) == [segment_name(FIRST - 1), "00000003.history", "00000005.history",
                           segment_name(FIRST, 5)]


@pytest.mark.parametrize(
    "following, switch",
    [(1, START + 1000), (0, START + 1000), (2**32, START + 1000), (2, START + 1001), (2, 2**63)],
    ids=["the same", "none", "a large one", "a gap", "a large gap"],
)
@pytest.mark.parametrize("when", ["at once", "after WAL"])
def test_bad_next_timeline(site, sender, following, switch, when):
    sender.histories[following] = history((1, switch))
    data = wal(FIRST, 1)[:1000]
    with receiving(site) as receiver:
        client = sender.accept()
        if when == "at once":
            client.serve()
            client.give(row(next_tli=str(following), next_tli_startpos=lsn_text(switch)))
        else:
            client.begin()
            client.wal(START, data)
            client.switch(following, switch)
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and "timeline" in err and segment_name(FIRST) in err
    assert files(site) == ([] if when == "at once" else [f"{segment_name(FIRST)}.partial"])
    assert received(site)[:1000] == (b"" if when == "at once" else data)


BAD_HISTORIES = {
    "empty": "",
    "only comments": "# nothing\n\n",
    "a word": "one\t0/300000\tx\n",
    "no position": "1\n",
    "a bad position": "1\t300000\tx\n",
    "timeline 0": "0\t0/300000\tx\n",
    "not ascending": history((1, START), (1, START)),
    "its own parent": history((1, START), (5, START)),
    "a child": history((1, START), (6, START)),
    "a zero byte": history((1, START)) + "\0" + history((7, START)),
    "binary": bytes(range(1, 256)),
    "huge": b"x" * 8 * MIB,
    "NULL": None,
}


@pytest.mark.parametrize("text", BAD_HISTORIES.values(), ids=BAD_HISTORIES)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_bad_history(site, sender, text, when):
    """Neither is it stored, nor any WAL of its timeline asked for."""
    sender.histories[5] = text
    with receiving(site) as receiver:
        if when == "at once":
            sender.timeline = 5
            client = sender.accept()
        else:
            client = sender.accept().begin()
            client.switch(5, START)
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and re.search("history of timeline 5|TIMELINE_HISTORY 5|zero byte", err), err
    assert files(site) == []
    assert not any("TIMELINE 5" in command for command in client.commands)


@pytest.mark.parametrize(
    "answer",
    [Rows(["filename", "content"], []), row(filename="00000006.history", content=history((1, START))),
     row(filename="00000005.history"), row(filename=None, content=history((1, START))),
     Refusal("58P01", 'could not open file "pg_wal/00000005.history"')],
    ids=["no rows", "another file", "no contents", "no name", "gone"],
)
def test_odd_answers_to_timeline_history(site, sender, answer):
    sender.timeline = 5
    sender.answers["TIMELINE_HISTORY"] = answer
    code, err, _ = refused(site, sender)
    assert code == 1 and err
    assert files(site) == []


def test_long_history(site, sender):
    """Nobody has had so many timelines; it would work."""
    text = history(*((number, number * 100) for number in range(1, 30_000)))
    sender.timeline, sender.histories[30_000] = 30_000, text
    with receiving(site):
        client = sender.accept().begin()
        assert client.timeline == 30_000
    assert (site.streaming / f"{30_000:08X}.history").read_text() == text


# Two servers that were promoted to timelines of the same number


@pytest.mark.parametrize("place", ["streaming", "archive", "ancestor"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_history_of_another_server(site, sender, place, compression):
    """The second server's timeline 2 began elsewhere: nothing of it is taken for the first one's."""
    site.configure(compression=compression)
    sender.timeline = 2
    sender.histories[2] = history((1, START - MIB + 77))
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, wal(FIRST, 3, timeline=2))
        client.flushed(START + 3 * MIB)
        assert receiver.stop(client) == (0, "")
    if place == "archive":
        assert site.archive().returncode == 0
        assert "00000002.history" in site.names()
    before = {name: (site.streaming / name).read_bytes() for name in files(site)}
    sender.flush = START + 4 * MIB
    sender.histories[2] = history((1, START + 1000))
    if place == "ancestor":
        sender.timeline, sender.histories[3] = 3, history((1, START + 1000), (2, START + 3 * MIB + 5))
    code, err, commands = refused(site, sender)
    assert code == 1 and "00000002.history" in err
    assert lsn_text(START - MIB + 77) in err and lsn_text(START + 1000) in err
    assert not any(command.startswith("START_REPL") for command in commands)
    assert {name: (site.streaming / name).read_bytes() for name in files(site)} == before


def test_history_of_another_server_after_a_switch(site, sender):
    """The same when it turns up in the middle."""
    (site.streaming / "00000002.history").write_text(history((1, START + 500)))
    sender.histories[2] = history((1, START + 1000))
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, wal(FIRST, 1)[:1000])
        client.switch(2, START + 1000)
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and lsn_text(START + 500) in err and lsn_text(START + 1000) in err
    assert (site.streaming / "00000002.history").read_text() == history((1, START + 500))


def test_history_with_another_reason(site, sender):
    """Timelines and positions count; so does what can be read."""
    (site.streaming / "00000002.history").write_text(f"# mine\n1 {lsn_text(START)} other words\n")
    (site.streaming / "00000003.history").write_text("what is this?\n")
    sender.timeline = 3
    sender.histories = {2: history((1, START)), 3: history((1, START), (2, START + 9))}
    with receiving(site):
        client = sender.accept().begin()
        client.wal(client.start, wal(FIRST, 1, timeline=3))
        client.flushed(client.start + MIB)
    assert "00000003.history" in site.log_text()


@pytest.mark.parametrize("at", [0, 40, 9_999, 70_000])
def test_other_wal_than_the_partial_holds(site, sender, clock, at):
    """What was received, and may be acknowledged, is never replaced. Zeros are where nothing was."""
    data = wal(FIRST, 1)
    other = bytearray(data)
    other[at] ^= 1
    with receiving(site, env=clock.env) as receiver:
        client = sender.accept().begin()
        client.wal(START, data[:100_000])
        client.asked()
        client.flushed(START + 100_000)
        client.reset()
        client = sender.accept().begin()
        assert client.start == START
        client.wal(START, bytes(other))
        client.until_gone()
        code, err = receiver.end()
    assert code == 1 and f"from byte {at} on" in err and f"{segment_name(FIRST)}.partial" in err
    assert received(site) == data[:100_000] + bytes(MIB - 100_000)
    assert all(status.flushed <= START + at for status in client.statuses)
    with receiving(site) as receiver:
        client = sender.accept().begin()
        client.wal(START, data)
        client.flushed(START + MIB)
    assert received(site) == data
