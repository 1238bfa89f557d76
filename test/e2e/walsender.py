# SPDX-License-Identifier: PostgreSQL
"""A walsender that does what a test tells it, for what a real one does not do on demand.

There is no thread and no state behind the test's back: the test is the server. It accepts a
connection, lets the usual commands be answered, and sends message after message:

    with receiving(home):
        client = sender.accept().begin()
        client.wal(START, DATA)
        client.keepalive(reply=True)
        assert client.status().written == START + len(DATA)

Formats and flows are those of PostgreSQL's documentation, chapter "Frontend/Backend Protocol":
sections "Message Flow" (Start-up, Simple Query, COPY Operations), "Streaming Replication Protocol",
"Message Formats" and "Error and Notice Message Fields".
"""

import collections
import contextlib
import re
import select
import signal
import socket
import struct

from support import beside
from wal import MIB, SYSID, segment_name, segment_start, wal_bytes

PATIENCE = 30  # seconds; only a test that fails waits so long
SSL_REQUEST, GSS_REQUEST, PROTOCOL_3 = 80877103, 80877104, 196608

Status = collections.namedtuple("Status", "written flushed applied time wants_reply")
Rows = collections.namedtuple("Rows", "columns rows")
Refusal = collections.namedtuple("Refusal", "code message severity", defaults=["ERROR"])


class Gone(Exception):
    """The client has closed the connection."""


def row(**values):
    """An answer of one row; None is NULL."""
    return Rows(list(values), [list(values.values())])


def lsn_text(lsn):
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def wal(first, count, timeline=1, **kw):
    """The bytes of so many segments, from the number `first` on."""
    numbers = range(first, first + count)
    return b"".join(wal_bytes(segment_name(n, timeline), **kw) for n in numbers)


class Walsender:
    """What the server is, and the port where it listens. `answers` has the answer to a command, or
    to those that begin so, if it is to be another one than a real server's: Rows, a Refusal, raw
    bytes, or None for silence."""

    def __init__(self):
        self.system, self.timeline, self.flush = SYSID, 1, 3 * MIB
        self.receiver = None  # its directory: a server has at least the WAL that was received from it
        self.settings = {"wal_segment_size": "1MB", "synchronous_standby_names": ""}
        self.histories = {}  # text by timeline
        self.slots = {}  # position by name
        self.password = None
        self.answers = {}
        self.clients = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)
        port = self.socket.getsockname()[1]
        self.conninfo = f"host=127.0.0.1 port={port} user=walden gssencmode=disable"

    def close(self):
        for client in self.clients:
            client.socket.close()
        self.socket.close()

    def accept(self, process=None):
        """The next connection, ready for commands. Gone if there is none because the process has
        ended."""
        while process and not select.select([self.socket], [], [], 0.02)[0]:
            if process.poll() is not None:
                raise Gone
        connection, _ = self.socket.accept()
        client = Client(self, connection)
        self.clients.append(client)
        client.start_up()
        return client

    def position(self):
        there = self.receiver and self.receiver.is_dir()
        names = [path.name[:24] for path in self.receiver.iterdir()] if there else []
        ours = [name for name in names if name.startswith(f"{self.timeline:08X}") and "." not in name]
        return max([self.flush, *(segment_start(name) + MIB for name in ours)])

    def answer(self, command):
        for beginning, answer in self.answers.items():
            if command.startswith(beginning):
                return answer
        if command == "IDENTIFY_SYSTEM":
            return row(systemid=str(self.system), timeline=str(self.timeline),
                       xlogpos=lsn_text(self.position()), dbname=None)
        if command.startswith("SHOW "):
            name = command.removeprefix("SHOW ")
            return row(**{name: self.settings[name]})
        if command.startswith("TIMELINE_HISTORY "):
            timeline = int(command.split()[1])
            return row(filename=f"{timeline:08X}.history", content=self.histories[timeline])
        if command.startswith("READ_REPLICATION_SLOT "):
            lsn = self.slots.get(command.split()[1].strip('"'))
            if lsn is None:
                return row(slot_type=None, restart_lsn=None, restart_tli=None)
            return row(slot_type="physical", restart_lsn=lsn_text(lsn), restart_tli="1")
        return Refusal("42601", "syntax error")


