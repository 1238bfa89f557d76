# SPDX-License-Identifier: PostgreSQL
"""Encryption at rest: by GnuPG, exchanged with gpg itself in both directions, and by keys of our own.
What cannot be encrypted is not archived; what cannot be decrypted is never "not there"."""

import bz2
import contextlib
import gzip
import json
import lzma
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from faults import archived_files, check_catalog
from home import WALDEN, Home, execute
from httppeer import S3Peer
from keys import Keyring, new_key
from parcels import parcel
from pg import Postgres, as_owner, give, owner, restored
from support import set_time, started, wait_for
from wal import MIB, make_wal, segment_names, wal_bytes

NAMES = segment_names(16, 6)
NAME = NAMES[0]
LABEL = f"{NAMES[2]}.00000028.backup"
LABEL_TEXT = b"START WAL LOCATION: 0/1200028 (file 000000010000000000000012)\n"
HISTORY_TEXT = b"1\t0/1400000\tno recovery target specified\n"
PASSPHRASE = "open sesame 1001"
PACKED = {"zstd": None, "gzip": gzip.decompress, "bzip2": bz2.decompress, "xz": lzma.decompress}


@pytest.fixture(scope="module")
def keyring():
    """sealed@test has a passphrase, open@test has none."""
    ring = Keyring()
    ring.make("sealed", PASSPHRASE)
    ring.make("open")
    return ring


@pytest.fixture(scope="module")
def public(keyring):
    """The same keys without their secret halves: what an archive's host should have."""
    return keyring.without_secret()


@pytest.fixture
def gpg(home, keyring, monkeypatch):
    """A home that encrypts to open@test."""
    monkeypatch.setenv("GNUPGHOME", str(keyring.path))
    home.configure(encryption="gpg", encryption_key_id="open@test", compression="gzip")
    return home


@pytest.fixture
def aead(home, workdir):
    home.configure(encryption="aead", encryption_key_file=new_key(workdir / "keys"), compression="zstd")
    return home


@pytest.fixture(params=["gpg", "aead"])
def encrypted(request):
    return request.getfixturevalue(request.param)


def put(home, *names, **kw):
    return {name: make_wal(home.incoming, name, **kw).read_bytes() for name in names}


def put_all_kinds(home):
    files = put(home, *NAMES[:3])
    files[f"{NAMES[3]}.partial"] = wal_bytes(NAMES[3])
    files[LABEL] = LABEL_TEXT
    files["00000002.history"] = HISTORY_TEXT
    for name, data in files.items():
        (home.incoming / name).write_bytes(data)
    return files


def archived(home, code=0):
    done = home.archive()
    assert done.returncode == code, done.stdout + done.stderr + home.log_text()
    return done


def assert_handed_out(home, files):
    for name, data in files.items():
        got = home.get(name)
        assert got.returncode == 0 and got.stdout == data, (name, got.stderr)


def assert_nothing_plain(home, files):
    """No 32 bytes of the files' noise are anywhere below the archive."""
    for path in home.directory.rglob("*"):
        if path.is_file() and home.incoming not in path.parents and home.streaming not in path.parents:
            stored = path.read_bytes()
            for name, data in files.items():
                assert data[100:132] not in stored and data[:40] not in stored, (path, name)


def key_of(home):
    """The keys in use: {(cipher, key): files}."""
    done = home.walden("-f", "json", "rekey", "--status", "main")
    assert done.returncode == 0, done.stderr
    return {(use["encryption"], use["key"]): use for use in json.loads(done.stdout)["keys"]}


# There and back


def test_every_kind_of_file(encrypted):
    home = encrypted
    cipher = home.options["encryption"]
    files = put_all_kinds(home)
    archived(home)
    assert home.waiting() == [] and home.rejected() == []
    check_catalog(home)
    rows = {row.name: row for row in home.rows()}
    assert set(rows) == set(files)
    for row in rows.values():
        assert (row.compression, row.encryption) == (home.options["compression"], cipher)
    assert_nothing_plain(home, {name: data for name, data in files.items() if len(data) == MIB})
    assert_handed_out(home, files)
    partial = home.get(NAMES[3], "--partial")
    assert partial.returncode == 0 and partial.stdout == wal_bytes(NAMES[3])


