#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio-load with connections rather than requests: modes idle and churn.

usage: hold_test.py TAIO_LOAD SCHEMA [unittest arguments]
"""
import harness
from harness import CERT, Case, Peer


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


if __name__ == "__main__":
    harness.main()
