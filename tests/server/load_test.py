# SPDX-License-Identifier: MIT
"""Load by wrk, h2load and taio-load, plain and TLS: no errors. Short, and no figure is judged: not a benchmark."""
import json
import os
import re
import tempfile
import unittest

from harness import ENGINE, Server, TAIO_LOAD, has_tool, pattern, run


class Load(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-root-")
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        for name, size in (("small.bin", 1000), ("medium.bin", 100000)):
            with open(os.path.join(self.root, name), "wb") as file:
                file.write(pattern(size))
        self.server = Server("service=echo", "service=echo,tls", f"service=http,root={self.root}",
                             f"service=http,root={self.root},tls", options=("--idle-timeout", "2s"))
        self.addCleanup(self.server.kill)

    def tearDown(self):
        self.server.until_idle()
        stats = self.server.stop()
        self.assertEqual(stats["closed_error"] + stats["closed_memory"] + stats["tls_failed"], 0, stats)

    @unittest.skipUnless(has_tool("wrk"), "wrk")
    def test_wrk(self):
        for name in ("small.bin", "medium.bin"):
            done = run("wrk", "-t1", "-c32", "-d3s", f"http://127.0.0.1:{self.server.ports[2]}/{name}")
            out = done.stdout.decode()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(int(re.search(r"(\d+) requests in", out)[1]), 100)
            self.assertNotIn("Socket errors", out)
            self.assertNotIn("Non-2xx", out)

    @unittest.skipUnless(has_tool("h2load"), "h2load")
    def test_h2load_over_tls(self):
        for name in ("small.bin", "medium.bin"):
            done = run("h2load", "--h1", "-n", "2000", "-c", "16", f"https://127.0.0.1:{self.server.ports[3]}/{name}")
            out = done.stdout.decode()
            self.assertRegex(out, r"requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, "
                                  r"0 errored, 0 timeout")

    def taio_load(self, *words):
        result = os.path.join(self.root, "result.json")
        done = run(TAIO_LOAD, *words, "--engine", ENGINE, "--json", result)
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr))
        with open(result, encoding="ascii") as file:
            figures = json.load(file)
        self.assertEqual(figures["errors"] if isinstance(figures["errors"], int) else figures["errors"]["total"], 0)
        return figures

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_taio_load_echo(self):
        for index, words in ((0, ()), (1, ("--tls", "--insecure"))):
            self.taio_load("echo", f"127.0.0.1:{self.server.ports[index]}", "-c", "32", "-d", "1s", *words)

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_taio_load_http(self):
        for index, words in ((2, ()), (3, ("--tls", "--insecure"))):
            self.taio_load("http", f"127.0.0.1:{self.server.ports[index]}", "--path", "/small.bin", "-c", "32", "-d",
                           "1s", *words)

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_taio_load_reconnects(self):
        """Every tenth response announces the close; the counts of both sides agree."""
        server = Server(f"service=http,root={self.root}", f"service=http,root={self.root},tls",
                        options=("--keepalive-requests", "10"))
        self.addCleanup(server.kill)
        served = accepted = 0
        for index, words in ((0, ()), (1, ("--tls", "--insecure"))):
            for rate in ((), ("--rate", "200", "--max-lag", "10s")):
                figures = self.taio_load("http", f"127.0.0.1:{server.ports[index]}", "--path", "/small.bin", "-c", "8",
                                         "-d", "1s", *rate, *words)
                server.until_idle()
                before = (served, accepted)
                served, accepted = (server.stats()[name] for name in ("requests", "accepted"))
                self.assertEqual(figures["requests"], served - before[0])
                self.assertGreaterEqual(figures["requests"], 10 * figures["reconnects"])
                self.assertLess(figures["requests"], 10 * (figures["reconnects"] + 1 + 8))
                self.assertGreater(figures["reconnects"], 0)
                # One a connection may have been accepted, but not established, when the run ended.
                self.assertIn(accepted - before[1] - figures["reconnects"], range(8, 17))
                if rate:
                    self.assertEqual(figures["requests"], 200)
        server.stop()

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_taio_load_churn(self):
        for index, words in ((0, ()), (1, ("--tls", "--insecure")), (1, ("--tls", "--insecure", "--resume"))):
            self.taio_load("churn", f"127.0.0.1:{self.server.ports[index]}", "-c", "16", "-d", "1s", "--request",
                           "echo", *words)

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_taio_load_idle(self):
        for index, words in ((0, ()), (1, ("--tls", "--insecure"))):
            figures = self.taio_load("idle", f"127.0.0.1:{self.server.ports[index]}", "-c", "500", "--deadline", "2s",
                                     "-d", "10s", *words)
            self.assertEqual((figures["closed"], figures["early"]), (500, 0))


if __name__ == "__main__":
    unittest.main()