@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "xz", "zstd", "lz4", "snappy", "pigz", "custom"])
def test_every_compression(aead, compression):
    """Also those that a program does, through pipes."""
    home = aead
    home.configure(compression=compression, wal_validation="header")
    if compression == "custom":
        home.configure(custom_compression_filter="tr '\\000-\\377' '\\001-\\377\\000'",
                       custom_decompression_filter="tr '\\001-\\377\\000' '\\000-\\377'")
    files = put(home, *NAMES[:2])
    archived(home)
    assert {row.compression for row in home.rows()} == {compression or "None"}
    assert_nothing_plain(home, files)
    assert_handed_out(home, files)
    if compression not in (None, "custom"):
        asked = home.get(NAME, "--keep-compression")
        assert asked.returncode == 0 and asked.stdout[:4] != files[NAME][:4] and b"AEAD" not in asked.stdout[:9]
    for name in files:
        (home.incoming / name).write_bytes(files[name])
    archived(home)
    assert home.waiting() == [] and home.rejected() == []


def test_gpg_reads_what_walden_wrote(gpg, keyring):
    for number, (compression, unpack) in enumerate(PACKED.items()):
        gpg.configure(compression=compression)
        (name, data), = put(gpg, NAMES[number]).items()
        archived(gpg)
        inner = keyring.decrypt(gpg.stored(name).read_bytes())
        assert inner == gpg.get(name, "--keep-compression").stdout
        if unpack:
            assert unpack(inner) == data


def test_walden_reads_what_gpg_wrote(gpg, keyring):
    """As a Barman's archive is: also to keys that `file` does not recognise (Q-02)."""
    files = {}
    for name, key in zip(NAMES, ["open@test", keyring.make("rsa", kind="rsa2048")]):
        files[name] = wal_bytes(name)
        gpg.stored(name).parent.mkdir(exist_ok=True)
        gpg.stored(name).write_bytes(keyring.encrypt(gzip.compress(files[name]), key))
    assert_handed_out(gpg, files)
    assert gpg.walden("rebuild-xlogdb", "main").returncode == 0
    assert [(row.compression, row.encryption) for row in gpg.rows()] == [("gzip", "gpg")] * 2
    packed = gpg.get(NAME, "-z").stdout
    assert gzip.decompress(packed) == files[NAME]


def test_trust_that_is_found_out_anew(gpg, keyring):
    """As after an import: gpg forgets for a moment whom it trusts, beside other gpgs at work."""
    for number in range(12):
        keyring.make(f"other{number}")
    trusted = keyring.gpg("--export-ownertrust")
    for round_ in range(12):
        keyring.gpg("--import-ownertrust", input=trusted.replace(b":6:", b":5:"))
        keyring.gpg("--import-ownertrust", input=trusted)
        put(gpg, *[f"00000001{round_:08X}{number:08X}" for number in range(4)])
        archived(gpg)


def test_verify_and_rebuild(encrypted):
    home = encrypted
    put_all_kinds(home)
    archived(home)
    before = sorted(home.rows())
    home.xlogdb.unlink()
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    assert sorted(home.rows()) == before
    done = home.walden("-f", "json", "verify", "main")
    texts = [problem["text"] for problem in json.loads(done.stdout)["main"]["problems"]]
    assert not any("crypt" in text for text in texts), texts  # the records are invented ones
    assert home.walden("show-wals", "main").returncode == 0
    assert home.walden("delete-wals", "main", "--before", NAMES[1]).returncode == 0
    assert home.get(NAME).returncode == 1


def test_source_that_is_compressed_already(encrypted, keyring):
    home = encrypted
    data = wal_bytes(NAME)
    for level in (1, 9):  # the same plain contents
        (home.incoming / NAME).write_bytes(gzip.compress(data, level))
        archived(home)
    assert home.rejected() == [] and home.waiting() == []
    assert home.rows()[0].compression == "gzip"
    assert_handed_out(home, {NAME: data})


