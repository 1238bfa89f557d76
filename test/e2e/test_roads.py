# SPDX-License-Identifier: PostgreSQL
"""What must hold whichever way WAL leaves the database host: by a command that copies, through put-wal
or by the archive module."""

import shutil
import subprocess

import pytest
from home import BUILT, WALDEN, Home, execute, reachable
from killing import PATIENCE, kill_at_random
from parcels import Far, called
from pg import Postgres, archive_command, as_owner, give, owner, restored
from support import wait_for

BUILT_MODULE = BUILT.parent / "src/pgmodule/walden_archive.so"
ROADS = ["command", "put-wal", "module"]
ASKING = ["put-wal", "module"]  # these have a look at the archive, too


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
    return {
        "archive_library": reachable(BUILT_MODULE), "walden.incoming_wals_directory": site.incoming,
        "walden.program": WALDEN, "walden.config_file": site.conf, "walden.server": "main",
    }


def archive(site):
    done = execute(as_owner(WALDEN, "-c", site.conf, "archive-wal", "main"))
    assert done.returncode == 0, done.stderr


def failures(server):
    return int(server.sql("select failed_count from pg_stat_archiver"))


def refused(server, *words):
    """Its DBA is told in the server's log."""
    wait_for(lambda: failures(server) > 0, timeout=120, what="the refusal")
    text = server.log.read_text(errors="replace")
    assert all(word in text for word in words), text


def copied(server, directory):
    """A copy of a server's files, that was taken while it was down."""
    server.stop()
    directory.mkdir()
    shutil.copytree(server.data, directory / "data")
    subprocess.run(["chown", "-R", owner(), directory], check=True)
    server.start()
    return Postgres(directory, initdb=False)


@pytest.mark.parametrize("codec", [None, "zstd"])
@pytest.mark.parametrize("road", ROADS)
def test_again_after_a_crash(site, workdir, road, codec):
    """The server dies between a file's archiving and its note of it, and offers the file again: while
    it still waits, and when it is in the archive."""
    site.configure(compression=codec)
    with Postgres(workdir / "pg", archive_mode="on", **settings(road, workdir, site)) as server:
        first, second = server.fill_segment(), None
        server.wait_archived(first)
        archive(site)
        stored, sent = site.stored(first).read_bytes(), site.get(first).stdout
        second = server.fill_segment()
        server.wait_archived(second)
        waiting = (site.incoming / second).read_bytes()
        server.kill_all()
        status = server.data / "pg_wal" / "archive_status"
        for name in (first, second):
            if not (server.data / "pg_wal" / name).exists():  # it was recycled
                (server.data / "pg_wal" / name).write_bytes(sent if name == first else waiting)
                give(server.data / "pg_wal" / name)
            (status / f"{name}.done").unlink(missing_ok=True)
            (status / f"{name}.ready").touch()
            give(status / f"{name}.ready")
        server.start()
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
        assert not list(status.glob("*.ready"))
        assert road not in ASKING or not (site.incoming / first).exists()
        archive(site)
        assert site.rejected() == [] and site.names().count(first) == site.names().count(second) == 1
        assert site.stored(first).read_bytes() == stored and site.get(second).stdout == waiting


@pytest.mark.parametrize("road", ROADS)
def test_copy_of_a_server(site, workdir, road):
    """A copy that was started by mistake writes other content under the same names: it is refused and
    told, and the server goes on."""
    way = settings(road, workdir, site)
    with Postgres(workdir / "pg", archive_mode="on", **way) as server:
        server.wait_archived(server.fill_segment())
        copy = copied(server, workdir / "copy")
        name = server.fill_segment()
        server.wait_archived(name)
        data = (site.incoming / name).read_bytes()
        with copy:
            assert copy.fill_segment(8) == name
            refused(copy, "" if road == "command" else "other content")
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
        assert (site.incoming / name).read_bytes() == data
    archive(site)
    assert site.rejected() == []


@pytest.mark.parametrize("codec", [None, "zstd"])
@pytest.mark.parametrize("road", ASKING)
def test_copy_of_a_server_when_it_is_archived(site, workdir, road, codec):
    """The same, when the server's file is not in incoming/ any more."""
    site.configure(compression=codec)
    with Postgres(workdir / "pg", archive_mode="on", **settings(road, workdir, site)) as server:
        server.wait_archived(server.fill_segment())
        copy = copied(server, workdir / "copy")
        name = server.fill_segment()
        server.wait_archived(name)
        archive(site)
        stored = site.stored(name).read_bytes()
        with copy:
            assert copy.fill_segment(8) == name
            refused(copy, name, "other content")
            assert site.waiting() == []
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
    archive(site)
    assert site.rejected() == [] and site.stored(name).read_bytes() == stored


@pytest.mark.parametrize("road", ASKING)
def test_two_are_promoted(site, workdir, road):
    """Both write timeline 2, and only the first one's gets into the archive of their parent, who goes
    on."""
    way = settings(road, workdir, site)
    with Postgres(workdir / "pg", archive_mode="on", **way) as parent:
        backup = parent.base_backup(workdir / "backup" / "data")
        parent.wait_archived(parent.fill_segment())
        wal = shutil.copytree(site.incoming, workdir / "wal")
        give(wal, *wal.iterdir())

        def promoted(name):
            shutil.copytree(backup, workdir / name / "data")
            subprocess.run(["chown", "-R", owner(), workdir / name], check=True)
            clone = restored(workdir / name, f"cp {wal}/%f %p")
            clone.configure(archive_mode="on", **way)
            return clone

        with promoted("first") as first:
            first.wait_recovered()
            name = first.fill_segment()
            first.wait_archived(name)
        archive(site)
        assert "00000002.history" in site.names()
        with promoted("second") as second:
            second.wait_recovered()
            assert second.fill_segment() == name
            refused(second, "other content")
        parent.wait_archived(parent.fill_segment())
        assert failures(parent) == 0
    archive(site)
    assert site.rejected() == []


@pytest.mark.parametrize("road", ASKING)
def test_another_cluster(site, workdir, road):
    """It is told whose archive this is, and the owner goes on."""
    way = settings(road, workdir, site)
    with Postgres(workdir / "pg", archive_mode="on", **way) as server:
        server.wait_archived(server.fill_segment())
        archive(site)
        identity = "select system_identifier from pg_control_system()"
        with Postgres(workdir / "other", archive_mode="on", **way) as other:
            other.fill_segment()
            refused(other, server.sql(identity), other.sql(identity))
            assert other.sql("select archived_count from pg_stat_archiver") == "0"
            assert site.waiting() == []
        server.wait_archived(server.fill_segment())
        assert failures(server) == 0
    archive(site)
    assert site.rejected() == []


def test_put_wal_and_kills(site, workdir):
    """Of its client, of put-wal and of all of the server: what counts as archived is there, and nothing
    is in the way afterwards. (Of the module's roads see test_module.py.)"""
    with Postgres(workdir / "pg", archive_mode="on", **settings("put-wal", workdir, site)) as server:
        kill_at_random(server, 8)
        last = server.fill_segment()
        server.wait_archived(last, PATIENCE)
        assert "other content" not in server.log.read_text(errors="replace")
    archive(site)
    assert site.waiting() == site.rejected() == [] and site.names()[-1] >= last
    done = execute(as_owner(WALDEN, "-c", site.conf, "verify", "main"))
    assert done.returncode == 0, done.stdout + done.stderr
