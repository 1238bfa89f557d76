# SPDX-License-Identifier: PostgreSQL
"""What all parts of ./dev bench need: where the tests' helpers are, files, figures, machines."""

import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "e2e"))
import pg

MB = 1_000_000


def tell(text):
    print(text, file=sys.stderr, flush=True)


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    pg.give(directory)
    return directory


def sha256(unpack, path):
    with subprocess.Popen([*unpack, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tool:
        digest = hashlib.file_digest(tool.stdout, "sha256").hexdigest()
    return digest if tool.returncode == 0 else None


def version(*command):
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group(0) if found else "?"


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cpu = re.sub(r"\s+", " ", model.group(1)) if model else platform.machine()
    return f"{os.cpu_count()} cores ({cpu}), Linux {platform.release()}"


def goal(text, value, met):
    """A line of the table of goals."""
    return f"| {text} | {value:,.2f} | {'yes' if met else 'no'} |"


GOAL_HEAD = ["| goal | measured | met |", "|---|--:|---|"]