def test_source_that_the_site_has_encrypted(encrypted, keyring):
    """It is encrypted once more, and get-wal says so instead of handing out what is no WAL."""
    home = encrypted
    home.configure(compression=None)
    message = keyring.encrypt(wal_bytes(NAME), "open@test")
    (home.incoming / NAME).write_bytes(message)
    archived(home)
    done = home.get(NAME)
    assert done.returncode == 200 and "encrypted before" in done.stderr and not done.stdout
    assert home.get(NAME, "--keep-compression").stdout == message
    (home.incoming / NAME).write_bytes(message)
    archived(home)
    assert home.waiting() == [] and home.rejected() == []


# Passphrases and keys


def test_passphrase_command(gpg, keyring):
    gpg.configure(encryption_key_id="sealed@test", restore_deadline=0)
    files = put(gpg, NAME)
    archived(gpg)
    keyring.forget()
    cases = [
        (None, "passphrase"),
        ("echo wrong", "passphrase"),
        (f": {PASSPHRASE}; exit 7", "encryption_passphrase_command: exit code 7"),
        (f": {PASSPHRASE}", "encryption_passphrase_command: it has printed nothing"),
        (f": {PASSPHRASE}; echo {PASSPHRASE}x; exit 1", "exit code 1"),
    ]
    for command, problem in cases:
        gpg.configure(encryption_passphrase_command=command)
        done = gpg.get(NAME)
        assert done.returncode == 200 and problem in done.stderr.lower().replace("bad ", ""), done.stderr
        assert not done.stdout and PASSPHRASE not in done.stderr
    gpg.globals["log_level"] = "DEBUG"
    gpg.configure(encryption_passphrase_command=f"echo {PASSPHRASE}")
    assert_handed_out(gpg, files)
    shown = [gpg.walden("show-servers", "main"), gpg.walden("diagnose"), gpg.walden("-d", "check", "main")]
    assert all(PASSPHRASE not in done.stdout + done.stderr for done in shown)
    assert PASSPHRASE not in gpg.log_text()
    keyring.forget()


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_no_passphrase_in_any_command_line(gpg, keyring, workdir):
    """Of Walden and whatever it starts, while it waits for gpg."""
    secret = workdir / "passphrase"
    secret.write_text(PASSPHRASE)
    gpg.configure(encryption_key_id="sealed@test", encryption_passphrase_command=f"cat {secret}")
    put(gpg, NAME)
    archived(gpg)
    keyring.forget()
    trace, to = workdir / "trace", workdir / "to"
    to.mkdir()
    command = ["strace", "-f", "-qq", "-s", "200", "-v", "-e", "trace=execve,execveat", "-o", trace, WALDEN, "-c",
               gpg.conf, "get-wal", "main", NAME, "-o", to]
    with started(command):  # goes on with gpg's agent
        wait_for((to / NAME).exists, 60)
    assert "--passphrase" not in trace.read_text() and PASSPHRASE not in trace.read_text()
    assert f"cat {secret}" in trace.read_text()
    keyring.forget()


def expired(ring):
    return ring.make("old", expire="1d", when="20200101T000000")


@pytest.mark.parametrize("case", ["missing", "expired", "untrusted", "no key id", "not known"])
def test_gpg_that_cannot_be_had(gpg, keyring, monkeypatch, case):
    """Nothing is archived, and it is said why and what to do."""
    expected = {
        "missing": ("there is no OpenPGP key 'nobody@test'", "import the public key"),
        "expired": ("the OpenPGP key 'old@test' has expired", "extend it"),
        "untrusted": ("the key 'open@test', which is not trusted", "gpg --edit-key"),
        "no key id": ("needs encryption_key_id", ""),
        "not known": ("encryption 'gpgg' of server 'main' is not known", "none, gpg or aead"),
    }[case]
    if case == "missing":
        gpg.configure(encryption_key_id="nobody@test")
    elif case == "expired":
        gpg.configure(encryption_key_id=expired(keyring))
    elif case == "untrusted":
        ring = keyring.without_secret(trust=False)
        monkeypatch.setenv("GNUPGHOME", str(ring.path))
    elif case == "no key id":
        gpg.configure(encryption_key_id=None)
    elif case == "not known":
        gpg.configure(encryption="gpgg")
    put(gpg, *NAMES)
    done = archived(gpg, code=1)
    assert expected[0] in done.stderr and expected[1] in done.stderr
    assert gpg.waiting() == NAMES and gpg.rejected() == [] and not archived_files(gpg)
    assert done.stderr.count("ERROR") == 1
    gpg.configure(encryption="gpg", encryption_key_id="open@test")
    if case in ("missing", "expired"):
        archived(gpg)
        assert gpg.names() == NAMES and gpg.waiting() == []


