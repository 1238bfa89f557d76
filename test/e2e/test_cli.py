# SPDX-License-Identifier: PostgreSQL
"""The command line: help, options, choice of servers, console and JSON, the log, a wrong
configuration. What a script or a DBA sees of the program besides WAL."""

import json
import os
import pty
import re
import subprocess

import pytest
from home import WALDEN, Home, execute, run
from support import TESTS_RUN_AS_ROOT, as_user, started
from wal import make_wal, segment_name

COMMANDS = ["archive-wal", "cron", "get-wal", "list-servers", "rebuild-xlogdb", "run", "show-servers"]
SEGMENT = segment_name(1)


def failed_on_stderr(done, code, *words):
    assert done.returncode == code, done
    assert not done.stdout, done
    for word in words:
        assert word in done.stderr, done
    return done


# Help and version


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"], []])
def test_help_of_the_program(args):
    done = run(*args)
    assert done.returncode == 0 and not done.stderr
    for command in COMMANDS:
        assert f"  {command} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 79


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_needs_no_configuration(command, option):
    done = run("-c", "/nonexistent", command, option)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith("Usage: walden")
    assert f" {command} " in done.stdout.splitlines()[0]
    long = [line for line in done.stdout.splitlines() if len(line) > 79]
    assert not long


@pytest.mark.parametrize("option", ["--version", "-v", "--vers"])
def test_version(option):
    done = run(option)
    assert done.returncode == 0 and not done.stderr
    assert re.fullmatch(r"walden \d+\.\d+\.\d+\S*\n", done.stdout)


# A wrong command line


@pytest.mark.parametrize(
    "args",
    [
        ["no-such-command"],
        ["archive"],  # commands cannot be abbreviated
        ["--no-such-option", "list-servers"],
        ["-X", "list-servers"],
        ["list-servers", "--no-such-option"],
        ["list-servers", "surplus"],
        ["archive-wal"],
        ["archive-wal", "a", "b"],
        ["rebuild-xlogdb"],
        ["show-servers"],
        ["-c"],
        ["--config"],
        ["--format", "xml", "list-servers"],
        ["--color", "sometimes", "list-servers"],
        ["--log-level", "LOUD", "list-servers"],
        ["--co", "x", "list-servers"],  # --config, --color or --colour?
    ],
)
def test_wrong_command_line(args):
    failed_on_stderr(run(*args), 2, "usage: walden", "ERROR: ")


@pytest.mark.parametrize("args", [["main"], [], ["main", SEGMENT, "third"], ["--nonsense", "main", SEGMENT]])
def test_wrong_command_line_of_get_wal_ends_a_recovery_loudly(args):
    failed_on_stderr(run("get-wal", *args), 200, "usage: walden get-wal")
    assert run("get-wal", "--barman-exit-codes", *args).returncode == 2


@pytest.mark.parametrize("option", ["--nonsense", "--format=xml", "--log-level=LOUD"])
def test_wrong_global_option_before_get_wal_too(option):
    failed_on_stderr(run(option, "get-wal", "main", SEGMENT), 200, "usage: walden")
    assert run(option, "get-wal", "--barman-exit-codes", "main", SEGMENT).returncode == 2


@pytest.mark.parametrize("args", [["--mini"], ["--minimal"]])
def test_long_options_may_be_abbreviated(home, args):
    assert home.walden("list-servers", *args).stdout == "main\n"


@pytest.mark.parametrize("args", [["--conf"], ["--config"], ["-c"]])
def test_global_options_may_be_abbreviated(home, args):
    done = run(*args, home.conf, "--form", "json", "list-servers")
    assert done.returncode == 0
    assert list(json.loads(done.stdout)) == ["main"]


def test_options_may_stand_behind_arguments(home):
    done = home.walden("get-wal", "main", SEGMENT, "--test")
    assert done.returncode == 0
    assert done.stdout == "Ready to retrieve WAL files from the server main\n"


# list-servers, show-servers


@pytest.fixture
def three(home):
    """main, one that is inactive and one that is disabled (two paths are the same)."""
    home.configure()
    with open(home.conf, "a", encoding="utf-8") as file:
        file.write(
            "\n[asleep]\ndescription = Old one\nactive = false\narchiver = on\n"
            "conninfo = host=/tmp\n"
            "\n[broken]\narchiver = on\nconninfo = host=/tmp\n"
            f"wals_directory = {home.path}/broken/x\nincoming_wals_directory = {home.path}/broken/x\n"
        )
    return home


