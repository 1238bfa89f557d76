# SPDX-License-Identifier: PostgreSQL
"""The four archive hooks: when they run, what they are told, and what follows from how they end."""

import gzip
import os
import re
import signal
import time

import pytest
from home import BARMAN, Home, run
from support import beside, set_time, wait_for
from wal import MIB, make_wal, segment_name, segment_names, wal_bytes

NAME, SECOND = segment_names(1, 2)
HOOKS = ["pre_archive_script", "pre_archive_retry_script", "post_archive_retry_script", "post_archive_script"]
RETRY = [hook for hook in HOOKS if "retry" in hook]
PRE = HOOKS[:2]


@pytest.fixture
def told(home):
    """The file into which recorder() writes."""
    return home.path / "told"


def recorder(told, then=""):
    """A hook line that writes its environment down as one block, and goes on with `then`."""
    return f"(env | grep -E '^(BARMAN|WALDEN)_' | sort; echo --) >> {told}; {then or 'exit 0'}"


def blocks(told):
    """The environments, in the order of the calls."""
    if not told.exists():
        return []
    found = told.read_text().split("--\n")[:-1]
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in found]


def order(told):
    return [(e["BARMAN_SEGMENT"], e["BARMAN_PHASE"] + "_" + e["BARMAN_HOOK"]) for e in blocks(told)]


def archived(home, code=0, **kw):
    done = home.archive(**kw)
    assert done.returncode == code, done
    return done


# Order and environment


def test_order(home, told):
    home.configure(**{hook: recorder(told) for hook in HOOKS})
    for name in (SECOND, NAME):
        make_wal(home.incoming, name)
    archived(home)
    assert order(told) == [(name, hook) for name in (NAME, SECOND) for hook in HOOKS]
    assert home.names() == [NAME, SECOND]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("hook", HOOKS)
def test_environment(home, told, hook, compression):
    home.configure(compression=compression, **{hook: recorder(told)})
    path = make_wal(home.incoming, NAME)
    set_time(path, 1_795_248_906, 917_967_000)
    archived(home)
    (env,) = blocks(told)
    pre = hook in PRE
    stored = home.stored(NAME)
    assert {key: value for key, value in env.items() if key.startswith("BARMAN")} == {
        "BARMAN_VERSION": "3.17.0",
        "BARMAN_SERVER": "main",
        "BARMAN_CONFIGURATION": str(home.conf),
        "BARMAN_HOOK": re.sub("^(pre|post)_", "", hook),
        "BARMAN_PHASE": "pre" if pre else "post",
        "BARMAN_RETRY": "1" if "retry" in hook else "0",
        "BARMAN_SEGMENT": NAME,
        "BARMAN_FILE": str(path if pre else stored),
        "BARMAN_SIZE": str(MIB if pre else stored.stat().st_size),
        "BARMAN_TIMESTAMP": "1795248906.917967",
        "BARMAN_COMPRESSION": "" if pre else compression or "",
        "BARMAN_ERROR": "",
    }


@pytest.mark.barman
@pytest.mark.skipif(not os.access(BARMAN, os.X_OK), reason="no Barman")
def test_environment_is_barmans(workdir):
    """For a new file, an identical and a different one; BARMAN_ERROR of a duplicate but for a column that
    Barman 3.4 does not have."""
    answers = []
    for name in ("ours", "theirs"):
        home = Home(workdir / name, compression="gzip")
        (home.wals / "xlog.db").touch()
        home.configure(**{hook: recorder(home.path / "told") for hook in HOOKS})
        for seed in (0, 0, 1):
            make_wal(home.incoming, NAME, seed=seed)
            set_time(home.incoming / NAME, 1_700_000_000 + seed)
            if name == "ours":
                home.archive()
            else:
                home.barman("archive-wal", "main")
        text = (home.path / "told").read_text().replace(str(home.path), "HOME").replace(" encryption=None,", "")
        text = re.sub(r"(WALDEN|BARMAN_VERSION)\S*=.*\n", "", text)
        answers.append(re.sub(r"(BARMAN_SIZE=\d{6})\n", "BARMAN_SIZE=compressed\n", text).split("--\n"))
    assert answers[0] == answers[1]


def test_relative_path_of_the_configuration(home, told):
    home.configure(pre_archive_script=recorder(told))
    make_wal(home.incoming, NAME)
    assert run("-c", "walden.conf", "archive-wal", "main", cwd=home.path).returncode == 0
    assert blocks(told)[0]["BARMAN_CONFIGURATION"] == "walden.conf"


def test_compressed_source(home, told):
    home.configure(pre_archive_script=recorder(told), post_archive_script=recorder(told))
    (home.incoming / NAME).write_bytes(gzip.compress(wal_bytes(NAME)))
    archived(home)
    assert [env["BARMAN_COMPRESSION"] for env in blocks(told)] == ["gzip", "gzip"]


