# SPDX-License-Identifier: PostgreSQL
"""What must hold whichever way WAL leaves the database host: by a command that copies, through put-wal
or by the archive module."""

import shutil
import subprocess

import pytest
from home import BUILT, WALDEN, Home, execute, reachable
from parcels import Far, called
from pg import Postgres, archive_command, as_owner, give, owner
from support import wait_for

BUILT_MODULE = BUILT.parent / "src/pgmodule/walden_archive.so"
ROADS = ["command", "put-wal", "module"]


@pytest.fixture
def site(workdir):
    home = Home(workdir / "home")
    home.globals["barman_user"] = owner()
    home.configure()
    give(*[path for path in home.path.rglob("*")], home.path)
    return home


def settings(road, workdir, site):
    """The server's part of the road."""
    if road == "command":
        return {"archive_command": archive_command(site.incoming)}
    if road == "put-wal":
        far = Far(workdir, site)
        client = called(workdir, "barman-wal-archive")
        return {"archive_command": f"PATH={far.env['PATH']} {client} host main %p"}
    if not BUILT_MODULE.exists():
        pytest.skip("a build with sanitizers has no module")
    return {"archive_library": reachable(BUILT_MODULE), "walden.incoming_wals_directory": site.incoming}


def archive(site):
    done = execute(as_owner(WALDEN, "-c", site.conf, "archive-wal", "main"))
    assert done.returncode == 0, done.stderr


def failures(server):
    return int(server.sql("select failed_count from pg_stat_archiver"))


@pytest.mark.parametrize("road", ROADS)
def test_again_after_a_crash(site, workdir, road):
    """The server dies between a file's archiving and its note of it, and offers the file again: while
    it still waits, and when it is in the archive."""
    with Postgres(workdir / "pg", archive_mode="on", **settings(road, workdir, site)) as server:
        first, second = server.fill_segment(), None
        server.wait_archived(first)
        archive(site)
        stored = site.stored(first).read_bytes()
        second = server.fill_segment()
        server.wait_archived(second)
        waiting = (site.incoming / second).read_bytes()
        server.kill_all()
        status = server.data / "pg_wal" / "archive_status"
        for name in (first, second):
            if not (server.data / "pg_wal" / name).exists():  # it was recycled
                shutil.copy(site.stored(first) if name == first else site.incoming / second,
                            server.data / "pg_wal" / name)
                give(server.data / "pg_wal" / name)
            (status / f"{name}.done").unlink(missing_ok=True)
            (status / f"{name}.ready").touch()
            give(status / f"{name}.ready")
        server.start()
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
        assert not list(status.glob("*.ready"))
        archive(site)
        assert site.rejected() == [] and site.names().count(first) == site.names().count(second) == 1
        assert site.stored(first).read_bytes() == stored and site.stored(second).read_bytes() == waiting


@pytest.mark.parametrize("road", ROADS)
def test_copy_of_a_server(site, workdir, road):
    """A copy that was started by mistake writes other content under the same names: it is refused and
    told, and the server goes on."""
    way = settings(road, workdir, site)
    with Postgres(workdir / "pg", archive_mode="on", **way) as server:
        server.wait_archived(server.fill_segment())
        server.stop()
        (workdir / "copy").mkdir()
        shutil.copytree(server.data, workdir / "copy" / "data")
        subprocess.run(["chown", "-R", owner(), workdir / "copy"], check=True)
        server.start()
        name = server.fill_segment()
        server.wait_archived(name)
        data = (site.incoming / name).read_bytes()
        with Postgres(workdir / "copy", initdb=False) as copy:
            assert copy.fill_segment(8) == name
            wait_for(lambda: failures(copy) > 0, timeout=120, what="the refusal")
        text = copy.log.read_text(errors="replace")
        assert road == "command" or "other content" in text or "different" in text, text
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
        assert (site.incoming / name).read_bytes() == data
    archive(site)
    assert site.rejected() == []
