# SPDX-License-Identifier: PostgreSQL
"""check and status: what monitoring and people see, of healthy and of ill servers."""

import json
import os
import re
import shutil
import signal
import socket

import pytest

from pg import Postgres
from support import beside, children, locked, set_time, wait_for
from wal import make_wal, segment_names

NAMES = segment_names(1, 8)


def check(home, *options, server="main"):
    """{name: (status, hint)} as the console shows them."""
    done = home.walden("check", *options, server)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Server {server}"), done
    found = {}
    for line in lines[1:]:
        name, status, hint = re.fullmatch(r"\t(.+?): (OK|FAILED)(?: \((.*)\))?", line).groups()
        assert name not in found
        found[name] = (status, hint)
    failed = [name for name, (status, _) in found.items() if status == "FAILED"]
    assert done.returncode == bool(failed), done
    return found


def failures(home, *options):
    return {name: hint for name, (status, hint) in check(home, *options).items() if status == "FAILED"}


def status(home, server="main"):
    done = home.walden("-f", "json", "status", server)
    assert done.returncode == 0, done.stderr
    return {key: value["message"] for key, value in json.loads(done.stdout)[server].items()}


@pytest.fixture
def archive(home):
    """Some archived segments, no server."""
    home.configure(conninfo=None)
    for name in NAMES[:4]:
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    return home


def test_healthy_archive(archive):
    rows = check(archive)
    assert {status for status, _ in rows.values()} == {"OK"}
    assert list(rows)[:2] == ["directories", "wal maximum age"]
    assert rows["wal size"][1] == "4.0 MiB"
    shown = status(archive)
    assert shown["archive"] == "4 files, 4.0 MiB"
    assert shown["archive_range"] == f"{NAMES[0]} to {NAMES[3]}"
    assert shown["gaps"] == shown["backlog"] == "none"


def test_nothing_archived_yet(home):
    home.configure(conninfo=None)
    assert "switch-wal --force --archive main" in failures(home)["WAL archive"]


