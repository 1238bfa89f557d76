# SPDX-License-Identifier: PostgreSQL
"""barman-cloud-wal-archive, barman-cloud-wal-restore and barman-cloud-check-wal-archive: what they
put into an object store and take from it, beside Barman's own of the same names."""

import contextlib
import gzip
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest
from home import execute
from parcels import called
from pg import Postgres, restored, short_directory
from roundtrips import Distance
from support import started, wait_for
from wal import MIB, make_wal, segment_name, segment_names, wal_bytes

NAMES = segment_names(5, 4)
NAME = NAMES[0]
PREFIX = "some/where"
COMMANDS = ["wal-archive", "wal-restore", "check-wal-archive"]
THEIRS = pathlib.Path("/usr/bin")
CODECS = {
    "": "", "--gzip": ".gz", "--bzip2": ".bz2", "--xz": ".xz", "--zstd": ".zst", "--lz4": ".lz4",
    "--snappy": ".snappy",
}
DEBIANS = ["", "--gzip", "--bzip2"]  # its Python cannot do snappy
needs_barman = pytest.mark.skipif(
    not os.access(THEIRS / "barman-cloud-wal-archive", os.X_OK), reason="no barman-cli-cloud"
)


def key(name, extension=""):
    where = "" if name.endswith(".history") else name[:16] + "/"
    return f"{PREFIX}/main/wals/{where}{name}{extension}"


class Clients:
    """The programs of one kind, and the bucket."""

    def __init__(self, directory, bucket, home):
        self.directory, self.bucket, self.home = directory, bucket, home
        self.endpoint = bucket.server.url

    def run(self, command, *args, env=None, **kw):
        """With the options and arguments of the test, as they are."""
        env = dict(os.environ, HOME=str(self.home), AWS_MAX_ATTEMPTS="1", **(env or {}))
        return execute([self.directory / f"barman-cloud-{command}", *args], env=env, **kw)

    def call(self, command, *args, url=None, **kw):
        options = [arg for arg in args if str(arg).startswith("-")]
        rest = [arg for arg in args if arg not in options]
        where = [url or f"{self.bucket.url}/{PREFIX}", "main"]
        return self.run(command, "--endpoint-url", self.endpoint, *options, *where, *rest, **kw)

    def archive(self, path, *options, **kw):
        return self.call("wal-archive", *options, path, **kw)

    def restore(self, name, to, *options, **kw):
        return self.call("wal-restore", *options, name, to, **kw)

    def check(self, *options, **kw):
        return self.call("check-wal-archive", *options, **kw)


@pytest.fixture
def ours(workdir, bucket):
    for command in COMMANDS:
        directory = called(workdir, f"barman-cloud-{command}").parent
    return Clients(directory, bucket, workdir)


@pytest.fixture
def theirs(workdir, bucket):
    return Clients(THEIRS, bucket, workdir)


@pytest.fixture
def source(workdir):
    return make_wal(workdir, NAME)


@pytest.fixture
def to(workdir):
    (workdir / "pg_wal").mkdir()
    return workdir / "pg_wal" / "RECOVERYXLOG"


def good(done):
    assert done.returncode == 0, done
    return done


def refused(done, code, reason):
    assert done.returncode == code and reason in done.stderr, done


# Both ways


@pytest.mark.parametrize("codec", CODECS)
def test_there_and_back(ours, bucket, source, to, codec):
    good(ours.archive(source, *[codec] * bool(codec)))
    assert bucket.keys() == [key(NAME, CODECS[codec])]
    good(ours.restore(NAME, to))
    assert to.read_bytes() == wal_bytes(NAME)
    assert [path.name for path in to.parent.iterdir()] == [to.name]
    assert source.exists()


