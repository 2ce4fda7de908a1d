#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio top on a terminal: what it draws, its keys, the signals, and that it leaves the terminal as it was.

usage: top_test.py TAIO [unittest arguments]
"""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import unittest

import harness
from harness import TAIO, Case, engines, run
from peers import WAIT
from watched import CONNECTIONS, METRICS, Taiod, name_of, pretend, until, with_row

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
UP, DOWN = b"\x1b[A", b"\x1bOB"  # in both forms that terminals have


class Terminal:
    """A pseudo-terminal with a program on it, and what a terminal would show."""

    def __init__(self, *words, rows=24, columns=100):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        self.process = subprocess.Popen(words, stdin=self.slave, stdout=self.slave, stderr=self.slave, close_fds=True,
                                        start_new_session=True, env={**os.environ, "TERM": "xterm", "PS1": "sh> ", "ENV": ""},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.master, 65536):
                self.raw += piece

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def frame(self):
        """The lines of the last frame that is whole, and which of them is inverse."""
        frames = self.raw.rsplit(ENTER, 1)[-1].split(LEAVE)[0].split(b"\x1b[H")[1:]
        whole = [frame for frame in frames[-2:] if frame.endswith(b"\x1b[K") or frame is not frames[-1]]
        lines = whole[-1].split(b"\r\n") if whole else []
        inverse = [i for i, line in enumerate(lines) if b"\x1b[7m" in line]
        return [re.sub(rb"\x1b\[[0-9;]*[mK]|\r", b"", line).decode("latin-1") for line in lines], inverse

    def text(self):
        return "\n".join(self.frame()[0])

    def until_shows(self, pattern):
        """The match, once the last frame has one."""
        return until(lambda: re.search(pattern, self.text(), re.M), lambda: f"{pattern}; shown is\n{self.text()}\n{self.raw[-500:]!r}")

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        self.reader.join(WAIT)
        os.close(self.master)


class Top(Case):
    def setUp(self):
        super().setUp()
        self.taiod = Taiod(self.dir)
        self.addCleanup(self.taiod.__exit__)

    def terminal(self, *words, **size):
        terminal = Terminal(*words, **size)
        self.addCleanup(terminal.close)
        return terminal

    def top(self, *args, where=None, **size):
        return self.terminal(TAIO, "top", "--admin", where or self.taiod.where, "--delay", "50ms", *args, **size)

    def held(self, *sizes):
        socks = [self.taiod.connect(size) for size in sizes]
        for sock in socks:
            self.addCleanup(sock.close)
        return socks

    def ends(self, terminal, code=0):
        self.assertEqual(terminal.process.wait(WAIT), code, terminal.raw[-300:])
        until(lambda: LEAVE in terminal.raw, "the screen is left")
        self.assertEqual(terminal.raw.count(ENTER), terminal.raw.count(LEAVE))
        self.assertIn(b"\x1b[?25h", terminal.raw.rsplit(ENTER, 1)[1])
        self.assertTrue(terminal.is_restored())

    def quit(self, terminal):
        terminal.type(b"q")
        self.ends(terminal)

    def first(self, terminal):
        """The peer in the first row of connections."""
        lines, _ = terminal.frame()
        at = [i for i, line in enumerate(lines) if "SERVICE" in line]
        return lines[at[0] + 1].split()[2] if at and len(lines) > at[0] + 1 and len(lines[at[0] + 1].split()) > 2 else ""

    def test_it_draws_with_every_engine(self):
        sock, = self.held(1000)
        for engine in engines():
            with self.subTest(engine=engine):
                terminal = self.top("-e", engine)
                terminal.until_shows(rf"^0-\d+ +echo +{re.escape(name_of(sock))} +serve ")
                terminal.until_shows(r"^bytes in +[1-9]")  # a rate: of its own requests
                lines, inverse = terminal.frame()
                self.assertEqual(len(lines), 24)
                self.assertEqual(len(inverse), 1)
                self.assertTrue(lines[-1].startswith("q quit"), lines)
                self.assertFalse(terminal.is_restored())
                self.quit(terminal)

    def test_it_sorts(self):
        small, large = self.held(10, 5000)
        terminal = self.top()
        for key, mark, sock in ((b"b", r"OUT\*", None), (b"a", r"AGE\*", small), (b"i", r"IDLE\*", small), (b"n", r"ID\*", None)):
            terminal.type(key)
            terminal.until_shows(mark)
            if sock:
                until(lambda: self.first(terminal) == name_of(sock), terminal.text)
        terminal.type(b"b")
        until(lambda: [line.split()[2] for line in terminal.frame()[0] if " echo " in line][:2] == [name_of(large), name_of(small)],
              terminal.text)
        terminal.type(b"w")
        terminal.until_shows(r"WAIT\*")
        self.quit(terminal)

    def test_it_ends_a_connection(self):
        first, second = self.held(10, 20)
        terminal = self.top("--sort", "idle")
        terminal.until_shows(re.escape(name_of(second)))
        until(lambda: self.first(terminal) == name_of(first), terminal.text)
        terminal.type(DOWN)
        until(lambda: name_of(second) in terminal.frame()[0][terminal.frame()[1][0]], terminal.text)
        name = terminal.frame()[0][terminal.frame()[1][0]].split()[0]
        terminal.type(b"k")
        terminal.until_shows(rf"^end connection {name}\? ")
        terminal.type(b"n")
        terminal.until_shows(r"^q quit")
        self.assertIn(name_of(second), terminal.text())
        terminal.type(b"xy")
        terminal.until_shows(rf"^connection {name} ends")
        self.assertEqual(second.recv(1), b"")
        until(lambda: name_of(second) not in terminal.text(), terminal.text)
        first.sendall(b"y")
        self.assertEqual(first.recv(1), b"y")
        terminal.type(UP)
        terminal.type(b"?")
        terminal.until_shows("any key: back")
        terminal.type(b"\x1b")
        terminal.until_shows(re.escape(name_of(first)))
        self.quit(terminal)

    def test_over_tcp_it_ends_none(self):
        sock, = self.held(10)
        terminal = self.top("--sort", "idle", where=self.taiod.url)
        until(lambda: self.first(terminal) == name_of(sock), terminal.text)
        terminal.type(b"ky")
        terminal.until_shows(r"^connection \S+: 403 Forbidden: .*unix:")
        sock.sendall(b"y")
        self.assertEqual(sock.recv(1), b"y")
        self.quit(terminal)

    def test_it_pauses(self):
        terminal = self.top()
        terminal.until_shows("^q quit")
        terminal.type(b"p")
        terminal.until_shows("paused")
        sock, = self.held(10)
        terminal.type(b"?")  # once more is drawn, and what is drawn is from before
        terminal.until_shows("any key: back")
        terminal.type(b"x")
        terminal.until_shows("SERVICE")
        self.assertNotIn(name_of(sock), terminal.text())
        terminal.type(b" ")
        terminal.until_shows(re.escape(name_of(sock)))
        self.quit(terminal)

    def test_it_follows_the_size_of_the_terminal(self):
        terminal = self.top()
        terminal.until_shows("^q quit")
        for rows, columns in ((40, 60), (10, 30), (2, 5), (30, 200)):
            terminal.resize(rows, columns)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            until(lambda: len(terminal.frame()[0]) == rows, terminal.text)
            self.assertLessEqual(max(map(len, terminal.frame()[0])), columns)
        self.quit(terminal)

    def test_signals_leave_the_terminal_as_it_was(self):
        for number, send in ((signal.SIGINT, lambda t: t.type(b"\x03")), (signal.SIGTERM, lambda t: t.process.terminate()),
                             (signal.SIGHUP, lambda t: t.process.send_signal(signal.SIGHUP))):
            with self.subTest(signal=number):
                terminal = self.top()
                terminal.until_shows("^q quit")
                send(terminal)
                self.ends(terminal, -number)

    def test_it_stops_and_goes_on(self):
        """Under a shell, by ^Z and fg."""
        terminal = self.terminal("sh", "-i")
        until(lambda: b"sh> " in terminal.raw, "the shell")
        before = termios.tcgetattr(terminal.slave)
        terminal.type(f"{TAIO} top --admin {self.taiod.where} --delay 50ms; echo over=$?\n".encode())
        terminal.until_shows("^q quit")
        for i in range(2):
            terminal.type(b"\x1a")
            until(lambda: terminal.raw.count(LEAVE) == i + 1 and terminal.raw.endswith(b"sh> "), "the shell again")
            self.assertEqual(termios.tcgetattr(terminal.slave)[3], before[3])
            self.assertFalse(fcntl.fcntl(terminal.slave, fcntl.F_GETFL) & os.O_NONBLOCK)
            terminal.type(b"fg\n")
            until(lambda: terminal.raw.count(ENTER) == i + 2, "the screen again")
            terminal.until_shows("^q quit")
        terminal.type(b"q")
        until(lambda: b"over=0" in terminal.raw or terminal.raw.rstrip().endswith(b"sh>"), "the shell at last")
        self.assertEqual(termios.tcgetattr(terminal.slave)[3], before[3])

    def test_it_draws_again_after_sigstop(self):
        terminal = self.top()
        terminal.until_shows("^q quit")
        terminal.process.send_signal(signal.SIGSTOP)
        terminal.process.send_signal(signal.SIGCONT)
        until(lambda: terminal.raw.count(ENTER) == 2, "the screen again")
        terminal.until_shows("^q quit")
        self.quit(terminal)

    def test_it_outlives_taiod(self):
        terminal = self.top()
        terminal.until_shows("^q quit")
        self.taiod.stop()
        terminal.until_shows("^cannot connect to ")
        sock = None
        self.taiod.start()
        sock, = self.held(10)
        terminal.until_shows(re.escape(name_of(sock)))
        terminal.until_shows("^q quit")
        self.quit(terminal)

    def test_it_outlives_what_is_malformed(self):
        state = {"metrics": METRICS, "connections": CONNECTIONS}
        with pretend(metrics=lambda: state["metrics"], connections=lambda: state["connections"]) as where:
            terminal = self.top(where=where)
            terminal.until_shows(r"^taiod 1\.2, engine poll")
            terminal.until_shows("^q quit")
            for key, bad, needle in (("metrics", b"x{", "malformed"), ("connections", b"{", "not valid JSON"),
                                     ("connections", 1000 * b"[", "not valid JSON")):
                good = state[key]
                state[key] = bad
                terminal.until_shows(needle)
                state[key] = good
                terminal.until_shows("^q quit")
            state["connections"] = with_row(id="0-1\r\nX: y", peer="\x1b[31mred\x9b")
            terminal.until_shows(r"\?\[31mred\?")
            self.assertNotIn(b"\x1b[31m", terminal.raw)
            terminal.type(b"k")
            terminal.until_shows("none that can be ended")
            self.quit(terminal)

    def test_it_says_at_once_that_nobody_is_there(self):
        terminal = self.top(where="unix:" + self.path("none"))
        self.ends(terminal, 1)
        until(lambda: b"taio: cannot connect to " in terminal.raw.rsplit(LEAVE, 1)[1], "why")


class NoTerminal(unittest.TestCase):
    def test_it_needs_one(self):
        result = run("top")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"taio stats", result.stderr)


if __name__ == "__main__":
    harness.main()
