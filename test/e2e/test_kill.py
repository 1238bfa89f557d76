# SPDX-License-Identifier: PostgreSQL
"""The archiver dies, is told to stop, or is there twice, while WAL keeps coming and somebody
recovers: nothing is lost, overwritten or handed out wrong."""

import contextlib
import fcntl
import os
import random
import signal
import struct
import subprocess
import threading
import time

import pytest

from faults import archived_files, check_catalog, digest, fault_environment, recorded
from home import WALDEN, Home, run
from wal import MIB, segment_name, segment_start, wal_bytes

SEED = int(os.environ.get("WALDEN_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("WALDEN_KILL_ROUNDS", 200))
TEMPLATE = bytearray(wal_bytes(segment_name(1)))


def segment(name):
    """A valid segment of its own contents, made faster than by make_wal."""
    data = bytearray(TEMPLATE)
    struct.pack_into("<Q", data, 8, segment_start(name))
    data[40 : 40 + len(name)] = name.encode()
    return bytes(data)


class Producer:
    """An archive_command: whole files appear in incoming/ by a rename, in order. What it has
    acknowledged is in `digests`."""

    def __init__(self, home, first=4000):
        self.home, self.number = home, first
        self.digests = {}

    def put(self, count=1):
        for _ in range(count):
            name = segment_name(self.number)
            self.number += 1
            data = segment(name)
            temporary = self.home.incoming / f"{name}.tmp"
            temporary.write_bytes(data)
            temporary.rename(self.home.incoming / name)
            self.digests[name] = digest(data)


class Background:
    """Calls `work` in a thread again and again until the end of the with block, which raises
    what it raised."""

    def __init__(self, work):
        self.work, self.ending, self.failure = work, threading.Event(), None
        self.thread = threading.Thread(target=self._run)
        self.turns = 0

    def _run(self):
        try:
            while not self.ending.is_set():
                self.work()
                self.turns += 1
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ending.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def spawn(home, *words):
    return subprocess.Popen(
        [WALDEN, "-c", str(home.conf), *words], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def start_archiver(home):
    return spawn(home, "archive-wal", home.server)


def check_moment(home, producer, names=None):
    """What was acknowledged waits, or is in the archive and in the catalogue."""
    acknowledged = list(producer.digests) if names is None else names
    waiting = set(home.waiting())  # first: a file may move on meanwhile, but not back
    rows = recorded(home)
    files = archived_files(home)
    for name in acknowledged:
        if name not in waiting:
            assert name in files, f"'{name}' is lost"
            assert name in rows, f"'{name}' is not recorded"


def check_all(home, producer):
    for _ in range(2):
        done = home.archive()
        assert done.returncode == 0, done.stderr
    assert home.waiting() == home.rejected() == []
    check_catalog(home)
    assert set(archived_files(home)) == set(producer.digests)
    for name, expected in producer.digests.items():
        got = home.get(name)
        assert got.returncode == 0 and digest(got.stdout) == expected, f"{name}: {got.stderr}"


def reader(home, producer, chance):
    """A recovering server asks for what was acknowledged."""

    def ask():
        names = list(producer.digests)
        if not names:
            time.sleep(0.01)
            return
        name = chance.choice(names[-40:])
        got = home.get(name)
        assert got.returncode == 0, f"get-wal {name}: {got.returncode} {got.stderr}"
        assert digest(got.stdout) == producer.digests[name], f"get-wal {name}: wrong bytes"

    return ask


def feeder(home, producer):
    def feed():
        if len(home.waiting()) < 12 and len(producer.digests) < 600:
            producer.put()
        else:
            time.sleep(0.002)

    return feed


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_killed_again_and_again(memdir, compression):
    print(f"WALDEN_SEED={SEED}")
    chance = random.Random(SEED)
    home = Home(memdir / "home", compression=compression)
    producer = Producer(home)
    killed, longest = 0, 0.05
    with Background(feeder(home, producer)), Background(
        reader(home, producer, random.Random(SEED + 1))
    ) as recovery:
        for _ in range(ROUNDS):
            process = start_archiver(home)
            time.sleep(chance.uniform(0, longest))
            process.kill()
            out, err = process.communicate()
            assert process.returncode in (0, -9), out + err
            killed += process.returncode == -9
            # About as long as a run takes, whatever the machine and the build.
            longest *= 1.1 if process.returncode == -9 else 0.7
            check_moment(home, producer)
    assert killed > ROUNDS / 2 and recovery.turns > 5
    assert len(home.names()) > 20, "the rounds were too short to archive anything"
    check_all(home, producer)


@pytest.mark.parametrize("compression", [None, "xz"])
def test_told_to_stop(memdir, compression):
    print(f"WALDEN_SEED={SEED}")
    chance = random.Random(SEED)
    home = Home(memdir / "home", compression=compression)
    producer = Producer(home)
    stopped, longest = 0, 0.05
    for _ in range(20):
        producer.put(max(0, 10 - len(home.waiting())))
        process = start_archiver(home)
        time.sleep(chance.uniform(0, longest))
        process.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
        told = time.monotonic()
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - told < 2
        # A negative code: before it had said what it does with signals.
        assert process.returncode in (0, 143, 130, -15, -2), err
        longest *= {0: 0.7}.get(process.returncode, 1.2)
        if process.returncode > 0:
            assert err.count("stopped by signal") == 1, err
            stopped += 1
        check_moment(home, producer)
    assert stopped or compression is None  # without compression a run may be over too soon
    check_all(home, producer)


@contextlib.contextmanager
def holding(path):
    """Somebody else has this lock."""
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_for(condition, timeout=20):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_told_to_stop_while_it_waits_for_the_catalogue(home):
    producer = Producer(home)
    producer.put(3)
    with holding(home.path / ".main-xlogdb.lock"):
        process = start_archiver(home)
        wait_for(lambda: archived_files(home))
        process.terminate()
        told = time.monotonic()
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - told < 2
    assert process.returncode == 143 and "stopped by signal 15" in err
    assert len(home.waiting()) == 3 and home.rows() == []
    check_all(home, producer)


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("how", ["in place", "by a rename"])
def test_source_that_changes_while_it_is_archived_is_kept(home, compression, how):
    home.configure(compression=compression)
    name, changed = segment_name(7), bytearray(segment(segment_name(7)))
    changed[5000:5004] = b"late"
    source = home.incoming / name
    source.write_bytes(segment(name))
    with holding(home.path / ".main-xlogdb.lock"):
        process = start_archiver(home)
        wait_for(lambda: archived_files(home))
        if how == "in place" and compression:  # else it is the archived file, too
            source.write_bytes(changed)
        else:
            (home.incoming / "new.tmp").write_bytes(changed)
            (home.incoming / "new.tmp").rename(source)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0 and home.waiting() == [name], err
    assert home.get(name).stdout == segment(name)
    assert home.archive().returncode == 1
    (held,) = home.errors.iterdir()
    assert held.read_bytes() == changed and home.get(name).stdout == segment(name)


def test_good_file_in_the_place_of_a_bad_one_does_not_go_to_errors(home):
    first, second = segment_name(7), segment_name(8)
    (home.incoming / first).write_bytes(segment(first))
    assert home.archive().returncode == 0
    bad = home.incoming / first
    bad.write_bytes(segment(first)[:-1] + b"x")
    (home.incoming / second).write_bytes(segment(second))
    home.configure(archiver_workers=1)
    with holding(home.path / ".main-xlogdb.lock"):
        process = start_archiver(home)
        wait_for(lambda: second in archived_files(home))
        (home.incoming / "good.tmp").write_bytes(segment(first))
        (home.incoming / "good.tmp").rename(bad)
    process.communicate(timeout=20)
    rejected = home.rejected()
    if rejected:  # the two were not in one group: the bad one had gone before
        assert [(home.errors / name).read_bytes()[-1:] for name in rejected] == [b"x"]
    assert home.waiting() == [first]
    assert home.archive().returncode == 0 and home.rejected() == rejected


def test_segment_with_another_name_is_copied(home):
    """archive_command = 'ln %p ...': the server will write into the file again."""
    name = segment_name(9)
    pg_wal = home.path / "pg_wal"
    pg_wal.write_bytes(segment(name))
    os.link(pg_wal, home.incoming / name)
    assert home.archive().returncode == 0
    pg_wal.write_bytes(bytes(MIB))
    assert home.get(name).stdout == segment(name)


def test_short_partial_may_still_be_arriving(home):
    name = segment_name(9) + ".partial"
    path = home.incoming / name
    path.write_bytes(segment(name[:24])[:8192])
    assert home.archive().returncode == 0 and home.waiting() == [name]
    path.write_bytes(segment(name[:24]))
    assert home.archive().returncode == 0 and home.waiting() == []
    assert home.stored(name).read_bytes() == segment(name[:24])
    short = segment_name(10) + ".partial"
    (home.incoming / short).write_bytes(segment(short[:24])[:8192])
    home.configure(incoming_grace=0)
    assert home.archive().returncode == 0 and home.waiting() == home.rejected() == []


def test_two_at_once(memdir):
    home = Home(memdir / "home")
    producer = Producer(home)
    for _ in range(40):
        producer.put(4)
        both = [start_archiver(home), start_archiver(home)]
        for process in both:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
        check_moment(home, producer)
        assert home.waiting() == []
    check_all(home, producer)
    producer.put()
    with holding(home.path / ".main-archive-wal.lock"):
        done = home.archive()
    assert done.returncode == 0
    assert "Another archive-wal process is already running on server main" in done.stdout
    assert len(home.waiting()) == 1


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("tmpfile", [True, False], ids=["nameless", "named"])
def test_two_that_do_not_see_each_others_locks(memdir, compression, tmpfile):
    """Two configurations with different lock directories. No file is lost or overwritten, and none is
    taken for a stranger; rows may be there twice until rebuild-xlogdb."""
    home = Home(memdir / "home", compression=compression)
    producer = Producer(home)
    configurations = []
    for number in range(2):
        locks = memdir / f"locks{number}"
        locks.mkdir()
        home.globals["barman_lock_directory"] = locks
        home.configure()
        configurations.append(home.conf.rename(memdir / f"{number}.conf"))
    home.configure()
    env = dict(os.environ)
    if not tmpfile:
        env = fault_environment(home.path, no_tmpfile=1)
    identities = {}
    for _ in range(30):
        producer.put(6)
        both = [
            subprocess.Popen(
                [WALDEN, "-c", str(conf), "archive-wal", home.server], env=env,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for conf in configurations
        ]
        for process in both:
            _, err = process.communicate(timeout=60)
            assert process.returncode in (0, 1), err
        files = archived_files(home)
        for name in producer.digests:
            assert name in files or (home.incoming / name).exists(), f"'{name}' is lost"
        for name, path in files.items():
            if not name.startswith("."):
                identity = (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size)
                assert identities.setdefault(name, identity) == identity, f"'{name}' was replaced"
    assert run("-c", home.conf, "archive-wal", home.server).returncode == 0
    assert run("-c", home.conf, "rebuild-xlogdb", home.server).returncode == 0
    names = home.names()
    assert set(names) == set(producer.digests), "the catalogue cannot be put in order"
    assert home.waiting() == home.rejected() == []
    for name, expected in producer.digests.items():
        assert digest(home.get(name).stdout) == expected, name