@pytest.mark.parametrize("case", ["no file", "no key", "nothing set", "failing command", "empty file"])
def test_aead_that_cannot_be_had(aead, workdir, case):
    key_file = aead.options["encryption_key_file"]
    expected = {
        "no file": "No such file",
        "no key": "line 1 is no key",
        "nothing set": "needs encryption_key_file or encryption_key_command",
        "failing command": "encryption_key_command: exit code 1",
        "empty file": "there is no key",
    }[case]
    if case == "no file":
        aead.configure(encryption_key_file=workdir / "other")
    elif case == "no key":
        key_file.write_text("squeamish ossifrage\n")
    elif case == "nothing set":
        aead.configure(encryption_key_file=None)
    elif case == "failing command":
        aead.configure(encryption_key_file=None, encryption_key_command="echo squeamish >&2; false")
    else:
        key_file.write_text("# none yet\n")
    put(aead, *NAMES)
    done = archived(aead, code=1)
    assert expected in done.stderr and "squeamish" not in done.stderr + aead.log_text()
    assert aead.waiting() == NAMES and aead.rejected() == [] and not archived_files(aead)


def test_key_command(aead):
    key_file = aead.options["encryption_key_file"]
    files = put(aead, NAME)
    archived(aead)
    aead.configure(encryption_key_file=None, encryption_key_command=f"cat {key_file}")
    assert_handed_out(aead, files)
    files |= put(aead, NAMES[1])
    archived(aead)
    aead.configure(encryption_key_file=key_file, encryption_key_command=None)
    assert_handed_out(aead, files)


def test_old_catalog(encrypted):
    """It has no column for it, so nothing is begun."""
    home = encrypted
    (home.wals / "xlog.db").touch()
    put(home, NAME)
    done = archived(home, code=1)
    assert "cannot say that a file is encrypted" in done.stderr
    assert home.waiting() == [NAME] and not archived_files(home)


@pytest.mark.barman
def test_barman_is_not_disturbed(encrypted):
    """Debian's Barman has another catalog, and knows neither cipher."""
    home = encrypted
    files = put(home, *NAMES[:2])
    archived(home)
    for arguments in (["list-servers"], ["show-servers", "main"], ["list-backups", "main"]):
        done = home.barman(*arguments)
        assert done.returncode == 0, done.stderr
    assert (home.wals / "main-xlog.db").exists()
    if not (home.wals / "xlog.db").exists():
        assert_handed_out(home, files)


def failed_checks(home):
    done = home.walden("-f", "json", "check", "main")
    return {key: value for key, value in json.loads(done.stdout)["main"].items() if value["status"] == "FAILED"}


def test_check(encrypted, workdir):
    """Would a file be encrypted now?"""
    home = encrypted
    assert "encryption" not in failed_checks(home)
    home.configure(encryption_key_id="nobody@test", encryption_key_file=workdir / "none")
    assert failed_checks(home)["encryption"]["hint"]


# Duplicates


def test_the_same_again_without_the_secret_key(gpg, public, monkeypatch):
    """The digest of the plain contents is kept beside the file (Q-40)."""
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    files = put(gpg, *NAMES[:2])
    archived(gpg)
    assert os.getxattr(gpg.stored(NAME), "user.walden.sha256")
    put(gpg, *NAMES[:2])
    archived(gpg)
    assert gpg.waiting() == [] and gpg.rejected() == []
    put(gpg, NAME, seed=1)
    archived(gpg, code=1)
    (rejected,) = gpg.rejected()
    assert rejected.startswith(NAME) and rejected.endswith(".duplicate")
    (gpg.errors / rejected).unlink()
    # Through put-wal, too
    for data, code in ((files[NAME], 0), (wal_bytes(NAME, seed=1), 1)):
        done = execute([WALDEN, "-c", gpg.conf, "put-wal", "main"], binary=True, input=parcel(NAME, data))
        assert done.returncode == code, done.stderr
    assert gpg.waiting() == []


def test_the_same_again_in_an_object_store(gpg, public, monkeypatch):
    """Elsewhere a digest proves nothing of what the store has: here it is all that can be had."""
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "walaccess")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with S3Peer() as peer:
        gpg.configure(wals_directory="s3://bucket", cloud_endpoint_url=peer.url)
        gpg.catalog = gpg.directory / "xlogdb" / "main-xlog.db"
        put(gpg, NAME)
        archived(gpg)
        put(gpg, NAME)
        archived(gpg)
        assert gpg.waiting() == [] and gpg.rejected() == []
        for seed, code in ((0, 0), (1, 1)):
            done = execute([WALDEN, "-c", gpg.conf, "put-wal", "main"], binary=True,
                           input=parcel(NAME, wal_bytes(NAME, seed=seed)))
            assert done.returncode == code and gpg.waiting() == [], done.stderr
        put(gpg, NAME, seed=1)
        archived(gpg, code=1)
        assert gpg.waiting() == [] and len(gpg.rejected()) == 1


def test_without_key_and_digest_it_waits(gpg, keyring, public, monkeypatch):
    """errors/ would fill with good WAL, and in clear text. What comes later goes on."""
    put(gpg, NAME)
    archived(gpg)
    os.removexattr(gpg.stored(NAME), "user.walden.sha256")
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    put(gpg, *NAMES[:2])
    done = archived(gpg, code=1)
    assert "is encrypted and cannot be compared" in done.stderr and "give this account the key" in done.stderr
    assert gpg.waiting() == [NAME] and gpg.rejected() == [] and gpg.names() == NAMES[:2]
    monkeypatch.setenv("GNUPGHOME", str(keyring.path))
    archived(gpg)
    assert gpg.waiting() == [] and gpg.rejected() == []
    put(gpg, NAME, seed=1)
    archived(gpg, code=1)
    assert gpg.waiting() == [] and len(gpg.rejected()) == 1


def test_duplicates_of_aead(aead, workdir):
    put(aead, *NAMES[:2])
    archived(aead)
    put(aead, NAME)
    put(aead, NAMES[1], seed=1)
    archived(aead, code=1)
    assert aead.waiting() == []
    (rejected,) = aead.rejected()
    assert rejected.startswith(NAMES[1])
    put(aead, NAME)
    aead.configure(encryption_key_file=new_key(workdir / "other"))
    done = archived(aead, code=1)
    assert "is encrypted and cannot be compared" in done.stderr
    assert aead.waiting() == [NAME] and len(aead.rejected()) == 1


def test_both_archivers(gpg, public, monkeypatch):
    """The second copy of each segment is recognised without the key."""
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    gpg.configure(streaming_archiver="on")
    for name in NAMES:
        make_wal(gpg.streaming, name)
        make_wal(gpg.incoming, name)
    archived(gpg)
    assert gpg.waiting() == [] and gpg.rejected() == []
    check_catalog(gpg)


def test_encryption_turned_on_and_off(encrypted, workdir):
    """The archive may hold both; the digest of an encrypted file never counts for another."""
    home = encrypted
    cipher = home.options["encryption"]
    files = {}
    for number, encryption in enumerate([None, cipher, "none"]):
        home.configure(encryption=encryption)
        files |= put(home, NAMES[number])
        archived(home)
    assert [row.encryption for row in home.rows()] == ["None", cipher, "None"]
    assert_handed_out(home, files)
    for name in files:
        put(home, name)
    archived(home)
    assert home.waiting() == [] and home.rejected() == []


# Damage


def test_damaged_files(aead):
    """What was changed, cut off, exchanged or renamed is not handed out, and not called missing."""
    aead.configure(compression=None, restore_deadline=0)
    put(aead, *NAMES)
    archived(aead)
    whole = {name: aead.stored(name).read_bytes() for name in NAMES}
    one, two = aead.stored(NAMES[0]), aead.stored(NAMES[1])
    cases = {
        "a bit": lambda data: data[:700000] + bytes([data[700000] ^ 1]) + data[700001:],
        "the end": lambda data: data[:-1],
        "a chunk": lambda data: data[: 44 + 5 * 65553],
        "another file": lambda data: whole[NAMES[1]],
        "half of another file": lambda data: data[: 44 + 5 * 65553] + whole[NAMES[1]][44 + 5 * 65553 :],
        "more": lambda data: data + b"x",
        "the header": lambda data: data[:10],
        "the first bytes": lambda data: bytes(8) + data[8:],
        "all": lambda data: os.urandom(len(data)),
    }
    for case, change in cases.items():
        one.write_bytes(change(whole[NAMES[0]]))
        done = aead.get(NAMES[0])
        assert done.returncode == 200, case
        to = aead.path / "got"
        to.mkdir(exist_ok=True)
        done = aead.get(NAMES[0], "-o", to)
        assert done.returncode == 200 and not list(to.iterdir()), case
        done = aead.walden("-f", "json", "verify", "main")
        problems = {p["first"]: p["kind"] for p in json.loads(done.stdout)["main"]["problems"] if "crypt" in p["text"] or
                    p["first"] == NAMES[0]}
        assert done.returncode == 1 and problems[NAMES[0]] == "damaged", (case, done.stdout)
    one.write_bytes(whole[NAMES[0]])
    two.write_bytes(whole[NAMES[0]])
    assert aead.get(NAMES[0]).returncode == 0 and aead.get(NAMES[1]).returncode == 200


def test_damaged_message(gpg, keyring):
    gpg.configure(restore_deadline=0)
    put(gpg, NAME)
    archived(gpg)
    path = gpg.stored(NAME)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:-5] + bytes(5)):
        path.write_bytes(damaged)
        assert gpg.get(NAME).returncode == 200
    path.write_bytes(whole)
    assert gpg.get(NAME).returncode == 0


def test_wrong_keys(gpg, public, workdir, monkeypatch):
    """Never "not there": recovery would end too early."""
    gpg.configure(restore_deadline=0)
    put(gpg, NAME)
    archived(gpg)
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    done = gpg.get(NAME)
    assert done.returncode == 200 and not done.stdout and "secret key" in done.stderr
    done = gpg.walden("-f", "json", "verify", "main")
    (problem,) = json.loads(done.stdout)["main"]["problems"]
    assert problem["kind"] == "unverifiable" and "encrypted" in problem["text"]
    gpg.configure(encryption="aead", encryption_key_file=new_key(workdir / "a"))
    put(gpg, NAMES[1])
    archived(gpg)
    gpg.configure(encryption_key_file=new_key(workdir / "b"))
    done = gpg.get(NAMES[1])
    assert done.returncode == 200 and "which is not at hand" in done.stderr


# Rotation


def test_rotation(aead, workdir):
    """A new key counts for new files; nothing is rewritten; --status says when the old one can go."""
    key_file = aead.options["encryption_key_file"]
    files = put(aead, *NAMES[:2])
    set_time(aead.incoming / NAMES[0], 1_700_000_000)
    set_time(aead.incoming / NAMES[1], 1_700_000_100)
    archived(aead)
    before = {name: aead.stored(name).read_bytes() for name in files}
    (first,) = key_of(aead)
    new_key(key_file, "# since the audit")
    files |= put(aead, NAMES[2])
    archived(aead)
    assert_handed_out(aead, files)
    assert {name: aead.stored(name).read_bytes() for name in before} == before
    uses = key_of(aead)
    (second,) = set(uses) - {first}
    assert (uses[first]["files"], uses[first]["current"]) == (2, False)
    assert (uses[second]["files"], uses[second]["current"]) == (1, True)
    assert (uses[first]["oldest"], uses[first]["newest"]) == (
        {"name": NAMES[0], "time": 1_700_000_000}, {"name": NAMES[1], "time": 1_700_000_100})
    told = aead.walden("rekey", "--status", "main")
    assert f"aead key {second[1]}: 1 files" in told.stdout and NAMES[1] in told.stdout

    aead.configure(encryption="none")
    files |= put(aead, NAMES[3])
    archived(aead)
    assert key_of(aead)[(None, None)]["files"] == 1
    assert aead.walden("delete-wals", "main", "--before", NAMES[2], "--force").returncode == 0
    assert first not in key_of(aead)
    assert aead.walden("rekey", "main").returncode == 2


def test_keys_of_gpg(gpg, keyring):
    put(gpg, *NAMES[:2])
    archived(gpg)
    ((cipher, key),) = key_of(gpg)
    assert cipher == "gpg" and key in keyring.gpg("--list-keys", "--with-subkey-fingerprint").decode()


# In an object store


@pytest.mark.parametrize("cipher", ["gpg", "aead"])
def test_object_store(cloud_home, bucket, keyring, public, workdir, monkeypatch, cipher):
    """Encrypted files have the plain name; their digest is metadata."""
    home = cloud_home
    monkeypatch.setenv("GNUPGHOME", str(public.path))
    home.configure(encryption=cipher, encryption_key_id="open@test", compression="zstd",
                   encryption_key_file=new_key(workdir / "keys"))
    files = put(home, *NAMES[:2])
    files["00000002.history"] = HISTORY_TEXT
    (home.incoming / "00000002.history").write_bytes(HISTORY_TEXT)
    archived(home)
    assert sorted(key.rsplit("/", 1)[1] for key in bucket.keys()) == sorted(files)
    (row,) = {line.split("\t", 3)[3] for line in home.catalog.read_text().splitlines()}
    assert row == f"zstd\t{cipher}"
    put(home, *NAMES[:2])
    archived(home)
    assert home.waiting() == [] and home.rejected() == []
    monkeypatch.setenv("GNUPGHOME", str(keyring.path))
    assert_handed_out(home, files)
    before = sorted(home.catalog.read_text().splitlines())
    home.catalog.unlink()
    assert home.walden("rebuild-xlogdb", "main").returncode == 0
    assert [line.split("\t")[3:] for line in home.catalog.read_text().splitlines()] == [["zstd", cipher]] * 3
    assert len(before) == 3
    ((name, _),) = key_of(home)
    assert name == cipher
    done = home.walden("-f", "json", "verify", "main")
    assert not [p for p in json.loads(done.stdout)["main"]["problems"] if "crypt" in p["text"]], done.stdout


# Crashes


def kill_and_look(home, files, delay):
    with started([WALDEN, "-c", home.conf, "archive-wal", "main"]) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert_nothing_plain(home, files)


def test_killed_at_work(encrypted):
    """Nothing plain is left behind; the next run finishes the work."""
    home = encrypted
    chance = random.Random(4)
    files = put(home, *segment_names(100, 24))
    for _ in range(8):
        kill_and_look(home, files, chance.uniform(0, 0.25))
    archived(home)
    assert home.waiting() == [] and home.rejected() == []
    check_catalog(home)
    assert_handed_out(home, {name: files[name] for name in list(files)[::6]})
    assert_nothing_plain(home, files)


@contextlib.contextmanager
def killing(keyring, rng):
    """kill -9 of the keyring's gpgs, at random moments, as the kernel does when memory runs out; gives
    the list of those that were killed."""
    ours, ended, victims = f"GNUPGHOME={keyring.path}".encode(), threading.Event(), []

    def kill_some():
        while not ended.wait(rng.uniform(0, 0.05)):
            for path in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if (path / "comm").read_text() == "gpg\n" and ours in (path / "environ").read_bytes().split(b"\0"):
                        os.kill(int(path.name), signal.SIGKILL)
                        victims.append(path.name)

    thread = threading.Thread(target=kill_some)
    thread.start()
    try:
        yield victims
    finally:
        ended.set()
        thread.join()


def damage(home):
    report = json.loads(home.walden("-f", "json", "verify", "main").stdout)["main"]
    return {problem["text"] for problem in report["problems"] if problem["kind"] == "damaged"}


def test_gpg_is_killed(gpg, keyring):
    """What it had not finished is not archived, and good files are neither rejected nor called damaged."""
    rng = random.Random(9)
    for compression in (None, "gzip"):
        gpg.configure(compression=compression)
        files = put(gpg, *segment_names(16 if compression else 64, 10))
        files.update(put(gpg, *segment_names(128 if compression else 160, 3, seg_size=16 * MIB), seg_size=16 * MIB))
        with killing(keyring, rng) as victims:
            for _ in range(8):
                gpg.archive()
            taken = [name for name in files if name not in gpg.waiting()]
        assert victims and gpg.rejected() == []
        assert_handed_out(gpg, {name: files[name] for name in taken})
        archived(gpg)
        assert gpg.waiting() == [] and gpg.rejected() == []
        found = damage(gpg)  # the records are invented ones
        with killing(keyring, rng) as victims:
            assert damage(gpg) <= found
        assert victims
        assert_handed_out(gpg, files)


