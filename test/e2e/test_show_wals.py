# SPDX-License-Identifier: PostgreSQL
"""show-wals: what the archive holds, on the console, as JSON, and as a page that a browser draws."""

import json
import re
import shutil

import pytest

from home import execute
from wal import MIB, make_wal, segment_name, segment_names, wal_bytes

NAMES = segment_names(1, 8)


def show(home, *options):
    done = home.walden("show-wals", *options, "main")
    assert done.returncode == 0, done
    return done.stdout


def answer(home):
    return json.loads(home.walden("-f", "json", "show-wals", "main").stdout)["main"]


@pytest.fixture
def archive(home):
    """Two timelines, a gap on the first one, and the partial segment in which it ended."""
    home.configure(conninfo=None, description="the <b>main</b> </script><script>document.body.id='broken'</script> server")
    for name in (*NAMES[:3], *NAMES[4:6]):
        make_wal(home.incoming, name)
    make_wal(home.incoming, f"{NAMES[6]}.partial")
    (home.incoming / "00000002.history").write_text("1\t0/750000\tno recovery target specified\n")
    for number in (7, 8):
        name = segment_name(number, timeline=2)
        (home.incoming / name).write_bytes(wal_bytes(name))
    assert home.archive().returncode == 0
    return home


def test_console(archive):
    text = show(archive)
    assert "No of files           : 9 (7 segments, 1 partial, 0 labels, 1 history files)" in text
    assert "Segment size          : 1.0 MiB\n" in text
    assert re.search(rf"GAP +{NAMES[3]}", text)
    assert "Timeline 1:" in text and "Timeline 2, which left timeline 1 at 0/750000:" in text
    assert "Recoverable without a break: 0/500000 (timeline 1) to 0/900000" in text


def test_json(archive):
    shown = answer(archive)
    assert (shown["segments"], shown["partials"], shown["histories"], shown["rows"]) == (7, 1, 1, 9)
    assert shown["segment_size"] == MIB and shown["segment_size_from"] == "header"
    first, second = shown["timelines"]
    assert [(r["first"], r["last"], r["segments"]) for r in first["ranges"]] == [
        (NAMES[0], NAMES[2], 3), (NAMES[4], NAMES[5], 2)
    ]
    (gap,) = first["gaps"]
    assert (gap["first"], gap["last"], gap["acknowledged"]) == (NAMES[3], NAMES[3], False)
    assert first["partials"][0]["name"] == f"{NAMES[6]}.partial"
    assert second["parent"] == 1 and second["switch"] == "0/750000"
    assert second["window"] == {"begin": "0/500000", "end": "0/900000", "timeline": 1}
    assert sum(bucket["segments"] for bucket in shown["volume"]["buckets"]) == 7


def test_acknowledged_gap(archive):
    archive.walden("verify", "--acknowledge", f"{NAMES[3]}..{NAMES[3]}", "--reason", "a dog ate it", "main")
    shown = answer(archive)
    assert (shown["gap_count"], shown["acknowledged_count"]) == (1, 1)
    assert shown["timelines"][0]["gaps"][0]["loss"]["reason"] == "a dog ate it"
    assert "a dog ate it" in show(archive)


def test_empty_archive(home):
    home.configure(conninfo=None)
    assert "No of files           : 0" in show(home)
    assert answer(home)["timelines"] == []


def test_only_history_files(home):
    home.configure(conninfo=None)
    (home.incoming / "00000002.history").write_text("1\t0/750000\tno recovery target specified\n")
    home.archive()
    assert answer(home)["histories"] == 1


def test_archive_that_is_not_there(home):
    home.configure(conninfo=None)
    shutil.rmtree(home.wals)
    done = home.walden("show-wals", "main")
    assert done.returncode == 1 and "does not exist" in done.stderr


def test_catalog_in_disorder(archive):
    """Damaged, doubled and unsorted lines: the account is the same, and what is wrong is told."""
    before = answer(archive)
    lines = archive.xlogdb.read_text().splitlines(True)
    archive.xlogdb.write_text("".join([*reversed(lines), lines[3], "nonsense\n", "x" * 5000 + "\n"]))
    after = answer(archive)
    assert after["damaged_lines"] == 2 and after["duplicates"] == 1 and after["warnings"]
    for key in ("segments", "gap_count", "partials"):
        assert before[key] == after[key]
    assert [t["ranges"][0]["first"] for t in before["timelines"]] == [t["ranges"][0]["first"] for t in after["timelines"]]


def test_segments_that_nobody_can_look_into(home):
    """The size is told to be a guess."""
    home.configure(conninfo=None)
    rows = "".join(f"{name}\t4711\t1700000000.5\tNone\tgpg\n" for name in segment_names(0, 600))
    home.xlogdb.write_text(rows)
    done = home.walden("show-wals", "main")
    assert done.returncode == 0 and "segment size" in done.stderr and "not certain" in done.stdout


def test_wrong_times(archive):
    text = archive.xlogdb.read_text()
    archive.xlogdb.write_text(re.sub(r"\t1\d{9}\.\d+\t", "\t99999999999999.0\t", text, count=1))
    assert answer(archive)["segments"] == 7
    assert "Timeline 2," in show(archive)


# The page


def drawn(page, width=1280):
    """What a browser has made of it."""
    done = execute([
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},2000",
        f"--user-data-dir={page.parent}/chromium", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000",
        "--dump-dom", f"file://{page}",
    ])
    assert "Uncaught" not in done.stderr and "SyntaxError" not in done.stderr, done.stderr
    return done.stdout


def test_page(archive, workdir):
    page = workdir / "wals.html"
    assert archive.walden("show-wals", "--html", page, "main").returncode == 0
    dom = drawn(page)
    assert 'data-charts="4"' in dom and dom.count("<svg") >= 4
    assert 'aria-label="Map of ranges and gaps along the WAL"' in dom
    assert dom.count('class="gap"') >= 2 and 'class="partial"' in dom  # in the map and its legend
    assert NAMES[3] in dom and "[object" not in dom
    # The description is text, whatever it holds.
    assert 'id="broken"' not in dom and "the &lt;b&gt;main&lt;/b&gt;" in dom
    assert not re.search(r"(?:src|href)=(?!\"data:)", page.read_text())  # nothing from elsewhere


def test_page_of_an_empty_archive(home, workdir):
    home.configure(conninfo=None)
    page = workdir / "wals.html"
    assert home.walden("show-wals", "--html", page, "main").returncode == 0
    assert "No segments." in drawn(page, 400)


def test_page_that_cannot_be_written(archive, workdir):
    done = archive.walden("show-wals", "--html", workdir / "none" / "x.html", "main")
    assert done.returncode == 1 and "none/x.html" in done.stderr
