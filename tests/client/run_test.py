#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio run where there is no module: it says so, and the program runs as if it had been started without taio.

usage: run_test.py TAIO [unittest arguments]
What the module does for a program is tests/preload's subject, in guests.
"""
import os
import signal
import subprocess
import unittest

import harness
from harness import TAIO, Case, run

SAID = r"\Ataio: running %s as it is: (no /dev/taio: load the module|permission denied for /dev/taio)[^\n]*\n\Z"


@unittest.skipIf(os.access("/dev/taio", os.R_OK | os.W_OK), "the module is loaded")
class AsItIs(Case):
    def test_one_line_says_why_and_the_program_runs(self):
        result = run("run", "--", "echo", "a b", "-n", "--policy=x", "")
        self.assertEqual((result.returncode, result.stdout), (0, b"a b -n --policy=x \n"))
        self.assertRegex(result.stderr.decode(), SAID % "echo")

    def test_input_output_and_status_are_the_program_s(self):
        result = run("run", "--policy", "task", "--", "sh", "-c", "cat; echo no >&2; exit 7", data=b"through\n")
        self.assertEqual((result.returncode, result.stdout), (7, b"through\n"))
        self.assertRegex(result.stderr.decode(), r"\Ataio: running sh as it is: [^\n]*\nno\n\Z")

    def test_a_signal_ends_the_program_itself(self):
        self.assertEqual(run("run", "--", "sh", "-c", "kill -TERM $$").returncode, -signal.SIGTERM)

    def test_nothing_is_preloaded_and_no_descriptor_is_left(self):
        result = run("run", "--", "sh", "-c", "echo ${LD_PRELOAD-none} ${TAIO_POLICY-none}; ls /proc/$$/fd",
                     stdin=subprocess.DEVNULL)
        bare = subprocess.run(["sh", "-c", "echo none none; ls /proc/$$/fd"], stdin=subprocess.DEVNULL, check=True,
                              capture_output=True)
        self.assertEqual(result.stdout, bare.stdout)


class Mistakes(Case):
    def test_a_program_that_is_not_there(self):
        result = run("run", "--", "/nonexistent")
        self.assertEqual(result.returncode, 127)
        self.assertRegex(result.stderr.decode(), r"(?m)^taio: cannot run /nonexistent: No such file or directory$")

    def test_a_program_that_cannot_be_run(self):
        result = run("run", "--", self.dir)
        self.assertEqual(result.returncode, 126)
        self.assertRegex(result.stderr.decode(), r"(?m)^taio: cannot run \S+: Permission denied$")

    def test_usage(self):
        self.assert_fails(run("run"), 2, "missing operand: -- PROGRAM")
        self.assert_fails(run("run", "--policy", "fast", "--", "true"), 2, "--policy", "block, park, task", "'fast'")
        self.assert_fails(run("engines", "--policy", "task"), 2, "an option of taio run")
        self.assert_fails(run("run", "ls", "-l"), 2, "unknown option -l")


if __name__ == "__main__":
    harness.main()