def test_only_history_files(home):
    home.configure(conninfo=None)
    (home.incoming / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n")
    assert home.archive().returncode == 0
    assert failures(home) == {}
    assert status(home)["archive"].startswith("1 files")


def test_gap(archive):
    for name in NAMES[6:]:
        make_wal(archive.incoming, name)
    assert archive.archive().returncode == 0
    assert f"1 missing ranges, the first is {NAMES[4]}..{NAMES[5]}" in failures(archive)["archive gaps"]
    assert NAMES[4] in status(archive)["gaps"]
    done = archive.walden("verify", "--acknowledge", f"{NAMES[4]}..{NAMES[5]}", "--reason", "test", "main")
    assert failures(archive) == {}, done
    assert check(archive)["archive gaps"] == ("OK", "1 lost ranges were acknowledged")
    assert status(archive)["gaps"] == "1, all acknowledged"


def test_damaged_catalog_line(archive):
    text = archive.xlogdb.read_text()
    archive.xlogdb.write_text("nonsense\n" + text)
    assert "1 damaged lines" in failures(archive)["WAL archive"]


def test_backlog_is_judged_by_its_age(archive):
    path = make_wal(archive.incoming, NAMES[4])
    assert check(archive)["archiving backlog"][0] == "OK"
    set_time(path, int(path.stat().st_mtime) - 700)
    assert "1 files of 1.0 MiB wait, the oldest for 11 minutes" in failures(archive)["archiving backlog"]
    assert status(archive)["backlog"].startswith("1 files, 1.0 MiB")
    archive.configure(backlog_maximum_age="2 h")
    assert failures(archive) == {}


def test_old_wal_is_no_backlog(archive):
    """An idle server is healthy, unless the site says otherwise."""
    rows = archive.xlogdb.read_text().splitlines()
    archive.xlogdb.write_text("".join(re.sub(r"\t\d{10}[.\d]*\t", "\t1600000000.0\t", row) + "\n" for row in rows))
    assert failures(archive) == {}
    archive.configure(last_wal_maximum_age="1 DAYS")
    assert f"last WAL: {NAMES[3]}" in failures(archive)["wal maximum age"]


def test_dates_of_the_future(archive):
    """One wrong clock does not hide that nothing comes any more."""
    first, *rest = archive.xlogdb.read_text().splitlines(True)
    date = re.compile(r"\t\d{10}[.\d]*\t")
    archive.configure(last_wal_maximum_age="1 HOURS")
    archive.xlogdb.write_text(date.sub("\t4000000000.0\t", first) + "".join(date.sub("\t1600000000.0\t", r) for r in rest))
    assert f"last WAL: {NAMES[3]}" in failures(archive)["wal maximum age"]
    assert NAMES[3] in status(archive)["newest_wal"] and "0 files" in status(archive)["archived_last_hour"]
    archive.xlogdb.write_text(date.sub("\t4000000000.0\t", first))
    assert "future" in failures(archive)["wal maximum age"]
    path = make_wal(archive.incoming, NAMES[4])
    set_time(path, 4000000000)
    archive.configure(backlog_maximum_age="0")
    wait_for(lambda: "archiving backlog" in failures(archive), 30)


def test_two_segment_sizes(home):
    home.configure(conninfo=None)
    for names, size in ((segment_names(1, 2, seg_size=16 << 20), 16 << 20), (segment_names(400, 2), 1 << 20)):
        for name in names:
            make_wal(home.incoming, name, size)
    assert home.archive().returncode == 0
    assert "2 segments do not fit" in failures(home)["archive gaps"]
    assert status(home)["misfits"] == "2"


def test_small_segments_that_nobody_can_look_into(home):
    """Their numbers tell the size."""
    home.configure(conninfo=None)
    rows = (f"{name}\t{1 << 20}\t1700000000.0\tNone\tgpg\n" for name in segment_names(4000, 200))
    home.xlogdb.write_text("".join(rows))
    assert failures(home) == {}


def test_queue_limits(archive):
    archive.configure(max_incoming_wals_queue=1)
    make_wal(archive.incoming, NAMES[4])
    (archive.incoming / "x.tmp").touch()
    assert failures(archive) == {}
    make_wal(archive.incoming, NAMES[5])
    assert "2 files wait" in failures(archive)["incoming WALs directory"]
    archive.configure(max_incoming_wals_queue=None, archiver="off", streaming_archiver="on",
                      streaming_conninfo=f"host={archive.path} connect_timeout=1")
    assert "2 files" in failures(archive)["empty incoming directory"]


def test_errors_are_counted_by_kind(archive):
    for name in ("a.20260101T000000Z.duplicate", "b.20260101T000000Z.unknown", "c.20260101T000000Z.unknown", "d"):
        (archive.errors / name).touch()
    assert failures(archive) == {"archiver errors": "duplicates: 1, unknown: 2, unknown failure: 1"}


def test_directories(archive, workdir):
    (workdir / "file").touch()
    archive.configure(incoming_wals_directory=f"{workdir}/file/incoming")
    assert "file/incoming" in failures(archive)["directories"]


def test_compression_that_cannot_work(archive):
    """What archive-wal would refuse"""
    archive.configure(compression="custom", custom_compression_filter="cat")
    make_wal(archive.incoming, NAMES[4])
    assert archive.archive().returncode == 1
    assert "custom_decompression_filter" in failures(archive)["compression settings"]
    archive.configure(custom_decompression_filter="cat")
    assert failures(archive) == {}


def test_disk_space(archive):
    archive.configure(minimum_free_space=101)
    assert "free" in failures(archive)["disk space"]


def test_archive_that_cannot_be_written(archive):
    """A file is really written, below the directory's name: permissions tell root nothing."""
    shutil.rmtree(archive.wals)
    archive.wals.symlink_to("/proc")  # where nobody can make a file
    archive.configure(conninfo=None, xlogdb_directory=archive.path)
    assert "/proc" in failures(archive)["archive writable"] or "wals" in failures(archive)["archive writable"]


# With a server


@pytest.fixture
def server(workdir, home):
    with Postgres(workdir / "pg", archive_to=home.incoming, listen_addresses="") as server:
        home.configure(conninfo=server.conninfo, streaming_conninfo=server.conninfo, slot_name="walden",
                       streaming_archiver="on", create_slot="auto")
        yield server


def test_healthy_server(server, home):
    with beside(home, "receive-wal", "main"):
        wait_for(lambda: server.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), 60)
        name = server.fill_segment()
        server.wait_archived(name)
        assert home.archive().returncode == 0
        rows = check(home)
        assert {key: row for key, row in rows.items() if row[0] == "FAILED"} == {}
        assert {"PostgreSQL", "superuser or standard user with backup privileges", "PostgreSQL streaming", "wal_level",
                "replication slot", "directories", "systemid coherence", "pg_receivexlog", "pg_receivexlog compatible",
                "receive-wal running", "archive_mode", "archive_command", "continuous archiving", "archiver errors",
                "archive gaps", "clock"} <= set(rows)
        shown = status(home)
        assert shown["pg_version"].startswith("15.")
        assert shown["is_in_recovery"] == "in production"
        assert "streaming" in shown["receiver"]
        assert name in shown["last_archived_wal"]
        assert shown["failed_count"] == "0"
        live = json.loads(home.walden("-f", "json", "show-servers", "main").stdout)["main"]
        assert live["replication_slot"] == "walden" and live["streaming"] is True
        assert live["postgres_systemid"] == live["streaming_systemid"]
        assert live["is_archiving"] is True and live["last_archived_wal"] == name
        assert live["pg_receivexlog_compatible"] is True
    found = failures(home)
    assert "receive-wal running" in found and "is not active" in found["replication slot"]


