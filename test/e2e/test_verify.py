# SPDX-License-Identifier: PostgreSQL
"""verify: WAL of a real PostgreSQL, over a promotion, is found whole and sound; every way to damage
it, or the catalog, is found and named, and nothing else is."""

import errno
import json
import os
import pty
import shutil
import subprocess

import pytest

from faults import fault_environment
from home import WALDEN, Home
from keys import Keyring
from pg import Postgres, restored, short_directory
from wal import MIB, make_wal, segment_names

PAGE = 8192
CODECS = ["gzip", "bzip2", "xz", "zstd", "lz4", "snappy", None]


@pytest.fixture(scope="module")
def wal():
    """The files that a server and the standby that took its place have archived: two timelines,
    records from one segment into the next, switched segments, a label, a history file."""
    path = short_directory("walden-verify-")
    archive = path / "archive"
    archive.mkdir()
    with Postgres(path / "pg", archive_to=archive, max_wal_size="64MB") as server:
        server.sql("CREATE TABLE t (i int, x text)")
        backup = server.base_backup(path / "promoted" / "data")
        server.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 15000) i")
        server.fill_segment()
        server.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 900) i")
        target = server.sql("SELECT pg_current_wal_lsn()")
        server.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 900) i")
        server.wait_archived(server.switch_wal())
    assert backup.exists()
    (path / "promoted").chmod(0o755)
    second = restored(
        path / "promoted", f"cp {archive}/%f %p", recovery_target_lsn=target,
        recovery_target_action="promote",
    )
    second.configure(archive_mode="on", archive_command=f"cp %p {archive}/%f")
    with second:
        second.wait_recovered()
        second.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 9000) i")
        second.wait_archived(second.switch_wal())
    yield {file.name: file.read_bytes() for file in sorted(archive.iterdir())}
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def site(workdir, wal):
    """make(codec): a home whose archive holds that WAL."""

    def make(compression=None, only=lambda name: True, **options):
        home = Home(workdir / f"home-{compression}", compression=compression, **options)
        for name, data in wal.items():
            if only(name):
                (home.incoming / name).write_bytes(data)
        done = home.archive()
        assert done.returncode == 0, done.stderr
        return home

    return make


def segments(home, timeline="00000001"):
    return sorted(n for n in home.names() if len(n) == 24 and n.startswith(timeline))


def verify(home, *options, **kw):
    """The exit code, the problems of the JSON answer, and all of it."""
    done = home.walden("-f", "json", "verify", *options, "main", **kw)
    answer = json.loads(done.stdout)["main"]
    assert answer["ok"] == (done.returncode == 0)
    return done.returncode, answer["problems"], answer


def kinds(problems):
    return [(problem["kind"], problem["first"], problem["last"]) for problem in problems]


def sound(home, *options):
    code, problems, answer = verify(home, *options)
    assert (code, problems) == (0, [])
    return answer


def one_problem(home, kind, name, text, *options, **kw):
    """Exactly this is wrong."""
    code, problems, _ = verify(home, *options, **kw)
    assert code == 1
    assert kinds(problems) == [(kind, name, name)]
    assert text in problems[0]["text"]
    return problems[0]


def patch(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path, offset, bits=1):
    data = path.read_bytes()
    patch(path, offset, bytes([data[offset] ^ bits]))


# What is whole


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parallel
def test_sound(site, wal, codec):
    home = site(codec)
    answer = sound(home)
    assert answer["verified"] == answer["files"] == len(wal)
    assert answer["histories"] == 1 and answer["labels"] >= 1
    assert answer["segment_size"] == MIB and answer["segment_size_known"]
    assert answer["wal_bytes"] == sum(len(data) for data in wal.values())
    first, second = answer["timelines"]
    assert second["parent"] == 1 and second["window"]["timeline"] == 1
    assert second["window"]["begin"] == first["ranges"][0]["begin"]
    assert [len(t["ranges"]) for t in (first, second)] == [1, 1]
    assert sound(home, "--quick")["verified"] == 0
    assert sound(home, "--jobs", "1")["verified"] == len(wal)


