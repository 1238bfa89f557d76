# SPDX-License-Identifier: PostgreSQL
"""metrics: figures in the Prometheus text format, printed, in a file, and over HTTP."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest

from home import ROOT
from pg import Postgres
from ports import free_port
from support import beside, wait_for
from wal import make_wal, segment_names

NAMES = segment_names(1, 4)
LABELS = r'\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\}'


def parse(text):
    """{(name, labels): value} of an exposition: as strict as promtool about its form."""
    values, kinds, seen = {}, {}, []
    assert text.endswith("\n")
    for line in text.splitlines():
        if match := re.fullmatch(r"# HELP ([a-z_]+) (.+)", line):
            assert match[1] not in seen, f"{match[1]} is not in one piece"
            seen.append(match[1])
        elif match := re.fullmatch(r"# TYPE ([a-z_]+) (gauge|counter)", line):
            assert match[1] == seen[-1]
            kinds[match[1]] = match[2]
        else:
            name, labels, value = re.fullmatch(rf"([a-z_]+){LABELS} (\S+)", line).groups()
            assert name == seen[-1] and name in kinds
            assert name.endswith("_total") == (kinds[name] == "counter")
            key = name, tuple(sorted(labels.split(",")))
            assert key not in values
            values[key] = float(value)
    return values


def value(values, name, **labels):
    labels.setdefault("server", "main")
    return values[name, tuple(sorted(f'{key}="{text}"' for key, text in labels.items()))]


@pytest.fixture
def archive(home):
    home.configure(conninfo=None)
    for name in (NAMES[0], NAMES[1], NAMES[3]):
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    return home


def test_values(archive):
    make_wal(archive.incoming, NAMES[2])
    (archive.errors / "x.20260101T000000Z.unknown").touch()
    values = parse(archive.walden("metrics").stdout)
    assert value(values, "walden_archive_files") == value(values, "walden_archive_segments") == 3
    assert value(values, "walden_archive_bytes") == 3 << 20
    assert value(values, "walden_wal_segment_bytes") == 1 << 20
    assert value(values, "walden_archive_missing_ranges", acknowledged="no") == 1
    assert value(values, "walden_backlog_files", queue="incoming") == 1
    assert value(values, "walden_backlog_bytes", queue="incoming") == 1 << 20
    assert value(values, "walden_error_files", kind="unknown") == 1
    assert value(values, "walden_process_running", task="archive-wal") == 0
    assert value(values, "walden_check_failed", check="archive gaps") == 1
    assert value(values, "walden_check_failed", check="directories") == 0
    assert value(values, "walden_up", part="archive") == 1


def test_figures_of_the_server(workdir, home):
    with Postgres(workdir / "pg", archive_to=home.incoming, listen_addresses="") as server:
        home.configure(conninfo=server.conninfo)
        server.wait_archived(server.fill_segment())
        values = parse(home.walden("metrics").stdout)
        assert value(values, "walden_up", part="postgres") == 1
        assert value(values, "walden_postgres_archived_total") >= 1
        assert value(values, "walden_postgres_archive_failures_total") == 0
    values = parse(home.walden("metrics").stdout)
    assert value(values, "walden_up", part="postgres") == 0
    assert not any(name.startswith("walden_postgres") for name, _ in values)


def test_slot_of_the_server_that_wal_comes_from(workdir, home):
    """It is wal_conninfo's, whatever has become of conninfo's."""
    with Postgres(workdir / "pg", listen_addresses="") as server:
        server.sql("SELECT pg_create_physical_replication_slot('walden', true)")
        home.configure(wal_conninfo=server.conninfo, wal_streaming_conninfo=server.conninfo,
                       streaming_archiver="on", slot_name="walden")
        values = parse(home.walden("metrics").stdout)
    assert value(values, "walden_up", part="postgres") == 0
    assert value(values, "walden_up", part="wal_host") == 1
    assert value(values, "walden_slot_retained_bytes") >= 0


def test_several_servers_stand_together(archive):
    archive.conf.write_text(
        archive.conf.read_text() + '\n[second]\narchiver = on\ndescription = x\n\n[asleep]\nactive = off\narchiver = on\n'
    )
    values = parse(archive.walden("metrics").stdout)
    assert value(values, "walden_archive_files", server="second") == 0
    assert not any('server="asleep"' in labels for _, labels in values)


def test_several_servers_that_keep_silent(archive):
    """All are asked at once: together they take no more time than one, which Prometheus has."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = archive.conf.read_text()
        for number in range(10):
            text += (f"\n[silent{number}]\narchiver = on\ndescription = x\n"
                     f"conninfo = host=127.0.0.1 port={port} user=postgres\n")
        archive.conf.write_text(text)
        values = parse(archive.walden("metrics", timeout=60).stdout)  # one after the other: 80 s
    for number in range(10):
        assert value(values, "walden_up", server=f"silent{number}", part="postgres") == 0
        assert value(values, "walden_up", server=f"silent{number}", part="archive") == 1
    assert value(values, "walden_archive_files") == 3


