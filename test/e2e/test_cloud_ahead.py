# SPDX-License-Identifier: PostgreSQL
"""cloud-wal-archive and cloud-wal-restore: straight between pg_wal/ and an object store, with files
that are archived, or fetched, before PostgreSQL asks for them."""

import shutil
import signal

import pytest
from home import WALDEN
from httppeer import S3Peer
from network import Network
from pg import Postgres, give, owner, restored, short_directory
from roundtrips import Distance
from support import beside, locked, set_time, wait_for
from wal import make_wal, segment_names, wal_bytes

NAMES = segment_names(5, 8)
ROOT = "some/where/main/wals/"


def key(name, extension=""):
    where = "" if name.endswith(".history") else name[:16] + "/"
    return f"{ROOT}{where}{name}{extension}"


class Cluster:
    """A pg_wal/ with files that wait."""

    def __init__(self, home, path):
        self.home, self.path = home, path / "pg_wal"
        self.status = self.path / "archive_status"
        self.status.mkdir(parents=True)
        self.record = home.directory / "archived-ahead"

    def add(self, *names, **kw):
        for name in names:
            if name.endswith(".history"):
                (self.path / name).write_text("1\t0/600000\tno recovery target\n")
            else:
                make_wal(self.path, name, **kw)
            (self.status / f"{name}.ready").touch()

    def call(self, name, parallel=None, **kw):
        options = ["--parallel", parallel] if parallel else []
        return self.home.walden(
            "cloud-wal-archive", *options, "main", f"pg_wal/{name}", cwd=self.path.parent, **kw
        )

    def archive(self, name, parallel=None):
        """As PostgreSQL's archiver."""
        done = self.call(name, parallel)
        assert done.returncode == 0, done.stderr
        (self.status / f"{name}.ready").rename(self.status / f"{name}.done")

    def recorded(self):
        return [line.split()[0] for line in self.record.read_text().splitlines()[1:]]


@pytest.fixture
def cluster(cloud_home, workdir):
    return Cluster(cloud_home, workdir)


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_one(cluster, bucket, codec):
    cluster.home.configure(compression=codec)
    cluster.add(*NAMES[:2])
    cluster.archive(NAMES[0])
    assert bucket.keys() == [key(NAMES[0], ".zst" if codec else "")]
    assert not cluster.record.exists()
    assert cluster.home.get(NAMES[0]).stdout == wal_bytes(NAMES[0])
    assert cluster.call(NAMES[0]).returncode == 0, "again, the same"
    assert (cluster.path / NAMES[0]).exists()


def test_ahead(cluster, bucket):
    """Four at a time, in PostgreSQL's order; for those the store is not asked again."""
    history = "00000002.history"
    cluster.add(*NAMES, history)
    with Distance(bucket.server.port) as far:
        cluster.home.configure(cloud_endpoint_url=far.url)
        cluster.archive(history, 4)
        assert bucket.keys() == sorted([key(history), *map(key, NAMES[:3])])
        assert cluster.recorded() == NAMES[:3]
        asked = len(far.requests)
        for name in NAMES[:3]:
            cluster.archive(name, 4)
        assert len(far.requests) == asked, far.requests
        for name in NAMES[3:]:
            cluster.archive(name, 4)
        assert far.methods()["PUT"] == 9
    assert bucket.keys() == sorted([key(history), *map(key, NAMES)])
    assert cluster.recorded() == NAMES[4:7], "of what is done, no longer than until the next time"


@pytest.fixture
def amazon(home, workdir, monkeypatch):
    """A Cluster whose archive is where the environment says."""
    monkeypatch.setenv("HOME", str(workdir))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "walaccess")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "walsecret")
    home.configure(wals_directory="s3://bucket")
    return Cluster(home, workdir)


@pytest.mark.parametrize("by", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "profile"])
def test_another_store_by_the_environment(amazon, workdir, monkeypatch, by):
    """The configuration is the same; what was sent ahead is in the store of before."""

    def lead_to(peer):
        if by != "profile":
            return monkeypatch.setenv(by, peer.url)
        (workdir / ".aws").mkdir(exist_ok=True)
        return (workdir / ".aws/config").write_text(f"[default]\nendpoint_url = {peer.url}\n")

    amazon.add(*NAMES[:3])
    with S3Peer() as first, S3Peer() as second:
        lead_to(first)
        amazon.archive(NAMES[0], 3)
        assert len(first.objects) == 3
        lead_to(second)
        amazon.archive(NAMES[1], 3)
        assert len(second.objects) == 2
        asked = len(second.requests)
        amazon.archive(NAMES[2])
        assert len(second.requests) == asked


