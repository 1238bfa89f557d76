# SPDX-License-Identifier: PostgreSQL
"""Archives to an S3 server (Ceph's, on this machine) and restores from it: with Walden, pgBackRest,
Barman's barman-cloud-wal-archive and curl, near by and from afar."""

import os
import pathlib
import shlex
import shutil
import statistics
import subprocess

from common import GOAL_HEAD, MB, fresh, goal, machine, pg, sha256, tell, version  # first: finds the others
from archiving import Bench
from bucket import Bucket
from contenders import CODECS, PgBackRest, Walden, copy
from home import WALDEN
from objectstore import Ceph
from roundtrips import Distance

ZSTD = next(codec for codec in CODECS if codec.name == "zstd")
BARMAN_SEGMENTS = 6  # Barman is called for so many, and its time scaled
CALLS, BARMAN_CALLS = 15, 3
BUCKET, TRIPS, RESTORE_TRIP, AHEAD = "bench", (0.02, 0.08), 0.05, 16


def keys_of(names, server="main", extension=".zst"):
    return {name: f"{server}/wals/{name[:16]}/{name}{extension}" for name in names}


class CloudWalden(Walden):
    """Walden with its archive in the bucket, by TLS as pgBackRest."""

    name = "walden"
    bucket = None

    def options(self):
        return {
            **super().options(), "wals_directory": f"s3://{BUCKET}",
            "cloud_endpoint_url": self.bucket.server.secure_url, "cloud_ca_file": self.bucket.server.ca,
        }

    def objects(self):
        return keys_of(self.names)


class CloudPgBackRest(PgBackRest):
    """pgBackRest with its repository there."""

    bucket = None

    def prepare(self):
        self.repository = (
            f"repo1-type=s3\nrepo1-path=/pgbackrest\nrepo1-s3-bucket={BUCKET}\n"
            f"repo1-s3-endpoint=s3.localhost\nrepo1-storage-host=127.0.0.1\n"
            f"repo1-storage-port={self.bucket.server.secure_port}\nrepo1-s3-region={self.bucket.server.region}\n"
            f"repo1-s3-uri-style=path\nrepo1-storage-verify-tls=n\n"
            f"repo1-s3-key={self.bucket.env['AWS_ACCESS_KEY_ID']}\n"
            f"repo1-s3-key-secret={self.bucket.env['AWS_SECRET_ACCESS_KEY']}"
        )
        super().prepare()

    def objects(self):
        found = self.bucket.keys("pgbackrest/archive/main/")
        return {key.rsplit("/", 1)[1][:24]: key for key in found if "/0" in key}


