# SPDX-License-Identifier: PostgreSQL
"""Archives the same pgbench WAL with Walden, Barman, pgBackRest and the bare codecs."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
from dataclasses import dataclass

from common import GOAL_HEAD, MB, fresh, goal, machine, pg, sha256, tell, version
from contenders import CODECS, CONTENDERS, WORKERS, Barman, Walden

GETS = 20  # get-wal is too short to be measured once


@dataclass
class Result:
    """One contender with one codec: medians of all runs."""

    wall: float
    cpu: float
    peak: float  # MB
    size: float  # MB stored


class Bench:
    def __init__(self, place, segments, runs):
        self.place, self.segments, self.runs = place, segments, runs
        self.wal = place / "wal"
        self.measurer = place / "measure"
        self.sums = {}

    # What is archived

    def make_wal(self):
        """The WAL of pgbench at work, made once; and the stopped cluster that it belongs to."""
        source = pathlib.Path(__file__).with_name("measure.c")
        subprocess.run(["cc", "-O2", "-Wall", "-o", self.measurer, source], check=True)
        known = self.place / "sums.json"
        if known.exists():
            self.sums = json.loads(known.read_text())
        if len(self.sums) < self.segments:
            tell(f"Making {self.segments} segments of WAL in {self.place}, once.")
            self.sums = self.run_pgbench()
            known.write_text(json.dumps(self.sums, indent=1))
        self.sums = dict(sorted(self.sums.items())[: self.segments])
        for name, digest in self.sums.items():
            if sha256(["cat"], self.wal / name) != digest:
                raise RuntimeError(f"'{self.wal / name}' has changed; remove '{self.place}'")

    def run_pgbench(self):
        fresh(self.wal)
        directory = pg.short_directory("walden-bench-")
        archive = fresh(directory / "archive")
        with pg.Postgres(directory, wal_segsize=16, archive_to=archive, synchronous_commit="off") as server:
            where = ["-h", server.directory, "-p", server.port, "-U", "postgres", "postgres"]
            server.program("pgbench", "-i", "-q", "-s", "20", *where)
            server.wait_archived(server.switch_wal())
            for path in archive.iterdir():
                path.unlink()
            while len(list(archive.glob("0*"))) < self.segments:
                server.program("pgbench", "-n", "-c", "8", "-j", "2", "-T", "10", *where)
            server.stop()
        names = sorted(path.name for path in archive.glob("0*"))[: self.segments]
        for name in names:
            shutil.move(archive / name, self.wal / name)
        shutil.rmtree(self.place / "data", ignore_errors=True)
        subprocess.run(["mv", directory / "data", self.place / "data"], check=True)
        shutil.rmtree(directory)
        return {name: sha256(["cat"], self.wal / name) for name in names}

    # Measuring

    def measure(self, command, output):
        """(wall, cpu, peak MB) of one run."""
        figures = fresh(self.place / "figures") / "figures"
        os.sync()
        with open(output, "wb") as out:
            done = subprocess.run(
                pg.as_owner(self.measurer, figures, *command), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.PIPE, cwd=self.place, check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()}")
        wall, cpu, kilobytes = figures.read_text().split()
        return float(wall), float(cpu), int(kilobytes) * 1024 / MB

    @staticmethod
    def in_turn(codec):
        """What is over in some milliseconds depends on the disk's mood: more of it."""
        return [*CONTENDERS, *([Walden] * 4 if codec.name == "none" else [])]

    def archive(self, codec):
        """All contenders with one codec, in turns; {name: Result}."""
        found = {kind.name: [] for kind in CONTENDERS}
        for run in range(self.runs):
            for kind in self.in_turn(codec):
                contender = kind(self.place, self.wal, list(self.sums), codec)
                contender.prepare()
                figures = self.measure(contender.command(), self.place / "output")
                stored = contender.stored()
                self.verify(contender.name, codec, stored)
                size = sum(path.stat().st_size for path in stored.values()) / MB
                found[kind.name].append((*figures, size))
                tell(f"{codec.name:5}{kind.name:11}run {run + 1}: {figures[0]:7.3f} s")
        return {name: Result(*map(statistics.median, zip(*runs))) for name, runs in found.items()}

    def verify(self, name, codec, stored):
        """What was stored decodes to the bytes that were given."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            digests = pool.map(lambda path: sha256(codec.unpack, path), stored.values())
            for segment, digest in zip(stored, digests):
                if digest != self.sums[segment]:
                    raise RuntimeError(f"{name}, {codec.name}: '{segment}' decodes to other bytes")

    def retrieve(self, codec):
        """One segment back: {name: Result}, seconds for one of GETS in a row."""
        archives = {kind.name: kind(self.place, self.wal, list(self.sums)[:1], codec) for kind in (Walden, Barman)}
        for archiver in archives.values():
            archiver.prepare()
            self.measure(archiver.command(), self.place / "output")
        segment, path = next(iter(archives["walden"].stored().items()))
        commands = {name: archiver.get_command(segment) for name, archiver in archives.items()}
        commands["bare tool"] = [*codec.unpack, path]
        found = {name: [] for name in commands}
        for _ in range(self.runs):
            for name, command in commands.items():
                line = " ".join(str(word) for word in command)
                output = self.place / "segment"
                pg.give(self.place)
                loop = f"for i in $(seq {GETS}); do {line} >{output} || exit 1; done"
                wall, cpu, peak = self.measure(["sh", "-c", loop], self.place / "output")
                if sha256(["cat"], output) != self.sums[segment]:
                    raise RuntimeError(f"{name}: get-wal gave other bytes")
                found[name].append((wall / GETS, cpu / GETS, peak, path.stat().st_size / MB))
        return {name: Result(*map(statistics.median, zip(*runs))) for name, runs in found.items()}


# The report


def archive_table(results, count, total):
    yield f"| codec | program | wall s | walden's / its | MB/s | segments/s | CPU s | peak MB | stored MB |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for codec, row in results.items():
        ours = row["walden"].wall
        for name, r in row.items():
            yield (
                f"| {codec} | {name} | {r.wall:.3f} | {ours / r.wall:.2f} | {total / r.wall:,.0f} "
                f"| {count / r.wall:,.1f} | {r.cpu:.2f} | {r.peak:.1f} | {r.size:.1f} |"
            )


def retrieve_table(row):
    yield "| program | one segment, s | walden's / its | CPU s | peak MB |"
    yield "|---|--:|--:|--:|--:|"
    for name, r in row.items():
        yield f"| {name} | {r.wall:.3f} | {row['walden'].wall / r.wall:.2f} | {r.cpu:.3f} | {r.peak:.1f} |"


def goal_table(results, back, count):
    """What we want to reach, and what this run shows."""
    yield from GOAL_HEAD
    for codec in ("zstd", "lz4"):
        if codec in results:
            ratio = results[codec]["walden"].wall / results[codec]["bare tool"].wall
            yield goal(f"{codec}: at most 0.85 of the bare tool's time", ratio, ratio <= 0.85)
    if "gzip" in results:
        ours, theirs = results["gzip"]["walden"], results["gzip"]["pgbackrest"]
        yield goal("gzip: at most 0.40 of pgBackRest's time", ours.wall / theirs.wall, ours.wall <= 0.4 * theirs.wall)
        size = ours.size / theirs.size
        yield goal("gzip: size within 3 % of pgBackRest's", size, size <= 1.03)
    if "none" in results:
        rate = count / results["none"]["walden"].wall
        yield goal("none: over 2,000 segments a second", rate, rate > 2000)
    if "zstd" in results:
        ours = results["zstd"]["walden"].wall
        for name, text, least in (("pgbackrest", "pgBackRest", 2), ("barman", "Barman", 3.2)):
            ratio = results["zstd"][name].wall / ours
            yield goal(f"zstd: {text} takes at least {least} times as long", ratio, ratio >= least)
    if back:
        ratio = back["walden"].wall / back["bare tool"].wall
        yield goal("get-wal: at most 1.3 times `zstd -d`", ratio, ratio <= 1.3)


def programs():
    return (
        f"Barman {version('barman', '--version')}, pgBackRest {version('pgbackrest', 'version')}, "
        f"zstd {version('zstd', '--version')}, lz4 {version('lz4', '--version')}, "
        f"gzip {version('gzip', '--version')}"
    )


def report(place, options):
    """Measures, and yields the lines of the report."""
    bench = Bench(place, options.segments, options.runs)
    bench.make_wal()
    chosen = [codec for codec in CODECS if codec.name in options.codecs]
    results = {codec.name: bench.archive(codec) for codec in chosen}
    back = next((bench.retrieve(codec) for codec in chosen if codec.name == "zstd"), None)
    count = len(bench.sums)
    total = sum((bench.wal / name).stat().st_size for name in bench.sums) / MB
    yield f"{count} segments, {total:,.0f} MB, median of {options.runs} runs. {machine()}; {programs()}."
    yield from ["", *archive_table(results, count, total)]
    if back:
        yield from ["", "One segment stored with zstd, back to a file:", "", *retrieve_table(back)]
    yield from ["", *goal_table(results, back, count)]
