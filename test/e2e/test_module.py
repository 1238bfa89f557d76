# SPDX-License-Identifier: PostgreSQL
"""The archive module in a real PostgreSQL: what it acknowledges is in incoming/, whoever dies when,
and what it refuses costs PostgreSQL nothing but a warning."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from home import BUILT, ROOT, WALDEN, Home, execute, reachable
from killing import PATIENCE, archiver, kill_at_random, writing
from pg import Postgres, as_owner, bindir, give, owner, restored
from majors import MAJORS, cluster
from parcels import Far, called, let_serve, needs_client
from support import alive, started, wait_for
from wal import MIB

GRACE = 10  # what the module grants a helper at a shutdown
ARCHIVED = "SELECT last_archived_wal FROM pg_stat_archiver;"
BUILT_MODULE = BUILT.parent / "src/pgmodule/walden_archive.so"
MODULE = reachable(BUILT_MODULE)

pytestmark = pytest.mark.skipif(
    not BUILT_MODULE.exists(), reason="a build with sanitizers has no module"
)


@pytest.fixture
def site(workdir):
    home = Home(workdir / "home", restore_deadline=2)
    home.globals["barman_user"] = owner()
    home.configure()
    give(home.path, home.directory, home.incoming, home.streaming, home.wals, home.errors)
    return home


def to(directory):
    return {"walden.incoming_wals_directory": directory}


def server_of(workdir, directory, **settings):
    return Postgres(
        workdir / "pg", archive_mode="on", archive_library=MODULE, max_wal_size="2GB", **settings,
        **to(directory),
    )


def counted(server, what):
    return int(server.sql(f"SELECT {what}_count FROM pg_stat_archiver"))


def ready(server):
    return sorted(path.stem for path in (server.data / "pg_wal/archive_status").glob("*.ready"))


def said(server, text):
    wait_for(lambda: text in server.log.read_text(), PATIENCE, f"'{text}' in the log")


def same(server, directory, name):
    return (directory / name).read_bytes() == (server.data / "pg_wal" / name).read_bytes()


def following(name):
    """The next segment, as long as no more than 4 GB are written."""
    return f"{int(name, 16) + 1:024X}"


def archive(site):
    done = execute(as_owner(WALDEN, "-c", site.conf, "archive-wal", "main"))
    assert done.returncode == 0, done.stderr


def test_archives_and_restores(site, workdir):
    with server_of(workdir, site.incoming) as server:
        server.fill_segment()
        backup = server.base_backup(workdir / "restored" / "data")
        for _ in range(5):
            name = server.fill_segment()
        expected = server.sql("SELECT count(*) FROM filler")
        server.wait_archived(name)
        assert same(server, site.incoming, name)
        archive(site)
        assert site.waiting() == site.rejected() == []
        assert "WARNING" not in server.log.read_text()
    with restored(backup.parent, f"{WALDEN} -c {site.conf} get-wal main %f > %p") as second:
        second.wait_recovered()
        assert second.sql("SELECT count(*) FROM filler") == expected
        assert site.names()[-1] >= name


def test_a_backlog_and_a_directory_that_is_not_there(site, workdir):
    """It is counted as a failure, where monitoring looks; when the directory is back, each segment is
    archived and counted."""
    away = site.directory / "away"
    site.incoming.rename(away)
    with server_of(workdir, site.incoming) as server:
        pid = archiver(server)
        names = [server.fill_segment(1) for _ in range(80)]
        said(server, "No such file or directory")
        wait_for(lambda: counted(server, "failed") > 0, PATIENCE)
        assert not site.incoming.exists() and counted(server, "archived") == 0
        away.rename(site.incoming)
        names.append(server.fill_segment(1))
        server.wait_archived(names[-1], PATIENCE)
        assert counted(server, "archived") == len(names) and archiver(server) == pid
        assert site.waiting() == names and ready(server) == []
        assert all(same(server, site.incoming, name) for name in names if name > names[-5])


def test_offered_again_and_different(site, workdir):
    with server_of(workdir, site.incoming) as server:
        name = server.fill_segment()
        server.wait_archived(name)
        pid = archiver(server)
        # As after a crash of the machine, which may have forgotten the mark.
        mark = server.data / "pg_wal/archive_status" / f"{name}.done"
        mark.rename(mark.with_suffix(".ready"))
        before = (site.incoming / name).stat()
        second = server.fill_segment()
        server.wait_archived(second)
        assert ready(server) == [] and "WARNING" not in server.log.read_text()
        assert (site.incoming / name).stat().st_ino == before.st_ino

        third = following(second)
        (site.incoming / third).write_bytes(bytes(MIB))
        give(site.incoming / third)
        assert server.fill_segment(1) == third
        said(server, f'could not archive "{third}"')
        wait_for(lambda: counted(server, "failed") >= 1, PATIENCE)
        assert (site.incoming / third).read_bytes() == bytes(MIB) and third in ready(server)
        assert archiver(server) == pid
        began = time.monotonic()
        server.stop("fast")  # with a file that it cannot archive
        assert time.monotonic() - began < 60
        (site.incoming / third).unlink()
        server.start()
        server.wait_archived(third, PATIENCE)
        assert same(server, site.incoming, third)


def test_what_cannot_be_compared(site, workdir):
    """Archived already, compressed, and walden is not there to be asked: it is brought, that is told,
    and the archiver finds out."""
    site.configure(compression="zstd")
    with server_of(workdir, site.incoming) as server:
        name = server.fill_segment()
        server.wait_archived(name)
        archive(site)
        mark = server.data / "pg_wal/archive_status" / f"{name}.done"
        mark.rename(mark.with_suffix(".ready"))
        second = server.fill_segment()
        server.wait_archived(second)
        said(server, f"'{name}' is archived already, compressed or encrypted")
        assert site.waiting() == [name, second] and counted(server, "failed") == 0
        archive(site)
        assert site.waiting() == site.rejected() == [] and site.names().count(name) == 1


def test_disk_full(site, disk, workdir):
    place = disk("small", 3 * 1024 + 512)
    give(place.path)
    with server_of(workdir, place.path) as server:
        pid = archiver(server)
        names = [server.fill_segment(600) for _ in range(6)]
        said(server, "No space left on device")
        found = sorted(path.name for path in place.path.iterdir())
        assert 3 <= len(found) < 6 and found == names[: len(found)]
        assert all(path.stat().st_size == MIB for path in place.path.iterdir())
        place.resize(16 * 1024)
        names.append(server.fill_segment(1))
        server.wait_archived(names[-1], PATIENCE)
        assert archiver(server) == pid and sorted(os.listdir(place.path)) == names
        assert all(same(server, place.path, name) for name in names if name > names[3])


def test_settings(site, workdir):
    with server_of(workdir, "") as server:
        name = server.fill_segment()
        said(server, "archiving is not configured")
        said(server, "walden.incoming_wals_directory is not set")
        server.configure(**to("incoming"))
        server.reload()
        later = server.fill_segment()
        said(server, "'incoming' is not an absolute path")
        assert ready(server) == [name, later]
        server.configure(**to(site.incoming))
        server.reload()
        server.wait_archived(server.fill_segment(), PATIENCE)
        assert same(server, site.incoming, name)


def test_kills(site, workdir):
    """The archiver, or all of the server, is killed at random moments, two dozen times. Nothing that
    PostgreSQL holds for archived is missing or damaged, and nothing is in the way afterwards."""
    moments = random.Random(15)
    with server_of(workdir, site.incoming, restart_after_crash="on") as server:
        first = server.fill_segment()
        with writing(server):
            for turn in range(24):
                time.sleep(moments.uniform(0.05, 0.4))
                if turn % 2:
                    server.kill_all()
                    server.start(PATIENCE)
                    continue
                pid = wait_for(lambda: archiver(server), PATIENCE)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                if turn % 3 == 0:
                    archive(site)  # some have gone on by the time they are offered again
        wait_for(server.ready, PATIENCE)
        last = server.fill_segment()
        wait_for(lambda: ready(server) == [], PATIENCE)
        archive(site)
    assert "could not archive" not in server.log.read_text()
    assert site.waiting() == site.rejected() == []
    names = site.names()
    assert names[0] == first and names[-1] >= last and names == sorted(set(names))
    done = execute(as_owner(WALDEN, "-c", site.conf, "verify", "main"))
    assert done.returncode == 0, done.stdout + done.stderr


def make_module(workdir, *words):
    """By the Makefile, for Debian's PostgreSQL."""
    if not shutil.which("make"):
        pytest.skip("no make")
    copy = workdir / "src"
    shutil.copytree(ROOT / "src", copy)
    pg_config = bindir() / "pg_config"
    command = ["make", "-s", "-C", copy / "pgmodule", f"PG_CONFIG={pg_config}", *words]
    subprocess.run(command, check=True)
    return copy / "pgmodule" / "walden_archive.so", pg_config


