# SPDX-License-Identifier: PostgreSQL
"""delete-wals: what goes, what stays, what is refused; and that nothing else happens."""

import json
import os
import re
import shutil
import time

import pytest
from faults import archived_files, fault_environment, recorded
from home import BARMAN, Home
from support import beside, locked, set_time, wait_for
from test_faults import MODES, choose
from test_hooks import blocks, order, recorder
from wal import MIB, make_wal, segment_name, segment_names

NOW = int(time.time())
DAY = 86400
NAMES = segment_names(10, 10)  # ...0A to ...13
HEADING = "Delete WAL files of server main:\n"
NOTHING = "No WAL files of server main to delete\n"
DELETE_HOOKS = ["pre_wal_delete_script", "pre_wal_delete_retry_script",
                "post_wal_delete_retry_script", "post_wal_delete_script"]


def label_of(name):
    return f"{name}.00000028.backup"


def put(home, name, age=0, data=b"x"):
    """Archives a file as if it had come `age` seconds ago."""
    path = home.incoming / name
    if len(name) == 24 or name.endswith(".partial"):
        make_wal(path, name)
    else:
        path.write_bytes(data)
    set_time(path, NOW - age)


def archived(home, names=tuple(NAMES), ages=None):
    for index, name in enumerate(names):
        put(home, name, ages[index] if ages else 0)
    done = home.archive()
    assert done.returncode == 0, done
    return list(names)


def delete(home, *options, code=0, **kw):
    done = home.walden("delete-wals", "main", *options, **kw)
    assert done.returncode == code, done
    return done


def deleted(done):
    lines = done.stdout.splitlines()
    if lines and lines[0] + "\n" == NOTHING:
        return []
    assert lines and lines[0].startswith("Delete WAL files of server main")
    return [line[1:] for line in lines[1:]]


def check(home, expected):
    """The archive has these names, and the catalogue says so, once and in its old order."""
    assert sorted(archived_files(home)) == sorted(expected)
    assert sorted(home.names()) == sorted(expected)


def barman_backup(home, backup_id, begin, end=None, status="DONE", keep=None, new=False, **more):
    """As Barman writes it, as far as WAL is concerned."""
    fields = {"backup_label": None, "begin_wal": begin, "begin_offset": 40, "end_wal": end or begin, "status": status,
              "timeline": int(begin[:8], 16) if begin else None, "xlog_segment_size": MIB, **more}
    text = "".join(f"{key}={value}\n" for key, value in sorted(fields.items()))
    base = home.directory / "base" / backup_id
    base.mkdir(parents=True)
    meta = home.directory / "meta"
    if new:
        meta.mkdir(exist_ok=True)
        (meta / f"{backup_id}-backup.info").write_text(text)
    else:
        (base / "backup.info").write_text(text)
    if keep and new:
        (meta / f"{backup_id}-keep").write_text(keep)
    elif keep:
        (base / "annotations").mkdir()
        (base / "annotations" / "keep").write_text(keep)


# What goes


def test_before_a_segment(home):
    archived(home)
    lines = home.xlogdb.read_text().splitlines(True)
    done = delete(home, "--before", NAMES[4])
    assert done.stdout == HEADING + "".join(f"\t{name}\n" for name in NAMES[:4])
    assert done.stderr == ""
    check(home, NAMES[4:])
    assert home.xlogdb.read_text() == "".join(lines[4:])
    assert delete(home, "--before", NAMES[4]).stdout == NOTHING
    assert "4 archived files deleted" in home.log_text()


def test_dry_run(home):
    archived(home)
    before = home.xlogdb.read_bytes()
    done = delete(home, "--dry-run", "--before", NAMES[4])
    assert done.stdout == HEADING.replace(":", " (dry run):") + "".join(f"\t{n}\n" for n in NAMES[:4])
    assert home.xlogdb.read_bytes() == before
    check(home, NAMES)
    assert not (home.path / ".main-delete-wals.lock").exists()