def test_gpg_is_killed_over_a_duplicate(gpg, keyring):
    """As Barman leaves it, without a digest: the two can only be read."""
    (name, data), = put(gpg, NAME).items()
    archived(gpg)
    for attribute in os.listxattr(gpg.stored(NAME)):
        os.removexattr(gpg.stored(NAME), attribute)
    for _ in range(10):
        (gpg.incoming / name).write_bytes(data)
        with killing(keyring, random.Random(1)):
            gpg.archive()
        assert gpg.rejected() == []
    assert gpg.archive().returncode == 0 and gpg.waiting() == gpg.rejected() == []


def test_client_that_goes_away(encrypted):
    """The decrypted file is nowhere (Q-23)."""
    home = encrypted
    home.configure(compression=None)
    name = segment_names(1, 1, seg_size=16 * MIB)[0]
    files = {name: make_wal(home.incoming, name, seg_size=16 * MIB).read_bytes()}
    archived(home)
    command = [WALDEN, "-c", str(home.conf), "get-wal", "main", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(60) in (200, -signal.SIGPIPE)
    assert_nothing_plain(home, files)
    assert sorted(path.name for path in home.wals.iterdir()) == [name[:16], "main-xlog.db"]


def test_nothing_is_fetched_ahead(aead):
    """It would rest in clear text."""
    aead.configure(restore_prefetch=4)
    files = put(aead, *NAMES)
    archived(aead)
    assert_handed_out(aead, files)
    assert aead.get(NAME, "--prefetch", "3").stdout == files[NAME]
    assert not [path for path in aead.directory.glob("prefetch/**/*") if path.is_file()]
    assert_nothing_plain(aead, files)


# With a real server


@pytest.mark.parametrize("cipher", ["gpg", "aead"])
def test_recovery(workdir, cipher):
    """A real server is restored from an encrypted archive, by the account that has the keys."""
    home = Home(workdir / "home", compression="zstd", encryption=cipher, restore_deadline="2")
    home.globals["barman_user"] = owner()
    env = dict(os.environ)
    if cipher == "gpg":
        ring = Keyring()
        ring.make("site", PASSPHRASE)
        env["GNUPGHOME"] = str(ring.path)
        secret = workdir / "passphrase"
        secret.write_text(PASSPHRASE)
        home.configure(encryption_key_id="site@test", encryption_passphrase_command=f"cat {secret}")
        ring.forget()
        give(*ring.path.rglob("*"), ring.path)
    else:
        home.configure(encryption_key_file=new_key(workdir / "keys"))
        give(workdir / "keys")
    give(home.path, home.directory, home.incoming, home.streaming, home.wals, home.errors)
    with Postgres(workdir / "pg", archive_to=home.incoming, max_wal_size="64MB") as server:
        server.sql("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 1000) i")
        backup = server.base_backup(workdir / "restored" / "data")
        server.sql("INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1001, 20000) i")
        expected = server.sql("SELECT count(*), sum(i) FROM t")
        server.wait_archived(server.switch_wal())
    done = execute(as_owner(WALDEN, "-c", home.conf, "archive-wal", "main"), env=env)
    assert done.returncode == 0 and home.waiting() == [], done.stderr
    assert {row.encryption for row in home.rows()} == {cipher}
    done = execute(as_owner(WALDEN, "-c", home.conf, "verify", "main"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    exported = f"GNUPGHOME={env['GNUPGHOME']} " if cipher == "gpg" else ""
    with restored(backup.parent, f"{exported}{WALDEN} -c {home.conf} get-wal main %f > %p") as second:
        second.wait_recovered()
        assert second.sql("SELECT count(*), sum(i) FROM t") == expected
    if cipher == "gpg":
        execute(as_owner("gpgconf", "--kill", "all"), env=env)
