# SPDX-License-Identifier: PostgreSQL
"""sync-info: a passive Barman copies backups and WAL from our home."""

import json
import os

import pytest
from home import BARMAN, WALDEN, Home
from keys import new_key
from parcels import let_serve, needs_client
from support import wait_for
from wal import make_wal, segment_name, segment_names, wal_bytes

NAMES = segment_names(1, 6)
ID = "20240321T101500"
INFO = {
    "backup_label": repr("START WAL LOCATION: 0/200028\nLABEL: it's\n"),
    "begin_offset": "40",
    "begin_time": "2024-03-01 10:15:00.477132+00:00",
    "begin_wal": NAMES[1],
    "begin_xlog": "0/200028",
    "compression": "None",
    "config_file": "/pg/data/postgresql.conf",
    "copy_stats": "{'copy_time': 5.25, 'total_time': 6.5, 'files': [1, None, True]}",
    "deduplicated_size": "1000",
    "end_offset": "0",
    "end_time": "2024-03-21 10:16:00+00:00",
    "end_wal": NAMES[2],
    "end_xlog": "0/300000",
    "error": "None",
    "hba_file": "/pg/data/pg_hba.conf",
    "ident_file": "/pg/data/pg_ident.conf",
    "included_files": '["/pg/a", "/pg/it\'s"]',
    "mode": "rsync-concurrent",
    "pgdata": "/pg/data",
    "server_name": "main",
    "size": "1000",
    "status": "DONE",
    "systemid": "7710668772696746717",
    "tablespaces": "None",
    "timeline": "1",
    "version": "150020",
    "xlog_segment_size": "1048576",
}


def put_backup(home, identity=ID, **fields):
    data = home.directory / "base" / identity / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")
    text = "".join(f"{key}={value}\n" for key, value in {**INFO, **fields}.items())
    (data.parent / "backup.info").write_text(text)


@pytest.fixture
def primary(home):
    """A home of a Barman before 3.13, as Debian's is."""
    (home.wals / "xlog.db").touch()
    home.configure(compression="gzip")
    for name in NAMES[:5]:
        make_wal(home.incoming, name)
    (home.incoming / f"{NAMES[1]}.00000028.backup").write_text("START WAL LOCATION: 0/200028\n")
    assert home.archive().returncode == 0
    return home


def info(home, *words, command="walden"):
    """The answer, or what was said in its place."""
    done = getattr(home, command)("sync-info", "main", *words)
    return json.loads(done.stdout) if done.returncode == 0 else (done.returncode, done.stderr.strip())


def names(answer):
    return [row["name"] for row in answer["wals"]]


def offset(home, number):
    lines = home.xlogdb.read_bytes().splitlines(keepends=True)
    return sum(map(len, lines[:number]))


needs_barman = pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")


@needs_barman
@pytest.mark.barman
@pytest.mark.parametrize("backups, words", [
    ([], []),
    ([{}], []),
    ([{"status": "WAITING_FOR_WALS"}], []),
    ([{"status": "FAILED"}], []),
    ([{"status": "SYNCING"}], []),
    ([{"tablespaces": "[('ts1', 16387, '/x/y'), ('ts2', 4, '/z')]"}], []),
    ([{"begin_wal": NAMES[2]}, {"begin_wal": NAMES[3], "compression": "gzip"}], []),
    ([{}], [NAMES[2]]),
    ([{}], [NAMES[4]]),
    ([], [NAMES[5]]),
    ([], [segment_name(0)]),
    ([], [NAMES[1], "offset"]),
    ([], [NAMES[1], "70"]),
    ([], [NAMES[4], "99999"]),
])
def test_as_barman_answers(primary, backups, words):
    for number, fields in enumerate(backups):
        put_backup(primary, f"2024032{number + 1}T101500", **fields)
    words = [str(offset(primary, 1)) if word == "offset" else word for word in words]
    ours, barmans = info(primary, *words), info(primary, *words, command="barman")
    if isinstance(barmans, tuple):
        assert ours == barmans
        return
    for key in ("backups", "wals", "last_name", "last_position"):
        assert ours[key] == barmans[key], key
    shared = ours["config"].keys() & barmans["config"].keys()
    assert {"name", "compression", "wals_directory", "basebackups_directory"} <= shared
    assert {key: ours["config"][key] for key in shared} == {key: barmans["config"][key] for key in shared}
    assert ours.keys() == barmans.keys()


@pytest.mark.parametrize("encryption", [None, "aead"])
def test_current_form(home, workdir, encryption):
    """In the catalog of a Barman since 3.13 there is a column more."""
    if encryption:
        home.configure(encryption=encryption, encryption_key_file=new_key(workdir / "keys"))
    make_wal(home.incoming, NAMES[0])
    assert home.archive().returncode == 0
    meta = home.directory / "meta"
    meta.mkdir()
    (meta / f"{ID}-backup.info").write_text("status=DONE\nparent_backup_id=None\nchildren_backup_ids=a,b\n")
    answer = info(home)
    (row,) = answer["wals"]
    assert row["encryption"] == encryption and row["size"] == home.stored(NAMES[0]).stat().st_size
    assert answer["backups"][ID] == {"status": "DONE", "parent_backup_id": None,
                                     "children_backup_ids": ["a", "b"], "backup_id": ID}


def test_literals_that_are_none(home):
    put_backup(home, copy_stats="{'a': [1, (2", tablespaces="[" * 100, size="many", begin_time="today")
    backup = info(home)["backups"][ID]
    assert (backup["copy_stats"], backup["size"], backup["begin_time"]) == ("{'a': [1, (2", "many", "today")


@pytest.mark.parametrize("words, code", [
    (["main", NAMES[0], "0"], 2), (["main", NAMES[0], "x"], 2), (["nobody"], 1), (["all"], 1),
    (["--primary", "main"], 1), ([], 2)])
def test_refused(home, words, code):
    done = home.walden("sync-info", *words)
    assert done.returncode == code and not done.stdout, done


def test_damaged_catalog(primary):
    with open(primary.xlogdb, "a", encoding="ascii") as file:
        file.write("nonsense\n")
    assert info(primary)[0] == 1


@needs_client
@needs_barman
@pytest.mark.barman
def test_passive_barman(primary, ssh, workdir):
    """Debian's Barman copies our backup and our WAL, goes on where it stopped, and hands them out."""
    let_serve(ssh, WALDEN, primary)
    put_backup(primary)
    way = f"{ssh.environment['PATH'].split(':', 1)[0]}/ssh {ssh.user}@127.0.0.1"
    passive = Home(workdir / "passive", primary_ssh_command=way, compression="gzip", conninfo=None,
                   streaming_conninfo=None, archiver=None, backup_method=None)
    (passive.directory / "base").mkdir()

    def copied(name):
        """Cron starts the copies and does not wait for them."""
        assert passive.barman("cron").returncode == 0
        return name in passive.names()

    wait_for(lambda: copied(NAMES[4]), timeout=120, what="the first copy")
    assert (passive.directory / "base" / ID / "data" / "PG_VERSION").read_text() == "15\n"
    # All but the first, which no backup needs
    assert passive.xlogdb.read_text() == "".join(primary.xlogdb.read_text().splitlines(keepends=True)[1:])
    make_wal(primary.incoming, NAMES[5])
    assert primary.archive().returncode == 0
    wait_for(lambda: copied(NAMES[5]), timeout=120, what="the next file")
    for name in NAMES[1:]:
        assert passive.get(name).stdout == wal_bytes(name)
    done = passive.barman("list-backups", "main")
    assert ID in done.stdout and "FAILED" not in done.stdout, done.stdout
