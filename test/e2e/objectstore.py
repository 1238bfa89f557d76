# SPDX-License-Identifier: PostgreSQL
"""Real object stores on this machine, Debian's packages, for the tests and the benchmarks: Ceph's
RADOS gateway, which speaks S3, and OpenStack Swift with its S3 interface, a second opinion on every
signature. They listen on 127.0.0.1 only and end with the calling program.
"""

import base64
import contextlib
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from ports import free_port

SECRET = "walsecretwalsecret0123456789abcdef"


def self_signed(directory):
    """A certificate for localhost and 127.0.0.1, with its key in the same file."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


class Server:
    """Several daemons in one directory; to be used by `with`."""

    region = "us-east-1"

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.daemons = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def run(self, *command, **kw):
        """A program that must succeed; what it prints."""
        done = subprocess.run(
            [str(word) for word in command], env=self.environment(), cwd=self.directory,
            capture_output=True, text=True, errors="replace", timeout=120, check=False, **kw,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def daemon(self, name, *command):
        with open(self.directory / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *(str(word) for word in command)],
                env=self.environment(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait(self, name, condition, timeout=120):
        deadline = time.monotonic() + timeout
        while not condition():
            out = (self.directory / f"{name}.out").read_text(errors="replace")[-2000:]
            assert self.daemons[name].poll() is None, f"{name} ended: {out}"
            assert time.monotonic() < deadline, f"{name} does not answer: {out}"
            time.sleep(0.05)

    def answers(self, url):
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self):
        for process in self.daemons.values():
            process.kill()  # nothing in there is to be kept
        for process in self.daemons.values():
            process.wait()
        self.daemons = {}

    def environment(self):
        return {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": str(self.directory)}


class Ceph(Server):
    """One monitor, one OSD in memory (store="bluestore": on disk), one gateway. url, secure_url with
    the certificate `ca`, access_key."""

    access_key = "walaccess"

    def __init__(self, directory, store="memstore", size=4 << 30, classes=(), options=()):
        super().__init__(directory)
        self.store, self.size, self.classes, self.options = store, size, classes, options
        mon_v2, mon_v1, port, secure = (free_port() for _ in range(4))
        self.mon = f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]"
        self.port, self.secure_port = port, secure
        self.url, self.secure_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{secure}"
        self.fsid = str(uuid.uuid4())

    def environment(self):
        return {**super().environment(), "CEPH_CONF": str(self.directory / "ceph.conf")}

    def start(self):
        for name in ("mon", "osd", "rgw", "log"):
            (self.directory / name).mkdir(exist_ok=True)
        self.ca = self_signed(self.directory)
        (self.directory / "ceph.conf").write_text(self.configuration())
        self.run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", self.mon, "monmap")
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap")
        self.daemon("mon", "ceph-mon", "-i", "a", "-f")
        osd = str(uuid.uuid4())
        self.run("ceph", "--connect-timeout", "60", "osd", "new", osd)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, "--no-mon-config")
        self.daemon("osd", "ceph-osd", "-i", "0", "-f")
        if self.classes:
            self.run("radosgw-admin", "user", "list")  # makes the zone that they go into
        for name in self.classes:
            for what, pool in (("zonegroup", []), ("zone", ["--data-pool", "default.rgw.buckets.data"])):
                self.run("radosgw-admin", what, "placement", "add", "--placement-id",
                         "default-placement", "--storage-class", name, f"--rgw-{what}", "default", *pool)
        self.start_gateway()
        self.add_user("wal", self.access_key)

    def start_gateway(self):
        self.daemon("rgw", "radosgw", "-n", "client.rgw", "-f")
        self.wait("rgw", lambda: self.answers(self.url))

    def add_user(self, name, access_key):
        self.run("radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}",
                 f"--access-key={access_key}", f"--secret-key={SECRET}")

    def configuration(self):
        kms = base64.b64encode(bytes(32)).decode()
        return f"""
