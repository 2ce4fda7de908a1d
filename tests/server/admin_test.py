# SPDX-License-Identifier: MIT
"""The service admin: what whoever watches taiod asks it, at a path and over TCP."""
import contextlib
import json
import os
import re
import signal
import socket
import tempfile
import unittest

from harness import Http, Server, ServerCase, connect, curl, has_tool, is_open, read_to_end, reset, run, until


class Admin(ServerCase):
    listeners = ("service=admin", "service=echo")

    def setUp(self):
        self.admin = Http(self.connect(0))

    def metrics(self):
        return dict(re.findall(r"(?m)^taiod_(\w+) (\d+)$", self.admin.get("/metrics").body.decode()))

    def test_what_it_answers(self):
        for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            response = self.admin.get(path)
            self.assertEqual((response.status, response.body, response.headers["cache-control"]), (200, body, "no-store"))
        before = int(self.metrics()["accepted_total"])
        with connect(self.server.ports[1]) as sock:
            self.assertTrue(is_open(sock))
            self.assertEqual(int(self.metrics()["accepted_total"]), before + 1)

    def test_the_connections(self):
        held = [self.connect(1) for _ in range(5)]
        for sock in held:
            sock.sendall(b"x")
            self.assertEqual(sock.recv(1), b"x")
        workers = json.loads(self.admin.get("/connections").body)["workers"]
        self.assertEqual([worker["worker"] for worker in workers], [0])
        listed = workers[0]["connections"]
        self.assertEqual(workers[0]["open"], len(listed))
        peers = {f"127.0.0.1:{sock.getsockname()[1]}" for sock in held}
        ours = [conn for conn in listed if conn["peer"] in peers]
        self.assertEqual(len(ours), len(held))
        for conn in ours:
            self.assertEqual((conn["service"], conn["state"], conn["outgoing"], conn["tls"]), ("echo", "serve", False, False))
            self.assertTrue(0 <= conn["age_s"] < 60 and 0 < conn["deadline_s"] <= 60 and conn["memory"] > 500, conn)
        self.assertEqual(self.admin.get("/connections", method="HEAD").body, b"")
        self.admin.send(3 * b"GET /connections HTTP/1.1\r\nHost: t\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        for _ in range(3):
            self.assertIn(b'"workers"', self.admin.response().body)
        self.assertEqual(self.admin.response().body, b"ok\n")

    def test_who_asks_and_goes(self):
        """At once, after half of the answer, and with no more to come."""
        for _ in range(50):
            sock = self.connect(0)
            sock.sendall(b"GET /connections HTTP/1.1\r\nHost: t\r\n\r\n")
            reset(sock)
        sock = self.connect(0)
        sock.sendall(b"GET /connections HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        self.assertIn(b'"workers"', read_to_end(sock)[0])

    def test_what_is_not_for_it(self):
        for path in ("/", "/index.html", "/healthz/", "/echo", "/metrics/../etc/passwd", "/.well-known/x"):
            self.assertEqual(self.admin.get(path).status, 404, path)
        self.assertEqual(self.admin.get("/metrics", method="POST", content_length="0").status, 405)
        self.assertEqual(self.admin.get("/healthz", method="DELETE").status, 405)
        other = Http(self.connect(0))
        other.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 GET\r\n\r\n")
        self.assertEqual(other.response().status, 400)
        self.assertEqual(self.http(0).get("/healthz").status, 200)

    def test_how_long_things_took(self):
        sock = self.connect(1)
        sock.sendall(b"x")
        self.assertEqual(sock.recv(1), b"x")
        text = self.admin.get("/metrics").body.decode()
        engine = re.search(r'^taiod_info\{version="[0-9.]+",engine="([a-z:-]+)"\} 1$', text, re.M)[1]
        self.assertEqual(engine, self.server.stats()["engine"])
        counts = dict(re.findall(rf'^taiod_(\w+)_seconds_count\{{engine="{engine}"(?:,operation="[a-z-]+")?\}} (\d+)$', text, re.M))
        self.assertEqual(set(counts), {"submit", "cancel", "deadline_lateness", "operation"})
        reads = int(re.search(rf'operation_seconds_count\{{engine="{engine}",operation="read"\}} (\d+)$', text, re.M)[1])
        self.assertGreater(reads, 0)
        self.assertLessEqual(reads, self.server.stats()["reads"])
        self.assertGreater(int(counts["submit"]), 0)
        taken, most = (int(re.search(rf"^taiod_aio_slots{end} (\d+)$", text, re.M)[1]) for end in ("", "_max"))
        with open("/proc/sys/fs/aio-max-nr", encoding="ascii") as file:
            self.assertEqual(most, int(file.read()))
        self.assertLess(taken, most)

    @unittest.skipUnless(has_tool("promtool"), "no promtool")
    def test_promtool_finds_nothing(self):
        text = self.admin.get("/metrics").body
        self.assertGreater(len(text), 5000)
        done = run("promtool", "check", "metrics", stdin=text)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))


class AtAPath(unittest.TestCase):
    def test_curl_asks_it(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "admin.sock")
            with Server("service=echo", options=("--workers", "2", "--listen", f"unix:{path},service=admin")) as server:
                for name, body in (("healthz", b"ok\n"), ("readyz", b"ready\n")):
                    self.assertEqual(curl("--fail", "--unix-socket", path, f"http://taiod/{name}"), body)
                self.assertIn(b"\ntaiod_accepted_total ", curl("--unix-socket", path, "http://taiod/metrics"))
                server.until_idle()


class Draining(unittest.TestCase):
    def test_it_is_not_ready_while_it_drains(self):
        server = Server("service=admin")
        self.addCleanup(server.kill)
        admin = Http(connect(server.port))
        self.addCleanup(admin.close)
        self.assertEqual(admin.get("/readyz").status, 200)
        before = server.stats()["bytes_in"]
        admin.send(b"GET /readyz HTTP/1.1\r\nHost: t\r\n")
        server.until_counter("bytes_in", before + 10)
        server.signal(signal.SIGTERM)
        until(lambda: "stopping" in server.log(), "the drain")
        admin.send(b"\r\n")
        response = admin.response()
        self.assertEqual((response.status, response.body), (503, b"draining\n"))
        server.wait()
        server.check_end()


class Unread(unittest.TestCase):
    def test_a_scraper_that_never_reads_ends_by_the_write_timeout(self):
        server = Server("service=admin", options=("--write-timeout", "500ms"))
        self.addCleanup(server.kill)
        sock = connect(server.port, rcvbuf=4096)
        self.addCleanup(sock.close)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
        server.until_counter("closed_write", 1)
        with connect(server.port) as other:
            self.assertEqual(Http(other).get("/healthz").status, 200)
        server.stop()


class Workers(unittest.TestCase):
    def test_every_worker_lists_its_own(self):
        with Server("service=admin", "service=echo", options=("--workers", "4")) as server:
            held = [connect(server.ports[1]) for _ in range(40)]
            for sock in held:
                self.assertTrue(is_open(sock))
            server.until_counter("accepted", len(held))
            admin = Http(connect(server.port))
            for _ in range(20):
                workers = json.loads(admin.get("/connections").body)["workers"]
                self.assertEqual([worker["worker"] for worker in workers], [0, 1, 2, 3])
                listed = [conn["peer"] for worker in workers for conn in worker["connections"] if conn["service"] == "echo"]
                self.assertEqual(sorted(listed), sorted(f"127.0.0.1:{sock.getsockname()[1]}" for sock in held))
            for sock in (*held, admin):
                sock.close()
            server.until_idle()
