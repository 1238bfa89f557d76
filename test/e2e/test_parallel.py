# SPDX-License-Identifier: PostgreSQL
"""Many files in one pass: whatever the workers do at once, names, order and bytes are right."""

import subprocess
import time

import pytest

from home import WALDEN
from wal import make_wal, segment_names


@pytest.mark.parallel
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_many_segments_in_one_pass(home, compression):
    home.configure(compression=compression)
    names = segment_names(4080, 40)  # over the border of a log, two directories
    contents = {name: make_wal(home.incoming, name).read_bytes() for name in names}

    done = home.archive()

    assert done.returncode == 0, done.stderr
    assert home.names() == names
    assert home.waiting() == home.rejected() == []
    for row in home.rows():
        assert row.size == home.stored(row.name).stat().st_size
        assert row.compression == (compression or "None")
    for name in (names[0], names[15], names[16], names[-1]):
        assert home.get(name).stdout == contents[name]


@pytest.mark.parallel
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_all_kinds_at_once(home, compression):
    """The committer looks into the archive for old files while workers make new ones."""
    home.configure(compression=compression, archiver_workers=4)
    old, new = segment_names(4080, 30), segment_names(4110, 10)
    contents = {name: make_wal(home.incoming, name).read_bytes() for name in old}
    assert home.archive().returncode == 0
    for number, name in enumerate(old):
        make_wal(home.incoming, name, seed=int(number % 3 == 0))  # every third differs
    for timeline in (1, 2):
        for name in new:
            name = f"{timeline:08X}{name[8:]}"
            contents[name] = make_wal(home.incoming, name).read_bytes()
    (home.incoming / "00000002.history").write_text("1\t0/FFA00000\tno reason\n")
    short = make_wal(home.incoming, segment_names(4200, 1, timeline=3)[0], pages=3)
    make_wal(home.incoming, segment_names(4201, 1, timeline=3)[0])  # waits for that

    done = home.archive()

    assert done.returncode == 1, done.stderr
    assert len(home.waiting()) == 2 and short.exists()
    assert sorted(name[:24] for name in home.rejected()) == old[::3]
    names = home.names()
    assert len(names) == len(set(names)) == 51
    assert [name for name in names if name.startswith("00000001")] == old + new
    for name in (old[0], old[1], *list(contents)[-3:]):
        assert home.get(name).stdout == contents[name]


@pytest.mark.parallel
def test_stopped_in_the_middle(home):
    """Workers are under way when the run has to end; xz keeps them busy for seconds."""
    home.configure(compression="xz", compression_level="high", archiver_workers=4)
    names = segment_names(1, 60)
    for name in names:
        make_wal(home.incoming, name)
    for delay in (0.02, 0.06):
        with subprocess.Popen(
            [WALDEN, "-c", home.conf, "archive-wal", "main"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:
            time.sleep(delay)
            process.terminate()
            _, err = process.communicate(timeout=20)
        assert process.returncode in (143, -15) and "Sanitizer" not in err, err
    home.configure(compression="zstd")
    assert home.archive().returncode == 0
    assert home.names() == names and home.waiting() == []
