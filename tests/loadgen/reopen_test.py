#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio-load when the peer closes: connections are reopened, and what was lost is counted.

usage: reopen_test.py TAIO_LOAD SCHEMA [unittest arguments]
"""
import os
import time
import unittest

import harness
from harness import CERT, NGINX, TMP, WAIT_S, Case, Nginx, Peer


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


if __name__ == "__main__":
    harness.main()