def test_only_a_damaged_line(archive):
    archive.xlogdb.write_text("nonsense\n")
    values = parse(archive.walden("metrics").stdout)
    assert value(values, "walden_check_failed", check="WAL archive") == 1


def test_name_that_is_not_utf8(archive):
    """Prometheus would refuse everything for it, and JSON has no place for such a key."""
    text = archive.conf.read_bytes().replace(b"[main]", b"[m\xe4in\xc3\xb6]").replace(b"= test", b"= t\xe4st")
    archive.conf.write_bytes(text)
    values = parse(archive.walden("metrics", binary=True).stdout.decode("utf-8"))
    assert value(values, "walden_archive_files", server="m?in\xf6") == 0
    for command in (["check", "all"], ["status", "all"], ["show-servers", "all"], ["list-servers"]):
        answer = json.loads(archive.walden("-f", "json", *command, binary=True).stdout.decode("utf-8"))
        assert list(answer) == ["m?in\xf6"], command
    answer = json.loads(archive.walden("diagnose", binary=True).stdout.decode("utf-8"))
    assert answer["servers"]["m?in\xf6"]["config"]["description"] == "t?st"


def test_file(archive, workdir):
    target = workdir / "walden.prom"
    assert archive.walden("metrics", "-o", target).returncode == 0
    assert value(parse(target.read_text()), "walden_archive_files") == 3
    assert [path.name for path in workdir.iterdir() if "prom" in path.name] == ["walden.prom"]
    done = archive.walden("metrics", "-o", workdir / "none" / "x")
    assert done.returncode == 1 and "none/x" in done.stderr


def fetch(port, path="/metrics", **kw):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **kw)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def reachable(port):
    try:
        return fetch(port)
    except OSError:
        return None


def test_http(archive):
    port = free_port()
    with beside(archive, "metrics", "--listen", f"127.0.0.1:{port}") as process:
        text = wait_for(lambda: reachable(port), 30)
        assert value(parse(text), "walden_archive_files") == 3
        make_wal(archive.incoming, NAMES[2])
        assert value(parse(fetch(port)), "walden_backlog_files", queue="incoming") == 1
        for path, kw, code in (("/", {}, 404), ("/metrics", {"data": b"x" * 100000}, 405)):
            with pytest.raises(urllib.error.HTTPError) as failure:
                fetch(port, path, **kw)
            assert failure.value.code == code
        second = archive.walden("metrics", "--listen", f"127.0.0.1:{port}")
        assert second.returncode == 1 and f"127.0.0.1:{port}" in second.stderr
        # Some that say nothing, or half of it, keep nobody else waiting.
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for connection in slow[::2]:
            connection.sendall(b"GET /metrics HT")
        fetch(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("address", ["", "9187", "localhost:9187", "127.0.0.1:0", "127.0.0.1:65536", "::1:9187", "[::1:1"])
def test_bad_address(archive, address):
    done = archive.walden("metrics", "--listen", address)
    assert done.returncode == 2 and "no address to listen at" in done.stderr


def test_run_serves_them(archive):
    port = free_port()
    archive.globals["metrics_listen"] = f"127.0.0.1:{port}"
    archive.configure()
    with beside(archive, "run") as process:
        wait_for(lambda: reachable(port), 30)
        assert value(parse(fetch(port)), "walden_process_running", task="archive-wal") == 1
        del archive.globals["metrics_listen"]
        archive.configure()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: reachable(port) is None, 30)


def test_dashboard_asks_for_metrics_that_there_are(archive):
    """Every name in contrib/grafana.json is one of ours."""
    dashboard = json.loads((ROOT / "contrib" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"walden_[a-z_]+", target["expr"])
    }
    assert len(asked) > 10
    known = set(re.findall(r"^# TYPE (\S+)", archive.walden("metrics").stdout, re.M))
    assert asked <= known
