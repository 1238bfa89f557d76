# SPDX-License-Identifier: PostgreSQL
"""Servers that take seconds to start and much memory: one of each for all processes of a test run."""

import contextlib
import copy
import fcntl
import os
import pathlib
import pickle
import shutil
import tempfile

_borrowed = []  # what other processes keep, and we use
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]


@contextlib.contextmanager
def shared(name, make):
    """The server `name` of this run: make(directory), a context manager, by whichever process needs it
    first. That one keeps it until nobody uses it any more; the others see a copy of what it knows. For
    fixtures of the whole session only."""
    root = pathlib.Path(tempfile.gettempdir()) / f"walden-{name}-{RUN}"
    root.mkdir(exist_ok=True)
    known = root / "known"
    with open(root / "users", "w") as users, open(root / "lock", "w") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(lock, fcntl.LOCK_EX)
        mine = not known.exists()
        if mine:
            server = stack.enter_context(make(root / "server"))
            told = copy.copy(server)
            told.daemons = {}  # they are not for others to end
            known.write_bytes(pickle.dumps(told))
        else:
            server = pickle.loads(known.read_bytes())
            _borrowed.append(users)
        fcntl.flock(lock, fcntl.LOCK_UN)
        try:
            yield server
        finally:
            # The tests are over: who keeps one must not wait for who waits for the other of the two.
            for other in _borrowed:
                fcntl.flock(other, fcntl.LOCK_UN)
            _borrowed.clear()
            if mine:
                fcntl.flock(users, fcntl.LOCK_EX)
    if mine:
        shutil.rmtree(root, ignore_errors=True)