@needs_barman
@pytest.mark.barman
@pytest.mark.parametrize("codec", DEBIANS)
def test_each_reads_the_others(ours, theirs, bucket, workdir, to, codec):
    options = [codec] * bool(codec)
    for writer, reader, name in ((ours, theirs, NAMES[0]), (theirs, ours, NAMES[1])):
        good(writer.archive(make_wal(workdir, name), *options))
        good(reader.restore(name, to))
        assert to.read_bytes() == wal_bytes(name)
    assert bucket.keys() == [key(name, CODECS[codec]) for name in NAMES[:2]]
    refused(theirs.check(), 1, "Expected empty archive")
    refused(ours.check(), 1, "Expected empty archive")
    for name in NAMES[:2]:  # Barman's, too, is compared and not replaced
        good(ours.archive(workdir / name, *options))


@needs_barman
@pytest.mark.barman
def test_kinds_of_files(ours, theirs, bucket, workdir, to):
    label = workdir / f"{NAME}.00000028.backup"
    label.write_text("START WAL LOCATION: 0/500028 (file ...)\n")
    history = workdir / "00000002.history"
    history.write_text("1\t0/600000\tno recovery target\n")
    partial = make_wal(workdir, f"{NAME}.partial", pages=3)
    for path in (label, history, partial):
        good(ours.archive(path, "--gzip"))
    assert bucket.keys() == sorted(key(path.name, ".gz") for path in (label, history, partial))
    for client, path in ((ours, label), (ours, history), (theirs, history)):
        good(client.restore(path.name, to))
        assert to.read_bytes() == path.read_bytes()


# What is there is never replaced


@pytest.mark.parametrize("codec", ["", "--zstd"])
def test_other_content(ours, bucket, workdir, source, codec):
    options = [codec] * bool(codec)
    good(ours.archive(source, *options))
    before = bucket.get(key(NAME, CODECS[codec]))
    good(ours.archive(source, *options))
    other = workdir / "other"
    other.mkdir()
    done = ours.archive(make_wal(other, NAME, seed=1), *options)
    refused(done, 1, "other content under the name")
    assert bucket.get(key(NAME, CODECS[codec])) == before


def test_race(ours, bucket, workdir):
    """Of several who bring different contents under one name one wins, and the others are told."""
    for name in NAMES[:3]:
        paths = []
        for seed in range(4):
            directory = workdir / f"{name}.{seed}"
            directory.mkdir()
            paths.append(make_wal(directory, name, seed=seed % 2))
        words = ["--endpoint-url", ours.endpoint, f"{bucket.url}/{PREFIX}", "main"]
        with contextlib.ExitStack() as stack:
            running = [
                stack.enter_context(
                    started([ours.directory / "barman-cloud-wal-archive", *words, path])
                )
                for path in paths
            ]
            codes = [process.wait(60) for process in running]
        winner = [wal_bytes(name, seed=seed) for seed in range(2)].index(bucket.get(key(name)))
        assert codes == [int(seed % 2 != winner) for seed in range(4)]


def test_not_what_its_name_says(ours, bucket, workdir, source):
    foreign = source.rename(workdir / NAMES[1])
    refused(ours.archive(foreign), 4, "does not belong")
    short = make_wal(workdir, NAMES[2], pages=5)
    refused(ours.archive(short), 4, "does not belong")
    assert bucket.keys() == []


def test_compressed_already(ours, bucket, workdir, source, to):
    execute(["gzip", source])
    source.with_suffix(".gz").rename(source)
    good(ours.archive(source, "--zstd"))
    assert bucket.keys() == [key(NAME, ".gz")]
    assert bucket.get(key(NAME, ".gz")) == source.read_bytes()
    good(ours.restore(NAME, to))
    assert to.read_bytes() == wal_bytes(NAME)


def test_one_request(ours, ceph, source):
    with Distance(ceph.port) as far:
        ours.endpoint = far.url
        good(ours.archive(source, "--zstd"))
        assert far.methods() == {"PUT": 1}, far.requests


# What is chosen


def test_choice(ours, bucket, workdir, to):
    """The exact name, then compressed, then partial: Barman takes the last."""
    for seed, suffix in enumerate((".partial", ".gz", "")):
        data = wal_bytes(NAME, seed=seed)
        bucket.put(key(NAME, suffix), gzip.compress(data) if suffix == ".gz" else data)
        bucket.put(key(NAME, ".00000028.backup.gz"), b"\x1f\x8b\x08")
        good(ours.restore(NAME, to))
        assert to.read_bytes() == wal_bytes(NAME, seed=seed)


