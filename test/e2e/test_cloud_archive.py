# SPDX-License-Identifier: PostgreSQL
"""An archive in an object store (Ceph's S3), by every command that works with an archive."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import threading

import pytest

from bucket import Bucket
from faults import digest
from home import WALDEN, Home, execute
from keys import new_key
from network import Network
from objectstore import Ceph
from parcels import parcel
from roundtrips import Distance
from support import started, wait_for
from wal import make_wal, segment_name, segment_names, wal_bytes

FIRST = 4000
ROOT = "some/where/main/wals/"
EXTENSIONS = {
    "none": "", "gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst", "lz4": ".lz4",
    "snappy": ".snappy",
}


def key(name, extension=""):
    where = "" if name.endswith(".history") else name[:16] + "/"
    return f"{ROOT}{where}{name}{extension}"


def archived(home, *names, **kw):
    """Archives these segments; its result."""
    for name in names:
        make_wal(home.incoming, name, **kw)
    return home.archive()


def check_there(home, *names, **kw):
    for name in names:
        got = home.get(name)
        assert got.returncode == 0, got.stderr
        assert got.stdout == wal_bytes(name, **kw), name


@pytest.mark.parametrize("compression", EXTENSIONS)
def test_archived_and_handed_out(cloud_home, bucket, compression):
    home, names = cloud_home, segment_names(FIRST, 3)
    home.configure(compression=compression)
    label = names[1] + ".00000028.backup"
    (home.incoming / label).write_text("START WAL LOCATION: 0/FA100028 (file ...)\n")
    (home.incoming / "00000002.history").write_text("1\t0/FA200000\tno recovery target\n")
    done = archived(home, *names)
    assert done.returncode == 0, done.stderr
    assert home.waiting() == home.rejected() == []
    extension = EXTENSIONS[compression]
    expected = [*names, label, "00000002.history"]
    assert bucket.keys() == sorted(key(name, extension) for name in expected)
    assert set(home.names()) == set(expected)
    sizes = {row.name: row.size for row in home.rows()}
    for name in expected:
        assert sizes[name] == len(bucket.get(key(name, extension)))
    check_there(home, *names)
    assert home.get(label).stdout.startswith(b"START WAL")
    assert list(home.directory.glob("staging/*")) == []
    assert not list(home.wals.iterdir()), "nothing of the archive is here"


def test_what_is_not_there(cloud_home):
    home, (one, other) = cloud_home, segment_names(FIRST, 2)
    assert archived(home, one).returncode == 0
    got = home.get(other)
    assert got.returncode == 1 and "not found" in got.stderr
    home.catalog.write_text(home.catalog.read_text().replace(one, other))
    home.configure(restore_deadline=1)
    got = home.get(other)
    assert got.returncode not in (0, 1) and "not in the archive" in got.stderr


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_duplicates(cloud_home, bucket, compression):
    home, names = cloud_home, segment_names(FIRST, 3)
    home.configure(compression=compression)
    archived(home, *names)
    before = bucket.keys(), home.rows()
    make_wal(home.incoming, names[0])
    make_wal(home.incoming, names[1], seed=7)
    done = home.archive()
    assert done.returncode == 1 and "is already present in server main" in done.stdout
    assert home.waiting() == []
    (rejected,) = home.rejected()
    assert rejected.startswith(names[1]) and rejected.endswith(".duplicate")
    assert (bucket.keys(), home.rows()) == before
    check_there(home, *names)


def test_duplicates_of_another_compression(cloud_home, bucket):
    """A name is one file, whatever it is called in the store."""
    home, names = cloud_home, segment_names(FIRST, 2)
    home.configure(compression="gzip")
    archived(home, *names)
    home.configure(compression="zstd")
    make_wal(home.incoming, names[0])
    make_wal(home.incoming, names[1], seed=7)
    assert home.archive().returncode == 1
    assert bucket.keys() == [key(name, ".gz") for name in names]
    assert len(home.rejected()) == 1
    check_there(home, *names)


@pytest.mark.parametrize("theirs", ["", ".gz", ".bz2", ".xz"])
def test_duplicates_of_others(cloud_home, bucket, theirs):
    """The contents are read, and the line that is missing is added."""
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[theirs]
    home, names = cloud_home, segment_names(FIRST, 2)
    home.configure(compression="zstd")
    for name in names:
        bucket.put(key(name, theirs), pack(wal_bytes(name)))
    make_wal(home.incoming, names[0])
    make_wal(home.incoming, names[1], seed=7)
    assert home.archive().returncode == 1
    assert home.waiting() == [] and len(home.rejected()) == 1
    (row,) = home.rows()
    assert row.name == names[0] and row.size == len(pack(wal_bytes(names[0])))
    assert row.compression == {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}.get(theirs, "None")
    check_there(home, *names)


def test_compressed_sources_keep_their_extension(cloud_home, bucket):
    home, name = cloud_home, segment_name(FIRST)
    home.configure(compression="zstd")
    (home.incoming / name).write_bytes(gzip.compress(wal_bytes(name)))
    assert home.archive().returncode == 0
    assert bucket.keys() == [key(name, ".gz")]
    check_there(home, name)
    (home.incoming / name).write_bytes(gzip.compress(wal_bytes(name), 1))
    assert home.archive().returncode == 0 and home.waiting() == home.rejected() == []


def test_received_files(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 3)
    home.configure(compression="zstd", streaming_archiver="on")
    for name in names[:2]:
        make_wal(home.streaming, name)
    make_wal(home.streaming, names[2]).rename(home.streaming / f"{names[2]}.partial")
    assert home.archive().returncode == 0
    assert bucket.keys() == [key(name, ".zst") for name in names[:2]]
    assert [path.name for path in home.streaming.iterdir()] == [f"{names[2]}.partial"]
    check_there(home, *names[:2])
    assert home.get(names[2], "--partial").stdout == wal_bytes(names[2])


@pytest.mark.parallel
def test_two_archivers_at_once(cloud_home, bucket, workdir):
    """Two hosts archive the same WAL into one place, and one of them other WAL, too."""
    names = segment_names(FIRST, 12)
    homes = [cloud_home, Home(workdir / "second", **cloud_home.options)]
    homes[1].catalog = homes[1].directory / "xlogdb" / "main-xlog.db"
    for home in homes:
        home.configure(compression="lz4")
        for name in names:
            make_wal(home.incoming, name)
    make_wal(homes[1].incoming, names[5], seed=1)
    running = [
        subprocess.Popen(
            [WALDEN, "-c", str(home.conf), "archive-wal", "main"], stderr=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
        for home in homes
    ]
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode in (0, 1)
    assert bucket.keys() == [key(name, ".lz4") for name in names]
    assert [len(home.rejected()) for home in homes] in ([0, 1], [1, 0])
    for home in homes:
        assert home.waiting() == [] and len(home.names()) in (11, 12)
    check_there(homes[0], *names[:5], *names[6:])


def test_hooks_see_the_local_source(cloud_home, bucket, workdir):
    home, (name, *others) = cloud_home, segment_names(FIRST, 3)
    seen = workdir / "seen"
    home.configure(
        pre_archive_script=f"echo pre $BARMAN_FILE >> {seen}",
        post_archive_script=f"echo post $BARMAN_FILE >> {seen}",
        pre_wal_delete_script=f"echo delete $BARMAN_FILE >> {seen}",
        compression="gzip",
    )
    assert archived(home, name).returncode == 0
    source = home.incoming / name
    assert seen.read_text().splitlines() == [f"pre {source}", f"post {source}"]
    home.configure(pre_archive_script=None, post_archive_script=None)
    assert archived(home, *others).returncode == 0
    done = home.walden("delete-wals", "main", "--before", others[0])
    assert done.returncode == 0, done.stderr
    assert seen.read_text().splitlines()[2:] == [f"delete {bucket.url}/{key(name, '.gz')}"], done


def test_rebuilt_catalog(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 4)
    home.configure(compression="zstd")
    archived(home, *names)
    before = home.rows()
    bucket.put(f"{ROOT}0000000100000000/what.gz", b"?")
    done = home.walden("rebuild-xlogdb", "main")
    assert done.returncode == 0 and home.rows() == before, done.stderr
    home.catalog.unlink()
    bucket.put(key(segment_name(FIRST + 4)), wal_bytes(segment_name(FIRST + 4)))
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    rows = home.rows()
    assert [row.name for row in rows] == segment_names(FIRST, 5)
    assert [(row.size, row.compression) for row in rows[:4]] == [
        (row.size, row.compression) for row in before
    ]
    assert rows[4].compression == "None"


def test_deleted(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 7)
    home.configure(compression="zstd", cloud_delete_batch_size=2)
    archived(home, *names[:3])
    home.configure(compression=None)
    archived(home, *names[3:])
    bucket.put(key(names[0]), wal_bytes(names[0]))  # a second object of the name
    done = home.walden("delete-wals", "main", "--before", names[5])
    assert done.returncode == 0, done.stderr
    assert bucket.keys() == [key(name) for name in names[5:]]
    assert home.names() == names[5:]
    assert home.get(names[0]).returncode == 1


def test_object_lock(cloud_home, bucket):
    """Archiving goes on as elsewhere. Removing hides what is locked: the versions stay."""
    home, names = cloud_home, segment_names(FIRST, 4)
    locked = Bucket(bucket.server, f"{bucket.name}-locked", ObjectLockEnabledForBucket=True)
    client, where = locked.client, {"Bucket": locked.name, "Key": key(names[0], ".zst")}
    client.put_object_lock_configuration(Bucket=locked.name, ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}})
    home.configure(wals_directory=f"{locked.url}/some/where", compression="zstd")
    done = archived(home, *names)
    assert done.returncode == 0, done.stderr
    assert client.get_object_retention(**where)["Retention"]["Mode"] == "COMPLIANCE"
    client.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
    assert archived(home, names[0]).returncode == 0, "the same again"
    done = home.walden("delete-wals", "main", "--before", names[2])
    assert done.returncode == 0, done.stderr
    assert locked.keys() == [key(name, ".zst") for name in names[2:]] and home.names() == names[2:]
    assert home.get(names[0]).returncode == 1
    versions = client.list_object_versions(Bucket=locked.name)["Versions"]
    assert [version["Key"] for version in versions] == [key(name, ".zst") for name in names]
    assert archived(home, names[0]).returncode == 0, "its name is free"
    check_there(home, names[0], names[3])


def test_looked_at(cloud_home, bucket):
    """The commands that only look."""
    home, names = cloud_home, segment_names(FIRST, 4)
    home.configure(compression="zstd")
    archived(home, names[0], names[1], names[3])
    shown = json.loads(home.walden("-f", "json", "show-wals", "main").stdout)
    assert segment_name(FIRST + 2) in json.dumps(shown)
    checked = home.walden("check", "main").stdout
    assert "archive reachable: OK" in checked and "directories: OK" in checked
    assert "archive gaps: FAILED" in checked and "disk space: OK" in checked
    for words in (["status", "main"], ["show-servers", "main"], ["diagnose"], ["metrics"]):
        done = home.walden(*words)
        assert done.returncode == 0, done.stderr
    verified = home.walden("verify", "main")
    assert "is not in the catalog" not in verified.stderr and names[2] in verified.stderr
    assert home.walden("check-wal-archive", "main").returncode == 1
    bucket.empty()
    verified = home.walden("verify", "main")
    assert verified.stderr.count("is in the catalog but not in the archive") == 3


def test_bucket_that_is_not_there(cloud_home, bucket):
    home, name = cloud_home, segment_name(FIRST)
    home.configure(wals_directory="s3://no-such-bucket/here", restore_deadline=1)
    done = archived(home, name)
    assert done.returncode == 1 and "NoSuchBucket" in done.stderr
    assert home.waiting() == [name] and home.rows() == []
    got = home.get(name[:-1] + "F")
    assert got.returncode not in (0, 1) and "NoSuchBucket" in got.stderr
    assert "archive reachable: FAILED" in home.walden("check", "main").stdout
    home.configure(wals_directory=bucket.url)
    assert home.archive().returncode == 0
    check_there(home, name)


def test_bucket_that_vanishes(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 2)
    home.configure(restore_deadline=1)
    assert archived(home, names[0]).returncode == 0
    bucket.empty()
    bucket.client.delete_bucket(Bucket=bucket.name)
    try:
        got = home.get(names[0])
        assert got.returncode not in (0, 1), "lost WAL is not the end of WAL"
        assert archived(home, names[1]).returncode == 1 and home.waiting() == [names[1]]
        assert home.walden("rebuild-xlogdb", "main").returncode != 0
        assert home.names() == [names[0]], "the catalog is what is left to know"
    finally:
        bucket.client.create_bucket(Bucket=bucket.name)


def test_wrong_credentials(cloud_home, monkeypatch):
    home, name = cloud_home, segment_name(FIRST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = archived(home, name)
    assert done.returncode == 1 and "SignatureDoesNotMatch" in done.stderr
    assert home.waiting() == [name]


def test_dead_store(cloud_home, bucket):
    """Whether nobody listens or nobody answers: the files stay, in bounded time, and the next run
    archives them."""
    home, names = cloud_home, segment_names(FIRST, 40)
    with Network(("127.0.0.1", bucket.server.port)) as network:
        home.configure(
            cloud_endpoint_url=f"http://127.0.0.1:{network.port}", aws_read_timeout=1,
            cloud_timeout=1, restore_deadline=1, cloud_upload_workers=2,
        )
        assert archived(home, *names[:2]).returncode == 0
        for number in range(2, 30):
            (home.incoming / f"{number:08X}.history").write_text("1\t0/FA200000\tnone\n")
        for name in names[2:]:
            make_wal(home.incoming, name)
        waiting = home.waiting()
        network.stall()
        done = home.archive(timeout=60)
        assert done.returncode == 1 and home.waiting() == waiting
        assert done.stderr.count("ERROR") < 8 and "not asking" in done.stderr
        got = home.get(names[0], timeout=60)
        assert got.returncode not in (0, 1) and got.stdout == b""
        network.cut()
        network.flow()
        done = home.archive(timeout=60)
        assert done.returncode == 1 and home.waiting() == waiting
        checked = home.walden("check", "--check-timeout", "5", "main", timeout=60)
        assert "archive reachable: FAILED" in checked.stdout
        network.mend()
        assert home.archive().returncode == 0
        check_there(home, names[0], names[-1])
    assert home.waiting() == home.rejected() == []


@pytest.mark.parallel
def test_connections_that_break(cloud_home, bucket):
    """Cut again and again while files are on their way: they arrive all the same, whole."""
    home, names = cloud_home, segment_names(FIRST, 30)
    with Network(("127.0.0.1", bucket.server.port)) as network:
        home.configure(
            cloud_endpoint_url=f"http://127.0.0.1:{network.port}", cloud_upload_workers=3
        )
        for name in names:
            make_wal(home.incoming, name)
        ending = threading.Event()

        def disturb():
            while not ending.wait(0.3):
                network.cut()
                network.mend()

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            for _ in range(60):
                done = home.archive()
                assert done.returncode in (0, 1), done.stderr
                if not home.waiting():
                    break
            check_there(home, names[0])
        finally:
            ending.set()
            thread.join()
        check_there(home, *names)
    assert home.waiting() == home.rejected() == []
    assert bucket.keys() == [key(name) for name in names]
    assert home.names() == names


def test_parts(cloud_home, bucket):
    """What is larger than a part goes in parts."""
    home, name = cloud_home, segment_name(100, seg_size=16 << 20)
    home.configure(cloud_part_size="5 MiB")
    assert archived(home, name, seg_size=16 << 20).returncode == 0
    assert "-4" in bucket.client.head_object(Bucket=bucket.name, Key=key(name))["ETag"]
    check_there(home, name, seg_size=16 << 20)
    assert archived(home, name, seg_size=16 << 20).returncode == 0
    assert archived(home, name, seg_size=16 << 20, seed=1).returncode == 1
    check_there(home, name, seg_size=16 << 20)


def test_tags(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 2)
    home.configure(cloud_tags="team=dba, use=wal", cloud_history_tags="kind = history")
    (home.incoming / "00000002.history").write_text("1\t0/FA200000\tno recovery target\n")
    assert archived(home, *names).returncode == 0

    def tags(of):
        found = bucket.client.get_object_tagging(Bucket=bucket.name, Key=of)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    assert tags(key(names[0])) == {"team": "dba", "use": "wal"}
    assert tags(key("00000002.history")) == {"kind": "history"}


def test_digest_travels(cloud_home, bucket):
    home, name = cloud_home, segment_name(FIRST)
    home.configure(compression="zstd")
    assert archived(home, name).returncode == 0
    metadata = bucket.client.head_object(Bucket=bucket.name, Key=key(name, ".zst"))["Metadata"]
    assert digest(wal_bytes(name)) in metadata.values()


def test_filters_are_refused(cloud_home):
    home, name = cloud_home, segment_name(FIRST)
    home.configure(compression="pigz")
    done = archived(home, name)
    assert done.returncode != 0 and "pigz" in done.stdout + done.stderr
    assert home.waiting() == [name]


# Barman's cloud commands and ours on one archive


def barman_cloud(command, home, bucket, *args):
    return execute(
        [f"/usr/bin/barman-cloud-{command}", "--endpoint-url", bucket.server.url, *args],
        env=dict(os.environ, HOME=str(home.path)),
    )


@pytest.mark.barman
def test_barman_wrote_it(cloud_home, bucket):
    home = cloud_home
    url = home.options["wals_directory"]
    for number, option in enumerate([[], ["--gzip"], ["--bzip2"]]):
        name = segment_name(FIRST + number)
        source = make_wal(home.path, name)
        done = barman_cloud("wal-archive", home, bucket, *option, url, "main", source)
        assert done.returncode == 0, done.stderr
        check_there(home, name)
    home.configure(compression="zstd")
    for name in segment_names(FIRST, 3):
        make_wal(home.incoming, name)
    assert home.archive().returncode == 0
    assert home.waiting() == home.rejected() == []
    assert [row.compression for row in home.rows()] == ["None", "gzip", "bzip2"]
    assert len(bucket.keys()) == 3


@pytest.mark.barman
@pytest.mark.parametrize("compression", [None, "gzip", "bzip2"])
def test_barman_reads_it(cloud_home, bucket, compression):
    home, name = cloud_home, segment_name(FIRST)
    home.configure(compression=compression)
    assert archived(home, name).returncode == 0
    target = home.path / "restored"
    done = barman_cloud(
        "wal-restore", home, bucket, home.options["wals_directory"], "main", name, target
    )
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == wal_bytes(name)


def test_told_to_stop_while_the_store_is_silent(cloud_home, bucket):
    home, names = cloud_home, segment_names(FIRST, 3)
    with Network(("127.0.0.1", bucket.server.port)) as network:
        home.configure(cloud_endpoint_url=f"http://127.0.0.1:{network.port}")
        assert archived(home, names[0]).returncode == 0
        make_wal(home.incoming, names[1])
        network.stall()
        with started([WALDEN, "-c", home.conf, "archive-wal", "main"], text=True) as process:
            wait_for(lambda: network.held, what="a request")
            process.terminate()
            _, err = process.communicate(timeout=30)
        assert process.returncode == 143 and "stopped by signal 15" in err
        assert home.waiting() == [names[1]]


def test_put_wal_does_not_depend_on_the_store(cloud_home, bucket):
    """The server that sends WAL shall not notice that the archive is away; what is archived with
    other content is refused while it can be asked."""
    home, names = cloud_home, segment_names(FIRST, 3)

    def put(name, **kw):
        stream = parcel(name, wal_bytes(name, **kw))
        return home.walden("put-wal", "main", input=stream, binary=True)

    assert put(names[0]).returncode == 0 and home.waiting() == [names[0]]
    assert home.archive().returncode == 0
    assert put(names[0]).returncode == 0 and home.waiting() == []
    refused = put(names[0], seed=1)
    assert refused.returncode != 0 and "other content" in refused.stderr
    with Network(("127.0.0.1", bucket.server.port)) as network:
        home.configure(cloud_endpoint_url=f"http://127.0.0.1:{network.port}", cloud_timeout=1)
        network.stall()
        assert put(names[1]).returncode == 0
        assert put(names[0], seed=1).returncode == 0
        assert home.waiting() == names[:2]
    home.configure(cloud_endpoint_url=bucket.server.url)
    assert home.archive().returncode == 1
    assert home.waiting() == [] and home.rejected()[0].startswith(names[0])
    check_there(home, *names[:2])


def test_prefetched(cloud_home, workdir):
    home, names = cloud_home, segment_names(FIRST, 12)
    home.configure(compression="zstd", restore_prefetch=4)
    assert archived(home, *names).returncode == 0
    for name in names:
        got = home.get(name, cwd=workdir)
        assert got.returncode == 0 and got.stdout == wal_bytes(name), got.stderr


def test_copied_archive(cloud_home, bucket):
    """An archive that was copied into the store as it was: contents tell the compression."""
    home, names = cloud_home, segment_names(FIRST, 2)
    for name, pack in zip(names, (gzip.compress, bytes)):
        bucket.put(key(name), pack(wal_bytes(name)))
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    assert [row.compression for row in home.rows()] == ["gzip", "None"]
    check_there(home, *names)


@pytest.mark.parallel
def test_store_that_asks_for_patience(home, workdir, monkeypatch):
    """A gateway that takes two requests at a time answers the others with 503: all files arrive."""
    names = segment_names(FIRST, 24)
    with Ceph(workdir / "ceph", options=["rgw max concurrent requests = 2"]) as ceph:
        bucket = Bucket(ceph, "busy")
        for name, value in bucket.env.items():
            monkeypatch.setenv(name, value)
        home.configure(
            wals_directory=bucket.url, cloud_endpoint_url=ceph.url, cloud_upload_workers=12
        )
        home.globals["log_level"] = "DEBUG"
        home.catalog = home.directory / "xlogdb" / "main-xlog.db"
        home.configure()
        done = archived(home, *names)
        assert done.returncode == 0, done.stderr
        assert home.waiting() == [] and home.names() == names
        assert "status 503; trying again" in home.log_text()
        check_there(home, names[0], names[-1])


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_encrypted(cloud_home, bucket, workdir, compression):
    home, names = cloud_home, segment_names(FIRST, 3)
    home.configure(
        compression=compression, encryption="aead",
        encryption_key_file=new_key(workdir / "keys"),
    )
    assert archived(home, *names).returncode == 0
    assert bucket.keys() == [key(name) for name in names], "the extension would be a lie"
    check_there(home, *names)
    make_wal(home.incoming, names[0])
    make_wal(home.incoming, names[1], seed=7)
    assert home.archive().returncode == 1 and len(home.rejected()) == 1
    before = [(row.name, row.size, row.encryption) for row in home.rows()]
    assert {encryption for _, _, encryption in before} == {"aead"}
    home.catalog.unlink()
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    assert [(row.name, row.size, row.encryption) for row in home.rows()] == before
    assert "warning" not in home.walden("show-wals", "main").stdout.lower()
    seen = workdir / "seen"
    home.configure(pre_wal_delete_script=f"echo $BARMAN_FILE >> {seen}")
    assert home.walden("delete-wals", "main", "--before", names[1]).returncode == 0
    assert seen.read_text() == f"{bucket.url}/{key(names[0])}\n"
    check_there(home, *names[1:])


def test_requests(cloud_home, bucket):
    """One request puts a segment there; a run asks once what is there, and what stays asks no more,
    over the same connections."""
    home, names = cloud_home, segment_names(FIRST, 45)
    with Distance(bucket.server.port) as far:
        home.configure(compression="zstd", cloud_endpoint_url=far.url)
        assert archived(home, *names[:40]).returncode == 0
        assert far.methods() == {"GET": 1, "PUT": 40}
        with started([WALDEN, "-c", home.conf, "archive-wal", "--follow", "main"]):
            before, connections = far.methods(), far.connections
            for number, name in enumerate(names[40:], 41):
                make_wal(home.path, name).rename(home.incoming / name)
                wait_for(lambda count=number: len(home.rows()) == count, timeout=60)
            assert far.methods() == {"GET": before["GET"] + 1, "PUT": 45}
            assert far.connections == connections + 1
        assert home.get(names[44]).returncode == 0
        assert far.methods() == {"GET": before["GET"] + 3, "PUT": 45}