def test_one_line(site):
    home = site("zstd")
    done = home.walden("verify", "main")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("\n") == 1 and "no problems" in done.stdout


def test_custom_codec(site):
    home = site(
        "custom", custom_compression_filter="base64", custom_decompression_filter="base64 -d",
        only=lambda name: name.endswith("history"),
    )
    assert home.rows()[0].compression == "custom"
    home.configure(
        custom_compression_filter="tr a b",
        custom_decompression_filter=r"cat; printf '\377' >&2; exit 3",
    )
    code, problems, _ = verify(home)
    assert code == 1 and problems[0]["kind"] == "unreadable", problems
    assert "?" in problems[0]["text"]
    home.configure(custom_decompression_filter="base64 -d")
    sound(home)


def end_of_timeline(wal):
    """The segment in which timeline 1 was left, and where in it."""
    high, low = wal["00000002.history"].split()[1].split(b"/")
    assert high == b"0"
    number, offset = divmod(int(low, 16), MIB)
    assert offset % PAGE > 100
    return f"{1:08X}{0:08X}{number:08X}", offset


@pytest.mark.parametrize("codec", [None, "lz4"])
@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_end_of_a_timeline(site, codec, suffix, wal):
    """The segment in which a standby was promoted: it leaves it as a partial one, or a cascading
    standby sends it under its own name; behind the end is whatever was in the file."""
    name, offset = end_of_timeline(wal)
    home = site(codec, only=lambda other: other[:24] != name)
    data = wal[name][:offset] + b"\x55" * (MIB - offset)
    (home.incoming / (name + suffix)).write_bytes(data)
    assert home.archive().returncode == 0
    answer = sound(home)
    assert answer["partials"] == bool(suffix)
    sound(home, "--since", "last")
    data = data[: offset - PAGE] + b"\x55" * (MIB - offset + PAGE)
    home.stored(name + suffix).write_bytes(data)
    home.walden("rebuild-xlogdb", "main")
    if suffix:
        sound(home)  # it may end anywhere: the new timeline has it all
    else:
        one_problem(home, "damaged", name, "the timeline was left at")


# Contents


def test_flipped_bits(site):
    """In a page header, a record, a record over the border, and in the padding of the last page."""
    home = site()
    name = segments(home)[3]
    path = home.stored(name)
    good = path.read_bytes()
    for offset, text in [
        (0, "begins with no page header"),
        (9, "is not what its name says"),
        (20 * PAGE + 4, "is of timeline"),
        (20 * PAGE + 16, "record going on"),
        (30 * PAGE + 4000, "0/"),
        (MIB - 5000, "0/"),
    ]:
        flip(path, offset)
        code, problems, _ = verify(home)
        assert code == 1 and len(problems) == 1, problems
        assert problems[0]["first"] == name and text in problems[0]["text"]
        path.write_bytes(good)
    sound(home)


def crossing(home):
    """Two segments with a record from the one into the other, and the bytes that the second has of it"""
    names = segments(home)
    for before, after in zip(names, names[1:]):
        head = home.stored(after).read_bytes()[:40]
        rest = int.from_bytes(head[16:20], "little")
        if 30 < rest < 6000:
            return before, after, rest
    raise AssertionError("no record goes on from one segment to the next")


def test_record_across_the_border(site):
    home = site()
    before, after, rest = crossing(home)
    for name, offset in [(after, 40), (after, 40 + rest - 1), (before, MIB - 1)]:
        flip(home.stored(name), offset)
        code, problems, _ = verify(home)
        assert code == 1 and len(problems) == 1, problems
        assert problems[0]["first"] == after and before in problems[0]["text"]
        flip(home.stored(name), offset)
    sound(home)