def test_json(home):
    archived(home)
    done = home.walden("-f", "json", "delete-wals", "main", "--before", NAMES[2])
    assert json.loads(done.stdout) == {
        "main": {"deleted": NAMES[:2], "dry_run": False, "bytes": 2 * MIB}
    }
    done = home.walden("-f", "json", "delete-wals", "main", "--before", NAMES[2])
    assert json.loads(done.stdout)["main"]["deleted"] == []


def test_every_kind(home):
    """Labels and partial files are where their segment is; history files always stay."""
    names = archived(home, [*NAMES, f"{NAMES[1]}.partial", f"{NAMES[4]}.partial", label_of(NAMES[1]),
                            label_of(NAMES[4]), "00000002.history"])
    goes = [*NAMES[:4], f"{NAMES[1]}.partial", label_of(NAMES[1])]
    done = delete(home, "--before", NAMES[4], "--force")
    assert deleted(done) == sorted(goes)
    check(home, set(names) - set(goes))


def test_before_an_lsn(home):
    """By the segment size that the archived segments have in their headers, also compressed ones."""
    home.configure(compression="zstd")
    archived(home)
    assert deleted(delete(home, "--before", "0/C00028")) == NAMES[:2]
    assert deleted(delete(home, "--before", "0/D00000")) == NAMES[2:3]
    check(home, NAMES[3:])


def test_lsn_without_a_segment_size(home):
    archived(home, NAMES[:2])
    for name in NAMES[:2]:
        home.stored(name).write_bytes(b"nobody knows what this is")
    done = delete(home, "--before", "0/B00000", code=1)
    assert "segment size" in done.stderr and "name of a segment" in done.stderr
    check(home, NAMES[:2])


def test_before_a_time(home):
    """A segment has the time of its end: the first that ended later covers the time."""
    archived(home, ages=[(10 - index) * 60 for index in range(10)])
    point = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - 270))
    assert deleted(delete(home, "--before", point)) == NAMES[:6]
    point = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 240))
    assert deleted(delete(home, "--before", point)) == []
    assert deleted(delete(home, "--before", "2099-01-01")) == NAMES[6:9]
    check(home, NAMES[9:])


def test_time_of_a_segment_that_was_sent_again(home):
    """What has come later than its neighbours holds the horizon where it is."""
    ages = [(10 - index) * 60 for index in range(10)]
    ages[2] = 0
    archived(home, ages=ages)
    point = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - 270))
    assert deleted(delete(home, "--before", point)) == NAMES[:2]


def test_before_a_label(home):
    archived(home, [*NAMES, label_of(NAMES[2]), label_of(NAMES[5])])
    assert deleted(delete(home, "--before", label_of(NAMES[5]))) == sorted([*NAMES[:5], label_of(NAMES[2])])
    check(home, [*NAMES[5:], label_of(NAMES[5])])
    done = delete(home, "--before", label_of(NAMES[7]), code=1)
    assert "is not in the archive" in done.stderr


def test_newest_segment_always_stays(home):
    archived(home)
    assert deleted(delete(home, "--before", segment_name(4000))) == NAMES[:9]
    check(home, NAMES[9:])


@pytest.mark.parametrize("point", ["", "yesterday", "00000002.history", "0/", "2026-02-31", "2026-01-01 25:00",
                                   "2026-01-01 10:00 CET", f"{NAMES[0]}.gz", "2026-1-1"])
def test_no_point(home, point):
    done = delete(home, "--before", point, code=2)
    assert "is neither" in done.stderr


def test_usage(home):
    assert "needs --before" in delete(home, "--force", code=2).stderr
    assert "has no wal_retention" in delete(home, code=1).stderr
    home.configure(active="false")
    assert delete(home, "--before", NAMES[0]).stdout == "Skipping inactive server 'main'\n"


def test_empty_archive(home):
    assert delete(home, "--before", NAMES[0]).stdout == NOTHING
    shutil.rmtree(home.wals)
    assert "does not exist" in delete(home, "--before", NAMES[0], code=1).stderr


def test_archive_without_catalogue(home):
    archived(home)
    home.xlogdb.unlink()
    done = delete(home, "--before", NAMES[4], code=1)
    assert "no catalog" in done.stderr and "rebuild-xlogdb" in done.stderr
    assert sorted(archived_files(home)) == NAMES