class CloudBench(Bench):
    def __init__(self, place, segments, runs, bucket):
        super().__init__(place, segments, runs)
        self.bucket, self.server = bucket, bucket.server
        self.program = fresh(place / "programs") / "barman-cloud-wal-archive"
        self.program.symlink_to(WALDEN)

    def check(self, who, objects, unpack=ZSTD.unpack):
        """What the store has decodes to the bytes that were given."""
        path = self.place / "object"
        for name, key in objects.items():
            path.write_bytes(self.bucket.get(key))
            if sha256(unpack, path) != self.sums[name]:
                raise RuntimeError(f"{who}: '{key}' decodes to other bytes")

    def seconds(self, command):
        return self.measure(command, self.place / "output")[0]

    # (a) Many segments

    def many(self):
        """{program: (median seconds for one segment, how many were measured)}"""
        names = list(self.sums)
        found = {"walden archive-wal": [], "pgbackrest": [], "barman-cloud-wal-archive": []}
        for run in range(self.runs):
            for label, kind in (("walden archive-wal", CloudWalden), ("pgbackrest", CloudPgBackRest)):
                self.bucket.empty()
                contender = kind(self.place, self.wal, names, ZSTD)
                contender.prepare()
                found[label].append(self.seconds(contender.command()) / len(names))
                objects = contender.objects()
                if sorted(objects) != names:
                    raise RuntimeError(f"{label} did not archive all segments")
                self.check(label, objects)
                tell(f"cloud {label}, run {run + 1}: {found[label][-1] * len(names):.3f} s")
            self.bucket.empty()
            some = names[:BARMAN_SEGMENTS]
            script = "; ".join(
                " ".join(map(str, [*self.barman(self.server.url, "main"), self.wal / name])) + " || exit 1"
                for name in some
            )
            found["barman-cloud-wal-archive"].append(self.seconds(["sh", "-c", script]) / len(some))
            self.check("Barman", keys_of(some, extension=""), ["cat"])
        counts = [len(names), len(names), BARMAN_SEGMENTS]
        return {
            label: (statistics.median(each), count)
            for (label, each), count in zip(found.items(), counts)
        }

    # (b) One call

    def barman(self, url, server):
        return ["/usr/bin/barman-cloud-wal-archive", "--endpoint-url", url, f"s3://{BUCKET}", server]

    def ours(self, url, server, *options):
        return [self.program, *options, "--endpoint-url", url, f"s3://{BUCKET}", server]

    def curl(self, path, key):
        return [
            "curl", "-sf", "--aws-sigv4", f"aws:amz:{self.server.region}:s3", "-u",
            f"{self.bucket.env['AWS_ACCESS_KEY_ID']}:{self.bucket.env['AWS_SECRET_ACCESS_KEY']}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T", path,
            f"{self.server.url}/{BUCKET}/{key}",
        ]

    def one(self):
        """{program: median seconds}; and the compressed segment's size."""
        name = next(iter(self.sums))
        plain, packed = self.wal / name, fresh(self.place / "packed") / name
        subprocess.run(["zstd", "-q", "-4", plain, "-o", packed], check=True)
        pg.give(packed)
        temporary = packed.with_name("packed")
        pack = f"zstd -q -4 -f {plain} -o {temporary} && exec {{}}"
        url, found = self.server.url, {}
        self.bucket.empty()
        for call in range(CALLS):
            commands = {
                "curl, the compressed file": self.curl(packed, f"curl{call}"),
                "walden, the compressed file": [*self.ours(url, f"packed{call}"), packed],
                "zstd -4 and curl": ["sh", "-c", pack.format(
                    shlex.join(map(str, self.curl(temporary, f"both{call}"))))],
                "walden --zstd": [*self.ours(url, f"plain{call}", "--zstd"), plain],
            }
            if call < BARMAN_CALLS:
                commands["barman"] = [*self.barman(url, f"barman{call}"), plain]
            for label, command in commands.items():
                found.setdefault(label, []).append(self.seconds(command))
        for server in (f"packed{CALLS - 1}", f"plain{CALLS - 1}"):
            self.check(server, keys_of([name], server))
        return {label: statistics.median(each) for label, each in found.items()}, packed.stat().st_size

    # (c) From afar

    def afar(self):
        """[(program, round trip, requests, connections, seconds)], each for one segment."""
        name = next(iter(self.sums))
        rows = []
        for trip in TRIPS:
            self.bucket.empty()
            for label, command in (
                ("walden --zstd", lambda url: self.ours(url, "main", "--zstd")), ("barman", None)
            ):
                with Distance(self.server.port, trip) as far:
                    command = command or (lambda url: self.barman(url, "barman"))
                    taken = self.seconds([*command(far.url), self.wal / name])
                    rows.append((label, trip, far.methods(), far.connections, taken))
        return rows

    # (d) Back again

    def back(self):
        """{how: median seconds for all segments}"""
        names = list(self.sums)
        self.bucket.empty()
        archive = CloudWalden(self.place, self.wal, names, ZSTD)
        archive.prepare()
        self.seconds(archive.command())
        target = self.place / "recovery"
        found = {"get-wal": [], f"get-wal --prefetch {AHEAD}": []}
        with Distance(self.server.port, RESTORE_TRIP) as far:
            archive.home.configure(cloud_endpoint_url=far.url, cloud_ca_file=None)
            for _ in range(self.runs):
                for how in found:
                    fresh(target)  # as PostgreSQL removes what it has replayed
                    shutil.rmtree(archive.home.directory / "prefetch", ignore_errors=True)
                    script = f"cd {target} && for s in {' '.join(names)}; do " \
                        f"{WALDEN} -c {archive.home.conf} {how} main $s >$s || exit 1; done"
                    found[how].append(self.seconds(["sh", "-c", script]))
                    for name in names:
                        if sha256(["cat"], target / name) != self.sums[name]:
                            raise RuntimeError(f"{how} gave other bytes for '{name}'")
                    tell(f"cloud {how}: {found[how][-1]:.3f} s")
        return {how: statistics.median(each) for how, each in found.items()}


