#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Black-box tests of taio-load against peer.py, which shares no code with it.

usage: load_test.py TAIO_LOAD SCHEMA [unittest arguments]

Bounds on time are as wide as a busy machine of two cores needs.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD = SCHEMA = None
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
WAIT_S = 60


def setUpModule():
    global TMP, CERT, KEY
    TMP = tempfile.TemporaryDirectory()
    CERT, KEY = os.path.join(TMP.name, "cert.pem"), os.path.join(TMP.name, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", KEY, "-out", CERT, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)


def tearDownModule():
    TMP.cleanup()


class Peer:
    """A running peer.py; it ends with its standard input."""

    def __init__(self, *behaviour, tls=False, port=0):
        command = [sys.executable, os.path.join(HERE, "peer.py"), *map(str, behaviour), "--port", str(port)]
        if tls:
            command += ["--cert", CERT, "--key", KEY]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())

    def counts(self):
        """Ends it; returns how many connections it had accepted and how many requests it had served."""
        self.process.stdin.close()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Nginx:
    """A running nginx that responds to every request; @extra are directives of its server."""

    CONFIG = """
daemon off;
master_process off;
pid {dir}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{ listen 127.0.0.1:{port}; {extra} location / {{ return 200 "hello"; }} }}
}}
"""

    def __init__(self, extra):
        self.dir = tempfile.mkdtemp(dir=TMP.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = os.path.join(self.dir, "conf")
        with open(config, "w") as file:
            file.write(self.CONFIG.format(dir=self.dir, port=self.port, extra=extra))
        self.process = subprocess.Popen([NGINX, "-c", config, "-e", "stderr"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + WAIT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise AssertionError("nginx does not listen")
            time.sleep(0.02)

    def served(self):
        with open(os.path.join(self.dir, "access.log")) as file:
            return len(file.readlines())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Result:
    def __init__(self, code, out, err, path):
        self.code, self.out, self.err = code, out, err
        self.json = None
        if os.path.exists(path) and os.path.getsize(path):
            with open(path) as file:
                self.json = json.load(file)


class Case(unittest.TestCase):
    def start(self, mode, target, *options):
        self.path = os.path.join(TMP.name, "%s.json" % self.id())
        if os.path.exists(self.path):
            os.unlink(self.path)
        return subprocess.Popen([LOAD, mode, str(target), *map(str, options), "--json", self.path],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, process):
        try:
            out, err = process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        self.assertGreaterEqual(process.returncode, 0, err)
        return Result(process.returncode, out, err, self.path)

    def load(self, mode, peer, *options, url=None):
        target = url.replace("PORT", str(peer.port)) if url else "127.0.0.1:%d" % peer.port
        return self.end(self.start(mode, target, *options))

    def wait_for_second_line(self, csv):
        """The first second was measured."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if os.path.exists(csv):
                with open(csv) as file:
                    if len(file.readlines()) > 1:
                        return
            time.sleep(0.02)
        self.fail("nothing was measured")

    def assert_success(self, result):
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(result.err, "")
        self.assertEqual(result.json["errors"], 0)
        self.assertIsNone(result.json["failure"])

    def assert_errors(self, result, kind, least=1):
        """Errors of this kind and no other; exit 1 with one line that says why."""
        self.assertEqual(result.code, 1, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertGreaterEqual(result.json["errors_by_kind"][kind], least, result.json["errors_by_kind"])
        self.assertEqual(result.json["errors"], result.json["errors_by_kind"][kind], result.json["errors_by_kind"])


class Counts(Case):
    def test_echo_counts_every_connection_and_response(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-c", 5, "-d", "1s", "--size", 100)
        self.assert_success(result)
        got = result.json
        self.assertEqual(got["connections"], {"attempted": 5, "established": 5, "completed": 5})
        self.assertGreater(got["requests"], 0)
        self.assertEqual(got["latency_us"]["count"], got["requests"])
        self.assertAlmostEqual(got["requests_per_second"] * got["measured_s"], got["requests"], delta=5 + 1)
        self.assertLessEqual(abs(got["bytes_received"] - 100 * got["requests"]), 600)
        self.assertIsNone(got["latency_raw_us"])
        self.assertIsNone(got["server_cpu_us_per_request"])

    def test_percentiles_are_ordered(self):
        with Peer("echo") as peer:
            got = self.load("echo", peer, "-c", 2, "-d", "500ms").json["latency_us"]
        values = [got[key] for key in ("p50", "p90", "p99", "p99_9", "p99_99", "max")]
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)

    def test_open_loop_sends_exactly_what_was_planned(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-c", 3, "-d", "2s", "--rate", 150, "--max-lag", "10s")
        self.assert_success(result)
        self.assertEqual(result.json["requests"], 300)
        self.assertEqual(result.json["latency_raw_us"]["count"], 300)
        self.assertEqual(result.json["send_lag_us"]["count"], 300)
        self.assertAlmostEqual(result.json["requests_per_second"], 150, delta=15)

    def test_warmup_is_not_counted(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-d", "1s", "--warmup", "1s", "--rate", 100, "--max-lag", "10s")
        self.assert_success(result)
        self.assertEqual(result.json["requests"], 100)

    def test_large_requests_come_back_whole(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-c", 3, "-d", "500ms", "--size", "1m")
        self.assert_success(result)
        self.assertGreater(result.json["requests"], 0)

    def test_every_engine_carries_the_load(self):
        with Peer("echo") as peer:
            for engine in os.environ.get("TAIO_ENGINES", "poll").split(","):
                with self.subTest(engine=engine):
                    result = self.load("echo", peer, "-c", 4, "-d", "300ms", "--engine", engine)
                    self.assert_success(result)
                    self.assertEqual(result.json["engine"], engine)
                    self.assertGreater(result.json["requests"], 0)

    def test_server_cpu_is_that_of_the_process(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-c", 2, "-d", "1s", "--server-pid", peer.process.pid)
        self.assert_success(result)
        self.assertGreater(result.json["server_cpu_us_per_request"], 0)
        self.assertLess(result.json["server_cpu_s"], 2 * result.json["measured_s"])

    def test_csv_has_a_row_a_second_and_hgrm_ends_at_100_percent(self):
        csv, hgrm = os.path.join(TMP.name, "x.csv"), os.path.join(TMP.name, "x.hgrm")
        with Peer("echo") as peer:
            self.assert_success(self.load("echo", peer, "-d", "2500ms", "--csv", csv, "--hgrm", hgrm))
        with open(csv) as file:
            rows = file.read().splitlines()
        self.assertIn(len(rows), (3, 4))
        self.assertTrue(all(row.count(",") == rows[0].count(",") for row in rows))
        with open(hgrm) as file:
            lines = [line.split() for line in file if line.strip() and line[0] != "#"][1:]
        self.assertEqual(float(lines[-1][1]), 1)
        self.assertEqual([float(line[0]) for line in lines], sorted(float(line[0]) for line in lines))


class Http(Case):
    def test_get_over_kept_connections(self):
        with Peer("http") as peer:
            result = self.load("http", peer, "-c", 4, "-d", "500ms", url="http://localhost:PORT/x?y")
        self.assert_success(result)
        self.assertEqual(result.json["connections"], {"attempted": 4, "established": 4, "completed": 4})

    def test_url_without_a_path(self):
        with Peer("http") as peer:
            for end in ("", "?x", "#f", "?x#f", "/x#f"):
                with self.subTest(end=end):
                    result = self.load("http", peer, "-c", 1, "-d", "100ms", url="http://127.0.0.1:PORT" + end)
                    self.assert_success(result)

    def test_chunked_response_in_single_bytes(self):
        with Peer("http-chunked") as peer:
            result = self.load("http", peer, "-c", 2, "-d", "500ms")
        self.assert_success(result)
        self.assertGreater(result.json["requests"], 0)

    def test_announced_close_is_opened_again(self):
        for behaviour in (("http-close", 10), ("http-eof",)):
            with self.subTest(behaviour=behaviour), Peer(*behaviour) as peer:
                result = self.load("http", peer, "-c", 2, "-d", "500ms")
                self.assert_success(result)
                self.assertGreater(result.json["reconnects"], 0)
                self.assertEqual(result.json["connections"]["completed"], 2)

    def test_status_500_is_an_error_and_the_load_goes_on(self):
        with Peer("http-500", 10) as peer:
            result = self.load("http", peer, "-c", 2, "-d", "500ms")
        self.assert_errors(result, "http_status")
        self.assertAlmostEqual(result.json["errors"], result.json["requests"] / 10, delta=3)
        self.assertEqual(result.json["connections"]["completed"], 2)

    def test_ambiguous_length_is_an_error(self):
        with Peer("http-garbage") as peer:
            self.assert_errors(self.load("http", peer, "-c", 2, "-d", "500ms"), "http_syntax", 2)

    def test_garbage_is_an_error(self):
        with Peer("echo") as peer:
            self.assert_errors(self.load("http", peer, "-c", 2, "-d", "500ms"), "http_syntax", 2)


class Errors(Case):
    def test_each_kind_is_told_apart(self):
        table = [
            (("echo-corrupt", 20), "mismatch", 1, 3),
            (("echo-close", 20), "closed", 1, 3),
            (("echo-reset", 20), "reset", 1, 3),
            (("mute",), "timeout", 4, 0),
            (("extra",), "unexpected_bytes", 4, 0),
        ]
        for behaviour, kind, least, completed in table:
            with self.subTest(kind=kind), Peer(*behaviour) as peer:
                result = self.load("echo", peer, "-c", 4, "-d", "1s", "--timeout", "800ms", "--on-close", "stop")
                self.assert_errors(result, kind, least)
                self.assertEqual(result.json["connections"], {"attempted": 4, "established": 4, "completed": completed})
                self.assertEqual(result.json["reconnects"], 0)

    def test_refused_connections_are_not_established(self):
        with Peer("echo") as peer:
            port = peer.port
        result = self.end(self.start("echo", "127.0.0.1:%d" % port, "-c", 3, "-d", "500ms"))
        self.assert_errors(result, "connect_refused", 3)
        self.assertEqual(result.json["connections"], {"attempted": 3, "established": 0, "completed": 0})

    def test_a_full_backlog_times_out(self):
        with Peer("full") as peer:
            result = self.load("echo", peer, "-c", 2, "-d", "500ms", "--timeout", "500ms")
        self.assert_errors(result, "timeout", 2)
        self.assertEqual(result.json["connections"]["established"], 0)

    def test_a_server_that_responds_too_slowly_leaves_planned_requests_unsent(self):
        with Peer("mute") as peer:
            result = self.load("echo", peer, "-c", 1, "-d", "1s", "--rate", 50, "--timeout", "600ms")
        self.assertEqual(result.code, 1)
        self.assertGreater(result.json["unsent"], 0)
        self.assertEqual(result.json["errors_by_kind"]["unsent"], result.json["unsent"])
        self.assertEqual(result.json["latency_us"]["count"], result.json["requests"] + result.json["unsent"])

    def test_too_few_descriptors_is_said_clearly(self):
        with Peer("echo") as peer:
            done = subprocess.run(["sh", "-c", 'ulimit -n 64; exec "$0" echo "127.0.0.1:$1" -c 100', LOAD, str(peer.port)],
                                  capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("file descriptors", done.stderr)

    def test_usage_errors_exit_2_with_one_line(self):
        for arguments in (["echo"], ["nonsense", "127.0.0.1:1"], ["echo", "127.0.0.1"], ["echo", "http://x/"],
                          ["http", "http://u@127.0.0.1:1/"], ["http", "http://127.0.0.1:1/a b"],
                          ["echo", "127.0.0.1:1", "--bogus"], ["echo", "127.0.0.1:1", "--deadline", "1s"],
                          ["echo", "127.0.0.1:1", "-c", "0"], ["echo", "127.0.0.1:1", "--ca", "x"],
                          ["http", "127.0.0.1:1", "-H", "a\r\nb: c"], ["echo", "127.0.0.1:1", "--engine", "none"]):
            with self.subTest(arguments=arguments):
                done = subprocess.run([LOAD, *arguments], capture_output=True, text=True, timeout=WAIT_S)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual(done.stdout, "")


class OpenLoop(Case):
    def test_a_stall_shows_in_the_corrected_percentiles_and_not_in_the_raw_ones(self):
        """600 requests planned; a stall of 500 ms delays 100 of them, but only 4 were sent before it."""
        with Peer("echo-stall", 0.5) as peer:
            result = self.load("echo", peer, "-c", 4, "-d", "3s", "--rate", 200, "--max-lag", "10s")
        self.assert_success(result)
        corrected, raw = result.json["latency_us"], result.json["latency_raw_us"]
        self.assertEqual(result.json["requests"], 600)
        self.assertGreater(corrected["p90"], 100e3)
        self.assertGreater(corrected["p99"], 350e3)
        self.assertLess(raw["p90"], corrected["p90"] / 2)
        self.assertGreater(raw["max"], 400e3)

    def test_a_load_generator_that_was_late_says_that_it_is_invalid(self):
        """Stopped for a while, it is late by its own fault, and no server may be blamed for it."""
        with Peer("echo") as peer:
            csv = os.path.join(TMP.name, "lag.csv")
            process = self.start("echo", "127.0.0.1:%d" % peer.port, "-d", "3s", "--rate", 100, "--csv", csv,
                                 "--max-lag", "50ms")
            self.wait_for_second_line(csv)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1)  # what is tested is that this time passes
            process.send_signal(signal.SIGCONT)
            result = self.end(process)
        self.assertEqual(result.code, 1)
        self.assertFalse(result.json["valid"])
        self.assertIn("invalid", result.err)
        self.assertEqual(result.json["errors"], 0)


class Reopen(Case):
    """What becomes of a connection that ends before the run (--on-close)."""

    def served(self, result, peer):
        """Every request served was counted, and no other; every connection accepted is one of the report's."""
        got, seen = result.json, peer.counts()
        self.assertEqual(got["requests"], seen["served"])
        # Up to one a connection was accepted, but not established, when the run ended.
        self.assertLessEqual(got["connections"]["established"] + got["reconnects"], seen["accepted"])
        self.assertGreaterEqual(got["connections"]["established"] + got["reconnects"] + got["connections"]["attempted"],
                                seen["accepted"])
        return seen

    def test_a_close_between_requests_is_no_error(self):
        """RFC 9112 section 9.3.1. A request every 200 ms finds the close long seen."""
        for tls in (False, True):
            for mode, behaviour in (("http", "http-leave"), ("echo", "echo-leave")):
                with self.subTest(mode=mode, tls=tls), Peer(behaviour, 2, tls=tls) as peer:
                    options = ("--tls", "--ca", CERT) if tls else ()
                    result = self.load(mode, peer, "-c", 2, "-d", "2s", "--rate", 10, "--max-lag", "10s", *options)
                    self.assert_success(result)
                    got = result.json
                    self.assertEqual(got["requests"], 20)
                    self.assertIn(got["reconnects"], (8, 9, 10))
                    self.assertEqual(got["reconnect_failures"], 0)
                    self.assertEqual(got["connections"], {"attempted": 2, "established": 2, "completed": 2})
                    self.assertIn("reconnects", result.out)
                    self.served(result, peer)

    def test_a_lost_request_is_an_error_and_the_connection_is_reopened(self):
        """Each kind by what was seen of the response; RFC 9112 sections 9.3.1 and 9.6 for keepalive_closed."""
        table = [
            ("http", ("http-drop", 1), "closed"),
            ("http", ("http-rst", 1), "reset"),
            ("http", ("http-drop", 5), "keepalive_closed"),
            ("http", ("http-rst", 5), "keepalive_closed"),
            ("http", ("http-cut", 5), "closed"),
            ("echo", ("echo-close", 20), "closed"),
            ("echo", ("echo-reset", 20), "reset"),
            ("echo", ("echo-corrupt", 20), "mismatch"),
        ]
        for mode, behaviour, kind in table:
            with self.subTest(behaviour=behaviour), Peer(*behaviour) as peer:
                result = self.load(mode, peer, "-c", 4, "-d", "1s")
                self.assert_errors(result, kind)
                self.assertGreater(result.json["reconnects"], 0)
                if mode == "echo":
                    self.assertEqual(result.json["errors"], 1)
                    self.assertGreater(result.json["requests"], 100)
                    self.assertEqual(result.json["connections"]["completed"], 4)
                elif behaviour[1] > 1:
                    self.assertGreater(result.json["requests"], 100)
                if kind != "mismatch":
                    self.served(result, peer)

    def test_a_request_that_times_out_does_not_end_the_load(self):
        with Peer("mute") as peer:
            result = self.load("echo", peer, "-c", 2, "-d", "2s", "--timeout", "500ms")
        self.assert_errors(result, "timeout", 6)
        self.assertGreater(result.json["reconnects"], 3)

    def test_the_time_of_a_reconnect_is_latency_of_what_was_planned_in_it(self):
        """A server that is restarted: the plan goes on, and what waited for the new server shows how long."""
        csv = os.path.join(TMP.name, "restart.csv")
        with Peer("http") as first:
            process = self.start("http", "127.0.0.1:%d" % first.port, "-c", 4, "-d", "6s", "--rate", 100, "--csv", csv,
                                 "--max-lag", "10s")
            self.wait_for_second_line(csv)
            before = first.counts()
            first.process.wait()
            time.sleep(1)  # what is tested is that this time passes
            with Peer("http", port=first.port) as second:
                result = self.end(process)
                after = second.counts()
        got = result.json
        self.assertEqual(result.code, 1)
        self.assertEqual(got["requests"], before["served"] + after["served"])
        lost = sum(got["errors_by_kind"][kind] for kind in ("closed", "reset", "keepalive_closed"))
        self.assertLessEqual(lost, 4)
        self.assertEqual(got["requests"] + lost, 600)
        self.assertEqual(got["unsent"], 0)
        self.assertEqual(got["errors"], lost + got["reconnect_failures"])
        self.assertEqual(got["errors_by_kind"]["connect_refused"], got["reconnect_failures"])
        self.assertGreater(got["reconnect_failures"], 0)
        self.assertEqual(got["connections"], {"attempted": 4, "established": 4, "completed": 4})
        # Four, and perhaps some to a listener that was about to be closed, as the connections before it were.
        self.assertIn(got["reconnects"], range(4, 12))
        self.assertGreater(got["latency_us"]["max"], 900e3)
        self.assertGreater(got["latency_us"]["p90"], 300e3)  # 100 of 600 waited for up to a second
        self.assertLess(got["latency_raw_us"]["p90"], got["latency_us"]["p90"] / 2)

    def test_what_is_planned_is_sent_though_each_request_needs_a_connection(self):
        """The last ones are sent after the end of the interval: they were planned in it."""
        with Peer("http-close", 1) as peer:
            result = self.load("http", peer, "-c", 20, "-d", "1s", "--rate", 400, "--connect-rate", 200, "--max-lag",
                               "10s")
            self.assert_success(result)
            self.assertEqual((result.json["requests"], result.json["unsent"]), (400, 0))
            self.assertGreater(result.json["latency_us"]["max"], 500e3)
            self.served(result, peer)

    def test_a_server_that_is_gone_ends_the_run(self):
        """However many connections there were, it is asked a few times a second."""
        for rate in ((), ("--rate", 100, "--max-lag", "10s")):
            csv = os.path.join(TMP.name, "gone%d.csv" % len(rate))
            with self.subTest(rate=rate), Peer("http") as peer:
                process = self.start("http", "127.0.0.1:%d" % peer.port, "-c", 200, "-d", "1h", "--timeout", "2s",
                                     "--csv", csv, *rate)
                self.wait_for_second_line(csv)
                peer.process.kill()
                result = self.end(process)
                self.assertEqual(result.code, 1)
                self.assertIn("the server is gone: no connection could be reopened for 2", result.err)
                self.assertEqual(len(result.err.splitlines()), 1, result.err)
                self.assertIn("gone", result.json["failure"])
                # All at once as long as no failure is known, some of them while the listener is about to be closed;
                # then one 10, 30, 70, 150, ... ms later.
                self.assertLessEqual(result.json["reconnect_failures"], 128 + 12)
                self.assertLessEqual(result.json["reconnects"], 200)
                self.assertEqual(result.json["connections"], {"attempted": 200, "established": 200, "completed": 0})
                self.assertLess(result.json["measured_s"], WAIT_S / 2)

    def test_a_server_that_accepts_only_to_close_is_not_hammered(self):
        with Peer("slam") as peer:
            result = self.load("http", peer, "-c", 50, "-d", "3s")
            accepted = peer.counts()["accepted"]
        self.assertEqual(result.code, 1)
        self.assertEqual(result.json["requests"], 0)
        self.assertLessEqual(accepted, 50 + 50 + 15)

    def test_reconnects_keep_to_the_connect_rate(self):
        with Peer("http-close", 1) as peer:
            result = self.load("http", peer, "-c", 10, "-d", "2s", "--connect-rate", 50)
            self.assert_success(result)
            self.assertLessEqual(result.json["reconnects"], 101)
            self.assertGreater(result.json["reconnects"], 20)
            self.served(result, peer)

    def test_stop_takes_a_closed_connection_out_of_the_run(self):
        with Peer("http-leave", 5) as peer:
            result = self.load("http", peer, "-c", 2, "-d", "10s", "--rate", 20, "--on-close", "stop", "--max-lag", "10s")
            seen = peer.counts()
        self.assertEqual(result.code, 1)
        self.assertEqual((seen["accepted"], seen["served"]), (2, 10))
        self.assertEqual((result.json["requests"], result.json["reconnects"]), (10, 0))
        self.assertEqual(result.json["errors_by_kind"]["closed"], 2)
        self.assertEqual(result.json["connections"]["completed"], 0)
        self.assertLess(result.json["measured_s"], 9)

    def test_stop_reopens_after_an_announced_close(self):
        with Peer("http-close", 5) as peer:
            result = self.load("http", peer, "-c", 2, "-d", "500ms", "--on-close", "stop")
            self.assert_success(result)
            self.assertGreater(result.json["reconnects"], 0)
            self.served(result, peer)

    def test_every_engine_reconnects(self):
        for engine in os.environ.get("TAIO_ENGINES", "poll").split(","):
            with self.subTest(engine=engine), Peer("http-close", 10) as peer:
                result = self.load("http", peer, "-c", 4, "-d", "300ms", "--engine", engine)
                self.assert_success(result)
                self.assertGreater(result.json["reconnects"], 0)
                self.served(result, peer)

    @unittest.skipUnless(NGINX, "nginx")
    def test_nginx_with_keepalive_requests_10(self):
        with Nginx("keepalive_requests 10;") as nginx:
            # Closed and open loop, on few and many connections.
            for nconns, rate in ((4, ()), (100, ()), (10, ("--rate", 300, "--max-lag", "10s"))):
                with self.subTest(nconns=nconns, rate=rate):
                    served = nginx.served()
                    result = self.load("http", nginx, "-c", nconns, "-d", "1s", *rate)
                    self.assert_success(result)
                    got = result.json
                    self.assertEqual(got["requests"], nginx.served() - served)
                    if rate:
                        self.assertEqual(got["requests"], 300)
                    # Each connection but the last on each slot has served ten.
                    self.assertGreaterEqual(got["requests"], 10 * got["reconnects"])
                    self.assertLess(got["requests"], 10 * (got["reconnects"] + 1 + nconns))
                    self.assertGreater(got["reconnects"], 0)
                    self.assertEqual(got["connections"], {"attempted": nconns, "established": nconns, "completed": nconns})


class Idle(Case):
    def test_each_close_is_measured_against_the_deadline(self):
        with Peer("idle", 1) as peer:
            result = self.load("idle", peer, "-c", 50, "-d", "2s", "--deadline", "1s")
        self.assert_success(result)
        got = result.json
        self.assertEqual((got["closed"], got["early"]), (50, 0))
        self.assertEqual(got["connections"], {"attempted": 50, "established": 50, "completed": 50})
        self.assertEqual(got["lateness_ms"]["count"], 50)
        self.assertGreaterEqual(got["lateness_ms"]["p50"], 0)
        self.assertGreaterEqual(got["age_ms"]["p50"], 1000)

    def test_a_close_before_the_deadline_is_early(self):
        with Peer("idle", 0.5) as peer:
            result = self.load("idle", peer, "-c", 20, "-d", "2s", "--deadline", "30s")
        self.assert_errors(result, "early", 20)
        self.assertEqual((result.json["closed"], result.json["early"]), (20, 20))
        self.assertEqual(result.json["lateness_ms"]["count"], 0)
        self.assertIsNone(result.json["lateness_ms"]["p50"])

    def test_what_is_never_closed_is_an_error(self):
        with Peer("echo") as peer:
            result = self.load("idle", peer, "-c", 5, "-d", "100ms", "--deadline", "100ms")
        self.assert_errors(result, "not_closed", 5)
        self.assertEqual(result.json["closed"], 0)

    def test_without_a_deadline_connections_are_held_for_the_duration(self):
        with Peer("echo") as peer:
            result = self.load("idle", peer, "-c", 20, "-d", "500ms")
        self.assert_success(result)
        self.assertEqual(result.json["closed"], 0)
        self.assertEqual(result.json["connections"]["completed"], 20)

    def test_without_a_deadline_lateness_is_against_the_inferred_one(self):
        with Peer("idle", 0.52) as peer:
            result = self.load("idle", peer, "-c", 20, "-d", "3s")
        self.assert_success(result)
        self.assertEqual((result.json["closed"], result.json["early"]), (20, 0))
        least = result.json["deadline_inferred_ms"]
        self.assertGreaterEqual(least, 500)
        self.assertEqual(least % 100, 0)
        self.assertEqual(result.json["lateness_ms"]["count"], 20)
        self.assertEqual(result.json["connections"]["completed"], 20)
        self.assertGreaterEqual(result.json["lateness_ms"]["p50"], 0)

    def test_the_reference_is_the_last_byte_sent(self):
        """The peer restarts its clock with the request that it gets, so a close is not early."""
        for tls in (False, True):
            with self.subTest(tls=tls), Peer("idle", 1, tls=tls) as peer:
                options = ("--tls", "--ca", CERT) if tls else ()
                result = self.load("idle", peer, "-c", 10, "--deadline", "1s", "--request", "echo", *options)
                self.assert_success(result)
                self.assertEqual((result.json["closed"], result.json["early"]), (10, 0))
                self.assertEqual(result.json["requests"], 10)


class Churn(Case):
    def test_every_cycle_is_closed_by_both_sides(self):
        for request in ("none", "echo"):
            with self.subTest(request=request), Peer("echo") as peer:
                result = self.load("churn", peer, "-c", 4, "-d", "500ms", "--request", request)
                self.assert_success(result)
                got = result.json["connections"]
                self.assertGreater(got["attempted"], 4)
                self.assertEqual((got["established"], got["completed"]), (got["attempted"], got["attempted"]))
                self.assertGreaterEqual(result.json["connect_us"]["count"], result.json["requests"])

    def test_cycles_at_a_rate(self):
        with Peer("echo") as peer:
            for option in ("--rate", "--connect-rate"):
                result = self.load("churn", peer, "-c", 8, "-d", "1s", option, 50, "--max-lag", "10s")
                self.assert_success(result)
                self.assertEqual(result.json["requests"], 50)

    def test_planned_cycles_are_completed_after_the_interval(self):
        """More are planned than one connection can do at a time: each waits, none is given up."""
        with Peer("echo") as peer:
            result = self.load("churn", peer, "-c", 1, "-d", "200ms", "--rate", 20000, "--request", "echo", "--max-lag",
                               "50s", "--timeout", "50s")
        self.assert_success(result)
        self.assertEqual((result.json["requests"], result.json["unsent"]), (4000, 0))

    def test_a_server_that_does_not_close_is_an_error(self):
        with Peer("stuck") as peer:
            result = self.load("churn", peer, "-c", 2, "-d", "500ms", "--timeout", "300ms")
        self.assert_errors(result, "timeout", 2)
        self.assertEqual(result.json["connections"]["completed"], 0)


class Tls(Case):
    def test_verified_echo(self):
        with Peer("echo", tls=True) as peer:
            result = self.load("echo", peer, "-c", 3, "-d", "500ms", "--tls", "--ca", CERT, "--size", "40k")
        self.assert_success(result)
        self.assertEqual(result.json["tls_full_us"]["count"], 3)
        self.assertIn("TLSv1.", result.json["tls"]["version"])

    def test_https_url(self):
        with Peer("http", tls=True) as peer:
            result = self.load("http", peer, "-c", 3, "-d", "500ms", "--ca", CERT, url="https://localhost:PORT/")
        self.assert_success(result)

    def test_an_unknown_certificate_is_not_trusted_unless_asked(self):
        with Peer("echo", tls=True) as peer:
            refused = self.load("echo", peer, "-c", 2, "-d", "300ms", "--tls")
            self.assert_errors(refused, "tls", 2)
            self.assertIn("certificate", refused.err)
            self.assert_success(self.load("echo", peer, "-c", 2, "-d", "300ms", "--tls", "--insecure"))

    def test_a_wrong_name_is_refused(self):
        with Peer("echo", tls=True) as peer:
            result = self.load("echo", peer, "-d", "300ms", "--tls", "--ca", CERT, "--server-name", "other.example")
        self.assert_errors(result, "tls")

    def test_a_plain_server_is_a_tls_error(self):
        with Peer("echo") as peer:
            self.assert_errors(self.load("echo", peer, "-d", "300ms", "--tls", "--insecure"), "tls")

    def test_full_and_resumed_handshakes_are_told_apart(self):
        with Peer("echo", tls=True) as peer:
            for request in ("none", "echo"):
                with self.subTest(request=request):
                    options = ("-c", 2, "-d", "500ms", "--tls", "--ca", CERT, "--request", request)
                    full = self.load("churn", peer, *options)
                    self.assert_success(full)
                    self.assertEqual(full.json["tls_resumed_us"]["count"], 0)
                    resumed = self.load("churn", peer, *options, "--resume")
                    self.assert_success(resumed)
                    self.assertLessEqual(resumed.json["tls_full_us"]["count"], 2)
                    self.assertGreater(resumed.json["tls_resumed_us"]["count"], 2)


class Output(Case):
    def test_json_follows_its_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed")
        with open(SCHEMA) as file:
            schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        with Peer("http", tls=True) as peer:
            runs = [self.load("http", peer, "-d", "200ms", "--rate", 50, "--tls", "--insecure"),
                    self.load("idle", peer, "-d", "200ms", "--deadline", "10ms", "--insecure", "--tls"),
                    self.load("churn", peer, "-d", "200ms", url="https://127.0.0.1:PORT/"),
                    self.load("echo", peer, "-d", "200ms", "--server-pid", peer.process.pid, "--timeout", "100ms")]
        for result in runs:
            jsonschema.validate(result.json, schema)

    def check_keys(self, schema, value, where, optional=frozenset()):
        """Compares the keys of a JSON value, at every depth, with those that the schema describes."""
        if "$ref" in schema:
            schema = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        for choice in schema.get("anyOf", []):
            if value is not None and choice.get("type") != "null":
                self.check_keys(choice, value, where)
        if not isinstance(value, dict) or "properties" not in schema:
            return
        self.assertEqual(set(value) | optional, set(schema["properties"]) | optional, where)
        for key in value:
            self.check_keys(schema["properties"][key], value[key], "%s.%s" % (where, key))

    def manual_terms(self, section):
        """The terms of the list in a section of the manual."""
        text = subprocess.run([LOAD, "--man"], check=True, capture_output=True, text=True, timeout=WAIT_S).stdout
        text = text.split(".Sh %s\n" % section)[1].split(".Sh ")[0]
        return [term for line in text.splitlines() if line.startswith(".It ") for term in line[4:].split(", ")]

    def test_manual_schema_and_writer_name_the_same_keys(self):
        with open(SCHEMA) as file:
            self.schema = json.load(file)
        idle_only = set(self.schema["allOf"][0]["then"]["required"])
        keys = set(self.schema["properties"])
        self.assertEqual(set(self.schema["required"]), keys - idle_only)
        self.assertEqual(sorted(self.manual_terms("OUTPUT")), sorted(keys))
        with Peer("echo", tls=True) as peer:
            idle = self.load("idle", peer, "-d", "100ms", "--tls", "--insecure")
            echo = self.load("echo", peer, "-d", "100ms", "--tls", "--insecure", "--rate", 50, "--max-lag", "10s")
        self.assertIsNotNone(echo.json["send_lag_us"])
        self.check_keys(self.schema, idle.json, "idle")
        self.assertFalse(set(echo.json) & idle_only)
        self.check_keys(self.schema, echo.json, "echo", idle_only)

    def test_help_and_schema_name_the_same_modes(self):
        with open(SCHEMA) as file:
            schema = json.load(file)
        done = subprocess.run([LOAD, "--help"], check=True, capture_output=True, text=True, timeout=WAIT_S)
        commands = done.stdout.split("Modes:\n")[1].split("\n\n")[0]
        modes = [line.split()[0] for line in commands.splitlines() if line[2] != " "]
        self.assertEqual(sorted(modes), sorted(schema["properties"]["mode"]["enum"]))

    def test_json_to_standard_output_replaces_the_report(self):
        with Peer("echo") as peer:
            done = subprocess.run([LOAD, "echo", "127.0.0.1:%d" % peer.port, "-d", "200ms", "--json", "-"],
                                  capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(json.loads(done.stdout)["mode"], "echo")

    def test_no_progress_in_a_pipe(self):
        with Peer("echo") as peer:
            result = self.load("echo", peer, "-d", "1500ms")
        self.assertEqual(result.err, "")

    def test_interruption_prints_what_was_measured(self):
        csv = os.path.join(TMP.name, "interrupt.csv")
        with Peer("echo") as peer:
            process = self.start("echo", "127.0.0.1:%d" % peer.port, "-c", 2, "-d", "1h", "--csv", csv)
            self.wait_for_second_line(csv)
            process.send_signal(signal.SIGINT)
            result = self.end(process)
        self.assertEqual(result.code, 0, result.err)
        self.assertTrue(result.json["interrupted"])
        self.assertGreater(result.json["requests"], 0)
        self.assertLess(result.json["measured_s"], WAIT_S)


if __name__ == "__main__":
    LOAD, SCHEMA = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