[global]
fsid = {self.fsid}
mon host = {self.mon}
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
run dir = {self.directory}
admin socket = {self.directory}/$name.asok
log file = {self.directory}/log/$name.log
crash dir = {self.directory}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
# A monitor without peers has nobody to wait for: ready after 2 seconds, not 12.
paxos propose interval = 0.05
paxos min wait = 0.01
mon data avail warn = 1
mon data avail crit = 1
[mon.a]
mon data = {self.directory}/mon
[osd]
osd data = {self.directory}/osd
osd objectstore = {self.store}
osd crush initial weight = 1
osd memory target = 1073741824
memstore device bytes = {self.size}
bluestore block size = {self.size}
bluestore block create = true
bluestore fsck on mount = false
[client]
rgw data = {self.directory}/rgw
# Else the gateway insists on an encrypted way to the monitor, for which there are no keys.
ms mon client mode = crc
rgw dns name = s3.localhost
rgw frontends = beast endpoint=127.0.0.1:{self.port} ssl_endpoint=127.0.0.1:{self.secure_port} ssl_certificate={self.ca}
rgw enable apis = s3, admin
rgw thread pool size = 32
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey-1={kms}
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw gc processor max time = 2
rgw enable usage log = false
{chr(10).join(self.options)}
"""


# Swift's own program would be started nine times for this.
RINGS = """
import ast, sys
from swift.common.ring import RingBuilder
for kind, port in map(ast.literal_eval, sys.argv[2:]):
    if kind in ("account", "container", "object"):
        builder = RingBuilder(4, 1, 0)
        builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1",
                         "weight": 1, "replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance(seed=1)
        builder.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""


class Swift(Server):
    """Swift with one replica and its S3 interface. url, access_key. The directory must be on a file
    system with user attributes."""

    access_key = "wal:acc"

    def __init__(self, directory):
        super().__init__(directory)
        names = ("proxy", "object", "container", "account", "memcached")
        self.ports = {name: free_port() for name in names}
        self.url = f"http://127.0.0.1:{self.ports['proxy']}"

    def start(self):
        for name in ("etc", "devices/d1", "cache"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        etc = self.directory / "etc"
        (etc / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
            "[storage-policy:0]\nname = one\ndefault = yes\n")
        me = self.run("id", "-un").strip()
        self.daemon("memcached", "memcached", "-u", me, "-l", "127.0.0.1", "-m", "32", "-p",
                    self.ports["memcached"])
        for kind in ("account", "container", "object"):
            (etc / f"{kind}.conf").write_text(self.store_configuration(kind, me))
        self.run("/usr/bin/python3", "-c", RINGS, etc, *map(str, self.ports.items()))
        for kind in ("account", "container", "object"):
            self.daemon(kind, f"swift-{kind}-server", etc / f"{kind}.conf")
        (etc / "proxy.conf").write_text(self.proxy_configuration(me))
        self.daemon("proxy", "swift-proxy-server", etc / "proxy.conf")
        for kind in ("account", "container", "object"):
            self.wait(kind, lambda: self.answers(f"http://127.0.0.1:{self.ports[kind]}/"))
        self.wait("proxy", lambda: self.answers(f"{self.url}/healthcheck"))

    def stop(self):
        for process in self.daemons.values():
            process.terminate()  # its workers go with it
        for process in self.daemons.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        super().stop()

    def store_configuration(self, kind, me):
        return f"""
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {self.ports[kind]}
user = {me}
swift_dir = {self.directory}/etc
devices = {self.directory}/devices
mount_check = false
workers = 1
disable_fallocate = true
recon_cache_path = {self.directory}/cache
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
replication_server = false
"""

    def proxy_configuration(self, me):
        filters = "catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth copy slo"
        extra = {
            "cache": f"memcache_servers = 127.0.0.1:{self.ports['memcached']}",
            "s3api": f"location = {self.region}\nstorage_domain = s3.localhost\ns3_acl = false\n"
                     "dns_compliant_bucket_names = true\nmin_segment_size = 5242880",
            "tempauth": f"user_wal_acc = {SECRET} .admin .reseller_admin",
        }
        uses = {"cache": "memcache"}
        sections = "\n".join(
            f"[filter:{name}]\nuse = egg:swift#{uses.get(name, name)}\n{extra.get(name, '')}"
            for name in filters.split())
        return f"""
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {self.ports['proxy']}
user = {me}
swift_dir = {self.directory}/etc
workers = 1
log_level = WARNING
[pipeline:main]
pipeline = {filters} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
{sections}
"""


def missing(*programs):
    """Those that are not installed: ./dev test installs them (tools/packages.txt)."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [name for name in programs if not shutil.which(name, path=path)]
