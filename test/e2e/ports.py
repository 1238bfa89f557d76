# SPDX-License-Identifier: PostgreSQL
"""TCP ports for the servers of the tests, the quickstart and the benchmarks.

A port that the kernel picks (port 0) may be given to anyone's outgoing connection before the server
binds it, or while the server is down. These lie below all that the kernel picks from, and no other
process that asks here gets them: each owns a block, by listening at the block's first port.
"""

import contextlib
import itertools
import socket

_FIRST, _END, _BLOCK = 10000, 32000, 500  # Linux picks from 32768 on
_own = None  # our block's listener, and the numbers of its other ports, round and round


def _is_free(port):
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def _own_block():
    for first in range(_FIRST, _END, _BLOCK):
        with contextlib.suppress(OSError):
            listener = socket.create_server(("127.0.0.1", first))
            return listener, itertools.cycle(range(first + 1, first + _BLOCK))
    raise RuntimeError(f"every block of ports from {_FIRST} to {_END} is in use")


def free_port():
    """A port of 127.0.0.1 at which nobody listens, ours until the program ends."""
    global _own
    _own = _own or _own_block()
    return next(port for port in itertools.islice(_own[1], _BLOCK) if _is_free(port))