def test_make_install(workdir):
    _, pg_config = make_module(workdir, "install", f"DESTDIR={workdir}/root")
    library = subprocess.run([pg_config, "--pkglibdir"], check=True, capture_output=True, text=True)
    installed = workdir / "root" / library.stdout.strip().lstrip("/") / "walden_archive.so"
    incoming = workdir / "incoming"
    incoming.mkdir()
    give(incoming)
    server = server_of(workdir, incoming)
    server.configure(archive_library=installed)
    with server:
        server.wait_archived(server.fill_segment(), PATIENCE)


@pytest.mark.parametrize("major", [major for major in MAJORS if major > 15])
def test_newer_majors(site, workdir, major):
    """Their servers take what the same source is with their API; see test/e2e/newer/postgres.h."""
    headers = ROOT / "test/e2e/newer"
    module, _ = make_module(workdir, f"CFLAGS=-O2 -g -I{headers} -DSERVER_VERSION_NUM={major}0000")
    server = cluster(workdir / "pg", major, archive_mode="on", archive_library=module)
    with server:
        name = server.fill_segment()
        said(server, "walden.incoming_wals_directory is not set")
        server.configure(**to(site.incoming))
        server.reload()
        server.wait_archived(name, PATIENCE)
        taken = following(name)
        (site.incoming / taken).write_bytes(bytes(MIB))
        pid = archiver(server)
        server.fill_segment()
        said(server, f'could not archive "{taken}"')
        (site.incoming / taken).unlink()
        server.wait_archived(server.fill_segment(), PATIENCE)
        assert archiver(server) == pid and same(server, site.incoming, name)


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
def test_under_valgrind(site, workdir):
    """The whole server runs under it; what it finds counts where the module has a part in it."""
    logs = workdir / "valgrind"
    logs.mkdir()
    give(logs)
    server = server_of(workdir, site.incoming)
    server.under = ["valgrind", "-q", "--vgdb=no", "--leak-check=full", "--num-callers=40",
                    f"--log-file={logs}/%p"]
    with server:
        name = server.fill_segment()
        server.wait_archived(name, PATIENCE)
        taken = following(name)
        (site.incoming / taken).write_bytes(bytes(MIB))
        server.fill_segment()
        said(server, f'could not archive "{taken}"')
        (site.incoming / taken).unlink()
        server.wait_archived(server.fill_segment(), PATIENCE)
        pid = archiver(server)
    found = (logs / str(pid)).read_text()
    ours = re.compile(r"\(module\.c:|walden_archive")  # with debug information, and without
    problems = [text for text in found.split(f"=={pid}== \n") if ours.search(text)]
    assert not problems, "\n".join(problems)