def test_barman_and_walden_agree(server, home):
    """Every check that both know has the same outcome, and ours miss none that is about WAL."""
    (home.wals / "xlog.db").touch()  # the catalogue that both of them use
    home.configure(streaming_archiver="off", slot_name=None)
    server.wait_archived(server.fill_segment())
    assert home.archive().returncode == 0

    def outcomes(done):
        rows = json.loads(done.stdout)["main"]
        return {key: row["status"] for key, row in rows.items() if isinstance(row, dict)}

    ours = outcomes(home.walden("-f", "json", "check", "main"))
    theirs = outcomes(home.barman("-f", "json", "check", "main"))
    common = set(ours) & set(theirs)
    assert len(common) >= 9, (ours, theirs)
    assert {key: ours[key] for key in common} == {key: theirs[key] for key in common}
    missing = {key for key in theirs if re.search("wal|arch|postgres|syst", key)} - set(ours)
    missing -= {"postgresql_streaming"}  # for its backup_method
    assert not missing


def test_failing_archive_command(server, home):
    server.wait_archived(server.fill_segment())
    home.configure(streaming_archiver="off", slot_name=None)
    home.archive()
    server.configure(archive_command="false")
    server.reload()
    server.fill_segment()
    wait_for(lambda: server.sql("SELECT failed_count FROM pg_stat_archiver") != "0", 60)
    found = failures(home)
    assert set(found) == {"continuous archiving"}
    assert "Failures" not in found and int(status(home)["failed_count"].split()[0]) > 0
    server.configure(archive_command="")
    server.reload()
    wait_for(lambda: "archive_command" in failures(home), 30)


def test_foreign_cluster(server, home):
    (home.directory / "identity.json").write_text('{"systemid": "4711", "version": "15"}')
    home.configure(streaming_archiver="off", slot_name=None)
    assert "identity.json says 4711" in failures(home)["systemid coherence"]


def test_server_that_is_down(archive):
    archive.configure(conninfo=f"host={archive.path} user=postgres")
    found = failures(archive)
    assert set(found) == {"PostgreSQL"}
    assert status(archive)["pg_version"].startswith("FAILED")


