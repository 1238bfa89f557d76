# SPDX-License-Identifier: PostgreSQL
"""Fixtures of the end-to-end tests. The program under test is $WALDEN, else build/walden."""

import itertools
import os
import shutil

import pytest

from azurite import Azurite
from bucket import Bucket
from buckettool import Tool
from faults import Clock
from home import WALDEN, Home
from httppeer import S3Peer
from keys import Keyring
from objectstore import Ceph, Swift
from parcels import Ssh
from pg import Postgres, short_directory
from shared import shared
from stores import AzureStore, GoogleStore
from support import Disk, as_root
from walsender import Walsender


def pytest_configure(config):
    config.addinivalue_line("markers", "parallel: drives several workers; run under TSan, too")
    config.addinivalue_line("markers", "barman: needs Debian's Barman")


def pytest_sessionstart(session):
    if not os.access(WALDEN, os.X_OK):
        pytest.exit(f"no program '{WALDEN}': run ./dev build, or set WALDEN", returncode=2)
    os.environ["GNUPGHOME"] = str(Keyring().path)  # never that of the account


@pytest.fixture
def workdir():
    """An empty directory with a short name, removed afterwards unless $WALDEN_KEEP is set."""
    path = short_directory("walden-test-")
    yield path
    if os.environ.get("WALDEN_KEEP"):
        print(f"kept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def memdir(monkeypatch):
    """As workdir, but in memory if that can be had: for homes by the hundred."""
    if os.access("/dev/shm", os.W_OK):
        monkeypatch.setenv("TMPDIR", "/dev/shm")
    path = short_directory("walden-test-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home(workdir):
    """A Home; options are set by home.configure(compression="zstd")."""
    return Home(workdir / "home")


@pytest.fixture
def postgres(workdir, home):
    """A running server with 1 MB segments that archives into the home's incoming/."""
    with Postgres(workdir / "pg", archive_to=home.incoming) as server:
        home.configure(conninfo=server.conninfo, streaming_conninfo=server.conninfo)
        yield server


_buckets = itertools.count(1)


@pytest.fixture
def bucket(ceph, monkeypatch):
    """An empty bucket there, and credentials in the environment."""
    made = Bucket(ceph, f"archive-{os.getpid()}-{next(_buckets)}")
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield made
    made.empty()


@pytest.fixture
def cloud_home(home, bucket):
    """A Home with its archive in the bucket."""
    home.configure(
        wals_directory=f"{bucket.url}/some/where", cloud_endpoint_url=bucket.server.url,
    )
    home.catalog = home.directory / "xlogdb" / "main-xlog.db"
    return home


@pytest.fixture
def sender():
    """A scripted walsender."""
    sender = Walsender()
    yield sender
    sender.close()


@pytest.fixture
def ssh(workdir):
    with Ssh(workdir / "ssh").serving() as server:
        yield server


@pytest.fixture
def clock(workdir):
    return Clock(workdir / "clock")


@pytest.fixture
def disk(workdir):
    """disk(name, kib): a small file system in the work directory."""
    made = []

    def make(name, kib):
        made.append(Disk(workdir / name, kib))
        return made[-1]

    yield make
    for one in made:
        as_root("umount", one.path)


@pytest.fixture(scope="session")
def ceph():
    """A Ceph gateway; a test should use buckets of its own."""
    with shared("ceph", lambda path: Ceph(path, classes=["STANDARD_IA"])) as server:
        yield server


@pytest.fixture(scope="session")
def swift():
    """OpenStack Swift, which takes its time to start."""
    with shared("swift", Swift) as server:
        yield server


@pytest.fixture
def peer():
    """Speaks S3 as it is told to."""
    with S3Peer() as server:
        yield server


@pytest.fixture
def tool(peer, workdir):
    return Tool(peer.url, workdir)


@pytest.fixture(scope="session")
def azurite():
    """Each test has a container of its own."""
    with shared("azurite", Azurite) as server:
        yield server


@pytest.fixture
def azure(azurite):
    store = AzureStore(azurite)
    yield store
    store.server.close()


@pytest.fixture
def google(workdir):
    store = GoogleStore(workdir)
    yield store
    store.server.close()
