#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio stats: what it says of a real taiod, and of servers that are none.

usage: stats_test.py TAIO [unittest arguments]
"""
import json
import os
import re
import socket

import harness
import peers
import watched
from harness import Case, each_engine, run
from watched import CONNECTIONS, METRICS, Taiod, answer, name_of, pretend, with_row


class OfTaiod(Case):
    def setUp(self):
        super().setUp()
        self.taiod = Taiod(self.dir)
        self.addCleanup(self.taiod.__exit__)

    def held(self, *sizes):
        socks = [self.taiod.connect(size) for size in sizes]
        for sock in socks:
            self.addCleanup(sock.close)
        return socks

    def stats(self, *args):
        result = run("stats", "--admin", self.taiod.where, "--delay", "50ms", *args)
        self.assert_ok(result)
        return result.stdout.decode()

    @each_engine
    def test_the_figures_and_the_connections(self, engine):
        with self.taiod.connect(1234) as sock:
            text, name = self.stats("-e", engine), name_of(sock)
        self.assertRegex(text, r"\Ataiod [0-9.]+, engine poll, up [0-9.]+s, slots \S+ of \S+, unix:/")
        accepted = re.search(r"(?m)^accepted +\S+ +(\d+) ", text)[1]
        self.assertGreaterEqual(int(accepted), 2)
        self.assertRegex(text, r"(?m)^2 connections: 2 serve; 1 echo, 1 admin$|^2 connections: 2 serve; 1 admin, 1 echo$")
        self.assertRegex(text, rf"(?m)^0-\d+ +echo +{re.escape(name)} +serve +\S+ +\S+ +- +1234 +1234$")
        self.assertRegex(text, r"(?m)^reads .* in io_submit +[1-9]\S* +[0-9.]+(us|ms|s) +[0-9.]+(us|ms|s)$|"
                               r"^writes .* in io_submit +[1-9]\S* +[0-9.]+(us|ms|s) +[0-9.]+(us|ms|s)$")
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()[1:] if "BACKEND" not in line), text)
        watched.until(lambda: json.loads(self.stats("--json"))["connections"]["open"] == 1, "it has ended")

    def test_json(self):
        small, large = self.held(10, 2000)
        got = json.loads(self.stats("--json", "--sort", "bytes", "--rows", "2"))
        self.assertEqual(got["engine"], "poll")
        self.assertTrue(0 <= got["uptime_s"] < 600 and 0.05 <= got["interval_s"] < 5, got)
        self.assertLess(got["slots"]["taken"], got["slots"]["max"])
        self.assertGreaterEqual(got["counters"]["accepted"]["total"], 3)
        self.assertEqual(got["counters"]["accepted"]["per_s"], 0)
        self.assertGreater(got["counters"]["bytes_in"]["per_s"], 0)
        self.assertGreater(got["latencies"]["read"]["total"]["count"], 0)
        self.assertGreaterEqual(got["latencies"]["read"]["total"]["count"], got["latencies"]["read"]["interval"]["count"])
        self.assertLess(0, got["latencies"]["submit"]["total"]["p50_s"])
        self.assertLessEqual(got["latencies"]["submit"]["total"]["p50_s"], got["latencies"]["submit"]["total"]["p99_s"])
        self.assertEqual(got["connections"]["open"], 3)
        self.assertEqual(got["connections"]["states"], {"serve": 3})
        self.assertEqual(got["connections"]["services"], {"echo": 2, "admin": 1})
        listed = got["connections"]["list"]
        self.assertEqual(len(listed), 2)
        echoes = [row["peer"] for row in json.loads(self.stats("--json", "--sort", "bytes"))["connections"]["list"]
                  if row["service"] == "echo"]
        self.assertEqual(echoes, [name_of(large), name_of(small)])
        self.assertEqual(json.loads(self.stats("--json", "--rows", "0"))["connections"]["list"], [])

    def test_over_tcp(self):
        result = run("stats", "-a", self.taiod.url + "/", "--delay", "10ms")
        self.assert_ok(result)
        self.assertIn(b"engine poll", result.stdout)

    def test_a_service_that_is_none_of_it(self):
        self.taiod.stop()
        self.taiod.words += ["--listen", "127.0.0.1:0,service=http"]
        self.taiod.start()
        with open(os.path.join(self.dir, "ports"), encoding="ascii") as lines:
            port = [line.split()[0].rsplit(":", 1)[1] for line in lines][-1]
        self.assert_fails(run("stats", "--admin", f"http://127.0.0.1:{port}"), 1, "/metrics: status 404", "no service admin")


class Refused(Case):
    def test_wrong_places_exit_2(self):
        for where in ("", "nothing", "unix:", "unix:relative", "ftp://h/", "http://", "http://h/path", "unix:/" + 200 * "x"):
            with self.subTest(where=where):
                self.assert_fails(run("stats", "--admin", where), 2, "--admin")
        self.assert_fails(run("stats", "--delay", "0"), 2, "--delay")
        self.assert_fails(run("stats", "--sort", "size"), 2, "--sort")
        self.assert_fails(run("top", "--rows", "3"), 2, "--rows", "taio stats")
        self.assert_fails(run("ping", "--sort", "idle", "h:1"), 2, "--sort", "taio stats and top")

    def test_nobody_is_there(self):
        path = self.path("none")
        self.assert_fails(run("stats", "--admin", f"unix:{path}"), 1, f"cannot connect to {path}: No such file")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path)
            self.assert_fails(run("stats", "--admin", f"unix:{path}"), 1, f"cannot connect to {path}: Connection refused")

    METRICS_BAD = {
        "malformed": (METRICS + b"x{\n", "line 4 of /metrics is malformed"),
        "binary": (b"\0\1\2", "line 1 of /metrics is malformed"),
    }
    CONNECTIONS_BAD = {
        "cut": (CONNECTIONS[:-3], "/connections: not valid JSON: line 1"),
        "of another form": (b"[]", "no list of connections"),
        "deep": (100000 * b"[", "not valid JSON"),
    }
    RAW_BAD = {
        "not http": (b"SSH-2.0-x\r\n", "not a valid HTTP response"),
        "nothing": (b"", "the connection has ended before the response"),
        "half": (answer(METRICS)[:-9], "the connection has ended before the response"),
        "another status": (answer(b"no", b"403 Forbidden"), "status 403"),
        "endless": (b"HTTP/1.1 200 OK\r\n\r\n" + (17 << 20) * b"#", "too long"),
    }

    def test_what_is_no_answer_exits_1(self):
        for name, (body, needle) in self.METRICS_BAD.items():
            with self.subTest(metrics=name), pretend(metrics=body) as where:
                self.assert_fails(run("stats", "-d", "10ms", "--admin", where), 1, needle)
        for name, (body, needle) in self.CONNECTIONS_BAD.items():
            with self.subTest(connections=name), pretend(connections=body) as where:
                self.assert_fails(run("stats", "-d", "10ms", "--admin", where), 1, needle)
        for name, (raw, needle) in self.RAW_BAD.items():
            with self.subTest(raw=name), pretend(raw=raw) as where:
                self.assert_fails(run("stats", "-d", "10ms", "--admin", where), 1, needle)

    def test_silence_ends_at_the_timeout(self):
        with peers.serve(peers.silent) as target:
            self.assert_fails(run("stats", "-t", "100ms", "--admin", f"http://{target}"), 1, "--timeout")

    def test_what_is_missing_is_a_dash(self):
        for metrics, connections in ((b"", CONNECTIONS), (METRICS, with_row(id=7)), (b"x 1\n", b'{"workers": [3, {}]}')):
            with pretend(metrics=metrics, connections=connections) as where:
                self.assert_ok(run("stats", "-d", "10ms", "--admin", where))
                json.loads(run("stats", "-d", "10ms", "--json", "--admin", where).stdout)

    def test_no_escape_sequence_of_the_server_reaches_the_terminal(self):
        bad = "\x1b[31m\x9b1m\x07\r\n\x7f"
        row = {name: bad for name in ("id", "service", "peer", "backend", "state")}
        metrics = b'taiod_info{version="\x1b[31m\\n",engine="\xc2\x9b1m"} 1\n'
        with pretend(metrics=metrics, connections=with_row(**row)) as where:
            result = run("stats", "-d", "10ms", "--admin", where)
            self.assert_ok(result)
            self.assertRegex(result.stdout, rb"\A[ -~\n]+\Z")
            result = run("stats", "-d", "10ms", "--json", "--admin", where)
            self.assert_ok(result)
            self.assertRegex(result.stdout, rb"\A[ -\x7f\n]+\Z")

    def test_a_restart_in_between_gives_no_rates(self):
        times = iter((100, 200))
        with pretend(metrics=lambda: b"taiod_start_time_seconds %d\ntaiod_accepted_total 7\n" % next(times)) as where:
            result = run("stats", "-d", "10ms", "--admin", where)
            self.assert_ok(result)
            self.assertRegex(result.stdout, rb"(?m)^accepted +- +7 ")

    def test_a_connection_that_ends_after_each_answer_is_made_anew(self):
        """Whether the server says so or not."""
        for line in (b"", b"Connection: close\r\n"):
            bodies = iter(2 * (METRICS, CONNECTIONS))

            def one(conn):
                while b"\r\n\r\n" not in conn.recv(65536):
                    pass
                body = next(bodies)
                conn.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (line, len(body), body))

            with peers.serve(one) as target:
                self.assert_ok(run("stats", "-d", "10ms", "--admin", f"http://{target}"))


if __name__ == "__main__":
    harness.main()
