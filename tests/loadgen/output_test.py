#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What taio-load prints and writes: JSON by its schema, help and manual, after an interruption too.

usage: output_test.py TAIO_LOAD SCHEMA [unittest arguments]
"""
import json
import os
import signal
import subprocess

import harness
from harness import LOAD, SCHEMA, TMP, WAIT_S, Case, Peer


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
    harness.main()