def test_a_store_that_heeds_no_condition(amazon, monkeypatch):
    """It answers 200 and would replace the object: looked at before."""
    with S3Peer() as peer:
        usual = peer.serve

        def heedless(request):
            request.headers.pop("if-none-match", None)
            return usual(request)

        peer.serve = heedless
        monkeypatch.setenv("AWS_ENDPOINT_URL", peer.url)
        amazon.add(NAMES[0])
        amazon.archive(NAMES[0])
        amazon.add(NAMES[0], seed=1)
        assert amazon.call(NAMES[0]).returncode == 1
        make_wal(amazon.home.incoming, NAMES[0], seed=1)
        assert amazon.home.archive().returncode == 1
        assert [body for body, _ in peer.objects.values()] == [wal_bytes(NAMES[0])]


def test_recycled(cluster, bucket):
    """A file of the same name is not the same file."""
    cluster.add(*NAMES[:4])
    cluster.archive(NAMES[0], 4)
    assert cluster.recorded() == NAMES[1:4]
    for number, name in enumerate(NAMES[1:4]):
        path = cluster.path / name
        before = path.stat()
        if number == 0:  # in the same inode
            with open(path, "r+b") as file:
                file.write(wal_bytes(name, seed=1))
        elif number == 1:  # in another one, with the same times
            path.rename(path.with_name("kept"))
            make_wal(cluster.path, name, seed=1)
        else:
            path.write_bytes(wal_bytes(name, seed=1))
        set_time(path, int(before.st_mtime), before.st_mtime_ns % 10**9)
        done = cluster.call(name, 4)
        assert done.returncode == 1 and "other content" in done.stderr, done
        assert bucket.get(key(name)) == wal_bytes(name)
        make_wal(cluster.path, name)
        assert cluster.call(name, 4).returncode == 0, "the same content again"


@pytest.mark.parametrize(
    "damage", ["", "what\n", "x" * 300 + "\n", "\0\n\n", None],
    ids=["empty", "other", "long", "binary", "torn"],
)
def test_damaged_record(cluster, bucket, damage):
    cluster.add(*NAMES[:4])
    cluster.archive(NAMES[0], 3)
    text = cluster.record.read_text()
    cluster.record.write_text(text[:-7] if damage is None else damage)
    for name in NAMES[1:4]:
        cluster.archive(name, 3)
    assert bucket.keys() == [key(name) for name in NAMES[:4]]


def test_another_store(cluster, bucket):
    cluster.add(*NAMES[:3])
    cluster.archive(NAMES[0], 3)
    cluster.home.configure(wals_directory=f"{bucket.url}/else/where")
    cluster.archive(NAMES[1], 3)
    assert bucket.keys("else") == [f"else/where/main/wals/{n[:16]}/{n}" for n in NAMES[1:3]]


def test_one_bad_file(cluster, bucket):
    """What is wrong with the next one is said when it is its turn."""
    cluster.add(NAMES[0], NAMES[2])
    cluster.add(NAMES[1], pages=3)
    (cluster.status / f"{NAMES[3]}.ready").touch()
    (cluster.status / "what.ready").touch()
    cluster.archive(NAMES[0], 8)
    assert cluster.recorded() == [NAMES[2]]
    assert bucket.keys() == [key(NAMES[0]), key(NAMES[2])]
    done = cluster.call(NAMES[1], 8)
    assert done.returncode == 1 and "does not belong" in done.stderr
    assert cluster.call(NAMES[3], 8).returncode == 1
    assert cluster.call("what", 8).returncode == 1


def test_two_at_once(cluster, bucket):
    cluster.add(*NAMES[:3])
    with locked(cluster.home.directory / ".archived-ahead.lock"):
        cluster.archive(NAMES[0], 4)
    assert bucket.keys() == [key(NAMES[0])], "only what was asked for"