# Through a helper


def by_helper(workdir, **settings):
    return Postgres(
        workdir / "pg", archive_mode="on", archive_library=MODULE,
        **{f"walden.{name}": value for name, value in settings.items()},
    )


def script(workdir, text):
    path = workdir / "helper"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_object_store(workdir, bucket):
    """The helper has the configuration, looks ahead, and a recovery finds everything."""
    home = Home(workdir / "home", wals_directory=f"{bucket.url}/a", cloud_endpoint_url=bucket.server.url,
                compression="zstd")
    home.globals["barman_user"] = owner()
    home.configure()
    give(home.path, home.directory, *home.directory.iterdir())
    settings = {"mode": "object-store", "config_file": home.conf, "server": "main", "program": WALDEN}
    with by_helper(workdir, **settings) as server:
        last = None
        for _ in range(5):
            last = server.switch_wal()
        server.wait_archived(last)
        assert counted(server, "failed") == 0
    assert sorted(key.rsplit("/", 1)[1] for key in bucket.keys() if last in key) == [f"{last}.zst"]


def segments(names):
    """Those of a timeline, without a gap."""
    found = sorted(name for name in names if len(name) == 24)
    assert found == [following(name) for name in [f"{int(found[0], 16) - 1:024X}", *found[:-1]]]
    return found


