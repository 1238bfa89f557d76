# SPDX-License-Identifier: PostgreSQL
"""A segment of 1 GB goes through in a memory that does not know its size."""

import hashlib
import os
import random
import subprocess
import threading

import pytest

from home import WALDEN, Home
from wal import MIB, wal_bytes

GIB = 1 << 30
NAME = "000000010000000100000002"
with open(WALDEN, "rb") as program:
    SANITIZED = any(word in program.read() for word in (b"__asan_init", b"__tsan_init"))


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    """(path, sha256) of a segment of 1 GB: a page of WAL, then noise and repetitions."""
    path = tmp_path_factory.mktemp("large") / NAME
    chance = random.Random(7)
    noise = chance.randbytes(MIB)
    rows = b"".join(b"%08d|a row like any other|" % (i % 5000) for i in range(3 * MIB // 32))
    sha, written = hashlib.sha256(), 0
    with open(path, "wb") as file:

        def add(data):
            file.write(data)
            sha.update(data)
            return len(data)

        written += add(wal_bytes(NAME, seg_size=GIB, pages=1))
        while written < GIB:
            for data in (noise, rows, rows, rows, rows):
                written += add(data[: GIB - written])
    yield path, sha.hexdigest()
    path.unlink()


def peak_of(process):
    """Follows the process in a thread; the list that is returned holds its peak memory (bytes) as
    last seen. What wait4 answers may be our own memory, from before the exec."""
    peak = [0]

    def watch():
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                    for line in file:
                        if line.startswith("VmHWM:"):
                            peak[0] = max(peak[0], int(line.split()[1]) * 1024)
            except (FileNotFoundError, ProcessLookupError):
                return
            done.wait(0.005)

    done = threading.Event()
    threading.Thread(target=watch, daemon=True).start()
    return peak


def archive(home, source):
    """Archives the segment, which has another name besides and so is always copied; the peak."""
    home.incoming = source.parent / "incoming"  # on another file system than the archive, if it can be
    home.incoming.mkdir(exist_ok=True)
    home.configure(incoming_wals_directory=home.incoming)
    os.link(source, home.incoming / NAME)
    with subprocess.Popen(
        [WALDEN, "-c", home.conf, "archive-wal", "main"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        peak = peak_of(process)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert home.waiting() == []
    return peak[0]


def fetch(home):
    """(sha256, peak)"""
    sha = hashlib.sha256()
    with subprocess.Popen(
        [WALDEN, "-c", home.conf, "get-wal", "main", NAME], stdout=subprocess.PIPE
    ) as process:
        peak = peak_of(process)
        while block := process.stdout.read(MIB):
            sha.update(block)
    assert process.returncode == 0
    return sha.hexdigest(), peak[0]


def check_peak(peak, limit):
    assert SANITIZED or 0 < peak < limit * MIB, f"{peak / MIB:.0f} MiB"


@pytest.mark.parametrize(
    "compression, level", [(None, None), ("zstd", None), ("lz4", "low"), ("gzip", "low")]
)
def test_segment_of_1_gb(memdir, segment, compression, level):
    source, expected = segment
    home = Home(memdir / "home", compression=compression, compression_level=level, archiver_workers=2)
    check_peak(archive(home, source), 32 + 2 * 16)
    assert home.names() == [NAME]
    sha, peak = fetch(home)
    assert sha == expected
    check_peak(peak, 32 + 16)
    assert source.stat().st_nlink == 1 or not compression


def test_segment_of_1_gb_in_an_object_store(cloud_home, segment):
    """In parts: never the object in one piece."""
    source, expected = segment
    cloud_home.configure(compression=None, cloud_part_size="16 MiB")
    check_peak(archive(cloud_home, source), 128)
    sha, peak = fetch(cloud_home)
    assert sha == expected
    check_peak(peak, 64)
