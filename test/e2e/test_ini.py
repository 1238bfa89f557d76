# SPDX-License-Identifier: PostgreSQL
"""Our parser of configuration files against Python's configparser, which Barman uses.

Where the two must differ:
- interpolation: Barman stops at any per cent sign that Python cannot resolve; we do it later and
  leave such signs alone. So both sides are compared before interpolation.
- a byte order mark and bytes that are not UTF-8 stop Python; we take them. NUL bytes we refuse.
- only A to Z become lower case in names of options.
These are left out of the generated files, and have tests of their own below.

The program is test/unit/config/ini_dump beside $WALDEN, else in build/.
"""

import configparser
import os
import pathlib
import random
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WALDEN", ROOT / "build" / "walden")).parent
DUMP = BUILD / "test" / "unit" / "config" / "ini_dump"
CORPUS = sorted((ROOT / "test" / "unit" / "config" / "ini_corpus").glob("*.conf"))
SEED = int(os.environ.get("WALDEN_SEED", "1"))
CASES = 4000

# As Barman takes quotes away: one pair around everything, on one line.
QUOTED = re.compile(r"""^(["'])(.*)\1$""")
ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}


def python_reads(path):
    """{section: {key: value}} with [DEFAULT] apart, or None for a file that is refused."""
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, default_section="no such section"
    )
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except configparser.Error:
        return None
    return {
        section: {key: QUOTED.sub(r"\2", value) for key, value in parser.items(section)}
        for section in parser.sections()
    }


def unescape(text):
    return re.sub(r"\\.", lambda found: ESCAPES[found.group()], text)


def walden_reads(paths):
    """The same for many files at once, in their order."""
    assert DUMP.exists(), f"{DUMP} is not there: build first"
    out = subprocess.run([DUMP, *paths], check=True, stdout=subprocess.PIPE).stdout
    results, sections = [], None
    for line in out.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        kind, *parts = line.split("\t")
        if kind == "FILE":
            sections = {}
            results.append(sections)
        elif kind == "ERROR":
            results[-1] = None
        else:
            section, key, value = map(unescape, parts)
            known = sections.setdefault(section, {})
            if key:
                known[key] = value
    assert len(results) == len(paths)
    return results


def assert_same(paths):
    for path, ours in zip(paths, walden_reads(paths)):
        theirs = python_reads(path)
        assert ours == theirs, f"{path.name}:\n{path.read_bytes()!r}"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path):
    assert_same([path])


def test_corpus_is_there():
    assert len(CORPUS) > 10


PIECES = [
    "[a]", "[b]", "[DEFAULT]", "[barman]", "[", "]", "k", "l", "Key", "=", ":", "#", ";", "'", '"',
    " ", "  ", "\t", "\n", "\n", "\n", "\n  ", "\n\t", "\r\n", "\r", "v", "w x", "%(k)s", "%%",
    "\u00a0", "\u3000", "\u2028", "\x0b", "\x1d", "\x85", "\u00e9", "\U0001f418", "k = v", "l = ",
    "\nk = v", "\nl : 'w'", "\n# c", "\n  ; c", "\n\n", "\\",
]
LINES = [
    "[a]", "[b] x", "  [c]", "k = v", "k=", "  k = w", "l: 'x'", "    more", "\tmore", "", "  ",
    "# c", "   ; c", "K2 = \"y\"", "m = a = b : c", "  \u00a0deep", "n = \"z", "  z\"",
]


def random_text(rng):
    if rng.random() < 0.4:
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 40)))
        return text if rng.random() < 0.3 else "[s]\n" + text
    end = rng.choice(["\n", "\n", "\r\n"])
    lines = [rng.choice(LINES) for _ in range(rng.randrange(1, 16))]
    if rng.random() < 0.9:
        lines.insert(0, "[s]")
    return end.join(lines) + rng.choice(["", end])


def test_random_files(tmp_path):
    rng = random.Random(SEED)
    paths = []
    for number in range(CASES):
        path = tmp_path / f"{number}.conf"
        path.write_bytes(random_text(rng).encode())
        paths.append(path)
    assert_same(paths)
    read = sum(python_reads(path) is not None for path in paths[:500])
    assert 100 < read < 450, "the generator makes files of one kind only"


def test_where_we_take_more(tmp_path):
    path = tmp_path / "x.conf"
    for data, expected in [
        (b"\xef\xbb\xbf[a]\nk = v\n", {"a": {"k": "v"}}),
        (b"[a]\nk = caf\xe9\n", {"a": {"k": "caf\udce9"}}),
        (b"[a]\nk = 100%\n", {"a": {"k": "100%"}}),
    ]:
        path.write_bytes(data)
        assert walden_reads([path]) == [expected]


def test_binary_is_refused(tmp_path):
    path = tmp_path / "x.conf"
    path.write_bytes(b"[a]\nk = v\0\n")
    assert walden_reads([path]) == [None]