def test_object_store_and_kills(workdir, bucket):
    """Of helpers, and of all of the server: nothing that counts as archived is missing."""
    home = Home(workdir / "home", wals_directory=f"{bucket.url}/a", cloud_endpoint_url=bucket.server.url)
    home.globals["barman_user"] = owner()
    home.configure()
    give(home.path, home.directory, *home.directory.iterdir())
    settings = {"mode": "object-store", "config_file": home.conf, "server": "main", "program": WALDEN}
    with by_helper(workdir, **settings) as server:
        kill_at_random(server, 6)
        last = server.switch_wal()
        wait_for(lambda: ready(server) == [], PATIENCE)
        assert "other content" not in server.log.read_text(errors="replace")
    names = segments(key.rsplit("/", 1)[1] for key in bucket.keys())
    assert names[-1] >= last
    assert all(len(home.get(name).stdout) == MIB for name in names)


def test_put_wal_and_kills(site, workdir):
    """The same for another host's incoming/."""
    far = Far(workdir, site)
    helper = script(workdir, f'PATH={far.env["PATH"]} exec {called(workdir, "barman-wal-archive")} "$@"')
    settings = {"mode": "put-wal", "host": "backup", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        kill_at_random(server, 7)
        last = server.switch_wal()
        wait_for(lambda: ready(server) == [], PATIENCE)
        assert "other content" not in server.log.read_text(errors="replace")
    archive(site)
    assert site.waiting() == site.rejected() == []
    assert segments(site.names())[-1] >= last
    done = execute(as_owner(WALDEN, "-c", site.conf, "verify", "main"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_put_wal(workdir):
    """What barman-wal-archive is called with."""
    helper = script(workdir, f'echo "$@" >>{workdir}/calls')
    (workdir / "calls").touch()
    give(workdir / "calls")
    settings = {"mode": "put-wal", "host": "barman@backup", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        name = server.switch_wal()
        server.wait_archived(name)
        assert (workdir / "calls").read_text().splitlines()[0] == f"--user barman backup main pg_wal/{name}"


@needs_client
def test_put_wal_over_ssh(home, ssh, workdir):
    """By our client and ssh into another account's archive, which refuses what is not the same."""
    let_serve(ssh, WALDEN, home)
    client = called(workdir, "barman-wal-archive")
    helper = script(workdir, f'PATH={ssh.environment["PATH"]} exec {client} "$@"')
    settings = {"mode": "put-wal", "host": f"{ssh.user}@127.0.0.1", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        names = [server.fill_segment() for _ in range(3)]
        server.wait_archived(names[-1], PATIENCE)
        assert counted(server, "failed") == 0
        assert all(same(server, home.incoming, name) for name in names)
        taken = following(names[-1])
        (home.incoming / taken).write_bytes((home.incoming / names[0]).read_bytes())
        server.fill_segment()
        said(server, "other content")
        assert ready(server)[0] == taken


def test_helper_fails(workdir):
    """A warning with its words, and PostgreSQL tries again."""
    helper = script(workdir, f"[ -e {workdir}/go ] || {{ echo no room >&2; exit 7; }}")
    settings = {"mode": "object-store", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        pid = archiver(server)
        name = server.switch_wal()
        wait_for(lambda: "ended with exit code 7: no room" in server.log.read_text(), PATIENCE)
        assert name in ready(server)
        (workdir / "go").touch()
        server.wait_archived(name)
        assert archiver(server) == pid


def asked(session, query):
    """The answer to a client that stays, one line."""
    session.stdin.write(query + "\n")
    session.stdin.flush()
    return session.stdout.readline().strip()


def test_smart_shutdown(workdir):
    """It waits for the sessions, which may write for hours: until they have ended, archiving goes on."""
    helper = script(workdir, "sleep 0.2")  # a look at the server is taken meanwhile
    settings = {"mode": "put-wal", "host": "backup", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        client = [bindir() / "psql", "-XAtq", "-d", server.conninfo]
        with started(client, stdin=subprocess.PIPE, text=True) as session:
            assert asked(session, "SELECT 1;") == "1"
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            while time.monotonic() < began + GRACE + 3:
                asked(session, "SELECT pg_logical_emit_message(true, 'x', 'y');")
                latest = asked(session, "SELECT pg_walfile_name(pg_switch_wal());")
                wait_for(lambda name=latest: asked(session, ARCHIVED) >= name, 30)
            assert asked(session, "SELECT failed_count FROM pg_stat_archiver;") == "0"
        server.stop("smart")
    assert ready(server) == [] and "WARNING" not in server.log.read_text()


def test_helper_hangs(workdir):
    """It never keeps the server from shutting down, does not outlive it, and that is told, once."""
    helper = script(workdir, f"echo $$ >{workdir}/pid; sleep 1000")
    give(workdir)
    settings = {"mode": "object-store", "server": "main", "program": helper}
    with by_helper(workdir, **settings) as server:
        server.switch_wal()
        wait_for(lambda: (workdir / "pid").exists() and (workdir / "pid").read_text().strip(), PATIENCE)
        pid = int((workdir / "pid").read_text())
        server.stop("fast")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert server.log.read_text().count("was ended, because the server shuts down") == 1


@pytest.mark.parametrize("death", ["killed", "immediate"])
def test_archiver_dies(workdir, death):
    """Its helper ends with it, and the next archiver brings the file."""
    program = script(workdir, f"[ -e {workdir}/go ] && exit; echo $$ >{workdir}/pid; exec sleep 1000")
    settings = {"mode": "object-store", "server": "main", "program": program}
    give(workdir)
    with by_helper(workdir, **settings) as server:
        name = server.switch_wal()
        wait_for(lambda: (workdir / "pid").exists() and (workdir / "pid").read_text().strip(), PATIENCE)
        helper = int((workdir / "pid").read_text())
        (workdir / "go").touch()
        assert alive(helper)
        if death == "killed":
            os.kill(archiver(server), signal.SIGKILL)
        else:
            server.stop("immediate")
        wait_for(lambda: not alive(helper), 5, "the end of the helper")
        server.start()
        server.wait_archived(name, PATIENCE)


@pytest.mark.parametrize(("settings", "lacks"), [
    ({"mode": "object-store"}, "walden.server"),
    ({"mode": "put-wal", "server": "main"}, "walden.host"),
])
def test_helper_not_configured(workdir, settings, lacks):
    with by_helper(workdir, **settings) as server:
        name = server.switch_wal()
        wait_for(lambda: f"{lacks} is not set" in server.log.read_text(), PATIENCE)
        assert name in ready(server)
