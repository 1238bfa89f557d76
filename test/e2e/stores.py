# SPDX-License-Identifier: PostgreSQL
"""Object stores as the tests of src/cloud/ drive them: by test/tools/bucket.c, and with a server
behind it that can fail."""

import collections
import os
import uuid

from azurite import AzureProxy, account_sas, connection_string
from buckettool import TOOL
from gcsfake import GcsFake
from home import execute

Result = collections.namedtuple("Result", "outcome lines err")

# Nothing of whoever runs the tests.
FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "IDENTITY_", "STORAGE_EMULATOR_")


class Store:
    """A bucket of its own. `server` has the faults of httpfaults.py."""

    def __init__(self, server, url, options=(), **env):
        self.server, self.url, self.options = server, url, list(options)
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(FOREIGN) and "proxy" not in name.lower()}
        self.env.update(HOME="/nonexistent", **{name: str(value) for name, value in env.items()})

    def run(self, *args, url=None, **options):
        """bucket OPTIONS URL ARGS: its outcome ("done", "missing", "exists", "failed CLASS: ...")
        and what it printed before."""
        said = [f"{name}={value}" for name, value in options.items()]
        done = execute([TOOL, *self.options, *said, url or self.url, *args], env=self.env)
        assert done.returncode == 0, done.stderr
        *lines, outcome = done.stdout.splitlines()
        return Result(outcome, lines, done.stderr)

    def __call__(self, *args, **options):
        return self.run(*args, **options).outcome

    def keys(self, *args, **options):
        """What a listing shows."""
        result = self.run("list", *args, **options)
        assert result.outcome == "done", result
        return [line.split(" ", 3)[3] for line in result.lines]


class AzureStore(Store):
    pieces = r"PUT .*comp=block(&|$)"

    def __init__(self, azurite, **env):
        proxy = AzureProxy(azurite)
        name = f"wal-{uuid.uuid4()}"
        env = env or {"AZURE_STORAGE_CONNECTION_STRING": connection_string(proxy.endpoint)}
        super().__init__(proxy, f"{proxy.endpoint}/{name}", **env)
        self.name = f"azure://walaccount/{name}"
        self.one_put = rf"PUT .*/{name}/"

    def small_pages(self):
        """As an account whose listings are short."""
        del self.env["AZURE_STORAGE_CONNECTION_STRING"]
        self.env["AZURE_STORAGE_SAS_TOKEN"] = account_sas()
        self.server.page = 3


class GoogleStore(Store):
    pieces = r"PUT .*upload_id="
    one_put = r"POST .*uploadType=multipart"
    name = "gs://wal"

    def __init__(self, directory):
        fake = GcsFake(directory)
        super().__init__(fake, self.name, [f"endpoint={fake.url}"],
                         GOOGLE_APPLICATION_CREDENTIALS=fake.accounts.service_account())

    def small_pages(self):
        self.server.page = 3