# The report


def tables(bench, many, one, size, afar, back):
    count = len(bench.sums)
    yield from ["| program | measured segments | s for one | walden's / its |", "|---|--:|--:|--:|"]
    ours = many["walden archive-wal"][0]
    for label, (each, measured) in many.items():
        yield f"| {label} | {measured} | {each:.4f} | {ours / each:.2f} |"
    yield from ["", f"One call for one segment, {size / MB:.1f} MB when it is compressed:", ""]
    yield from ["| what | s | its / curl's |", "|---|--:|--:|"]
    for label, taken in one.items():
        yield f"| {label} | {taken:.4f} | {taken / one['curl, the compressed file']:.2f} |"
    yield from ["", "One call, with round trips that take their time:", ""]
    yield from ["| what | round trip, ms | requests | connections | s |", "|---|--:|---|--:|--:|"]
    for label, trip, methods, connections, taken in afar:
        asked = ", ".join(f"{n} {method}" for method, n in methods.items())
        yield f"| {label} | {trip * 1000:.0f} | {asked} | {connections} | {taken:.3f} |"
    yield from ["", f"{count} segments back, with round trips of {RESTORE_TRIP * 1000:.0f} ms:", ""]
    yield from ["| how | s |", "|---|--:|"]
    for how, taken in back.items():
        yield f"| {how} | {taken:.3f} |"


def goals(many, one, afar, back):
    yield from GOAL_HEAD
    ours = many["walden archive-wal"][0]
    ratio = many["pgbackrest"][0] / ours
    yield goal("archiving: at least as fast as pgBackRest", ratio, ratio >= 1)
    ratio = many["barman-cloud-wal-archive"][0] / ours
    yield goal("archiving: Barman takes at least 10 times as long", ratio, ratio >= 10)
    ratio = one["walden, the compressed file"] / one["curl, the compressed file"]
    yield goal("one call: at most 1.5 times curl, the same bytes", ratio, ratio <= 1.5)
    ratio = one["walden --zstd"] / one["zstd -4 and curl"]
    yield goal("one call: at most 1.5 times zstd and curl", ratio, ratio <= 1.5)
    most = max(sum(methods.values()) for label, _, methods, _, _ in afar if label == "walden --zstd")
    yield goal("requests for a segment: one", most, most == 1)
    slow, fast = back.values()
    yield goal("restoring: at least 5 times as fast with --prefetch", slow / fast, slow / fast >= 5)


def report(place, options):
    """Measures, and yields the lines of the report."""
    directory = pg.short_directory("walden-bench-")
    try:
        with Ceph(directory / "ceph") as server:
            bucket = Bucket(server, BUCKET)
            os.environ.update(bucket.env, HOME=str(place))
            pathlib.Path(server.ca).chmod(0o644)
            CloudWalden.bucket = CloudPgBackRest.bucket = bucket
            bench = CloudBench(place, options.segments, options.runs, bucket)
            bench.make_wal()
            # First: after many segments the store goes on tidying up, on our processors.
            one, size = bench.one()
            many = bench.many()
            afar, back = bench.afar(), bench.back()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    total = sum((bench.wal / name).stat().st_size for name in bench.sums) / MB
    yield (
        f"{len(bench.sums)} segments, {total:,.0f} MB, median of {options.runs} runs. {machine()}; "
        f"Barman {version('barman', '--version')}, pgBackRest {version('pgbackrest', 'version')}, "
        f"curl {version('curl', '--version')}, Ceph {version('ceph', '--version')}."
    )
    yield from ["", *tables(bench, many, one, size, afar, back)]
    yield from ["", *goals(many, one, afar, back)]
