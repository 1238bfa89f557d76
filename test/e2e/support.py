# SPDX-License-Identifier: PostgreSQL
"""What several test files need beyond a home: locks held by somebody else, other accounts, programs
that run while a test looks on."""

import contextlib
import fcntl
import os
import pathlib
import pwd
import subprocess
import time

from home import WALDEN

TESTS_RUN_AS_ROOT = os.geteuid() == 0


@contextlib.contextmanager
def locked(path, kind=fcntl.LOCK_EX):
    """Holds a lock file as Barman does: flock, and our process id in it."""
    with open(path, "a+", encoding="ascii") as file:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file


@contextlib.contextmanager
def started(command, **kw):
    """Runs the command beside the test; killed at the end if it has not ended."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    with subprocess.Popen([str(word) for word in command], **kw) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def beside(home, *args, **kw):
    """started() walden on this home."""
    return started([WALDEN, "-c", home.conf, *args], **kw)


def wait_for(condition, timeout=30, what="the condition"):
    """Until the condition holds; its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout} s"
        time.sleep(0.01)
    return value


def about(pid, name):
    """What /proc says of a process: the bytes of this file; none when it has ended meanwhile."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def alive(pid):
    """And not only waiting to be reaped."""
    words = about(pid, "stat").rpartition(b")")[2].split()
    return bool(words) and words[0] != b"Z"


def children(pid):
    """The process ids of those that live."""
    return {int(child) for child in about(pid, f"task/{pid}/children").split() if alive(int(child))}


def running(word):
    """The process ids of those that have it in their command lines."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if os.fsencode(word) in about(pid, "cmdline")]


def as_user(name="nobody"):
    """The words before a command that run it as somebody else (only as root)."""
    return ["setpriv", f"--reuid={name}", "--regid=65534", "--clear-groups", "--"]


def give_all(path, user="nobody"):
    """Makes the user the owner of a tree."""
    who = pwd.getpwnam(user)
    for entry in [pathlib.Path(path), *pathlib.Path(path).rglob("*")]:
        os.chown(entry, who.pw_uid, who.pw_gid, follow_symlinks=False)


def set_time(path, seconds, nanoseconds=0):
    """Sets the time of modification, to the nanosecond."""
    stamp = seconds * 1_000_000_000 + nanoseconds
    os.utime(path, ns=(stamp, stamp))


def as_root(*command):
    words = [str(word) for word in command]
    subprocess.run(words if os.geteuid() == 0 else ["sudo", "-n", *words], check=True)


class Disk:
    """A file system of so many KiB."""

    def __init__(self, path, kib):
        self.path = path
        path.mkdir(exist_ok=True)
        as_root(
            "mount", "-t", "tmpfs", "-o",
            f"size={kib}k,mode=755,uid={os.geteuid()},gid={os.getegid()}", "tmpfs", path,
        )

    def resize(self, kib):
        as_root("mount", "-o", f"remount,size={kib}k", self.path)

    def fill(self):
        with contextlib.suppress(OSError), open(self.path / "filler", "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def empty(self):
        (self.path / "filler").unlink()