def test_list_servers(three):
    done = three.walden("list-servers")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "asleep - Old one (inactive)",
        "broken -  (WARNING: disabled)",
        "main - test",
    ]
    assert three.walden("list-servers", "--minimal").stdout == "asleep\nbroken\nmain\n"
    assert three.walden("list-server", "--minimal").stdout == "asleep\nbroken\nmain\n"


def test_list_servers_as_barman_prints_them(three):
    ours, theirs = three.walden("list-servers"), three.barman("list-server")
    assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())


@pytest.mark.parametrize("command", [["list-servers"], ["show-servers", "all"], ["show-servers", "main"]])
def test_json(three, command):
    done = three.walden("-f", "json", *command)
    assert done.returncode == 0 and not done.stderr
    assert not done.stdout.endswith("\n")
    answer = json.loads(done.stdout)
    assert "main" in answer
    keys = list(answer)
    assert keys == sorted(keys)


def test_json_of_list_servers(three):
    answer = json.loads(three.walden("-f", "json", "list-servers").stdout)
    assert answer["main"] == {"description": "test"}
    assert "(inactive)" in answer["asleep"]["description"]
    assert "(WARNING: disabled)" in answer["broken"]["description"]


def test_show_servers(home):
    home.configure(compression="zstd", archiver_batch_size=7)
    lines = home.walden("show-servers", "main").stdout.splitlines()
    assert lines[0] == "Server main:"
    assert "\tcompression: zstd" in lines
    assert "\tarchiver_batch_size: 7" in lines
    assert f"\twals_directory: {home.wals}" in lines
    assert "\tpath_prefix: None" in lines
    assert "\tdisabled: False" in lines and "\tactive: True" in lines
    keys = [line.split(":")[0] for line in lines[1:] if line]
    assert keys == sorted(keys)
    assert home.walden("show-server", "main").stdout.splitlines() == lines


def test_show_servers_shows_the_options_of_barman_with_barmans_values(home):
    """For each key that both know."""
    home.configure(compression="gzip", path_prefix="/opt/x:/opt/y")

    def rows(text):
        return dict(re.findall(r"^\t(\w+): (.*)$", text, re.M))

    ours = rows(home.walden("show-servers", "main").stdout)
    theirs = rows(home.barman("show-server", "main").stdout)
    common = (set(ours) & set(theirs)) - {"connection_error"}  # in libpq's words, or psycopg2's
    assert len(common) > 15
    assert {key: ours[key] for key in common} == {key: theirs[key] for key in common}


# Which servers


@pytest.mark.parametrize("command", [["archive-wal"], ["get-wal"]])
def test_all_is_not_one_server(three, command):
    name = [SEGMENT] if command == ["get-wal"] else []
    done = three.walden(*command, "all", *name)
    assert done.returncode == (200 if name else 1)
    assert "all" in done.stderr


@pytest.mark.parametrize("command", ["archive-wal", "rebuild-xlogdb", "show-servers"])
def test_unknown_server(three, command):
    failed_on_stderr(three.walden(command, "nobody"), 1, "Unknown server 'nobody'")
    answer = json.loads(three.walden("-f", "json", command, "nobody").stdout)
    assert answer["_ERROR"] == ["Unknown server 'nobody'"]


def test_all_must_stand_alone(three):
    assert three.walden("show-servers", "main", "all").returncode == 1


def test_unknown_server_of_get_wal(three):
    failed_on_stderr(three.walden("get-wal", "nobody", SEGMENT), 200, "Unknown server 'nobody'")


def test_inactive_server(three):
    done = three.walden("archive-wal", "asleep")
    assert (done.returncode, done.stdout) == (0, "Skipping inactive server 'asleep'\n")
    done = three.walden("rebuild-xlogdb", "asleep")
    assert (done.returncode, done.stdout) == (0, "Skipping inactive server 'asleep'\n")
    (three.path / "asleep" / "wals" / SEGMENT[:16]).mkdir(parents=True)
    make_wal(three.path / "asleep" / "wals" / SEGMENT[:16], SEGMENT)
    assert three.walden("get-wal", "asleep", SEGMENT, binary=True).returncode == 0


