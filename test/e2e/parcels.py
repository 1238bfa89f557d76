# SPDX-License-Identifier: PostgreSQL
"""What the tests of clients need: the tar streams of put-wal, good and bad, programs by other names,
and a way to this host by ssh that touches nothing of the system's configuration."""

import contextlib
import getpass
import hashlib
import io
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile

import pytest

from home import TIMEOUT, WALDEN
from pg import give
from ports import free_port
from support import wait_for

SSHD = "/usr/sbin/sshd"
CLIENTS = ("/usr/bin/barman-wal-archive", "/usr/bin/barman-wal-restore")
TIME = 1_700_000_000

needs_client = pytest.mark.skipif(
    not all(os.access(program, os.X_OK) for program in (SSHD, *CLIENTS)), reason="no barman-cli, no sshd"
)


def member(name, data=b"", **fields):
    """A member for parcel()."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = TIME
    info.mode = 0o600
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def checksums(name, data, algorithm="sha256", mark="*"):
    """The member that holds the checksum."""
    text = f"{hashlib.new(algorithm, data).hexdigest()} {mark}{name}\n".encode()
    return member(f"{algorithm.upper()}SUMS", text)


def pack(*members, form=tarfile.PAX_FORMAT):
    """The stream of these members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def parcel(name, data, form=tarfile.PAX_FORMAT, **fields):
    """The stream as Barman's client sends it."""
    return pack(member(name, data, **fields), checksums(name, data), form=form)


class Ssh:
    """A server of this test's own on 127.0.0.1, with keys of its own. Before the programs in
    `directory`/bin nothing else is found by who comes that way; `environment` has an `ssh` that comes."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.bin = self.directory / "bin"
        client_bin = self.directory / "client"
        for path in (self.bin, client_bin):
            path.mkdir(parents=True)
        self.user = getpass.getuser()
        for key in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / key], check=True
            )
        give(self.directory / "user")  # a test's server comes by it, too
        shutil.copy(self.directory / "user.pub", self.directory / "authorized")
        wrapper = client_bin / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.directory}/client.conf "$@"\n')
        wrapper.chmod(0o755)
        self.environment = dict(os.environ, PATH=f"{client_bin}:{os.environ['PATH']}")

    def configure(self):
        self.port = free_port()
        (self.directory / "server.conf").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.directory}/host\nUsePAM no\n"
            f"AuthorizedKeysFile {self.directory}/authorized\nStrictModes no\nPidFile none\n"
            # At that level bash leaves the account's .bashrc alone, which may print things.
            f"PermitRootLogin prohibit-password\nSetEnv PATH={self.bin}:{os.environ['PATH']} SHLVL=5\n"
        )
        (self.directory / "client.conf").write_text(
            f"Host *\nPort {self.port}\nIdentityFile {self.directory}/user\nIdentitiesOnly yes\n"
            "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nBatchMode yes\n"
        )

    @contextlib.contextmanager
    def serving(self):
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # where sshd wants to lock itself up
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self.directory / "sshd.log", "wb"))
            process = None

            def answers():
                """Somebody else may have taken the port meanwhile: then sshd ends."""
                nonlocal process
                if process is None or process.poll() is not None:
                    self.configure()
                    command = [SSHD, "-D", "-e", "-f", self.directory / "server.conf"]
                    process = stack.enter_context(
                        subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
                    )
                    stack.callback(process.terminate)
                return self.answers()

            wait_for(answers, timeout=TIMEOUT, what="sshd")
            yield self

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as to:
            return to.recv(4) == b"SSH-"
        return False


def called(workdir, name):
    """Walden by another name."""
    path = workdir / "programs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(WALDEN)
    return path


def let_serve(ssh, program, home):
    """Who comes by ssh finds the program as `barman`."""
    path = ssh.bin / "barman"
    link = ssh.directory / "barman"
    link.symlink_to(program)
    path.write_text(f'#!/bin/sh\nexec {link} -c {home.conf} "$@"\n')
    path.chmod(0o755)


def scripted(workdir, text):
    """An environment in which this script is `ssh`."""
    program = workdir / "scripted" / "ssh"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"env": dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}")}


class Far:
    """A far side without ssh's cost: `ssh` is a script that runs the command here, and notes it."""

    def __init__(self, workdir, home, program=WALDEN):
        self.calls = workdir / "calls"
        link = workdir / "far" / "barman"
        link.parent.mkdir()
        link.symlink_to(program)
        self.env = scripted(
            workdir,
            # As ssh does: what follows the host is one line for the shell there.
            'while :; do case $1 in -p) shift 2;; -*) shift;; *) break;; esac; done\nshift\n'
            f'echo "$*" >> {self.calls}\n'
            f'BARMAN_CONFIG_FILE={home.conf} PATH={link.parent}:$PATH exec sh -c "$*"',
        )["env"]

    def asked(self):
        """Since the last time, sorted."""
        lines = sorted(self.calls.read_text().splitlines()) if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines
