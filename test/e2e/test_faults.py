# SPDX-License-Identifier: PostgreSQL
"""One file operation of archive-wal goes wrong, any one: nothing is lost, and the next run
puts everything in order. With $WALDEN_FAULTS_FULL every operation has its turn, else a sample that
differs between the cases."""

import errno
import os
import shutil

import pytest

from faults import Scene, check_catalog, fault_environment
from home import Home, execute
from wal import MIB, make_wal, segment_names

SAMPLE = 12
MODES = {
    "kill-before": {"mode": "kill-before"},
    "kill-after": {"mode": "kill-after"},
    "EIO": {"mode": "error", "errno": errno.EIO},
    "ENOSPC": {
        "mode": "error", "errno": errno.ENOSPC, "sticky": 1, "only": "open,write,pwrite,link,mkdir",
    },
    "short": {"mode": "short", "only": "write,pwrite"},
    "torn": {"mode": "torn", "only": "write,pwrite"},
}


def count_operations(scene, path, settings):
    """How many operations the run has that the settings may hit."""
    trial = scene.copy(path)
    trace = f"{path}.trace"
    only = {"only": settings["only"]} if "only" in settings else {}
    trial.home.archive(env=fault_environment(path, trace=trace, **only))
    with open(trace, encoding="utf-8") as file:
        return len(file.readlines())


def choose(count, salt):
    if os.environ.get("WALDEN_FAULTS_FULL"):
        return range(1, count + 1)
    step = max(1, count // SAMPLE)
    return range(1 + salt % step, count + 1, step)


@pytest.mark.parametrize("tmpfile", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("mode", MODES)
def test_any_operation_fails(memdir, mode, compression, tmpfile):
    options = {} if tmpfile else {"no_tmpfile": 1}
    scene = Scene(memdir / "scene", compression=compression)
    count = count_operations(scene, memdir / "count", MODES[mode])
    assert count > 2
    salt = list(MODES).index(mode) * 5 + 2 * bool(compression) + tmpfile
    for n in choose(count, salt):
        path = memdir / f"n{n}"
        trial = scene.copy(path)
        env = fault_environment(path, at=n, trace=f"{path}.trace", **MODES[mode], **options)
        done = trial.home.archive(env=env)
        try:
            assert done.returncode in (0, 1, -9), done.stderr
            trial.check_moment()
            trial.check_end()
        except AssertionError as error:
            with open(f"{path}.trace", encoding="utf-8") as file:
                lines = file.readlines()
            text = lines[n - 1].strip() if len(lines) >= n else "nothing"
            raise AssertionError(f"{text}: {error}\n{done.stdout}{done.stderr}") from error
        shutil.rmtree(path)


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("tmpfile", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("error", ["EPERM", "EXDEV", "EMLINK"])
def test_file_system_without_links(memdir, error, tmpfile, compression):
    scene = Scene(memdir / "scene", compression=compression)
    env = fault_environment(memdir / "scene", link_errno=getattr(errno, error))
    if not tmpfile:
        env["WALDEN_FAULT_NO_TMPFILE"] = "1"
    scene.check_end(env)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_file_system_that_cannot_refuse_to_replace_when_it_renames(memdir, compression):
    scene = Scene(memdir / "scene", compression=compression)
    scene.check_end(fault_environment(memdir / "scene", no_renameat2=1))


def test_neither_links_nor_such_renames_is_an_error_and_loses_nothing(memdir):
    scene = Scene(memdir / "scene", compression="zstd")
    env = fault_environment(memdir / "scene", no_renameat2=1, link_errno=errno.EPERM)
    done = scene.home.archive(env=env)
    assert done.returncode == 1 and "publish" in done.stderr, done.stderr
    scene.check_moment()
    scene.check_end()


@pytest.mark.parametrize("source", ["waits", "is gone"])
@pytest.mark.parametrize("old_form", [False, True], ids=["five-columns", "four-columns"])
def test_catalogue_torn_at_any_byte(memdir, old_form, source):
    """Barman died while it recorded: before it removed the source, or after."""
    names = segment_names(1, 4)
    first = Home(memdir / "first")
    if old_form:
        (first.wals / "xlog.db").touch()
    for name in names[:3]:
        make_wal(first.incoming, name)
    assert first.archive().returncode == 0
    text = first.xlogdb.read_bytes()
    last = text.rstrip(b"\n").rindex(b"\n") + 1
    step = 1 if os.environ.get("WALDEN_FAULTS_FULL") else 3
    # A tear within the name says nothing about a file whose source is gone.
    start = last + 1 if source == "waits" else last + len(names[2])
    for cut in [*range(start, len(text), step), len(text) - 1]:
        shutil.copytree(first.path, memdir / f"cut{cut}")
        home = Home(memdir / f"cut{cut}")
        home.xlogdb.write_bytes(text[:cut])
        for name in names[2:] if source == "waits" else names[3:]:
            make_wal(home.incoming, name)
        done = home.archive()
        assert done.returncode == 0, done.stderr
        check_catalog(home)
        assert home.names() == names, f"cut at {cut - last}"
        assert home.rows()[2].size == MIB
        shutil.rmtree(home.path)


def test_library_counts_and_fails(memdir):
    """The tests above are worth as much as this."""
    target = memdir / "file"
    env = fault_environment(memdir, trace=f"{memdir}.trace")
    execute(["/bin/sh", "-c", f"echo one > {target}"], env=env)
    with open(f"{memdir}.trace", encoding="utf-8") as file:
        lines = [line.split()[1] for line in file]
    os.unlink(f"{memdir}.trace")
    assert lines == ["open", "write"]
    env = fault_environment(memdir, at=2, mode="error", errno=errno.ENOSPC)
    done = execute(["/bin/sh", "-c", f"echo two > {target}"], env=env)
    assert done.returncode != 0 and target.read_bytes() == b""
    env = fault_environment(memdir, at=2, mode="torn")
    done = execute(["/bin/sh", "-c", f"echo 123 > {target}"], env=env)
    assert done.returncode == -9 and target.read_bytes() == b"12"
    env = fault_environment(memdir, at=1, mode="kill-after")
    done = execute(["mkdir", f"{memdir}/new", f"{memdir}/other"], env=env)
    assert done.returncode == -9 and (memdir / "new").is_dir() and not (memdir / "other").exists()