def test_streams_and_descriptors(home, told):
    """Standard input ends at once; nothing of ours is inherited."""
    home.configure(pre_archive_script=f"cat >{told}; echo end >>{told}; ls /proc/self/fd | wc -l >>{told}")
    make_wal(home.incoming, NAME)
    archived(home, timeout=10)
    assert told.read_text().split() == ["end", "4"]  # ls itself reads the directory


def test_path_prefix(home, told):
    tools = home.path / "tools"
    tools.mkdir()
    (tools / "my-hook").write_text(f"#!/bin/sh\necho $PATH >{told}\n")
    (tools / "my-hook").chmod(0o755)
    home.configure(path_prefix=tools, pre_archive_retry_script="my-hook")
    make_wal(home.incoming, NAME)
    archived(home, timeout=10)
    assert told.read_text().startswith(f"{tools}:/")


# Output


def test_output_goes_to_the_log(home):
    home.globals["log_level"] = "DEBUG"
    home.configure(pre_archive_script="echo to standard output; echo to standard error >&2; printf 'no end'")
    make_wal(home.incoming, NAME)
    done = archived(home)
    assert "standard" not in done.stdout + done.stderr
    log = home.log_text()
    assert re.search(r"DEBUG: .*to standard output", log)
    assert re.search(r"WARNING: .*to standard error", log)
    assert re.search(r"DEBUG: .*no end", log)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_flood_of_output(home, hook):
    home.configure(**{hook: "yes 2>/dev/null | head -c 3000000; head -c 300000 /dev/zero >&2"})
    make_wal(home.incoming, NAME)
    archived(home, timeout=60)
    assert home.names() == [NAME]


def test_a_daemon_that_a_hook_leaves_behind(home):
    home.configure(pre_archive_script="sleep 30 & echo $! > " + str(home.path / "pid"))
    make_wal(home.incoming, NAME)
    begun = time.monotonic()
    archived(home, timeout=20)
    os.kill(int((home.path / "pid").read_text()), signal.SIGKILL)
    assert time.monotonic() - begun < 10
    assert home.names() == [NAME]


# How they end


@pytest.mark.parametrize("end", ["exit 1", "exit 62", "exit 63", "exit 255", "kill -9 $$", "kill -TERM $$",
                                 "no-such-program"])
@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in RETRY])
def test_standard_hooks_never_matter(home, told, hook, end):
    home.configure(**{hook: recorder(told, end)})
    for name in (NAME, SECOND):
        make_wal(home.incoming, name)
    archived(home)
    assert home.names() == [NAME, SECOND]
    assert len(blocks(told)) == 2
    assert home.log_text().count(f"{hook} for '{NAME}'") == 1
    assert "WARNING" in home.log_text()


@pytest.mark.parametrize("hook", RETRY)
def test_abort_continue(home, told, hook):
    home.configure(**{hook: recorder(told, "exit 62")})
    make_wal(home.incoming, NAME)
    archived(home)
    assert home.names() == [NAME] and len(blocks(told)) == 1
    assert "WARNING" in home.log_text() and "62" in home.log_text()


def test_abort_stop_before(home, told):
    """The source stays, the run ends with exit 0, and the post hooks are told."""
    abort = "[ $BARMAN_SEGMENT != " + SECOND + " ] || exit 63"
    home.configure(pre_archive_script=recorder(told), pre_archive_retry_script=recorder(told, abort),
                   post_archive_retry_script=recorder(told), post_archive_script=recorder(told))
    third = segment_name(3)
    for name in (NAME, SECOND, third):
        make_wal(home.incoming, name)
    (home.incoming / "zjunk").touch()
    archived(home)
    assert home.names() == [NAME]
    assert home.waiting() == [SECOND, third, "zjunk"]
    assert home.rejected() == []
    assert order(told)[4:] == [(SECOND, hook) for hook in HOOKS]
    last = blocks(told)[-2:]
    command = home.options["pre_archive_retry_script"]
    assert last[0]["BARMAN_ERROR"] == f"Abort 'pre_archive_retry_script' retry hook script ({command}, exit code: 63)"
    assert last[1]["BARMAN_ERROR"] == "" and last[1]["WALDEN_ERROR"] == last[0]["BARMAN_ERROR"]
    assert "63" in home.log_text()
    home.configure(pre_archive_retry_script=None)
    archived(home, code=1)  # the junk
    assert home.names() == [NAME, SECOND, third]


def test_abort_stop_afterwards_is_ignored(home, told):
    home.configure(post_archive_retry_script="exit 63", post_archive_script=recorder(told))
    for name in (NAME, SECOND):
        make_wal(home.incoming, name)
    archived(home)
    assert home.names() == [NAME, SECOND]
    assert len(blocks(told)) == 2


