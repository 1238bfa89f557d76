# SPDX-License-Identifier: PostgreSQL
"""A real S3 server, Ceph's, in a directory of its own: one monitor, one store in memory and one
gateway, on free ports of 127.0.0.1 and nowhere else. It takes about two seconds to start."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid

ACCESS, SECRET = "waltest", "walsecretwalsecret0123456789abcdef"
CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}/0,v1:127.0.0.1:{mon_old}/0]
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
run dir = {path}
admin socket = {path}/$name.asok
log file = {path}/log/$name.log
crash dir = {path}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
paxos propose interval = 0.05
paxos min wait = 0.01
mon data avail warn = 1
mon data avail crit = 1
[mon.a]
mon data = {path}/mon
[osd]
osd data = {path}/osd
osd objectstore = memstore
osd crush initial weight = 1
osd memory target = 1073741824
memstore device bytes = 1073741824
[client]
rgw data = {path}/rgw
ms mon client mode = crc
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable apis = s3, admin
rgw thread pool size = 32
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw enable usage log = false
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Rgw:
    """with Rgw(directory) as s3: s3.url is the endpoint; s3.env what clients need to know."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.processes = []
        mon, mon_old, self.port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "default", "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name in ("mon", "osd", "rgw", "log"):
            (self.path / name).mkdir(parents=True)
        self.fsid, self.osd = str(uuid.uuid4()), str(uuid.uuid4())
        self.mon = mon, mon_old
        (self.path / "ceph.conf").write_text(
            CONFIGURATION.format(
                fsid=self.fsid, mon=mon, mon_old=mon_old, port=self.port, path=self.path
            )
        )
        self.ceph = dict(os.environ, CEPH_CONF=str(self.path / "ceph.conf"))

    def _call(self, *words, timeout=60):
        with open(self.path / "log" / "calls", "ab") as log:
            subprocess.run(
                [str(word) for word in words], check=True, timeout=timeout, env=self.ceph,
                cwd=self.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def _start(self, *words):
        with open(self.path / "log" / f"{words[0]}.out", "ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *[str(word) for word in words]],
                env=self.ceph, cwd=self.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.processes.append(process)
        return process

    def _wait(self, process, probe, timeout=120):
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                probe()
                return
            assert process.poll() is None, f"{process.args} died, see {self.path}/log"
            assert time.monotonic() < deadline, f"{process.args} does not answer"
            time.sleep(0.05)

    def __enter__(self):
        address = f"[v2:127.0.0.1:{self.mon[0]},v1:127.0.0.1:{self.mon[1]}]"
        self._call("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, "monmap")
        self._call("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap")
        monitor = self._start("ceph-mon", "-i", "a", "-f")
        self._wait(monitor, lambda: self._call("ceph", "--connect-timeout", 5, "mon", "stat"))
        self._call("ceph", "osd", "new", self.osd)
        self._call("ceph-osd", "-i", 0, "--mkfs", "--osd-uuid", self.osd, "--no-mon-config")
        self._start("ceph-osd", "-i", 0, "-f")
        gateway = self._start("radosgw", "-n", "client.rgw", "-f")
        self._wait(gateway, lambda: urllib.request.urlopen(self.url, timeout=2).close())
        self._call(
            "radosgw-admin", "user", "create", "--uid=wal", "--display-name=wal",
            f"--access-key={ACCESS}", f"--secret-key={SECRET}",
        )
        return self

    def __exit__(self, *exception):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def client(self):
        """boto3's client, for looking at what is there."""
        import boto3  # pylint: disable=import-outside-toplevel
        from botocore.config import Config  # pylint: disable=import-outside-toplevel

        return boto3.client(
            "s3", endpoint_url=self.url, region_name="default", aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET, config=Config(s3={"addressing_style": "path"}),
        )


class Bucket:
    """An S3 bucket of a test's own."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.url = f"s3://{name}"
        self.client = server.client()
        self.client.create_bucket(Bucket=name)

    def keys(self, prefix=""):
        found = []
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        ):
            found += [entry["Key"] for entry in page.get("Contents", [])]
        return found

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key, data):
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def empty(self):
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=key)