@pytest.mark.parametrize("codec", ["", "--zstd"])
def test_partial(ours, workdir, to, codec):
    partial = make_wal(workdir, f"{NAME}.partial", pages=3)
    good(ours.archive(partial, *[codec] * bool(codec)))
    refused(ours.restore(NAME, to, "--no-partial"), 1, "does not exist")
    assert not to.exists()
    good(ours.restore(NAME, to))
    assert to.read_bytes() == wal_bytes(NAME, pages=3).ljust(MIB, b"\0")


def test_nothing_is_delivered_that_is_damaged(ours, bucket, workdir, source, to):
    to.write_bytes(b"old")
    good(ours.archive(source, "--zstd"))
    whole = bucket.get(key(NAME, ".zst"))
    for name, data in (
        (key(NAME, ".zst"), whole[:-9]), (key(NAME), wal_bytes(NAME)[:-1]),
        (key(NAME), wal_bytes(NAMES[1])),
    ):
        bucket.put(name, data)
        done = ours.restore(NAME, to, cwd=workdir)
        assert done.returncode == 200 and to.read_bytes() == b"old", done
    (workdir / "standby.signal").touch()
    assert ours.restore(NAME, to, cwd=workdir).returncode == 4
    assert [path.name for path in to.parent.iterdir()] == [to.name]


def test_not_there_and_not_known(ours, bucket, source, to):
    """Three different answers, for operators that tell them apart."""
    refused(ours.restore(NAME, to), 1, "does not exist")
    refused(ours.restore(NAME, to, "--postgres-exit-codes"), 1, "does not exist")
    nowhere = {"url": f"s3://no-such-bucket/{PREFIX}"}
    refused(ours.restore(NAME, to, **nowhere), 4, "does not exist")
    refused(ours.archive(source, **nowhere), 1, "does not exist")
    wrong = {"env": {"AWS_SECRET_ACCESS_KEY": "wrong"}}
    refused(ours.restore(NAME, to, **wrong), 4, "SignatureDoesNotMatch")
    refused(ours.restore(NAME, to, "--postgres-exit-codes", **wrong), 200, "Signature")
    refused(ours.archive(source, **wrong), 4, "SignatureDoesNotMatch")
    refused(ours.archive(source.with_name(NAMES[1])), 4, "No such file")
    ours.endpoint = "http://127.0.0.1:1"
    refused(ours.archive(source), 2, "connect")
    refused(ours.archive(source, "--test"), 2, "connect")
    refused(ours.check("--test"), 2, "connect")
    assert bucket.keys() == [] and not to.exists()


@needs_barman
@pytest.mark.barman
@pytest.mark.parametrize("command", COMMANDS)
def test_same_codes(ours, theirs, source, to, command):
    """Where Barman's clients end well, badly, and how badly."""
    args = {"wal-archive": [source], "wal-restore": [NAME, to], "check-wal-archive": []}[command]
    wrong = {"wal-archive": ["/tmp/what"], "wal-restore": ["what", to]}.get(command)
    url = f"{ours.bucket.url}/{PREFIX}"
    lines = [
        [], ["--bogus"], [url], ["--version"], ["-V"], ["--help"], [url, "main", *args, "more"],
        ["-h", url, "main", *args], ["-v", "-q", url, "main", *args],
        ["--cloud-provider", "other", url, "main", *args],
        ["--read-timeout", "soon", url, "main", *args], ["--read-timeout"],
        ["--test=1", url, "main", *args], ["--te", "-v", "-v", url, "main", *args],
        ["--t=", url, "main", *args],
        ["-tvv", "--", url, "main", *args], ["s3:///", "main", *args],
        ["where", "main", *args],
    ]
    if command != "wal-archive":  # argparse cannot do that with words that may be missing
        lines += [[url, "main", "--test", *args]]
    if wrong:
        lines += [[url, "main", *wrong], ["--test", url, "main", *wrong]]
    if command == "wal-archive":
        lines += [
            [url, "main"], ["-z", "-j", url, "main", source], ["-zj", url, "main", source],
            ["-e", "other", url, "main", source], ["--tags", "one", "--", url, "main", source],
            ["--tags", "one,two,three", "--", url, "main", source],
            ["--tags", "a,b", url, "main", source], ["--gzip=3", url, "main", source],
        ]
    if command == "check-wal-archive":
        lines += [["--timeline", "0", url, "main"], ["--timeline", "x", url, "main"]]
        lines += [["--timeline", "1", url, "main"]]
    lines = [["--endpoint-url", ours.endpoint] * (url in line) + line for line in lines]
    lines = [[str(word) for word in line] for line in lines]
    expected = codes_of_barman(command, lines)
    for line, code in zip(lines, expected):
        assert ours.run(command, *line).returncode == code, line