def test_record_across_the_promotion(site, wal):
    """The new timeline's first segment goes on from the old one's last whole segment."""
    home = site()
    first = segments(home, "00000002")[0]
    last = segments(home)[-1]
    path = home.stored(first)
    header = path.read_bytes()[:40]
    rest = int.from_bytes(header[16:20], "little")
    link = 40 + (rest + 7) // 8 * 8 + 8  # of its first record, with its CRC made right
    data = bytearray(path.read_bytes())
    start = link - 8
    length = int.from_bytes(data[start : start + 4], "little")
    data[link] ^= 8
    data[start + 20 : start + 24] = crc32c(data[start + 24 : start + length] + data[start : start + 20])
    path.write_bytes(data)
    problem = one_problem(home, "damaged", first, "links back to")
    assert last in problem["text"]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_files(site, codec):
    """Cut, emptied, zeroed, swapped, with a changed byte in the middle: each is named, no other."""
    home = site(codec)
    names = segments(home)
    assert len(names) >= 8
    cut, emptied, zeroed, changed, a, b = names[1:7]
    with open(home.stored(cut), "r+b") as file:
        file.truncate(home.stored(cut).stat().st_size // 2)
    home.stored(emptied).write_bytes(b"")
    home.stored(zeroed).write_bytes(bytes(home.stored(zeroed).stat().st_size))
    flip(home.stored(changed), home.stored(changed).stat().st_size // 2)
    data = home.stored(a).read_bytes(), home.stored(b).read_bytes()
    home.stored(a).write_bytes(data[1])
    home.stored(b).write_bytes(data[0])
    code, problems, answer = verify(home)
    assert code == 1
    bad = {p["first"] for p in problems if p["kind"] in ("damaged", "unverifiable")}
    assert bad == {cut, emptied, zeroed, changed, a, b}, problems
    assert {p["first"] for p in problems} == bad
    assert answer["verified"] == answer["files"] - len(bad)


def test_zero_page(site):
    home = site("lz4")
    name = segments(home)[2]
    home.stored(name).unlink()
    data = bytearray(home_wal(site, name))
    data[50 * PAGE : 51 * PAGE] = bytes(PAGE)
    home.stored(name).write_bytes(compressed(bytes(data)))
    code, problems, _ = verify(home)
    assert code == 1
    assert {p["kind"] for p in problems} == {"damaged", "catalog"}  # and another size
    assert {p["first"] for p in problems} == {name}


def home_wal(site, name):
    return site(None).stored(name).read_bytes()


def compressed(data):
    return subprocess.run(["lz4", "-c"], input=data, capture_output=True, check=True).stdout


def test_foreign_segments(workdir):
    """Of another cluster, and of another segment size."""
    home = Home(workdir / "home", wal_validation="off")
    names = segment_names(1, 4)
    for name in names[:2] + names[3:]:
        make_wal(home.incoming, name)
    make_wal(home.incoming, names[2], seg_size=2 * MIB)
    make_wal(home.incoming, "000000010000000000000FFF")
    make_wal(home.incoming, "000000010000000000001FFF")
    assert home.archive().returncode == 0
    code, problems, answer = verify(home, "--quick")
    assert code == 1
    assert ["1 segments have numbers" in p["text"] for p in problems].count(True) == 1


def test_encrypted(site):
    """Nobody can say whether it is sound: then verify does not, either."""
    home = site()
    names = segments(home)[1:4]
    keyring = Keyring()
    message = keyring.encrypt(os.urandom(5000), keyring.make("elsewhere"))
    for name in names:
        home.stored(name).write_bytes(message)
    home.walden("rebuild-xlogdb", "main")
    code, problems, answer = verify(home)
    assert code == 1
    assert kinds(problems) == [("unverifiable", names[0], names[2])]
    assert problems[0]["files"] == 3 and "encrypted" in problems[0]["text"]
    assert answer["verified"] == answer["files"] - 3
    assert verify(home, "--quick")[0] == 0


def test_cannot_be_read(site, workdir):
    """A failing disk is no damage, and holds up nothing else."""
    home = site("lz4")
    name = segments(home)[2]
    env = fault_environment(
        home.stored(name), at=1, mode="error", errno=errno.EIO, sticky=1, only="read"
    )
    one_problem(home, "unreadable", name, "Input/output error", env=env)
    answer = sound(home, "--since", "last")
    assert answer["verified_before"] > 0


def test_fifo(site):
    home = site()
    name = segments(home)[2]
    home.stored(name).unlink()
    os.mkfifo(home.stored(name))
    code, problems, _ = verify(home, timeout=60)
    assert code == 1
    assert kinds(problems) == [("damaged", name, name), ("gap", name, name)]
    assert "not a regular file" in problems[0]["text"]


# Archive and catalog


def test_nothing_there(workdir):
    """An archive that is not mounted is not whole; one with nothing in it is."""
    home = Home(workdir / "home")
    done = home.walden("verify", "main")
    assert done.returncode == 1 and "is empty and has no catalog" in done.stderr
    done = home.walden("verify", "main", "--acknowledge", "0" * 23 + "1.." + "0" * 23 + "1",
                       "--reason", "x")
    assert done.returncode == 1 and list(home.wals.iterdir()) == []
    home.xlogdb.write_text("")
    assert sound(home)["files"] == 0
    home.xlogdb.unlink()
    home.wals.rmdir()
    done = home.walden("verify", "main")
    assert done.returncode == 1 and "does not exist" in done.stderr


def test_only_history_files(site):
    home = site(only=lambda name: name.endswith(".history"))
    answer = sound(home)
    assert answer["files"] == answer["verified"] == 1
    home.stored("00000002.history").write_text("2\t0/3000000\tno parent\n")
    code, problems, _ = verify(home)
    assert code == 1 and "not older" in problems[-1]["text"]
    home.stored("00000002.history").write_bytes(b"1\t0/3000000\tx\n\0")
    code, problems, _ = verify(home)
    assert code == 1 and "a zero byte" in problems[-1]["text"]
    home.stored("00000002.history").write_text("nonsense\n")
    code, problems, _ = verify(home)
    assert code == 1 and "line 1" in problems[-1]["text"]


def test_catalog_disagrees(site):
    """A missing line, an extra one, a damaged one, a duplicate, a wrong size, no order."""
    home = site()
    names = segments(home)
    lines = home.xlogdb.read_text().splitlines(True)
    by_name = {line.split("\t")[0]: line for line in lines}
    unlisted, twice, resized = names[2], names[4], names[6]
    extra = "000000010000000000000FF0"
    changed = [line for line in lines if not line.startswith((unlisted, resized))]
    changed += [by_name[twice], by_name[resized].replace(str(MIB), str(MIB + 1))]
    changed += [by_name[names[0]].replace(names[0], extra), "what is this\n"]
    home.xlogdb.write_text("".join(reversed(changed)))
    for options in ([], ["--quick"]):
        code, problems, _ = verify(home, *options)
        assert code == 1
        assert sorted((p["kind"], p["first"]) for p in problems if p["first"]) == [
            ("catalog", twice), ("catalog", resized), ("missing", extra), ("unlisted", unlisted),
        ]
        assert [p["text"] for p in problems if not p["first"]] == ["the catalog has 1 damaged lines"]
    home.walden("rebuild-xlogdb", "main")
    sound(home)
    home.xlogdb.unlink()
    code, problems, _ = verify(home)
    assert code == 1 and [p["text"] for p in problems] == ["there is no catalog"]


def test_codec_of_the_catalog(site):
    home = site("lz4")
    home.xlogdb.write_text(home.xlogdb.read_text().replace("lz4", "zstd"))
    code, problems, answer = verify(home)
    assert code == 1 and {p["kind"] for p in problems} == {"catalog"}
    assert answer["verified"] == answer["files"]
    assert "is compressed with lz4, and the catalog says zstd" in problems[0]["text"]


def test_gap_and_acknowledgement(site):
    home = site("zstd")
    names = segments(home)
    for name in names[3:6]:
        home.stored(name).unlink()
    home.walden("rebuild-xlogdb", "main")
    code, problems, answer = verify(home)
    assert code == 1 and kinds(problems) == [("gap", names[3], names[5])]
    assert problems[0]["files"] == 3
    assert len(answer["timelines"][0]["ranges"]) == 2
    assert answer["timelines"][1]["window"]["begin"] == answer["timelines"][0]["ranges"][1]["begin"]

    for wrong in ([names[3], "x"], [f"{names[5]}..{names[3]}", "x"], [f"{names[3]}..x", "x"],
                  [f"{names[3]}..{'00000002' + names[5][8:]}", "x"], [f"{names[3]}..{names[5]}", ""]):
        done = home.walden("verify", "main", "--acknowledge", wrong[0], "--reason", wrong[1])
        assert done.returncode == 2, wrong
    done = home.walden(
        "verify", "main", "--acknowledge", f"{names[3]}..{names[4]}", "--reason", "the disk died"
    )
    assert done.returncode == 0
    code, problems, _ = verify(home)
    assert code == 1
    assert [(p["first"], p["last"], p["acknowledged"]) for p in problems] == [
        (names[3], names[4], True), (names[5], names[5], False),
    ]
    home.walden("verify", "main", "--acknowledge", f"{names[5]}..{names[5]}", "--reason", "it, too")
    code, problems, answer = verify(home)
    assert code == 0 and all(p["acknowledged"] for p in problems)
    assert [loss["reason"] for loss in answer["losses"]] == ["the disk died", "it, too"]
    done = home.walden("verify", "main")
    assert done.returncode == 0
    assert "the disk died" in done.stdout and "2 known losses" in done.stdout

    lost = home.xlogdb.with_name("main-xlog.db.lost")
    lost.write_text("{}")
    done = home.walden("verify", "main")
    assert done.returncode == 1 and "no list of acknowledged losses" in done.stderr


def test_history_file_is_missing(site):
    home = site("zstd")
    home.stored("00000002.history").unlink()
    home.walden("rebuild-xlogdb", "main")
    one_problem(home, "timeline", "00000002.history", "nobody can tell how timeline 2 goes on")


# Step by step


def test_since(site, wal):
    home = site("lz4", only=lambda name: name.startswith("00000001"))
    names = segments(home)
    assert sound(home, "--since", names[4])["verified"] < len(names)
    assert sound(home, "--since", "last")["verified"] >= 4  # what was not looked at, and neighbours
    before = sound(home, "--since", "last")
    assert before["verified_before"] == len(names)
    for name, data in wal.items():
        if not name.startswith("00000001"):
            (home.incoming / name).write_bytes(data)
    assert home.archive().returncode == 0
    answer = sound(home, "--since", "last")
    others = [name for name in wal if len(name) != 24]
    # the new timeline, and of the old one the segment that it goes on from
    assert answer["verified"] == len(segments(home, "00000002")) + len(others) + 1
    # What is damaged later is found by a verification of everything only.
    flip(home.stored(names[1]), 1000)
    assert sound(home, "--since", "last")
    assert verify(home)[0] == 1
    assert verify(home, "--since", "last")[0] == 1  # it stays in mind
    home.xlogdb.with_name("main-xlog.db.verified").write_text("{")
    assert verify(home, "--since", "last")[2]["verified_before"] == 0


def test_options(site):
    home = site(only=lambda name: name.endswith(".history"))
    for options in (["--quick", "--since", "last"], ["--since", "x"], ["--jobs", "0"],
                    ["--reason", "x"], ["--acknowledge", "x", "--quick", "--reason", "y"]):
        assert home.walden("verify", "main", *options).returncode == 2, options
    assert home.walden("verify", "other").returncode == 1


def test_progress_on_a_terminal(site):
    home = site("lz4")
    master, slave = pty.openpty()
    done = subprocess.run(
        [WALDEN, "-c", home.conf, "verify", "main"], stdout=subprocess.PIPE, stderr=slave,
        stdin=subprocess.DEVNULL, timeout=60, check=False,
    )
    os.close(slave)
    assert done.returncode == 0 and b"no problems" in done.stdout
    shown = os.read(master, 65536)
    os.close(master)
    assert b"%" in shown
