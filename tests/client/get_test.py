#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio get: what it fetches, from real servers and from those that break the protocol.

usage: get_test.py TAIO [unittest arguments]
"""
import http.server
import os
import re

import harness
import peers
from harness import BIG, Case, digest, each_engine, run
from peers import respond, serve, silent


class FileHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Get(Case):
    def get(self, engine, handler, *args, context=None, scheme="http"):
        with serve(handler, context) as target:
            return run("-e", engine, "get", *args, f"{scheme}://{target}/path?query")

    @each_engine
    def test_http_server_gives_its_file(self, engine):
        self.path("big.bin", BIG)
        with serve(lambda conn: FileHandler(conn, conn.getpeername(), None, directory=self.dir)) as target:
            result = run("-e", engine, "get", f"http://{target}/big.bin")
            self.assert_ok(result)
            self.assertEqual(digest(result.stdout), digest(BIG))
            out = self.path("out")
            self.assert_ok(run("-e", engine, "get", f"http://{target}/big.bin", "-o", out))
            with open(out, "rb") as file:
                self.assertEqual(digest(file.read()), digest(BIG))
            missing = run("-e", engine, "get", f"http://{target}/none", "-o", self.path("none"))
            self.assert_fails(missing, 1, f"http://{target}/none: 404 ")
            self.assertFalse(os.path.exists(self.path("none")))

    @each_engine
    def test_https_from_s_server(self, engine):
        self.path("big.bin", BIG)
        with peers.s_server(self.certificate, "-WWW", cwd=self.dir) as (_, target):
            url = f"https://{target}/big.bin"
            result = run("-e", engine, "get", "--ca", self.certificate.cert, url)
            self.assertEqual((result.returncode, digest(result.stdout)), (0, digest(BIG)), result.stderr)
            self.assert_fails(run("-e", engine, "get", url), 1, "certificate")

    def test_request_names_host_and_path_and_no_fragment(self):
        handler = respond(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with serve(handler) as target:
            self.assert_ok(run("get", f"HTTP://{target}?a=b#fragment"))
        line, *fields = handler.request.split("\r\n")
        self.assertEqual(line, "GET /?a=b HTTP/1.1")
        self.assertIn(f"Host: {target}", fields)
        self.assertIn("Connection: close", fields)

    BODIES = {
        "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hel", b"lo"),
        "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r", b"\nhe\r\n3;x=y\r\nllo\r\n0\r\n",
                    b"Trailer: t\r\n\r\n"),
        "close-delimited": (b"HTTP/1.0 200 OK\r\n\r\n", b"hel", b"lo"),
        "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",),
        "more behind the end": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloXX",),
    }

    @each_engine
    def test_every_kind_of_body(self, engine):
        for name, parts in self.BODIES.items():
            with self.subTest(body=name):
                result = self.get(engine, respond(*parts))
                self.assert_ok(result)
                self.assertEqual(result.stdout, b"hello")
                result = self.get(engine, respond(*parts), "-k", context=self.certificate.context(), scheme="https")
                self.assert_ok(result)
                self.assertEqual(result.stdout, b"hello")

    BROKEN = {
        "cut content-length": ((b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",), "after 5 bytes"),
        "cut chunked": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",), "after 5 bytes"),
        "cut head": ((b"HTTP/1.1 200 OK\r\nContent-Le",), "before the end"),
        "nothing": ((), "without a response"),
        "garbage": ((b"SSH-2.0-OpenSSH_9.2\r\n",), "not a valid HTTP response"),
        "bad chunk": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",), "not a valid HTTP response"),
        "endless head": ((b"HTTP/1.1 200 OK\r\nX: " + 300_000 * b"x",), "headers are too long"),
        "500": ((b"HTTP/1.1 500 Oh No\r\nContent-Length: 4\r\n\r\nbody",), ": 500 Oh No\n"),
    }

    def test_broken_responses_and_bad_statuses_exit_1(self):
        for name, (parts, needle) in self.BROKEN.items():
            with self.subTest(response=name):
                self.assert_fails(self.get("auto", respond(*parts)), 1, needle)

    def test_body_of_an_error_is_not_written(self):
        result = self.get("auto", respond(*self.BROKEN["500"][0]))
        self.assertEqual(result.stdout, b"")

    def test_redirection_is_reported_and_not_followed(self):
        result = self.get("auto", respond(b"HTTP/1.1 302 Found\r\nLocation: http://else/\r\nContent-Length: 1\r\n\r\nx"))
        self.assert_fails(result, 0, "302 Found", "http://else/")
        self.assertEqual(result.stdout, b"x")

    def test_head_prints_status_and_headers_alone(self):
        handler = respond(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two:  2 \r\nEmpty:\r\n\r\n")
        result = self.get("auto", handler, "--head")
        self.assert_ok(result)
        self.assertTrue(handler.request.startswith("HEAD /path?query HTTP/1.1\r\n"))
        self.assertEqual(result.stdout, b"HTTP/1.1 200 OK\nContent-Length: 5\nX-Two: 2\nEmpty: \n")

    def test_escape_sequences_of_the_server_do_not_reach_the_terminal(self):
        result = self.get("auto", respond(b"HTTP/1.1 302 F\r\nLocation: \x9b\t1m\r\nContent-Length: 0\r\n\r\n"))
        self.assert_fails(result, 0, "302 F")
        self.assertRegex(result.stderr, rb"\A[ -~]+\n\Z")

    def test_head_of_an_error_prints_it_and_exits_1(self):
        result = self.get("auto", respond(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"), "-I")
        self.assert_fails(result, 1, "404 Not Found")
        self.assertTrue(result.stdout.startswith(b"HTTP/1.1 404 Not Found\n"))

    @each_engine
    def test_silence_ends_at_the_timeout(self, engine):
        with serve(silent) as target:
            self.assert_fails(run("-e", engine, "-t", "100ms", "get", f"http://{target}/"), 1, "--timeout")

    PROXY_HEADERS = {
        "--proxy-protocol": rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 (\d+) (\d+)\r\n",
        "--proxy-protocol=v1": rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 (\d+) (\d+)\r\n",
        "--proxy-protocol=v2": rb"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01(..)(..)",
    }

    def test_a_proxy_header_goes_ahead_of_everything(self):
        """It gives the connection's own addresses."""
        answer = respond(*self.BODIES["content-length"])
        for context, scheme in ((None, "http"), (self.certificate.context(), "https")):
            for word, pattern in self.PROXY_HEADERS.items():
                seen = []

                def handler(conn):
                    data = b""
                    while not (match := re.fullmatch(pattern, data, re.S)):
                        data += conn.recv(1)
                    ports = [int(p) if p.isdigit() and len(p) > 2 else int.from_bytes(p, "big") for p in match.groups()]
                    seen.append((ports, [conn.getpeername()[1], conn.getsockname()[1]]))
                    if not context:
                        answer(conn)
                        return
                    with context.wrap_socket(conn, server_side=True) as secure:
                        answer(secure)

                with self.subTest(word=word, scheme=scheme), serve(handler) as target:
                    result = run("get", word, "-k", f"{scheme}://{target}/")
                    self.assert_ok(result)
                    self.assertEqual(result.stdout, b"hello")
                    self.assertEqual(*seen[0])
        self.assert_fails(run("get", "--proxy-protocol=v3", "http://127.0.0.1:1/"), 2, "--proxy-protocol")

    def test_unwritable_output_is_named(self):
        ok = respond(*self.BODIES["content-length"])
        self.assert_fails(self.get("auto", ok, "-o", "/no/such/file"), 1, "/no/such/file")
        self.assert_fails(self.get("auto", ok, "-o", "/dev/full"), 1, "/dev/full", "No space left")


if __name__ == "__main__":
    harness.main()
