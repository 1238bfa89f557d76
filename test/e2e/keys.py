# SPDX-License-Identifier: PostgreSQL
"""Keyrings of GnuPG, and the keys of `encryption = aead`."""

import atexit
import contextlib
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile


class Keyring:
    """A home of GnuPG with a short path, since sockets lie in it; removed at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="walden-gpg-", dir="/tmp"))
        self.env = {**os.environ, "GNUPGHOME": str(self.path)}
        atexit.register(self.remove)

    def gpg(self, *args, **kw):
        """gpg's standard output; a failure raises."""
        command = ["gpg", "-q", "--batch", "--pinentry-mode", "loopback", *map(str, args)]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, **kw).stdout

    def make(self, name, passphrase="", kind="future-default", expire="never", when=None):
        """A key for name@test; `when` as 20200101T000000."""
        past = ["--faked-system-time", when] if when else []
        usage = "default" if kind == "future-default" else "encr"
        self.gpg("--passphrase", passphrase, *past, "--quick-generate-key", f"{name}@test", kind, usage,
                 expire)
        return f"{name}@test"

    def encrypt(self, data, key):
        """As Barman does."""
        return self.gpg("--trust-model", "always", "--compress-level", 0, "--recipient", key, "--encrypt",
                        input=data)

    def decrypt(self, data, passphrase=""):
        return self.gpg("--passphrase", passphrase, "--decrypt", input=data)

    def without_secret(self, trust=True):
        """Another keyring, with the public keys only."""
        other = Keyring()
        other.gpg("--import", input=self.gpg("--export"))
        if trust:
            other.gpg("--import-ownertrust", input=self.gpg("--export-ownertrust"))
        return other

    def forget(self):
        """The agent remembers no passphrase any more."""
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=False, capture_output=True)

    def remove(self):
        self.forget()
        shutil.rmtree(self.path, ignore_errors=True)


def new_key(path, *more):
    """Adds a key to the file."""
    with open(path, "a", encoding="ascii") as file:
        os.chmod(path, 0o600)
        print(secrets.token_hex(32), *more, sep="\n", file=file)
    return path