class Client:
    """One connection, as the server sees it. `commands` and `statuses` are what the client said."""

    def __init__(self, sender, connection):
        self.sender, self.socket = sender, connection
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parameters, self.commands, self.statuses = {}, [], []
        self.end = 0  # of the WAL sent
        self.meanwhile = None  # what happens while nothing comes
        self.on_status = lambda status: None

    # Frames

    def raw(self, data):
        """Bytes as they are. A client that has gone shows when it is read from."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def send(self, kind, body=b""):
        self.raw(kind + struct.pack(">I", len(body) + 4) + body)

    def _read(self, size):
        data = bytearray()
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionResetError:
                part = b""
            except TimeoutError:
                if not self.meanwhile:
                    raise
                self.meanwhile()
                continue
            if not part:
                raise Gone
            data += part
        return bytes(data)

    def message(self):
        """Type and body of the client's next message."""
        kind, size = struct.unpack(">cI", self._read(5))
        body = self._read(size - 4)
        if kind == b"X":  # Terminate
            raise Gone
        if kind == b"d" and body[:1] == b"r":
            status = Status(*struct.unpack(">xQQQQ?", body))
            self.on_status(status)
            self.statuses.append(status)
        return kind, body

    # Start-up and commands

    def start_up(self):
        while True:
            size, code = struct.unpack(">II", self._read(8))
            body = self._read(size - 8)
            if code == PROTOCOL_3:
                break
            assert code in (SSL_REQUEST, GSS_REQUEST), code
            self.raw(b"N")
        words = body.decode().split("\0")
        self.parameters = dict(zip(words[::2], words[1::2]))
        if self.sender.password is not None:
            self.send(b"R", struct.pack(">I", 3))  # AuthenticationCleartextPassword
            kind, body = self.message()
            if (kind, body) != (b"p", self.sender.password.encode() + b"\0"):
                self.refuse("28P01", "password authentication failed", "FATAL")
                raise Gone
        self.send(b"R", struct.pack(">I", 0))
        self.send(b"S", b"server_version\x0015.8\0")
        self.send(b"S", b"client_encoding\0SQL_ASCII\0")
        self.ready()

    def ready(self):
        self.send(b"Z", b"I")

    def command(self):
        """The client's next command, not answered."""
        kind, body = self.message()
        assert kind == b"Q", kind
        self.commands.append(body[:-1].decode())
        return self.commands[-1]

    def refuse(self, code, message, severity="ERROR"):
        fields = f"S{severity}\0V{severity}\0C{code}\0M{message}\0\0"
        self.send(b"E", fields.encode())

    def give(self, answer):
        """Answers a command; see Walsender.answers."""
        if answer is None:
            return
        if isinstance(answer, bytes):
            self.raw(answer)
            return
        if isinstance(answer, Refusal):
            self.refuse(*answer)
        else:
            self.table(answer)
        self.ready()

    def table(self, answer):
        columns = [name.encode() + struct.pack(">xIHIHIH", 0, 0, 25, 0xFFFF, 0xFFFFFFFF, 0)
                   for name in answer.columns]
        self.send(b"T", struct.pack(">H", len(columns)) + b"".join(columns))
        for values in answer.rows:
            body = struct.pack(">H", len(values))
            for value in values:
                data = b"" if value is None else value if isinstance(value, bytes) else value.encode()
                body += struct.pack(">i", -1 if value is None else len(data)) + data
            self.send(b"D", body)
        self.send(b"C", b"SELECT\0")

    def serve(self):
        """Answers the usual commands up to START_REPLICATION, which is left open: its text."""
        while not (command := self.command()).startswith("START_REPLICATION"):
            self.give(self.sender.answer(command))
        return command

    def begin(self):
        """Answers everything, and begins the stream that the client wants."""
        command = self.serve()
        self.slot, lsn, timeline = re.fullmatch(
            r'START_REPLICATION (?:SLOT "(.+)" )?PHYSICAL (\S+) TIMELINE (\d+)', command
        ).groups()
        high, low = lsn.split("/")
        self.start = self.end = (int(high, 16) << 32) + int(low, 16)
        self.timeline = int(timeline)
        self.send(b"W", b"\0\0\0")  # CopyBothResponse
        return self

    def while_waiting(self, action):
        """What is to happen, again and again, while the client says nothing."""
        self.meanwhile = action
        self.socket.settimeout(0.05)

    def until_gone(self):
        """Answers whatever comes until the client closes the connection."""
        with contextlib.suppress(Gone):
            while True:
                kind, body = self.message()
                if kind == b"Q":
                    self.commands.append(body[:-1].decode())
                    self.give(self.sender.answer(self.commands[-1]))

    # The stream

    def wal(self, lsn, data):
        """XLogData."""
        self.end = lsn + len(data)
        self.raw(self.wal_frame(lsn, data))

    @staticmethod
    def wal_frame(lsn, data):
        return b"d" + struct.pack(">IcQQQ", len(data) + 29, b"w", lsn, lsn + len(data), 0) + data

    def keepalive(self, reply=False):
        self.copy(b"k" + struct.pack(">QQ?", self.end, 0, reply))

    def copy(self, payload):
        """CopyData, whatever is in it."""
        self.send(b"d", payload)

    def status(self):
        """The client's next status update."""
        count = len(self.statuses)
        while len(self.statuses) == count:
            self.message()
        return self.statuses[-1]

    def asked(self):
        """A keepalive that wants an answer, and the status after it."""
        self.keepalive(reply=True)
        return self.status()

    def flushed(self, lsn):
        """Waits until the client says that it has flushed everything up to there."""
        while not self.statuses or self.statuses[-1].flushed < lsn:
            self.status()
        return self.statuses[-1]

    def copy_done(self):
        """Ends the stream, and waits until the client has ended its side."""
        self.send(b"c")
        while self.message()[0] != b"c":
            pass

    def switch(self, timeline, lsn):
        """The timeline has ended at lsn; which is next. The client may go on with commands."""
        self.copy_done()
        self.table(row(next_tli=str(timeline), next_tli_startpos=lsn_text(lsn)))
        self.send(b"C", b"START_STREAMING\0")
        self.ready()

    def close(self):
        self.socket.close()

    def reset(self):
        """As a cable that was pulled and a router that says so: RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Receiver:
    """walden receive-wal beside the test."""

    def __init__(self, process):
        self.process = process

    def end(self):
        """Waits for it: exit code and standard error."""
        _, err = self.process.communicate(timeout=PATIENCE)
        err = err.decode()
        assert "Sanitizer" not in err and "runtime error:" not in err, err
        return self.process.returncode, err

    def stop(self, client):
        """SIGINT, and what a server does when the client ends the stream."""
        self.process.send_signal(signal.SIGINT)
        while client.message()[0] != b"c":
            pass
        client.close()
        return self.end()


@contextlib.contextmanager
def receiving(home, **kw):
    with beside(home, "receive-wal", home.server, **kw) as process:
        yield Receiver(process)


def refused(home, sender, **kw):
    """A receiver whose first connection comes to nothing: exit code, standard error, and what it
    asked."""
    with receiving(home, **kw) as receiver:
        client = sender.accept()
        client.until_gone()
        return *receiver.end(), client.commands


def received(home, timeline=1):
    """What lies in streaming/ of this timeline, one behind the other; a partial segment with its
    zeros. A gap, or anything that is no WAL, is an error."""
    data, expected = b"", None
    files = sorted(path for path in home.streaming.iterdir() if path.suffix != ".history")
    for path in files:
        match = re.fullmatch(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?", path.name)
        assert match, path.name
        number = int(match[2], 16) * 4096 + int(match[3], 16)
        if int(match[1], 16) != timeline:
            continue
        assert expected in (None, number), path.name
        assert path.stat().st_size == MIB, path.name
        data += path.read_bytes()
        expected = number + 1
    return data

