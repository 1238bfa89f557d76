# SPDX-License-Identifier: PostgreSQL
"""An archive in Azure and in Google's store: the whole way there and back. What an archive in an
object store does besides is the same for all of them, and tested with S3."""

import os
import pathlib
import re
import subprocess

import pytest

from azurite import blob
from gcsfake import GcsFake, crc32c, md5
from home import execute
from httppeer import S3Peer
from parcels import called
from wal import make_wal, segment_names, wal_bytes

FIRST = 4000


@pytest.fixture(params=["azure", "google"])
def store(request):
    store = request.getfixturevalue(request.param)
    assert store("create") == "done"
    return store


@pytest.fixture
def archive(home, store, monkeypatch):
    """A Home with its archive there."""
    for name, value in store.env.items():
        monkeypatch.setenv(name, value)
    endpoint = dict(word.split("=", 1) for word in store.options)
    home.configure(
        wals_directory=f"{store.url}/some/where", compression="zstd",
        **({"cloud_endpoint_url": endpoint["endpoint"]} if endpoint else {}),
    )
    home.catalog = home.directory / "xlogdb" / "main-xlog.db"
    return home


def check_there(home, names):
    for name in names:
        got = home.get(name)
        assert got.returncode == 0 and got.stdout == wal_bytes(name), got.stderr


def test_there_and_back(archive, store):
    names = segment_names(FIRST, 3)
    for name in names:
        make_wal(archive.incoming, name)
    done = archive.archive()
    assert done.returncode == 0, done.stderr
    assert archive.waiting() == archive.rejected() == []
    assert store.keys() == [f"some/where/main/wals/{name[:16]}/{name}.zst" for name in names]
    check_there(archive, names)
    assert archive.get(segment_names(FIRST, 4)[3]).returncode == 1


@pytest.mark.parametrize("part", [None, 256 << 10], ids=["whole", "in parts"])
def test_duplicates(archive, part):
    """The contents are compared, whether a digest goes with them (not with Google's parts) or not."""
    if part:
        archive.configure(compression="none", cloud_part_size=part)
    names = segment_names(FIRST, 2)
    for name in names:
        make_wal(archive.incoming, name)
    assert archive.archive().returncode == 0
    make_wal(archive.incoming, names[0])
    make_wal(archive.incoming, names[1], seed=7)
    done = archive.archive()
    assert done.returncode == 1 and "is already present in server main" in done.stdout
    (rejected,) = archive.rejected()
    assert rejected.startswith(names[1]) and rejected.endswith(".duplicate")
    check_there(archive, names)


def test_deleted(archive, store):
    names = segment_names(FIRST, 14)
    for name in names:
        make_wal(archive.incoming, name)
    assert archive.archive().returncode == 0
    done = archive.walden("delete-wals", "main", "--before", names[12])
    assert done.returncode == 0, done.stderr
    assert [key[-28:-4] for key in store.keys()] == names[12:]
    check_there(archive, names[12:])


