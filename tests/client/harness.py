# SPDX-License-Identifier: MIT
"""What the tests of taio share: the program, the engines that work here, and what a result must be."""
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import peers
from peers import WAIT

TAIO = os.path.abspath(sys.argv[1])  # the program's, of each module
BIG = os.urandom(20_000_000)


def run(*args, stdin=None, data=None, stdout=subprocess.PIPE):
    return subprocess.run([TAIO, *map(str, args)], stdin=stdin if data is None else None, input=data,
                          stdout=stdout, stderr=subprocess.PIPE, timeout=2 * WAIT)


def engines():
    wanted = os.environ.get("TAIO_ENGINES")
    table = run("engines").stdout.decode()
    works = re.findall(r"^(\S+) +yes ", table, re.M)
    return [name for name in works if not wanted or name in wanted.split(",")]


def each_engine(test):
    @functools.wraps(test)
    def wrapper(self):
        for engine in engines():
            with self.subTest(engine=engine):
                test(self, engine)

    return wrapper


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taio-client.")
        self.addCleanup(shutil.rmtree, self.dir)

    @functools.cached_property
    def certificate(self):
        return peers.Certificate(self.dir)

    def path(self, name, content=None):
        path = os.path.join(self.dir, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def assert_ok(self, result):
        self.assertEqual((result.returncode, result.stderr), (0, b""))

    def assert_fails(self, result, code, *needles):
        """One line on standard error, that begins with the program's name and has the needles."""
        text = result.stderr.decode()
        self.assertEqual(result.returncode, code, text)
        self.assertRegex(text, r"\Ataio: [^\n]+\n\Z")
        for needle in needles:
            self.assertIn(needle, text)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
