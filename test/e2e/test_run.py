# SPDX-License-Identifier: PostgreSQL
"""walden run: it keeps the servers' processes running, and ends with them."""

import contextlib
import os
import pathlib
import signal
import socket
import time

import pytest
from home import Home
from support import alive, beside, children, locked, wait_for
from wal import make_wal, segment_names

NAMES = segment_names(1, 6)
LOCK = ".main-archive-wal.lock"


@pytest.fixture
def home(home):
    home.configure(sweep_interval=3600)
    return home


def follower(home, server="main", other_than=0):
    """The process that follows this server now."""
    def look():
        started = [line for line in home.log_text().splitlines() if f"following server '{server}'" in line]
        pid = int(started[-1].split("[", 1)[1].split("]", 1)[0]) if started else 0
        return pid if pid != other_than and alive(pid) and pid else None
    return wait_for(look, what=f"a follower of '{server}'")


def end(process, sign=signal.SIGTERM):
    running = children(process.pid)
    begin = time.monotonic()
    process.send_signal(sign)
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 5
    assert not [pid for pid in running if alive(pid)]


@contextlib.contextmanager
def supervisor(home):
    with beside(home, "run") as process:
        try:
            yield process
            if process.poll() is None:
                end(process)
        finally:
            if process.poll() is None:  # its children would outlive it
                process.terminate()
                process.wait(10)


def archived(home, *names):
    wait_for(lambda: home.names() == list(names), what="the catalog")


def add_server(home, name):
    other = Home(home.path, server=name)
    other.globals = home.globals
    home.configure()
    with open(home.conf, "a", encoding="utf-8") as file:
        file.write(f"\n[{name}]\narchiver = on\nsweep_interval = 3600\n")
    other.conf = home.conf
    return other


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_archives_and_ends(home, sign):
    with supervisor(home) as process:
        follower(home)
        make_wal(home.incoming, NAMES[0])
        archived(home, NAMES[0])
        assert len(children(process.pid)) == 1
        end(process, sign)
        assert process.stdout.read() == process.stderr.read() == b""


def test_what_dies_comes_back(home):
    with supervisor(home):
        first = follower(home)
        os.kill(first, signal.SIGKILL)
        second = follower(home, other_than=first)
        make_wal(home.incoming, NAMES[0])
        archived(home, NAMES[0])
        os.kill(second, signal.SIGTERM)
        follower(home, other_than=second)
    assert "archive-wal for 'main' ended with signal 9, starting it again in 1 s" in home.log_text()
    assert "archive-wal for 'main' ended with exit code 0, starting it again in 2 s" in home.log_text()


def test_trouble_of_one_server(home):
    """It is tried again, ever more seldom, while the other works."""
    other = add_server(home, "other")
    (home.path / ".other-archive-wal.lock").mkdir()
    with supervisor(home):
        follower(home)
        make_wal(home.incoming, NAMES[0])
        archived(home, NAMES[0])
        wait_for(lambda: "starting it again in 2 s" in home.log_text())
        assert "archive-wal for 'other' ended with exit code 1" in home.log_text()
        (home.path / ".other-archive-wal.lock").rmdir()
        follower(home, "other")
        make_wal(other.incoming, NAMES[1])
        archived(other, NAMES[1])


def test_reload(home):
    """What changes is started again, what does not goes on; servers come and go."""
    with supervisor(home) as process:
        first = follower(home)
        add_server(home, "other")
        process.send_signal(signal.SIGHUP)
        other = follower(home, "other")
        assert children(process.pid) == {first, other}

        home.configure(compression="zstd")
        process.send_signal(signal.SIGHUP)
        second = follower(home, other_than=first)
        make_wal(home.incoming, NAMES[0])
        archived(home, NAMES[0])
        assert home.rows()[0].compression == "zstd"
        wait_for(lambda: children(process.pid) == {second})
        assert not alive(other)

        home.conf.write_text("no configuration at all\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the configuration was not read again" in home.log_text())
        assert children(process.pid) == {second}
        make_wal(home.incoming, NAMES[1])
        archived(home, *NAMES[:2])

        home.configure(active="false")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: not children(process.pid))


def test_reload_with_a_fault_in_a_server(home):
    """Its WAL is archived as before until the fault is mended, and the log says what is wrong."""
    with supervisor(home) as process:
        first = follower(home)
        home.configure(errors_directory=home.incoming)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "what runs for it goes on as before" in home.log_text())
        make_wal(home.incoming, NAMES[0])
        archived(home, NAMES[0])
        assert children(process.pid) == {first}
        home.configure(errors_directory=None, compression="zstd")
        process.send_signal(signal.SIGHUP)
        second = follower(home, other_than=first)
        assert children(process.pid) == {second}



def test_only_one(home):
    with supervisor(home):
        follower(home)
        done = home.walden("run")
        assert done.returncode == 1
        assert "running already" in done.stderr


def test_another_archiver_has_the_lock(home):
    """Barman's, for instance: we take over when it has finished."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(home.path / LOCK))
        stack.enter_context(supervisor(home))
        wait_for(lambda: "archive-wal for 'main' ended with exit code 1" in home.log_text())


def test_what_does_not_end_is_killed(home):
    with supervisor(home) as process:
        os.kill(follower(home), signal.SIGSTOP)
        end(process)
    assert "did not end in time and is killed" in home.log_text()


@pytest.mark.parametrize("abstract", [False, True])
def test_tells_the_service_manager(home, monkeypatch, abstract):
    path = f"@{home.path}/notify" if abstract else f"{home.path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path.replace("@", "\0"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")

        def told():
            return manager.recv(1000).decode()

        def told_next():
            while (text := told()) == "WATCHDOG=1":
                pass
            return text

        with supervisor(home) as process:
            assert told() == "READY=1"
            assert [told() for _ in range(3)] == ["WATCHDOG=1"] * 3
            process.send_signal(signal.SIGHUP)
            assert told_next().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert told_next() == "READY=1"
            end(process)
            assert told_next() == "STOPPING=1"


def test_a_manager_that_is_gone(home, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", f"{home.path}/none")
    monkeypatch.setenv("WATCHDOG_USEC", "no number")
    with supervisor(home):
        follower(home)


def test_sleeps(home):
    def sleeps():
        before = switches()
        time.sleep(1)
        return switches() == before

    with supervisor(home) as process:
        def switches():
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            return text.split("voluntary_ctxt_switches:")[1].split()[0]

        follower(home)
        wait_for(sleeps)