@pytest.mark.parametrize("store", ["azure"], indirect=True)
def test_deleted_but_for_one_that_is_locked(archive, store):
    """It is said to be there still, and removed once it may be."""
    names = segment_names(FIRST, 4)
    for name in names:
        make_wal(archive.incoming, name)
    assert archive.archive().returncode == 0
    locked = store.keys()[1]
    blob(store, locked, "PUT", "comp=lease", **{
        "x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "Content-Length": "0"})
    done = archive.walden("delete-wals", "main", "--before", names[3])
    assert done.returncode == 1 and names[1] in done.stderr and "LeaseIdMissing" in done.stderr
    assert [key[-28:-4] for key in store.keys()] == [names[1], names[3]]
    blob(store, locked, "PUT", "comp=lease", **{
        "x-ms-lease-action": "break", "x-ms-lease-break-period": "0", "Content-Length": "0"})
    assert archive.walden("delete-wals", "main", "--before", names[3]).returncode == 0
    assert [key[-28:-4] for key in store.keys()] == [names[3]]


def test_a_store_that_is_busy_costs_nothing_but_time(archive, store):
    names = segment_names(FIRST, 3)
    for name in names:
        make_wal(archive.incoming, name)
    for kind in ("status", "reset", "lost"):
        store.server.fail(store.one_put, kind, 503)
    done = archive.archive()
    assert done.returncode == 0, done.stderr
    assert archive.waiting() == archive.rejected() == []
    assert archive.names() == names
    check_there(archive, names)


def damage(store, key):
    """The object is another, and the store believes in it."""
    if "azure" in store.name:
        headers, _ = blob(store, key)
        blob(store, key, "PUT", data=b"!" * 1000, **{
            "x-ms-blob-type": "BlockBlob",
            "x-ms-meta-waldensha256": headers["x-ms-meta-waldensha256"]})
        return
    there, data = store.server.buckets["wal"][key], b"!" * 1000
    there.update({"": data, "size": "1000", "md5Hash": md5(data), "crc32c": crc32c(data)})


def waits_until_mended(archive, store, name):
    for _ in range(2):
        done = archive.archive()
        assert done.returncode == 1
        assert f"the archived copy of '{name}' is damaged: it is not what was to be" in done.stderr
    assert archive.waiting() == [name] and archive.rejected() == []
    assert store("rm", *store.keys()) == "done"
    assert archive.archive().returncode == 0 and archive.waiting() == []
    check_there(archive, [name])


def test_damaged_and_the_answer_lost(archive, store):
    """The next try finds the key taken; the digest that came with the object says nothing."""
    (name,) = segment_names(FIRST, 1)
    make_wal(archive.incoming, name)

    def damage_it():
        damage(store, f"some/where/main/wals/{name[:16]}/{name}.zst")
        store.server.fail(store.one_put, "lost")

    store.server.fail(store.one_put, "after", damage_it)
    waits_until_mended(archive, store, name)


@pytest.mark.parametrize("store", ["google"], indirect=True)
def test_damaged_as_the_answer_says(archive, store):
    """What the store says it has is compared. The object stays there, and counts for nothing."""
    (name,) = segment_names(FIRST, 1)
    make_wal(archive.incoming, name)
    keep = store.server.store

    def damaging(bucket, key, *rest):
        made = keep(bucket, key, *rest)
        damage(store, key)
        return made

    store.server.store = damaging
    done = archive.archive()
    assert done.returncode == 1 and "the store has 1000 with" in done.stderr
    store.server.store = keep
    waits_until_mended(archive, store, name)


THEIRS = pathlib.Path("/usr/bin")
needs_azure = pytest.mark.skipif(
    not os.access(THEIRS / "barman-cloud-wal-archive", os.X_OK)
    or subprocess.run(["/usr/bin/python3", "-c", "import azure.storage.blob"], check=False,
                      capture_output=True).returncode != 0,
    reason="no barman-cli-cloud, or no python3-azure-storage, which is not installed for the tests: 550 MB")


@pytest.fixture
def clients(azure, workdir):
    """clients(OURS): runs a cloud client of Walden's or of Barman's on the container."""
    assert azure("create") == "done"

    def made(ours):
        def run(command, *words):
            program = f"barman-cloud-{command}"
            where = called(workdir, program) if ours else THEIRS / program
            return execute([where, "--cloud-provider", "azure-blob-storage",
                            f"{azure.url}/some/where", "main", *words],
                           env={**azure.env, "HOME": str(workdir)})

        return run

    return made


@needs_azure
@pytest.mark.parametrize("ours", [True, False], ids=["ours first", "theirs first"])
def test_barmans_cloud_clients_and_ours_in_azure(clients, azure, workdir, ours):
    """What the one has put there the other fetches; and their tags are the same."""
    first, second = clients(ours), clients(not ours)
    name = segment_names(FIRST, 1)[0]
    path = make_wal(workdir, name)
    done = first("wal-archive", path, "--gzip", "--tags", "server,main", "kind of,wal file")
    assert done.returncode == 0, done.stderr
    key = f"some/where/main/wals/{name[:16]}/{name}.gz"
    assert azure.keys() == [key]
    done = second("wal-restore", name, workdir / "restored")
    assert done.returncode == 0, done.stderr
    assert (workdir / "restored").read_bytes() == wal_bytes(name)
    _, tags = blob(azure, key, "GET", "comp=tags")
    assert dict(re.findall("<Key>(.*?)</Key><Value>(.*?)</Value>", tags)) == {
        "server": "main", "kind of": "wal file"}


# Of barman-cloud-wal-archive; each provider has its own among them.
EVERYTHING = [
    "--tags", "server,main", "--encryption", "aws:kms", "--sse-kms-key-id", "amazons-key",
    "--encryption-scope", "azures-scope", "--max-block-size", "1MB", "--max-concurrency", "2",
    "--max-single-put-size", "256KB", "--kms-key-name", "googles-key", "--read-timeout", "30"]


def archived_with_everything(workdir, url, *more, env):
    client = called(workdir, "barman-cloud-wal-archive")
    source = make_wal(workdir, segment_names(FIRST, 1)[0])
    done = execute([client, *EVERYTHING, *more, url, "main", source],
                   env={**os.environ, **env, "HOME": str(workdir)})
    assert done.returncode == 0, done.stderr


def test_options_of_others_do_nothing_in_s3(workdir):
    (workdir / ".aws").mkdir()
    (workdir / ".aws/credentials").write_text(
        "[wal]\naws_access_key_id = walaccess\naws_secret_access_key = x\n")
    with S3Peer() as peer:
        archived_with_everything(
            workdir, "s3://bucket/p", "--endpoint-url", peer.url, "-P", "wal",
            "--azure-credential", "azure-cli", env={"AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": "b"})
        (put,) = peer.requests  # and so not in parts
    assert put.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "amazons-key"
    assert "Credential=walaccess/" in put.headers["authorization"]


def test_options_of_others_do_nothing_in_azure(workdir, azure):
    assert azure("create") == "done"
    archived_with_everything(workdir, f"{azure.url}/p", "--endpoint-url", "http://127.0.0.1:1",
                             "-P", "nobody", env=azure.env)
    scopes = {headers["x-ms-encryption-scope"] for headers in azure.server.headers
              if "x-ms-encryption-scope" in headers}
    assert scopes == {"azures-scope"}
    assert any("comp=blocklist" in request for request in azure.server.requests)


def test_amazons_key_is_no_scope_of_azure(workdir, azure):
    assert azure("create") == "done"
    client = called(workdir, "barman-cloud-wal-archive")
    done = execute([client, "-e", "aws:kms", "--sse-kms-key-id", "key", f"{azure.url}/p", "main",
                    make_wal(workdir, segment_names(FIRST, 1)[0])],
                   env={**os.environ, **azure.env, "HOME": str(workdir)})
    assert done.returncode == 0, done.stderr
    assert not any("x-ms-encryption-scope" in headers for headers in azure.server.headers)


def test_options_of_others_do_nothing_in_google(workdir):
    fake = GcsFake(workdir, anonymous=True)
    fake.buckets["wal"] = {}
    archived_with_everything(
        workdir, "gs://wal/p", "--endpoint-url", "http://127.0.0.1:1", "-P", "nobody",
        "--azure-credential", "azure-cli", env={"STORAGE_EMULATOR_HOST": fake.host})
    (there,) = fake.buckets["wal"].values()
    assert there["kmsKeyName"].startswith("googles-key/")
    assert not any("upload_id=" in request for request in fake.requests)
    fake.close()