@pytest.mark.parametrize("command,code", [("archive-wal", 1), ("rebuild-xlogdb", 1), ("get-wal", 200)])
def test_disabled_server(three, command, code):
    name = [SEGMENT] if command == "get-wal" else []
    done = three.walden(command, "broken", *name)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("ERROR: ")
    assert three.walden("show-servers", "broken").returncode == 0


def test_rebuild_shows_its_progress_on_a_terminal(home):
    make_wal(home.incoming, SEGMENT)
    home.archive()
    ours, theirs = pty.openpty()
    done = subprocess.run([WALDEN, "-c", home.conf, "rebuild-xlogdb", "main"], stdout=subprocess.PIPE, stderr=theirs,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    os.close(theirs)
    assert done.returncode == 0 and b"files so far" not in done.stdout
    assert b"0 files so far" in os.read(ours, 65536)
    os.close(ours)


def test_rebuild_of_all_goes_on_after_a_disabled_server(three):
    done = three.walden("rebuild-xlogdb", "all")
    assert done.returncode == 1
    assert "Done rebuilding xlogdb for server main" in done.stdout
    assert "Skipping inactive server 'asleep'" in done.stdout


# Quiet, colours, the log


def test_quiet(home):
    make_wal(home.incoming, SEGMENT)
    done = home.walden("-q", "archive-wal", "main")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert home.names() == [SEGMENT]
    assert home.walden("-q", "-f", "json", "list-servers").stdout == ""
    assert "Unknown server" in home.walden("-q", "show-servers", "x").stderr


@pytest.mark.parametrize("when,coloured", [("always", True), ("never", False), ("auto", False)])
@pytest.mark.parametrize("option", ["--color", "--colour"])
def test_colour(home, option, when, coloured):
    done = home.walden(option, when, "show-servers", "x")
    assert ("\033[31m" in done.stderr) == coloured


def test_one_failure_is_one_line_of_the_log(home):
    home.globals["log_file"] = home.path / "deep" / "er" / "walden.log"
    home.configure(restore_deadline=0)
    done = home.walden("get-wal", "main", SEGMENT)
    assert done.returncode == 200  # empty archive without a catalog
    log = (home.path / "deep" / "er" / "walden.log").read_text().splitlines()
    errors = [line for line in log if " ERROR: " in line]
    assert len(errors) == 1 and SEGMENT in errors[0]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[\d+\] \S+ ERROR: ", errors[0])
    assert len(done.stderr.splitlines()) == 1


def test_log_goes_to_stderr_without_a_file_and_says_it_once(home):
    home.globals["log_file"] = None
    home.configure(restore_deadline=0)
    done = home.walden("get-wal", "main", SEGMENT)
    assert sum(SEGMENT in line and "ERROR" in line for line in done.stderr.splitlines()) == 1


def test_unwritable_log_file(home):
    home.globals["log_file"] = home.conf / "walden.log"  # below a file
    home.configure()
    make_wal(home.incoming, SEGMENT)
    done = home.archive()
    assert done.returncode == 0
    assert home.names() == [SEGMENT]
    assert sum("walden.log" in line for line in done.stderr.splitlines()) == 1
    assert done.stderr.startswith("WARNING: ")


@pytest.mark.parametrize(
    "level,option,shows",
    [("ERROR", None, False), ("INFO", None, True), (None, None, True), ("ERROR", "INFO", True),
     ("INFO", "CRITICAL", False), ("40", None, False), ("20", None, True)],
)
def test_log_level(home, level, option, shows):
    home.globals["log_level"] = level
    home.configure()
    make_wal(home.incoming, SEGMENT)
    options = ["--log-level", option] if option else []
    assert home.walden(*options, "archive-wal", "main").returncode == 0
    assert ("1 files archived" in home.log_text()) == shows


def test_bad_log_level_is_a_warning(home):
    home.globals["log_level"] = "LOUD"
    home.configure()
    done = home.walden("list-servers")
    assert done.returncode == 0 and "LOUD" in done.stderr and "log_level" in done.stderr


# The configuration


@pytest.mark.parametrize("command,code", [(["archive-wal", "main"], 1), (["list-servers"], 1),
                                          (["get-wal", "main", SEGMENT], 200)])
@pytest.mark.parametrize(
    "text,words",
    [
        (None, ["No such file"]),
        ("[barman]\nbarman_home = /tmp\nnonsense\n", [":3:"]),
        ("barman_home = /tmp\n", [":1:"]),
        ("[main]\narchiver = on\n", ["[barman]"]),
        ("[barman]\n", ["barman_home"]),
        ("[barman]\nbarman_home = /tmp\n[all]\n", [":3:", "all"]),
        ("[barman]\nbarman_home = /tmp\n\0\n", ["not a text file"]),
    ],
)
def test_broken_configuration(workdir, text, words, command, code):
    conf = workdir / "x.conf"
    if text is not None:
        conf.write_text(text)
    done = failed_on_stderr(run("-c", conf, *command), code, str(conf), *words)
    assert len(done.stderr.splitlines()) == 1
    answer = run("-f", "json", "-c", conf, *command)
    assert answer.returncode == code
    assert not [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
    assert str(conf) in json.loads(answer.stdout)["_ERROR"][0]


@pytest.mark.skipif(not TESTS_RUN_AS_ROOT, reason="needs another account")
def test_unreadable_configuration(home):
    home.conf.chmod(0o600)
    done = execute([*as_user(), WALDEN, "-c", home.conf, "list-servers"])
    failed_on_stderr(done, 1, str(home.conf), "Permission denied")


def test_directory_as_configuration(workdir):
    failed_on_stderr(run("-c", workdir, "list-servers"), 1, str(workdir))


def test_broken_configuration_of_get_wal_with_barmans_codes(workdir):
    done = run("-c", workdir / "none", "get-wal", "--barman-exit-codes", "main", SEGMENT)
    assert done.returncode == 1


def test_broken_configuration_of_get_wal_on_a_standby(workdir):
    """A code above 125 would end a running standby; it asks again by itself."""
    (workdir / "standby.signal").touch()
    done = run("-c", workdir / "none", "get-wal", "main", SEGMENT, cwd=workdir)
    assert done.returncode == 1


def test_environment_names_the_configuration(home):
    done = run("list-servers", env={**os.environ, "BARMAN_CONFIG_FILE": str(home.conf)})
    assert done.stdout == "main - test\n"


def test_unknown_option_is_a_warning_with_the_nearest_name(home):
    home.configure(compresion="gzip")
    done = home.walden("list-servers")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert re.match(rf"WARNING: {home.conf}:\d+: .*'compresion'.*'?compression'?", done.stderr)


def test_home_that_belongs_to_somebody_else(workdir):
    home = Home(workdir / "home")
    home.globals["barman_user"] = "no-such-account"
    home.configure()
    failed_on_stderr(home.walden("archive-wal", "main"), 1, "no-such-account", "barman_user")


# Output that cannot be written


@pytest.mark.parametrize("command", [["list-servers"], ["--version"], ["--help"], ["show-servers", "all"]])
def test_full_disk_under_standard_output(home, command):
    with open("/dev/full", "wb") as full, started([WALDEN, "-c", home.conf, *command], stdout=full) as p:
        assert p.wait(20) != 0


@pytest.mark.parametrize("close", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_descriptors_never_get_into_the_archive(home, close):
    """A file that is opened as descriptor 1 or 2 would take what is printed."""
    home.globals["log_file"] = None
    home.configure(compression="gzip")
    data = make_wal(home.incoming, SEGMENT).read_bytes()
    (home.incoming / "junk").touch()
    execute(["sh", "-c", f"{WALDEN} -c {home.conf} archive-wal main {close}"])
    assert home.names() == [SEGMENT]
    assert home.get(SEGMENT).stdout == data
    for file in [home.xlogdb, *home.path.glob(".*.lock")]:
        assert "Processing" not in file.read_text() and "walden" not in file.read_text()


@pytest.mark.parametrize(
    "conninfo, shown",
    [
        ("host=h password='s3 cret' user=u", "host=h password=*REDACTED* user=u"),
        ("postgresql://u:s3cret@h/d", "postgresql://u:*REDACTED*@h/d"),
    ],
)
def test_show_servers_hides_passwords(home, conninfo, shown):
    home.configure(conninfo=conninfo, streaming_conninfo=None)
    done = home.walden("show-servers", "main")
    assert f"\tconninfo: {shown}\n" in done.stdout
    assert f"\tstreaming_conninfo: {shown}\n" in done.stdout
    answer = json.loads(home.walden("-f", "json", "show-servers", "main").stdout)["main"]
    assert answer["conninfo"] == answer["streaming_conninfo"] == shown