def test_server_that_keeps_silent(archive):
    """Everything else is told all the same, and that the time was up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        archive.configure(conninfo=f"host=127.0.0.1 port={port} user=postgres")
        found = failures(archive, "--check-timeout", "1")
        assert set(found) == {"PostgreSQL", "check timeout"}
        assert "within 1 s" in found["check timeout"]


def test_archive_that_hangs(archive):
    """As with a dead file server: somebody has the catalogue's lock, and keeps it."""
    with locked(archive.path / ".main-xlogdb.lock"):
        found = failures(archive, "--check-timeout", "1")
        assert set(found) == {"WAL archive", "wal maximum age", "archive gaps", "check timeout"}
        archive.configure(check_timeout=1)
        assert status(archive)["archive"] == "FAILED (no answer from the archive within 1 s)"


@pytest.mark.parametrize("what", ["catalog", "losses", "identity", "incoming"])
def test_pipes_where_files_should_be(archive, what):
    """Nobody ever writes into them: that is told, and waits for nothing."""
    path = {"catalog": archive.xlogdb, "losses": archive.xlogdb.with_name("main-xlog.db.lost"),
            "identity": archive.directory / "identity.json", "incoming": archive.incoming}[what]
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    found = failures(archive, "--check-timeout", "0")
    assert found and any("not a regular file" in hint or "Not a directory" in hint for hint in found.values())
    archive.configure(check_timeout=0)
    assert "FAILED" in json.dumps(status(archive))


def test_only_a_damaged_line(archive):
    """No check is told twice."""
    archive.xlogdb.write_text("nonsense\n")
    assert "1 damaged lines" in failures(archive)["WAL archive"]


def test_probes_end_with_check(archive):
    """Nothing is left behind when check itself is killed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        archive.configure(conninfo=f"host=127.0.0.1 port={silent.getsockname()[1]} user=postgres")
        with beside(archive, "check", "main") as process:
            wait_for(lambda: silent.accept())
            pids = children(process.pid)
            assert pids
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


# Several servers, Nagios


@pytest.fixture
def two(archive):
    """main is healthy, asleep is inactive and has nothing."""
    archive.conf.write_text(archive.conf.read_text() + "\n[asleep]\nactive = false\narchiver = on\ndescription = x\n")
    return archive


def test_inactive_failures_do_not_count(two):
    done = two.walden("check", "all")
    assert done.returncode == 0 and "Server asleep (inactive):" in done.stdout and "FAILED" in done.stdout


def test_disabled_server(archive):
    archive.conf.write_text(archive.conf.read_text() + "\n[broken]\narchiver = on\nwals_directory = /x\n"
                            "incoming_wals_directory = /x\n")
    done = archive.walden("check", "broken")
    assert done.returncode == 1 and "Server broken (WARNING: disabled):" in done.stdout
    assert "configuration: FAILED (" in done.stdout
    assert archive.walden("status", "broken").returncode == 0


def test_nagios(two):
    good = two.walden("check", "--nagios", "all")
    assert good.returncode == 0
    assert good.stdout.splitlines()[0].startswith("BARMAN OK - ") and " * IGNORING: asleep" in good.stdout
    assert "main_wals=4194304B" in good.stdout
    (two.errors / "x").touch()
    bad = two.walden("check", "--nagios", "main")
    first, *rest = bad.stdout.splitlines()
    assert bad.returncode == 2
    assert first.startswith("BARMAN CRITICAL - server main has issues * main FAILED: archiver errors|main=0B ")
    assert rest == ["main.archiver errors: FAILED (unknown failure: 1)"]
    several = two.walden("check", "--nagios", "all")
    assert several.returncode == 2 and "CRITICAL - 1 server out of 2 have issues" in several.stdout
    unknown = two.walden("check", "--nagios", "nobody")
    assert unknown.returncode == 2 and "Global configuration errors" in unknown.stdout


def test_bad_timeout(archive):
    assert archive.walden("check", "--check-timeout", "soon", "main").returncode != 0
