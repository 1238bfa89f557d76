# SPDX-License-Identifier: PostgreSQL
"""Many files in one pass: whatever the workers do at once, names, order and bytes are right."""

import pytest

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