@pytest.mark.parametrize("hook,end", [(RETRY[0], "exit 1"), (RETRY[1], "kill -9 $$")])
def test_second_try(home, told, hook, end):
    home.configure(**{hook: recorder(told, f"[ $(grep -c -- -- {told}) -ge 2 ] || {end}")})
    make_wal(home.incoming, NAME)
    begun = time.monotonic()
    archived(home)
    assert 2.9 < time.monotonic() - begun < 6
    assert len(blocks(told)) == 2
    assert home.names() == [NAME]


# Hanging


@pytest.mark.parametrize("hook,hang", [*((hook, "sleep 60") for hook in HOOKS),
                                       (HOOKS[1], "trap '' TERM; while :; do sleep 1; done")])
def test_hanging_hook_is_ended(home, told, hook, hang):
    home.configure(hook_timeout=1, **{hook: f"echo $$ >> {told}; {hang}"})
    make_wal(home.incoming, NAME)
    begun = time.monotonic()
    done = archived(home, timeout=30)
    assert time.monotonic() - begun < 8
    assert "hook_timeout" in home.log_text() or "ended after" in home.log_text()
    if hook == "pre_archive_retry_script":  # as abort-stop: it must not go on
        assert home.waiting() == [NAME] and home.names() == []
    else:
        assert home.names() == [NAME], done
    for pid in told.read_text().split():
        assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("hook", HOOKS)
def test_stopped_while_a_hook_runs(home, told, hook, sign):
    home.configure(**{hook: f"echo $$ > {told}; sleep 60"})
    make_wal(home.incoming, NAME)
    with beside(home, "archive-wal", "main") as process:
        wait_for(lambda: told.exists() and told.read_text().strip())
        process.send_signal(sign)
        assert process.wait(10) == 128 + sign
    assert not os.path.exists(f"/proc/{told.read_text().strip()}")
    assert (home.names() == [NAME]) == (hook not in PRE)
    home.configure(**{hook: None})
    archived(home)
    assert home.names() == [NAME] and home.waiting() == []


# What they are told of


def test_duplicates(home, told):
    make_wal(home.incoming, NAME)
    archived(home)
    home.configure(**{hook: recorder(told) for hook in HOOKS})
    path = make_wal(home.incoming, NAME)
    set_time(path, 1_700_000_000)
    archived(home)
    path = make_wal(home.incoming, NAME, seed=1)
    set_time(path, 1_700_000_000, 500_000_000)
    archived(home, code=1)
    info = f"WalFileInfo(compression=None, encryption=None, name='{NAME}', size={MIB}, time=1700000000"
    errors = [env["BARMAN_ERROR"] for env in blocks(told)]
    assert errors == ["", "", f"MatchingDuplicateWalFile:{info}.0)", "", "", "", f"DuplicateWalFile:{info}.5)", ""]
    assert blocks(told)[2]["BARMAN_FILE"] == str(home.stored(NAME))


def test_failure(home, told):
    home.configure(compression="custom", custom_compression_filter="false", custom_decompression_filter="cat",
                   post_archive_retry_script=recorder(told))
    make_wal(home.incoming, NAME)
    archived(home, code=1)
    assert blocks(told)[0]["BARMAN_ERROR"]
    assert home.waiting() == [NAME]


def test_hooks_never_see_a_file_that_is_arriving(home, told):
    """Nor what waits behind it, again and again."""
    home.configure(**{hook: recorder(told) for hook in HOOKS})
    (home.incoming / NAME).write_bytes(wal_bytes(NAME)[:-8192])
    make_wal(home.incoming, SECOND)
    other = segment_name(1, timeline=2)
    make_wal(home.incoming, other)
    for _ in range(2):
        archived(home)
    assert {env["BARMAN_SEGMENT"] for env in blocks(told)} == {other}
    assert home.names() == [other]


def test_hooks_never_see_junk_or_what_the_gate_refuses(home, told):
    home.configure(incoming_grace=0, **{hook: recorder(told) for hook in HOOKS})
    (home.incoming / "junk").touch()
    (home.incoming / NAME).write_bytes(wal_bytes(SECOND))
    archived(home, code=1)
    assert blocks(told) == []


def test_source_that_a_hook_takes_away(home, told):
    home.configure(pre_archive_script='rm "$BARMAN_FILE"', post_archive_script=recorder(told))
    make_wal(home.incoming, NAME)
    done = home.archive()
    assert done.returncode in (0, 1)
    assert home.waiting() == []
    assert home.rows() == [] or home.get(NAME).stdout == wal_bytes(NAME)


def test_source_that_a_hook_changes(home):
    """What is archived is what the row says, whatever the hook did."""
    home.configure(pre_archive_script='f="$BARMAN_FILE"; gzip -c "$f" > "$f.tmp"; mv "$f.tmp" "$f"')
    make_wal(home.incoming, NAME)
    archived(home)
    assert home.get(NAME).stdout == wal_bytes(NAME)
    assert home.rows()[0].size == home.stored(NAME).stat().st_size
    assert home.names() == [NAME] and home.rejected() == []
