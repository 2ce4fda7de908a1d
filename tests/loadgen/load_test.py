#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio-load against peer.py, which shares no code with it: what it counts, over each protocol.

usage: load_test.py TAIO_LOAD SCHEMA [unittest arguments]
"""
import os
import signal
import subprocess
import time

import harness
from harness import CERT, LOAD, TMP, WAIT_S, Case, Peer


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


if __name__ == "__main__":
    harness.main()
