# SPDX-License-Identifier: MIT
"""Static probes: those of docs/probes.md are in the binary, with as many arguments, and no others; and its one-liners trace."""
import contextlib
import os
import re
import select
import signal
import subprocess
import unittest

from harness import Http, PATIENCE, Server, TAIOD, client_context, connect, has_tool, hello, run, until

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "probes.md")
NOTE = re.compile(r"Provider: (\w+)\n\s+Name: (\w+)\n\s+Location: (0x[0-9a-f]+),[^\n]*\n\s+Arguments:([^\n]*)")
# An operand of assembler text such as -4@%edx, 8@-16(%rbp,%rax) or 4@$1.
ARGUMENT = re.compile(r"-?[1248]f?@")


def document():
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def said():
    """{probe: its arguments} of the document."""
    return {name: re.findall(r"`(\w+)`", arguments)
            for name, arguments in re.findall(r"(?m)^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", document())}


def one_liners():
    return re.findall(r"(?m)^    bpftrace -e '(.*)'$", document())


def notes(program):
    """[(provider, probe, number of arguments)], once for each place."""
    done = run("readelf", "--notes", "--wide", program)
    assert done.returncode == 0, done.stderr.decode()
    return [(provider, name, len(ARGUMENT.findall(arguments)))
            for provider, name, _, arguments in NOTE.findall(done.stdout.decode())]


class Probes(unittest.TestCase):
    def test_the_binary_has_those_of_the_document(self):
        found = set(notes(TAIOD))
        if os.environ["TAIO_PROBES"] == "0":
            self.assertEqual(found, set())
            return
        self.assertEqual(found, {("taiod", name, len(arguments)) for name, arguments in said().items()})

    def test_one_liners_use_what_there_is(self):
        arguments, traced = said(), set()
        self.assertGreater(len(one_liners()), 5)
        for line in one_liners():
            for name, body in re.findall(r"usdt:/usr/sbin/taiod:taiod:(\w+) ([^}]*)}", line):
                self.assertIn(name, arguments, line)
                for number in re.findall(r"\barg(\d)\b", body):
                    self.assertLess(int(number), len(arguments[name]), line)
                traced.add(name)
        self.assertEqual(traced, set(arguments), "each has a line")


def can_trace():
    if os.environ["TAIO_PROBES"] == "0" or not has_tool("bpftrace") or os.geteuid():
        return False
    try:
        return run("bpftrace", "-e", "BEGIN { exit(); }").returncode == 0
    except subprocess.TimeoutExpired:
        return False


class Traced(unittest.TestCase):
    """Where bpftrace and the kernel can: the one-liners over a server that does everything."""

    def setUp(self):
        if not can_trace():
            self.skipTest("no bpftrace that works here")
        self.behind = Server("service=echo")
        self.addCleanup(self.behind.kill)
        self.server = Server("service=http", "service=echo,tls", f"service=proxy,to=127.0.0.1:{self.behind.port}",
                             options=("--idle-timeout", "200ms"))
        self.addCleanup(self.server.kill)

    def work(self):
        with contextlib.closing(Http(connect(self.server.port))) as client:
            client.get("/none")
            client.get("/none")
        with connect(self.server.ports[1], context=client_context()) as sock:
            assert hello(sock)
        with connect(self.server.ports[2]) as sock:
            assert hello(sock)
            sock.recv(1)  # until the idle timeout

    def trace(self, line):
        """What bpftrace has printed once there was something to print."""
        program = line.replace("/usr/sbin/taiod", os.path.abspath(TAIOD)) + " BEGIN { printf(\"ready\\n\"); }"
        with subprocess.Popen(["bpftrace", "-p", str(self.server.pid), "-e", program], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as tracer:
            try:
                text = self.until_ready(tracer.stdout.fileno())
                self.work()
                return text + self.end(tracer)
            finally:
                tracer.kill()

    def until_ready(self, fd):
        text = b""
        while b"ready" not in text:
            self.assertTrue(select.select([fd], [], [], PATIENCE)[0], f"bpftrace is not ready: {text}")
            piece = os.read(fd, 4096)
            self.assertTrue(piece, text.decode())
            text += piece
        return text.decode()

    def end(self, tracer):
        """What else it prints. A signal that comes too early is lost on it."""
        for _ in range(10):
            tracer.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return tracer.communicate(timeout=PATIENCE / 10)[0].decode()
        self.fail("bpftrace does not end")

    def test_each_prints_something(self):
        for line in one_liners():
            if "tracepoint:taio:" in line and not os.path.exists("/dev/taio"):
                continue
            with self.subTest(line=line):
                text = self.trace(line)
                self.assertRegex(text.split("ready", 1)[1], r"(?m)^@\w+")
        until(lambda: self.server.stats()["active"] == 0, "no connection is left")
