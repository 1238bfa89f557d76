# SPDX-License-Identifier: PostgreSQL
"""Runs test/tools/bucket.c, which does one thing with one object store."""

import os
import pathlib
import subprocess

from home import BUILT
from objectstore import SECRET

TOOL = BUILT.parent / "test" / "tools" / "bucket"


class Tool:
    """tool("put", key, file, part=5 << 20) and so on, with this endpoint, bucket and directory."""

    def __init__(self, endpoint, directory, bucket="bucket", access_key="walaccess", env=None,
                 scheme="s3", **options):
        self.url = f"{scheme}://{bucket}"
        self.directory = pathlib.Path(directory)
        self.options = {"endpoint": endpoint, **options}
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "no_proxy": "*",
            "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")},
            **(env or {}),
        }

    def command(self, *words, **options):
        given = {**self.options, **options}
        settings = [f"{name}={value}" for name, value in given.items() if value is not None]
        return [str(word) for word in (TOOL, *settings, self.url, *words)]

    def __call__(self, *words, **options):
        """The lines that it printed; the last is "done", "missing", "exists" or "failed ..."."""
        done = subprocess.run(
            self.command(*words, **options), env=self.env, capture_output=True, text=True,
            timeout=120, check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        assert SECRET not in done.stdout + done.stderr
        self.log = done.stderr
        return done.stdout.splitlines()

    def file(self, name, contents=None):
        path = self.directory / name
        if contents is not None:
            path.write_bytes(contents)
        return path

    def put(self, key, contents, *more, **options):
        return self("put", key, self.file("in", contents), *more, **options)[-1]

    def get(self, key, **options):
        """The contents, or what was answered instead."""
        last = self("get", key, self.file("out"), **options)[-1]
        return self.file("out").read_bytes() if last == "done" else last

    def list(self, *words, **options):
        """The keys, without the last line, which must be "done"."""
        lines = self("list", *words, **options)
        assert lines[-1] == "done", lines
        return [line.split(" ", 3)[3] for line in lines[:-1]]
