# SPDX-License-Identifier: PostgreSQL
"""walden cron: what it starts, for whom, and that it never waits for it."""

import fcntl
import json
import os

import pytest
from home import BARMAN
from support import locked, wait_for
from test_follow import following
from wal import make_wal, segment_name, segment_names, wal_bytes

NAME, SECOND = segment_names(1, 2)
STARTING = "Starting WAL archiving for server main\n"
RUNNING = "Another archive-wal process is already running on server main. Skipping to the next server\n"


def cron(home, *options, code=0):
    done = home.walden(*options, "cron")
    assert done.returncode == code, done
    return done


def add_server(home, name, **options):
    with open(home.conf, "a", encoding="utf-8") as file:
        file.write(f"\n[{name}]\narchiver = on\n")
        file.writelines(f"{option} = {value}\n" for option, value in options.items())


def idle(home):
    """The archiver that was started has let go of its lock."""
    with open(home.path / ".main-archive-wal.lock", "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def test_archives(home):
    make_wal(home.incoming, NAME)
    done = cron(home)
    assert done.stdout == STARTING
    assert done.stderr == ""
    wait_for(lambda: home.names() == [NAME])
    assert home.get(NAME).stdout == wal_bytes(NAME)


def until(path):
    """What a script does that waits for the test to make this file."""
    return f"until [ -e {path} ]; do sleep 0.05; done"


def test_does_not_wait(home, workdir):
    """It is gone while the archiver still works, which has a session and no descriptors of its own."""
    out, go = workdir / "out", workdir / "go"
    home.configure(pre_archive_script=f"ps -o pid=,sid= -p $PPID > {out}.tmp; ls -l /proc/$PPID/fd > {out}.fd; "
                                      f"mv {out}.tmp {out}; {until(go)}")
    make_wal(home.incoming, NAME)
    cron(home)
    wait_for(out.exists)
    assert cron(home).stdout == RUNNING
    assert home.names() == []
    go.touch()
    pid, session = out.read_text().split()
    assert pid == session
    assert (workdir / "out.fd").read_text().count("/dev/null") == 3
    wait_for(lambda: home.names() == [NAME])


def test_never_twice(home, workdir):
    out, go = workdir / "out", workdir / "go"
    home.configure(pre_archive_script=f"echo x >> {out}; {until(go)}")
    make_wal(home.incoming, NAME)
    cron(home)
    wait_for(out.exists)
    assert [cron(home).stdout for _ in range(3)] == [RUNNING] * 3
    go.touch()
    wait_for(lambda: home.names() == [NAME])
    assert out.read_text() == "x\n"


def test_who_is_busy(home):
    with locked(home.path / ".main-archive-wal.lock"):
        assert cron(home).stdout == RUNNING
    with locked(home.path / ".main-cron.lock"):
        assert cron(home).stdout == (
            "Another cron process is already running on server main. Skipping to the next server\n"
        )


def test_looking_leaves_the_holders_pid(home):
    lock = home.path / ".main-archive-wal.lock"
    with locked(lock):
        cron(home)
        assert lock.read_text() == f"{os.getpid()}\n"


def test_every_server_on_its_own(home):
    """In the order of the names; trouble with one is its own."""
    add_server(home, "a-inactive", active="false")
    add_server(home, "b-disabled", wals_directory=home.path / "x", incoming_wals_directory=home.path / "x")
    add_server(home, "c-locked")
    (home.path / ".c-locked-cron.lock").mkdir()
    make_wal(home.incoming, NAME)
    done = cron(home, code=1)
    assert done.stdout == (
        "Skipping inactive server 'a-inactive'\nSkipping temporarily disabled server 'b-disabled'\n" + STARTING
    )
    assert "ERROR: cron of server 'c-locked'" in done.stderr
    wait_for(lambda: home.names() == [NAME])


def test_lock_files_stay(home):
    old = home.path / ".gone-backup.lock"
    old.touch()
    cron(home)
    wait_for(lambda: (home.path / ".main-archive-wal.lock").exists())
    assert old.exists()


def test_quiet_and_json(home):
    with locked(home.path / ".main-archive-wal.lock"):
        assert cron(home, "-q").stdout == ""
        assert json.loads(cron(home, "-f", "json").stdout) == {"_INFO": [RUNNING.rstrip()]}


def test_keep_descriptors(home, workdir):
    """What is started can speak: an archiver is quiet, but tells of errors."""
    (home.incoming / segment_name(7)).mkdir()
    home.errors.rmdir()
    home.errors.touch()
    assert "ERROR" not in cron(home).stderr
    wait_for(lambda: " ERROR: " in home.log_text())
    idle(home)
    done = home.walden("cron", "--keep-descriptors")
    assert "ERROR: " in done.stderr


def test_with_the_follower(home):
    home.configure(sweep_interval=3600)
    with following(home):
        assert cron(home).stdout == RUNNING
        make_wal(home.incoming, NAME)
        wait_for(lambda: home.names() == [NAME])


@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
def test_with_barman(home):
    """The same lines, and each sees what the other is at."""
    (home.wals / "xlog.db").touch()
    make_wal(home.incoming, NAME)
    assert cron(home).stdout == STARTING
    wait_for(lambda: home.names() == [NAME])
    idle(home)
    make_wal(home.incoming, SECOND)
    assert home.barman("cron").stdout == STARTING
    wait_for(lambda: home.names() == [NAME, SECOND])
    idle(home)
    for name in ("archive-wal", "cron"):
        with locked(home.path / f".main-{name}.lock"):
            assert cron(home).stdout == home.barman("cron").stdout