# Where Barman goes wrong


def test_only_what_is_listed_for_deletion(home):
    """300 files of one hash directory: the others in it stay, and strangers, too."""
    names = segment_names(0, 310)
    for name in names:
        path = home.stored(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    home.xlogdb.write_text("".join(f"{name}\t1\t1700000000.0\tNone\tNone\n" for name in names))
    stranger = home.stored(names[0]).parent / "README"
    stranger.touch()
    assert deleted(delete(home, "--before", names[300])) == names[:300]
    assert sorted(archived_files(home)) == [*names[300:], "README"]
    assert home.names() == names[300:]


def test_empty_directories(home):
    """A hash directory goes when it is empty; nothing above it ever does."""
    catalogues = home.path / "catalogues"
    catalogues.mkdir()
    home.configure(xlogdb_directory=catalogues)
    names = [segment_name(4095), segment_name(4096)]  # the last of one directory, the first of another
    archived(home, names)
    shutil.rmtree(home.stored(names[1]).parent)
    assert deleted(delete(home, "--before", names[1])) == names[:1]
    assert list(home.wals.iterdir()) == []


def test_listed_file_that_is_gone(home):
    archived(home)
    shutil.rmtree(home.stored(NAMES[0]).parent)
    done = delete(home, "--before", NAMES[4])
    assert done.stdout == NOTHING
    assert home.names() == NAMES[4:]
    assert "4 were in the catalog only" in home.log_text()


def test_files_that_the_catalogue_lost(home):
    """A crash of an archiver left them; a file whose source waits is just being archived."""
    archived(home, [*NAMES, f"{NAMES[0]}.partial"])
    lines = home.xlogdb.read_text().splitlines(True)
    home.xlogdb.write_text("".join(line for line in lines if line[:24] not in (NAMES[0], NAMES[2], NAMES[7])))
    make_wal(home.incoming, NAMES[2])
    assert deleted(delete(home, "--before", NAMES[4])) == sorted([NAMES[0], f"{NAMES[0]}.partial", NAMES[1], NAMES[3]])
    assert sorted(archived_files(home)) == [NAMES[2], *NAMES[4:]]
    assert home.archive().returncode == 0
    assert sorted(home.names()) == [NAMES[2], *(n for n in NAMES[4:] if n != NAMES[7])]


def test_damaged_and_old_lines_stay_as_they_are(home):
    archived(home)
    lines = home.xlogdb.read_text().splitlines(True)
    lines[5] = f"{NAMES[5]}\t{MIB}\t1700000000.25\n"  # three columns
    lines[6] = "what is this\n" + "y" * 5000 + "\n"
    lines[9] = lines[9][:-1]  # torn: only its line feed is missing
    home.xlogdb.write_text("".join(lines))
    done = delete(home, "--before", NAMES[4])
    assert deleted(done) == NAMES[:4]
    assert "2 damaged lines" in home.log_text()
    assert home.xlogdb.read_text() == "".join(lines[4:])


def test_four_columns(home):
    (home.wals / "xlog.db").touch()
    archived(home)
    lines = home.xlogdb.read_text().splitlines(True)
    delete(home, "--before", NAMES[4])
    assert home.xlogdb.read_text() == "".join(lines[4:])
    assert not (home.wals / "main-xlog.db").exists()


# Timelines


def timelines(home):
    """Timeline 1 was left at 0/1000000 for timeline 2, and went on a little by itself."""
    ones, twos = segment_names(10, 10), segment_names(16, 10, timeline=2)
    archived(home, ones, [100 - index for index in range(10)])
    put(home, "00000002.history", data=b"1\t0/1000000\tno recovery target specified\n")
    archived(home, twos, [50 - index for index in range(10)])
    return ones, twos


def test_older_timeline_that_leads_to_the_newer_one(home):
    """Barman compares names as text, and would delete all of timeline 1."""
    ones, twos = timelines(home)
    point = segment_name(14, timeline=2)
    assert deleted(delete(home, "--before", point)) == ones[:4]
    check(home, [*ones[4:], *twos, "00000002.history"])
    assert deleted(delete(home, "--before", twos[2])) == sorted([*ones[4:8], *twos[:2]])


def test_newer_timeline_is_no_reason_to_stay(home):
    """Barman would keep all of timeline 2."""
    ones, twos = timelines(home)
    assert deleted(delete(home, "--before", ones[8])) == sorted([*ones[:8], *twos[:2]])


def test_policy_keeps_the_way_of_a_backup(home):
    """A backup on timeline 1, from which timeline 2 is reached: its way stays; what timeline 1 did
    after that can be reached from it, too."""
    ones, twos = timelines(home)
    label = label_of(ones[3])
    put(home, label, 60)
    archived(home, [])
    home.configure(wal_retention="1 backup")
    assert deleted(delete(home)) == ones[:3]
    check(home, [*ones[3:], *twos, label, "00000002.history"])


def test_policy_lets_an_abandoned_timeline_go(home):
    """Its positions are later than those of the backup that counts, but no way leads there."""
    ones, twos = timelines(home)
    old, new = label_of(ones[8]), label_of(twos[1])
    put(home, old, 70)
    put(home, new, 45)
    archived(home, [])
    home.configure(wal_retention="1 backup")
    assert deleted(delete(home)) == sorted([*ones, *twos[:1], old])
    check(home, [*twos[1:], new, "00000002.history"])


def test_backup_on_an_abandoned_timeline_does_not_count_alone(home):
    """The newest backups are on the way that was left; the one that leads to timeline 2 stays, too."""
    ones, twos = timelines(home)
    leads, lost = label_of(ones[2]), label_of(ones[8])
    put(home, leads, 98)
    put(home, lost, 40)
    archived(home, [])
    home.configure(wal_retention="1 backup")
    assert deleted(delete(home)) == ones[:2]
    check(home, [*ones[2:], *twos, leads, lost, "00000002.history"])


# Backups


def test_label_is_honoured(home):
    archived(home, [*NAMES, label_of(NAMES[2]), label_of(NAMES[5])])
    done = delete(home, "--before", NAMES[6], code=1)
    assert f"the backup of label '{label_of(NAMES[2])}' needs the WAL from '{NAMES[2]}' on" in done.stderr
    assert f"--before {label_of(NAMES[5])}" in done.stderr
    assert len(home.names()) == 12
    assert delete(home, "--before", NAMES[6], "--dry-run", code=1)
    assert deleted(delete(home, "--before", NAMES[2])) == NAMES[:2]
    assert len(deleted(delete(home, "--before", NAMES[6], "--force"))) == 6


def test_label_that_the_catalogue_lost_is_honoured(home):
    """Its line is damaged or gone: that backup counts again when the catalogue is made anew."""
    archived(home)
    put(home, label_of(NAMES[3]))
    archived(home, [])
    rows = home.xlogdb.read_text().splitlines(True)
    home.xlogdb.write_text("".join(row for row in rows if not row.startswith(label_of(NAMES[3]))))
    for options in (("--before", NAMES[5]), ("--dry-run", "--before", NAMES[5])):
        done = delete(home, *options, code=1)
        assert label_of(NAMES[3]) in done.stderr and "rebuild-xlogdb" in done.stderr
    home.configure(wal_retention="3 MiB")
    assert label_of(NAMES[3]) in delete(home, code=1).stderr
    assert sorted(archived_files(home)) == sorted([*NAMES, label_of(NAMES[3])])
    assert deleted(delete(home, "--before", NAMES[2])) == NAMES[:2]
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    assert label_of(NAMES[3]) in delete(home, "--before", NAMES[5], code=1).stderr
    assert label_of(NAMES[3]) in deleted(delete(home, "--before", NAMES[5], "--force"))


@pytest.mark.parametrize("new", [False, True], ids=["base", "meta"])
@pytest.mark.parametrize("status", ["DONE", "WAITING_FOR_WALS", "STARTED", "SYNCING"])
def test_barmans_backup_is_honoured(home, status, new):
    archived(home, [*NAMES, label_of(NAMES[3])])
    barman_backup(home, "20260101T000000", NAMES[2], NAMES[3], status, new=new)
    for options in [["--before", NAMES[3]], ["--before", NAMES[6], "--force"], ["--before", label_of(NAMES[3])]]:
        done = delete(home, *options, code=1)
        assert f"Barman's backup '20260101T000000' needs the WAL from '{NAMES[2]}' on" in done.stderr
        assert len(home.names()) == 11
    assert deleted(delete(home, "--before", NAMES[2])) == NAMES[:2]


def test_backup_directory_elsewhere(home):
    archived(home)
    elsewhere = home.path / "elsewhere"
    barman_backup(home, "20260101T000000", NAMES[2])
    (home.directory / "base").rename(elsewhere)
    home.configure(basebackups_directory=elsewhere)
    assert "20260101T000000" in delete(home, "--before", NAMES[3], code=1).stderr


def test_failed_backup_needs_nothing(home):
    archived(home)
    barman_backup(home, "20260101T000000", NAMES[2], status="FAILED")
    (home.directory / "base" / "no backup").mkdir()
    assert deleted(delete(home, "--before", NAMES[3])) == NAMES[:3]


@pytest.mark.parametrize("new", [False, True], ids=["base", "meta"])
def test_standalone_backup_keeps_what_is_its_own(home, new):
    archived(home, [*NAMES, label_of(NAMES[2])])
    barman_backup(home, "20260101T000000", NAMES[2], NAMES[3], keep="standalone", new=new)
    assert deleted(delete(home, "--before", NAMES[6])) == [*NAMES[:2], *NAMES[4:6]]
    check(home, [*NAMES[2:4], label_of(NAMES[2]), *NAMES[6:]])


def test_full_keep_is_as_any_backup(home):
    archived(home)
    barman_backup(home, "20260101T000000", NAMES[2], NAMES[3], keep="full")
    assert "20260101T000000" in delete(home, "--before", NAMES[6], code=1).stderr


def test_backup_that_begins(home):
    """It does not say yet from where it needs WAL. One that was given up does not count."""
    archived(home)
    barman_backup(home, "20260101T000000", None, status="EMPTY")
    with locked(home.path / ".main-backup.lock"):
        assert "is beginning" in delete(home, "--before", NAMES[3], code=1).stderr
    assert deleted(delete(home, "--before", NAMES[3])) == NAMES[:3]


@pytest.mark.parametrize("text", ["", "status=DONE\n", "status=DONE\nbegin_wal=None\n", "status=DONE\nbegin_wal=x\n"])
def test_backup_info_that_says_nothing(home, text):
    archived(home)
    barman_backup(home, "20260101T000000", NAMES[2])
    (home.directory / "base/20260101T000000/backup.info").write_text(text)
    assert "has no begin_wal" in delete(home, "--before", NAMES[3], code=1).stderr
    check(home, NAMES)


def test_backup_info_that_is_a_pipe(home):
    archived(home)
    (home.directory / "base/20260101T000000").mkdir(parents=True)
    os.mkfifo(home.directory / "base/20260101T000000/backup.info")
    assert "not a regular file" in delete(home, "--before", NAMES[3], code=1).stderr
    check(home, NAMES)


# wal_retention


def test_days(home):
    """The newest backup before the window stays: without it the window's first days are lost."""
    ages = [(10 - index) * DAY - 3600 for index in range(10)]
    archived(home, ages=ages)
    home.configure(wal_retention="4 days")
    assert deleted(delete(home, "--dry-run")) == NAMES[:6]
    put(home, label_of(NAMES[1]), ages[1] - 5)
    put(home, label_of(NAMES[3]), ages[3] - 5)
    put(home, label_of(NAMES[7]), 2 * DAY)
    archived(home, [])
    assert deleted(delete(home)) == sorted([*NAMES[:3], label_of(NAMES[1])])
    assert delete(home).stdout == NOTHING


def test_bytes(home):
    archived(home)
    home.configure(wal_retention="11 MiB")
    assert delete(home).stdout == NOTHING
    home.configure(wal_retention="4 MiB")
    assert deleted(delete(home)) == NAMES[:6]
    home.configure(wal_retention="1 kB")
    assert deleted(delete(home)) == NAMES[6:9]


def test_backups(home):
    ages = [(10 - index) * DAY for index in range(10)]
    archived(home, ages=ages)
    for index in (1, 4, 6):
        put(home, label_of(NAMES[index]), ages[index] - 5)
    archived(home, [])
    home.configure(wal_retention="4 backups")
    assert delete(home).stdout == NOTHING
    home.configure(wal_retention="2 backups")
    assert deleted(delete(home)) == sorted([*NAMES[:4], label_of(NAMES[1])])
    home.configure(wal_retention="1 backup")
    assert deleted(delete(home)) == sorted([*NAMES[4:6], label_of(NAMES[4])])


def test_backup_that_is_listed_twice_counts_once(home):
    ages = [(10 - index) * DAY for index in range(10)]
    archived(home, ages=ages)
    for index in (1, 4, 6):
        put(home, label_of(NAMES[index]), ages[index] - 5)
    archived(home, [])
    last = home.xlogdb.read_text().splitlines(True)[-1]
    assert label_of(NAMES[6]) in last
    home.xlogdb.write_text(home.xlogdb.read_text() + last + re.sub(r"\d+\.\d+", str(NOW + 0.5), last))
    home.configure(wal_retention="2 backups")
    assert deleted(delete(home, "--dry-run")) == sorted([*NAMES[:4], label_of(NAMES[1])])


def test_policy_stops_before_barmans_backups(home):
    archived(home)
    home.configure(wal_retention="1 MiB")
    barman_backup(home, "20260101T000000", NAMES[3], keep="standalone")
    barman_backup(home, "20260102T000000", NAMES[5], new=True)
    assert deleted(delete(home)) == [*NAMES[:3], NAMES[4]]


@pytest.mark.parametrize("value", ["7", "0 d", "-1 d", "3 elephants", "d", "1.5 GiB"])
def test_no_retention(home, value):
    home.configure(wal_retention=value)
    done = delete(home, code=1)
    assert "is no value for 'wal_retention'" in done.stderr and "has no wal_retention" in done.stderr


def test_cron_starts_it_once_an_hour(home):
    archived(home)
    home.configure(wal_retention="4 MiB")
    done = home.walden("cron")
    assert "Starting WAL deletion for server main\n" in done.stdout
    wait_for(lambda: home.names() == NAMES[6:])
    assert "deletion" not in home.walden("cron").stdout
    stamp = home.path / ".main-delete-wals.last"
    set_time(stamp, NOW - 3601)
    assert "Starting WAL deletion for server main\n" in home.walden("cron").stdout
    wait_for(lambda: stamp.stat().st_mtime > NOW - 100)
    home.configure(wal_retention=None)
    stamp.unlink()
    assert "deletion" not in home.walden("cron").stdout


def test_run_starts_it_and_does_not_start_it_again_at_once(home):
    archived(home)
    home.configure(wal_retention="4 MiB")
    with beside(home, "run") as service:
        wait_for(lambda: home.names() == NAMES[6:])
        put(home, segment_name(20))
        wait_for(lambda: segment_name(20) in home.names())
        service.terminate()
        assert service.wait(20) == 0
    assert home.log_text().count("delete-wals for 'main' runs as process") == 1


# With others at work


def test_two_at_once(home):
    archived(home)
    home.configure(wal_retention="4 MiB")
    with locked(home.path / ".main-delete-wals.lock"):
        assert "already running" in delete(home).stdout
        assert "already running" in delete(home, "--before", NAMES[3], code=1).stderr
    check(home, NAMES)


def test_rebuilding_waits(home):
    """It would find files whose lines are gone, and which are gone a moment later."""
    archived(home)
    home.configure(pre_wal_delete_script=f"touch {home.path}/in; while ! test -e {home.path}/go; do sleep 0.05; done")
    with beside(home, "delete-wals", "main", "--before", NAMES[1]) as deletion:
        wait_for((home.path / "in").exists)
        with beside(home, "rebuild-xlogdb", "main") as rebuilding:
            time.sleep(0.5)
            assert rebuilding.poll() is None
            (home.path / "go").touch()
            assert deletion.wait(60) == rebuilding.wait(60) == 0
    check(home, NAMES[1:])


def test_archiving_goes_on(home):
    """No lock that an archiver needs is held while hooks run."""
    archived(home)
    home.configure(pre_wal_delete_script=f"touch {home.path}/in; while ! test -e {home.path}/go; do sleep 0.05; done")
    with beside(home, "delete-wals", "main", "--before", NAMES[1]) as process:
        wait_for((home.path / "in").exists)
        archived(home, segment_names(20, 5))
        assert home.get(NAMES[0]).returncode == 0
        (home.path / "go").touch()
        assert process.wait(60) == 0
    check(home, [*NAMES[1:], *segment_names(20, 5)])


@pytest.mark.parallel
def test_while_archiving(home):
    """Deleting again and again behind a running archiver."""
    count = 60
    archived(home, [segment_name(9)])
    with beside(home, "archive-wal", "--follow", "main") as archiver:
        for number in range(10, 10 + count):
            make_wal(home.incoming / ".tmp", segment_name(number)).rename(home.incoming / segment_name(number))
            if number % 5 == 0:
                delete(home, "--before", segment_name(number - 5))
        wait_for(lambda: not home.waiting(), 60)
        archiver.terminate()
        assert archiver.wait(60) == 0
    delete(home, "--before", segment_name(10 + count - 3))
    check(home, segment_names(10 + count - 3, 3))


# Hooks


def test_hooks(home, tmp_path):
    told = tmp_path / "told"
    archived(home, NAMES[:4])
    home.configure(**{hook: recorder(told) for hook in DELETE_HOOKS})
    rows = home.rows()
    path = home.stored(NAMES[0])
    delete(home, "--before", NAMES[2])
    pre, post = DELETE_HOOKS[:2], DELETE_HOOKS[2:]
    assert order(told) == [(name, hook) for hooks in (pre, post) for name in NAMES[:2] for hook in hooks]
    env = {key: value for key, value in blocks(told)[0].items() if key.startswith("BARMAN")}
    assert env == {
        "BARMAN_VERSION": "3.17.0", "BARMAN_SERVER": "main", "BARMAN_CONFIGURATION": str(home.conf),
        "BARMAN_HOOK": "wal_delete_script", "BARMAN_PHASE": "pre", "BARMAN_RETRY": "0",
        "BARMAN_SEGMENT": NAMES[0], "BARMAN_FILE": str(path), "BARMAN_SIZE": str(MIB),
        "BARMAN_TIMESTAMP": rows[0].time, "BARMAN_COMPRESSION": "", "BARMAN_ERROR": "",
    }


def test_hook_that_refuses(home):
    """What was before it is deleted, it and what is later stays: no gap, nothing unlisted."""
    archived(home)
    home.configure(pre_wal_delete_retry_script=f"test $BARMAN_SEGMENT != {NAMES[2]} || exit 63")
    done = delete(home, "--before", NAMES[5], code=1)
    assert "Abort 'pre_wal_delete_retry_script'" in done.stderr
    assert deleted(done) == NAMES[:2]
    check(home, NAMES[2:])


def test_more_files_than_one_group_with_hooks(home):
    names = segment_names(0, 600)
    for name in names:
        path = home.stored(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    home.xlogdb.write_text("".join(f"{name}\t1\t1700000000.0\tNone\tNone\n" for name in names))
    home.configure(post_wal_delete_script=":")
    assert deleted(delete(home, "--before", names[520])) == names[:520]
    check(home, names[520:])


# Crashes


def crash_scene(path):
    home = Home(path)
    home.globals["log_file"] = f"{path}.log"
    home.configure()
    names = segment_names(4092, 8)  # two hash directories
    archived(home, [*names, "00000002.history", f"{names[0]}.partial"])
    return home, names


@pytest.mark.parametrize("tmpfile", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("mode", MODES)
def test_any_operation_fails(memdir, mode, tmpfile):
    """At every moment the catalogue lists nothing that is not there and everything that is to stay;
    the next run leaves what an undisturbed one would have left."""
    home, names = crash_scene(memdir / "scene")
    settings = dict(MODES[mode], **({} if tmpfile else {"no_tmpfile": 1}))
    stays, goes = [*names[5:], "00000002.history"], [*names[:5], f"{names[0]}.partial"]

    def trial(path, **more):
        shutil.copytree(home.path, path)
        other = Home(path)
        other.globals["log_file"] = f"{path}.log"
        other.configure()
        env = fault_environment(path, trace=f"{path}.trace", **more)
        return other, other.walden("delete-wals", "main", "--before", names[5], env=env)

    trial(memdir / "count", **({"only": settings["only"]} if "only" in settings else {}))
    with open(memdir / "count.trace", encoding="utf-8") as file:
        count = len(file.readlines())
    assert count > 2
    for n in range(1, count + 1) if "kill" in mode else choose(count, tmpfile):
        path = memdir / f"n{n}"
        other, done = trial(path, at=n, **settings)
        assert done.returncode in (0, 1, -9), done
        files, rows = set(archived_files(other)), recorded(other)
        if mode != "ENOSPC":  # then room is made first
            assert rows <= files, f"{n}: a lie"
        assert rows >= set(stays) and files >= set(stays), f"{n}: shorter than the truth"
        assert {*deleted(done)} <= set(goes) - files if done.stdout else True
        delete(other, "--before", names[5])
        check(other, stays)
        assert not [path for path in other.wals.rglob(".*")], "something was left"
        shutil.rmtree(path)


def test_file_that_cannot_be_removed(home):
    archived(home)
    stuck = home.stored(NAMES[1])
    stuck.unlink()
    stuck.mkdir()
    (stuck / "in the way").touch()
    told = home.path / "told"
    home.configure(post_wal_delete_script=recorder(told))
    done = delete(home, "--before", NAMES[3], code=1)
    assert "1 files could not be removed" in done.stderr and NAMES[1] in done.stderr
    assert deleted(done) == [NAMES[0], NAMES[2]]
    errors = [block["BARMAN_ERROR"] for block in blocks(told)]
    assert errors[0] == errors[2] == "" and errors[1].startswith(f"Ignoring deletion of WAL file {NAMES[1]}")
    assert home.names() == NAMES[3:]


# Barman and PostgreSQL


@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
@pytest.mark.barman
def test_beside_barman(workdir, postgres, home):
    """A backup of Barman's and one of pg_basebackup; Barman finds nothing wrong afterwards."""
    (home.wals / "xlog.db").touch()
    home.configure(conninfo=postgres.conninfo, streaming_conninfo=postgres.conninfo,
                   backup_options="concurrent_backup", retention_policy="REDUNDANCY 1")

    def archive():
        assert home.archive().returncode == 0
        return home.names()

    for _ in range(3):
        postgres.wait_archived(postgres.fill_segment())
    postgres.base_backup(workdir / "copy")
    postgres.wait_archived(postgres.fill_segment())
    (label,) = [name for name in archive() if name.endswith(".backup")]
    done = delete(home, "--before", segment_name(200), code=1)
    assert label in done.stderr
    done = home.barman("backup", "main")
    assert done.returncode == 0, done
    # Barman has purged everything before its first backup.
    (info,) = home.directory.glob("base/*/backup.info")
    begin = [line[10:] for line in info.read_text().splitlines() if line.startswith("begin_wal=")][0]
    for _ in range(3):
        last = postgres.fill_segment()
        postgres.wait_archived(last)
    archive()
    for options in [["--before", last], ["--before", last, "--force"]]:
        assert info.parent.name in delete(home, *options, code=1).stderr
    home.configure(wal_retention="1 MiB")
    delete(home)
    assert min(name for name in home.names() if len(name) == 24) == begin
    assert home.barman("check-backup", "main", info.parent.name).returncode == 0
    assert "DONE" in home.barman("show-backup", "main", info.parent.name).stdout
    assert home.barman("delete", "main", info.parent.name).returncode == 0
    assert len(deleted(delete(home, "--before", last, "--force"))) >= 2
    for command in (["list-backup", "main"], ["rebuild-xlogdb", "main"], ["status", "main"]):
        done = home.barman(*command)
        assert done.returncode == 0 and "EXCEPTION" not in done.stderr, done
    assert home.barman("check", "main").stdout.count("FAILED") == 0
