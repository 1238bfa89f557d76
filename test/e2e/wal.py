# SPDX-License-Identifier: PostgreSQL
"""WAL segments without a server: valid page headers, invented contents."""

import pathlib
import random
import struct

PAGE = 8192
MAGIC = 0xD110  # PostgreSQL 15
LONG_HEADER = 0x0002
SYSID = 7_301_234_567_890_123_456
MIB = 1 << 20


def segment_name(number, timeline=1, seg_size=MIB):
    """The name of the number-th segment since the beginning of WAL."""
    per_log = (1 << 32) // seg_size
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def segment_names(first, count, timeline=1, seg_size=MIB):
    return [segment_name(number, timeline, seg_size) for number in range(first, first + count)]


def segment_start(name, seg_size=MIB):
    """The position of the first byte."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * seg_size


def wal_bytes(name, seg_size=MIB, sysid=SYSID, seed=0, magic=MAGIC, timeline=None, pages=None):
    """The bytes of the segment `name`: a long page header, then short ones, behind each contents
    that compress about as well as real WAL and depend on `seed` and the name alone. `pages`: only
    so many of them (a segment that is still arriving). The records are not valid ones."""
    chance = random.Random(f"{seed} {name[:24]}")
    timeline = int(name[:8], 16) if timeline is None else timeline
    start = segment_start(name, seg_size)
    row = chance.randbytes(64)
    body = bytearray()
    for page in range(seg_size // PAGE if pages is None else pages):
        address = start + page * PAGE
        if page == 0:
            header = struct.pack(
                "<HHIQIxxxxQII", magic, LONG_HEADER, timeline, address, 0, sysid, seg_size, PAGE
            )
        else:
            header = struct.pack("<HHIQIxxxx", magic, 0, timeline, address, 0)
        noise = chance.randbytes(2048)
        rest = PAGE - len(header) - len(noise)
        body += header + noise + (row * (rest // len(row) + 1))[:rest]
    return bytes(body)


def make_wal(path, name, seg_size=MIB, **kw):
    """Writes the segment to directory/name, or to `path` itself if that is no directory. Takes what
    wal_bytes() takes; returns the path."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / name
    path.write_bytes(wal_bytes(name, seg_size, **kw))
    return path