def codes_of_barman(command, lines):
    """All in one process: Python takes its time to start."""
    module = {"check-wal-archive": "check_wal_archive"}.get(command, command.replace("-", "", 1))
    done = execute(["/usr/bin/python3", "-c", CODES, module, json.dumps(lines)])
    return json.loads(done.stdout.splitlines()[-1])


CODES = """
import importlib, json, sys
module = importlib.import_module("barman.clients.cloud_" + sys.argv[1])
codes = []
for line in json.loads(sys.argv[2]):
    try:
        module.main(line)
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
    except BaseException:
        codes.append(1)
print(json.dumps(codes))
"""


def test_check(ours, bucket, workdir):
    good(ours.check())
    bucket.put(f"{PREFIX}/main/wals/what", b"")
    bucket.put(f"{PREFIX}/main/base/20250101T000000/data.tar", b"")
    good(ours.check())
    name = segment_name(5, timeline=2)
    good(ours.archive(make_wal(workdir, name), "--lz4"))
    refused(ours.check(), 1, "Expected empty archive")
    refused(ours.check("--timeline=2"), 1, "Found 1 file in WAL archive")
    good(ours.check("--timeline=3"))
    missing = f"s3://made-by-check-{os.getpid()}"
    good(ours.check("--test", url=missing))
    assert missing[5:] not in buckets(bucket)
    good(ours.check(url=missing))
    assert missing[5:] in buckets(bucket)
    bucket.client.delete_bucket(Bucket=missing[5:])


def buckets(bucket):
    return [one["Name"] for one in bucket.client.list_buckets()["Buckets"]]


# Options


def tags(bucket, of):
    found = bucket.client.get_object_tagging(Bucket=bucket.name, Key=of)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


@pytest.mark.parametrize("options, expected, of_history", [
    (["--tags", "team,dba", '"use, all","a ""b"""'], {"team": "dba", "use, all": 'a "b"'}, None),
    (["--tag", " team , dba ", "--tag=use,wal"], {"team": "dba", "use": "wal"}, None),
    (["--tags", "a,b", "--history-tags", "c,d", "e,f"], {"a": "b"}, {"c": "d", "e": "f"}),
    (["--history-tag", "c,d"], {}, {"c": "d"}),
])
def test_tags(ours, bucket, workdir, source, options, expected, of_history):
    history = workdir / "00000002.history"
    history.write_text("1\t0/600000\tno recovery target\n")
    for path in (source, history):
        good(ours.run(
            "wal-archive", *options, "--endpoint-url", ours.endpoint, f"{bucket.url}/{PREFIX}",
            "main", path,
        ))
    assert tags(bucket, key(NAME)) == expected
    assert tags(bucket, key(history.name)) == (expected if of_history is None else of_history)


@pytest.mark.parametrize("options", [
    ["--tag", "one"], ["--tag", "aws:x,y"], ["--tag", "a;b,c"], ["--tag", "k" * 129 + ",v"],
    ["--tag", "k," + "v" * 257], ["--tag", ",v"], ["--tags", 'a,"b'], ["--tags", "a,b", "--tag=a,b"],
    ["--compression-level", "much"], ["--sse-kms-key-id", "key"], ["--max-block-size", "much"],
    ["--gzip", "--lz4"], ["--aws-profile"], ["--max-concurrency", "x"],
])
def test_wrong_options(ours, bucket, source, options):
    done = ours.run("wal-archive", *options, "--endpoint-url", ours.endpoint, bucket.url, "main", source)
    assert done.returncode == 3 and "error: " in done.stderr, done
    assert bucket.keys() == []


