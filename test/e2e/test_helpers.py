# SPDX-License-Identifier: PostgreSQL
"""The helpers themselves: an invented segment is what PostgreSQL writes, and a server archives."""

import struct

from pg import restored
from wal import MAGIC, SYSID, make_wal, segment_names, wal_bytes


def test_invented_segment_has_the_headers_of_a_real_one(postgres, home):
    name = postgres.fill_segment()
    postgres.wait_archived(name)
    real = (home.incoming / name).read_bytes()
    sysid = int(postgres.sql("SELECT system_identifier FROM pg_control_system()"))
    magic = struct.unpack_from("<H", real)[0]
    ours = wal_bytes(name, sysid=sysid, magic=magic)
    assert len(ours) == len(real)
    assert ours[4:16] == real[4:16]  # timeline, page address
    assert ours[24:40] == real[24:40]  # system identifier, segment and page size
    assert ours[8192 + 4 : 8192 + 16] == real[8192 + 4 : 8192 + 16]


def test_segment_names_pass_the_border_of_a_log(home):
    names = segment_names(4094, 3)
    assert names == [f"0000000100000000{4094:08X}", f"0000000100000000{4095:08X}", "000000010000000100000000"]
    path = make_wal(home.incoming, names[2])
    assert struct.unpack_from("<HHIQ", path.read_bytes()) == (MAGIC, 2, 1, 1 << 32)
    assert wal_bytes(names[0]) == wal_bytes(names[0], sysid=SYSID)
    assert wal_bytes(names[0]) != wal_bytes(names[0], seed=1)


def test_killed_server_starts_again_and_a_backup_restores(postgres, home, workdir):
    backup = postgres.base_backup(workdir / "restored" / "data")
    postgres.sql("CREATE TABLE t AS SELECT 7 AS x")
    name = postgres.fill_segment()
    postgres.wait_archived(name)
    postgres.kill()
    assert postgres.start().sql("SELECT x FROM t") == "7"
    with restored(backup.parent, f"cp {home.incoming}/%f %p") as second:
        second.wait_recovered()
        assert second.sql("SELECT x FROM t") == "7"


def test_barman_and_the_helpers_agree_on_a_home(home):
    home.configure(compression="gzip")
    names = segment_names(1, 2)
    for name in names:
        make_wal(home.incoming, name)
    done = home.barman("archive-wal", "main")
    assert done.returncode == 0, done.stderr
    assert home.names() == names
    assert home.waiting() == home.rejected() == []
    assert {row.compression for row in home.rows()} == {"gzip"}
    assert home.rows()[1].size == home.stored(names[1]).stat().st_size