def test_store_out_of_reach(cluster, bucket):
    cluster.add(*NAMES[:3])
    with Network(("127.0.0.1", bucket.server.port)) as network:
        cluster.home.configure(
            cloud_endpoint_url=f"http://127.0.0.1:{network.port}", cloud_timeout=3
        )
        network.stall()
        done = cluster.call(NAMES[0], 3, timeout=60)
        assert done.returncode == 1 and bucket.keys() == []
        cluster.home.configure(cloud_timeout=600)
        before = len(network.sockets)
        with beside(
            cluster.home, "cloud-wal-archive", "main", cluster.path / NAMES[0]
        ) as waiting:
            wait_for(lambda: len(network.sockets) > before)
            waiting.send_signal(signal.SIGTERM)
            assert waiting.wait(30) == 1
        network.cut()
        network.flow()
        network.mend()
        cluster.archive(NAMES[0], 3)


def test_not_for_directories(home, workdir):
    cluster = Cluster(home, workdir)
    cluster.add(NAMES[0])
    done = cluster.call(NAMES[0])
    assert done.returncode == 1 and "no object store" in done.stderr


@pytest.mark.parametrize("parallel", ["0", "65", "x"])
def test_wrong_number(cluster, parallel):
    cluster.add(NAMES[0])
    assert cluster.call(NAMES[0], parallel).returncode == 2


def restore(cluster, name, *options):
    to = cluster.path / "RECOVERYXLOG"
    to.write_bytes(b"old")
    done = cluster.home.walden(
        "cloud-wal-restore", *options, "main", name, "pg_wal/RECOVERYXLOG", cwd=cluster.path.parent
    )
    return done, to.read_bytes()


def test_restored(cluster, bucket):
    cluster.home.configure(restore_deadline=1, compression="lz4")
    cluster.add(*NAMES[:6])
    for name in NAMES[:6]:
        cluster.archive(name, 4)
    done, data = restore(cluster, NAMES[0], "--prefetch", "4")
    assert done.returncode == 0 and data == wal_bytes(NAMES[0]), done
    ahead = cluster.home.directory
    wait_for(lambda: len(list(ahead.glob("prefetch/*/????????????????????????"))) == 4)
    bucket.empty()
    done, data = restore(cluster, NAMES[1], "--prefetch", "4")
    assert done.returncode == 0 and data == wal_bytes(NAMES[1]), done
    bucket.put(key(NAMES[7]), wal_bytes(NAMES[7]))
    assert restore(cluster, NAMES[6])[0].returncode == 1
    bucket.put(key(NAMES[7]), wal_bytes(NAMES[7])[:-1])
    done, data = restore(cluster, NAMES[7])
    assert done.returncode == 200 and data == b"old", done
    assert restore(cluster, NAMES[7], "--barman-exit-codes")[0].returncode == 1
    assert restore(cluster, "what")[0].returncode == 3
    assert sorted(path.name for path in cluster.path.iterdir() if path.suffix != ".history") == sorted(
        [*NAMES[:6], "RECOVERYXLOG", "archive_status"]
    )


def test_with_postgres(cloud_home, bucket):
    """The archiver's calls are killed at random; the restored server has it all."""
    home, directory = cloud_home, short_directory("walden-cloud-")
    home.globals["barman_user"] = owner()
    home.configure(compression="zstd", restore_prefetch=4)
    for path in [home.path, *home.path.rglob("*")]:
        give(path)
    walden = f"{WALDEN} -c {home.conf}"
    archive = f"{walden} cloud-wal-archive --parallel 4 main %p"
    try:
        with Postgres(directory / "pg", archive_mode="on", archive_command=archive) as server:
            server.switch_wal()
            wait_for(bucket.keys, 60)
            backup = server.base_backup(directory / "again" / "data")
            server.configure(archive_command=f"timeout -s KILL 0.0$(shuf -i 1-9 -n 1) {archive} || false")
            server.reload()
            server.sql("create table t as select 0 as n")
            for number in range(1, 7):
                server.sql(f"insert into t select {number} from generate_series(1, 300)")
                server.switch_wal()
            expected = server.sql("select n, count(*) from t group by n")
            server.configure(archive_command=archive)
            server.reload()
            server.wait_archived(server.switch_wal())  # which wakes the archiver
        with restored(backup.parent, f"{walden} cloud-wal-restore main %f %p") as again:
            again.wait_recovered()
            assert again.sql("select n, count(*) from t group by n") == expected
    finally:
        shutil.rmtree(directory, ignore_errors=True)