def test_all_options(ours, bucket, source, workdir):
    """Those of every provider are understood, whichever is asked."""
    credentials = workdir / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text(
        f"[other]\naws_access_key_id = {os.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {os.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    good(ours.archive(
        source, "-vv", "--cloud-provider=aws-s3", "--profile=other", "--read-timeout=20",
        "--azure-credential=default", "--max-block-size=4MB", "--max-concurrency=2",
        "--max-single-put-size=64MB", "--zstd", "--compression-level=high", "--tag=a,b",
        env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ))
    assert bucket.keys() == [key(NAME, ".zst")]


@pytest.mark.parametrize("kind", ["script", "retry_script"])
def test_hook_script(ours, bucket, home, kind):
    script = f"{ours.directory}/barman-cloud-wal-archive --gzip --endpoint-url {ours.endpoint} " \
        f"{bucket.url}/{PREFIX} main"
    home.configure(**{f"pre_archive_{kind}": script})
    make_wal(home.incoming, NAME)
    good(home.archive())
    assert bucket.keys() == [key(NAME, ".gz")] and home.names() == [NAME]


def test_wrong_hooks(ours, bucket, source):
    for env, reason in (
        ({"BARMAN_HOOK": "archive_script", "BARMAN_PHASE": "post"}, "only be used"),
        ({"BARMAN_HOOK": "wal_delete_script", "BARMAN_PHASE": "pre"}, "only be used"),
        ({"BARMAN_HOOK": "archive_script", "BARMAN_PHASE": "pre"}, "BARMAN_FILE"),
    ):
        refused(ours.archive(source, env=env), 1, reason)
    assert bucket.keys() == []


# With PostgreSQL


@needs_barman
@pytest.mark.barman
def test_recovery(bucket):
    """A server archives, in spite of clients that are killed on the way, and is restored by either
    client."""
    directory = short_directory("walden-cloud-")
    ours = called(directory, "barman-cloud-wal-archive").parent
    called(directory, "barman-cloud-wal-restore")
    words = f"--endpoint-url {bucket.server.url} {bucket.url}/{PREFIX} main"
    killed = "timeout --signal=KILL 0.0$(shuf -i 1-9 -n 1)"
    query = "select n, count(*) from t group by n order by n"
    chance = random.Random(7)
    try:
        with Postgres(
            directory / "pg", archive_mode="on",
            archive_command=f"{ours}/barman-cloud-wal-archive --gzip {words} %p",
        ) as server:
            server.switch_wal()
            wait_for(bucket.keys, 60)
            backup = server.base_backup(directory / "ours" / "data")
            server.configure(
                archive_command=f"{killed} {ours}/barman-cloud-wal-archive --gzip {words} %p || false"
            )
            server.reload()
            server.sql("create table t as select 0 as n")
            for number in range(1, 4):
                rows = chance.randint(1, 999)
                server.sql(f"insert into t select {number} from generate_series(1, {rows})")
                server.switch_wal()
            expected = server.sql(query)
            server.configure(
                archive_command=f"{ours}/barman-cloud-wal-archive --gzip {words} %p"
            )
            server.reload()
            server.wait_archived(server.switch_wal())  # which wakes the archiver
        (directory / "theirs").mkdir()
        subprocess.run(["cp", "-a", backup, directory / "theirs" / "data"], check=True)
        for side, programs in (("ours", ours), ("theirs", THEIRS)):
            command = f"{programs}/barman-cloud-wal-restore {words} %f %p"
            with restored(directory / side, command) as again:
                again.wait_recovered()
                assert again.sql(query) == expected
    finally:
        shutil.rmtree(directory, ignore_errors=True)
