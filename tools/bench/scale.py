# SPDX-License-Identifier: PostgreSQL
"""Archives of a million segments: what commands cost there, beside an empty archive and Barman."""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass

import catalog
from common import GOAL_HEAD, fresh, goal, machine, tell, version
from home import BARMAN, BUILT
from wal import make_wal, segment_name

ROWS, FILES, DELETED = 1_000_000, 12_000, 10_000
REPEATS = 20  # of what takes milliseconds


@dataclass
class Cost:
    wall: float
    cpu: float
    peak: float  # MB


def run(program, home, *args):
    begun = time.monotonic()
    with subprocess.Popen(
        [program, "-c", home / "walden.conf", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        message = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)
    if process.returncode and args[0] not in ("check", "status"):  # there is no server to be asked
        raise RuntimeError(f"{program} {' '.join(map(str, args))}: {message.decode()}")
    return cost


def median(costs):
    return Cost(*(statistics.median(values) for values in zip(*((c.wall, c.cpu, c.peak) for c in costs))))


def archive_one(program, homes, number):
    """One more segment in each of the homes, in turns; {home: cost}."""
    costs = {home: [] for home in homes}
    for repeat in range(REPEATS):
        for home in homes if repeat % 2 else homes[::-1]:
            make_wal(home / "main" / "incoming", segment_name(number + repeat))
            os.sync()
            costs[home].append(run(program, home, "archive-wal", "main"))
    return {home: median(found) for home, found in costs.items()}


def repeated(program, home, *args, times=3):
    return median([run(program, home, *args) for _ in range(times)])


def measure(place):
    """{(command, program, archive): cost}"""
    big, small, theirs = place / "big", place / "small", place / "barman"
    tell(f"Making catalogues of {ROWS} rows in {place}.")
    catalog.make(fresh(big), ROWS, FILES)
    catalog.make(fresh(small), 0, 0)
    catalog.make(fresh(theirs), ROWS, 0, "xlog.db", "None")
    found = {}
    for home, cost in archive_one(BUILT, [big, small], ROWS).items():
        found["archive-wal, one more", "walden", home.name] = cost
    found["archive-wal, one more", "barman", "big"] = archive_one(BARMAN, [theirs], ROWS)[theirs]
    for home, name in ((big, segment_name(FILES - 1)), (small, segment_name(ROWS))):
        found["get-wal", "walden", home.name] = repeated(BUILT, home, "get-wal", "main", name, times=REPEATS)
    for command in ("status", "check"):
        found[command, "walden", "big"] = repeated(BUILT, big, command, "main")
        found[command, "barman", "big"] = repeated(BARMAN, theirs, command, "main")
    found["show-wals", "walden", "big"] = repeated(BUILT, big, "show-wals", "main")
    found[f"delete-wals of {DELETED:,}", "walden", "big"] = run(
        BUILT, big, "delete-wals", "main", "--before", segment_name(DELETED)
    )
    return found


def report(place, _):
    found = measure(place / "scale")
    lines = [
        f"{ROWS:,} segments in the catalog (small: none). {machine()}; Barman {version(BARMAN, '--version')}.",
        "",
        "| command | program | archive | wall s | CPU s | peak MB |",
        "|---|---|---|--:|--:|--:|",
    ]
    for (command, program, archive), cost in found.items():
        lines.append(f"| {command} | {program} | {archive} | {cost.wall:.4f} | {cost.cpu:.4f} | {cost.peak:.1f} |")

    def ratio(command):
        return found[command, "walden", "big"].wall / found[command, "walden", "small"].wall

    deletion = found[f"delete-wals of {DELETED:,}", "walden", "big"]
    lines += ["", *GOAL_HEAD]
    one = ratio("archive-wal, one more")
    lines.append(goal("one more segment: at most 1.05 of what it costs in an empty archive", one, one <= 1.05))
    for command, limit in (("status", 0.2), ("check", 0.2), ("show-wals", 1)):
        wall = found[command, "walden", "big"].wall
        lines.append(goal(f"{command}: under {limit} s", wall, wall < limit))
    lines.append(goal(f"delete-wals of the oldest {DELETED:,}: under 2 s", deletion.wall, deletion.wall < 2))
    lines.append(goal("the same: under 64 MB of memory", deletion.peak, deletion.peak < 64))
    return lines
