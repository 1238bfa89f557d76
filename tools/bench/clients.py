# SPDX-License-Identifier: PostgreSQL
"""What a call of the clients costs beyond ssh itself: `ssh` is a script that runs the far side's command
here, and the same way with cat and sync in place of our programs is the yardstick."""

import shlex
import statistics
import subprocess
import time

from common import GOAL_HEAD, fresh, goal, machine, tell
from home import Home
from parcels import Far, called
from wal import MIB, make_wal, segment_names

GOAL_MS = 5
KINDS = ["history file", "segment of 1 MB", "segment of 16 MB"]


def prepare(site, kind, count):
    """The files to be sent, and their names."""
    if kind == KINDS[0]:
        names = [f"{number:08X}.history" for number in range(2, count + 2)]
        for name in names:
            (site / name).write_text("1\t0/3000000\tno recovery target specified\n")
        return names
    size = MIB if kind == KINDS[1] else 16 * MIB
    names = segment_names(1, 1, seg_size=size)
    make_wal(site, names[0], size)
    return names * count


def clocked(command, env):
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", f"exec {command}"], env=env, check=True, stdin=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - begun)


def measure(place, kind, runs):
    """Milliseconds of each call, by what was called."""
    directory = fresh(place / "clients")
    home = Home(directory / "home")
    far = Far(directory, home)
    archive, restore = (called(directory, f"barman-wal-{word}") for word in ("archive", "restore"))
    taken = {"sent with cat": [], "barman-wal-archive": [], "fetched with cat": [], "barman-wal-restore": []}
    to = directory / "to"
    for name in prepare(directory, kind, runs):
        file, there = directory / name, home.incoming / name
        cat = f"cat > {there}.tmp && sync {there}.tmp && mv {there}.tmp {there} && sync {home.incoming}"
        taken["sent with cat"].append(clocked(f"ssh host {shlex.quote(cat)} < {file}", far.env))
        there.unlink()
        taken["barman-wal-archive"].append(clocked(f"{archive} host main {file}", far.env))
        cat = f"ssh host {shlex.quote(f'cat {there}')} > {to}.tmp && sync {to}.tmp && mv {to}.tmp {to} && sync {directory}"
        taken["fetched with cat"].append(clocked(f"sh -c {shlex.quote(cat)}", far.env))
        taken["barman-wal-restore"].append(clocked(f"{restore} host main {name} {to}", far.env))
        there.unlink()
    return {what: statistics.median(times) for what, times in taken.items()}


def report(place, options):
    tell("clients")
    runs = max(21, 7 * options.runs)
    lines = [f"Medians of {runs} calls, {machine()}.", "",
             "| file | sent with cat, ms | barman-wal-archive | more | fetched with cat | barman-wal-restore | more |",
             "|---|--:|--:|--:|--:|--:|--:|"]
    goals = []
    for kind in KINDS:
        found = measure(place, kind, runs)
        sent, archived, fetched, restored = found.values()
        lines.append(f"| {kind} | {sent:.1f} | {archived:.1f} | {archived - sent:.1f} | "
                     f"{fetched:.1f} | {restored:.1f} | {restored - fetched:.1f} |")
        if kind == KINDS[0]:  # what a call costs, and not its file
            goals = [goal(f"barman-wal-{word}, {KINDS[0]}: under {GOAL_MS} ms beyond ssh", more, more < GOAL_MS)
                     for word, more in (("archive", archived - sent), ("restore", restored - fetched))]
    return [*lines, "", *GOAL_HEAD, *goals]
