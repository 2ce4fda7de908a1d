# SPDX-License-Identifier: MIT
"""The daemon's life: reload, drain, stop, several listeners and workers, the port file."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import (ENGINE, Http, PATIENCE, SLACK, Server, TAIOD, connect, exchange, has_tool, make_certificate, pattern,
                     read_to_end, refuses, until)

BIG = 32 << 20


class WithRoot(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-root-")
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        for name, data in (("a.txt", b"0123456789"), ("big.bin", pattern(BIG))):
            with open(os.path.join(self.root, name), "wb") as file:
                file.write(data)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)


class Stop(WithRoot):
    def test_sigterm_finishes_downloads_and_closes_idle_connections(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                server = Server(f"service=http,root={self.root}{',tls' if tls else ''}", "service=echo",
                                options=("--drain-timeout", "20s"))
                self.addCleanup(server.kill)
                slow, idle = (Http(connect(server.port, tls=tls, rcvbuf=8192)) for _ in range(2))
                fresh = connect(server.port)
                echo = connect(server.ports[1])
                self.assertEqual(exchange(echo, b"hello"), b"hello")
                self.assertEqual(idle.get("/a.txt").status, 200)
                slow.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
                slow.head()
                got = [slow.take(1 << 20)]
                server.signal(signal.SIGTERM)
                self.assertEqual(read_to_end(idle.sock), (b"", True))
                self.assertEqual(read_to_end(fresh)[0], b"")
                self.assertEqual(read_to_end(echo), (b"", True))
                for sock in (idle, fresh, echo):
                    sock.close()
                until(lambda: refuses(server.port), "new connections are refused")
                self.assertIsNone(server.process.poll())
                got.append(slow.take(BIG - (1 << 20)))
                self.assertEqual(b"".join(got), pattern(BIG))
                self.assertEqual(read_to_end(slow.sock)[0], b"")
                slow.close()
                server.wait()
                stats = server.last_stats()
                server.check_end()
                self.assertGreaterEqual(stats["closed_drain"], 2)

    def test_without_standard_descriptors_none_is_taken_for_one(self):
        """The log goes to descriptor 2, which must not be a connection or a ring."""
        with tempfile.TemporaryDirectory() as directory:
            ports = os.path.join(directory, "ports")
            process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", TAIOD, "--listen", "127.0.0.1:0,service=echo",
                                        "--engine", ENGINE, "--max-connections", "100", "--port-file", ports])
            try:
                until(lambda: os.path.exists(ports), "a port")
                for fd in range(3):
                    self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def test_a_request_half_received_is_answered_while_draining(self):
        server = Server(f"service=http,root={self.root}")
        self.addCleanup(server.kill)
        http = Http(connect(server.port))
        http.send(b"GET /a.txt HTTP/1.1\r\n")
        until(lambda: server.stats()["bytes_in"] > 0, "the first line is in")
        server.signal(signal.SIGTERM)
        until(lambda: refuses(server.port), "new connections are refused")
        http.send(b"Host: t\r\n\r\n")
        response = http.response()
        self.assertEqual((response.status, response.body, response.headers["connection"]), (200, b"0123456789", "close"))
        http.close()
        server.wait()
        server.check_end()

    def test_the_drain_timeout_ends_what_does_not_end(self):
        server = Server(f"service=http,root={self.root}", options=("--drain-timeout", "700ms"))
        self.addCleanup(server.kill)
        stuck = connect(server.port, rcvbuf=4096)
        stuck.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        until(lambda: server.stats()["file_reads"] > 0, "the download has begun")
        since = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait()
        took = time.monotonic() - since
        self.assertGreaterEqual(took, 0.7)
        self.assertLess(took, 0.7 + SLACK)
        server.check_end()
        self.assertEqual(server.last_stats()["closed_drain"], 1)
        self.assertIn("drain timeout: cancelling 1 connection", server.log())
        stuck.close()

    def test_a_second_sigterm_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = Server(f"service=http,root={self.root}", options=("--drain-timeout", "60s"))
            self.addCleanup(server.kill)
            stuck = connect(server.port, rcvbuf=4096)
            stuck.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            until(lambda: server.stats()["file_reads"] > 0, "the download has begun")
            server.signal(number)
            until(lambda: refuses(server.port), "it drains")
            self.assertIsNone(server.process.poll())
            since = time.monotonic()
            server.signal(number)
            server.wait()
            self.assertLess(time.monotonic() - since, SLACK)
            server.check_end()
            stuck.close()

    def test_stop_with_connections_in_every_state(self):
        server = Server(f"service=http,root={self.root}", f"service=http,root={self.root},tls", "service=echo,tls",
                        options=("--drain-timeout", "500ms", "--workers", "2"))
        self.addCleanup(server.kill)
        socks = []
        for _ in range(20):
            for index, tls in ((0, False), (1, True)):
                socks.append(connect(server.ports[index]))
                socks.append(connect(server.ports[index], tls=tls))
                socks.append(connect(server.ports[index], tls=tls))
                socks[-1].sendall(b"GET /a.txt HTTP/1.1\r\nHo")
                socks.append(connect(server.ports[index], tls=tls, rcvbuf=4096))
                socks[-1].sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        server.signal(signal.SIGTERM)
        server.wait()
        server.check_end()
        for sock in socks:
            sock.close()


@unittest.skipUnless(has_tool("openssl"), "openssl")
class Reload(WithRoot):
    def server(self, text):
        self.conf = self.write("taiod.conf", text)
        server = Server(f"service=echo,tls,cert={self.path('live.crt')},key={self.path('live.key')}",
                        f"service=http,root={self.root}", options=("--config", self.conf))
        self.addCleanup(server.kill)
        return server

    def install(self, name):
        for end in ("crt", "key"):
            os.rename(self.path(f"{name}.{end}"), self.path(f"live.{end}"))

    def hup(self, server, words):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: words in server.log()[before:], words)

    def common_name(self, port):
        sock = connect(port, tls=True)
        der = sock.getpeercert(True)
        sock.close()
        return re.search(rb"name-[a-z]+", der)[0].decode()

    def test_sighup_takes_new_certificates_and_drops_no_connection(self):
        make_certificate(self.root, "first", "name-first")
        make_certificate(self.root, "second", "name-second")
        self.install("first")
        server = self.server("idle-timeout = 30s\n")
        old = connect(server.port, tls=True)
        self.assertEqual(exchange(old, b"before"), b"before")
        self.assertEqual(self.common_name(server.port), "name-first")
        self.install("second")
        for _ in range(5):
            self.hup(server, "certificates reloaded")
        until(lambda: self.common_name(server.port) == "name-second", "the new certificate")
        self.assertEqual(exchange(old, b"after"), b"after")
        old.close()
        server.until_idle()
        until(lambda: server.fds() <= server.fds_before, "no descriptor is left by the reloads")
        server.stop()

    def test_sighup_takes_new_timeouts_for_old_connections_too(self):
        make_certificate(self.root, "first", "name-first")
        self.install("first")
        server = self.server("idle-timeout = 60s\n")
        old = connect(server.ports[1])
        until(lambda: server.stats()["active"] == 1, "it is accepted")
        self.write("taiod.conf", "idle-timeout = 300ms\n")
        since = time.monotonic()
        self.hup(server, "certificates reloaded")
        new = connect(server.ports[1])
        for sock in (old, new):
            self.assertEqual(read_to_end(sock), (b"", True))
            self.assertGreaterEqual(time.monotonic() - since, 0.3)
            sock.close()
        self.assertLess(time.monotonic() - since, 0.3 + SLACK)
        server.stop()

    def test_a_broken_configuration_leaves_everything_as_it_was(self):
        make_certificate(self.root, "first", "name-first")
        make_certificate(self.root, "second", "name-second")
        self.install("first")
        server = self.server("idle-timeout = 60s\n")
        old = connect(server.port, tls=True)
        for text, complaint in (("no-such-key = 1\n", "taiod.conf:1"), ("idle-timeout = soon\n", "taiod.conf:1"),
                                ("idle-timeout = 300ms\nlog-level = loud\n", "taiod.conf:2")):
            self.write("taiod.conf", text)
            self.hup(server, "reload failed: the previous configuration stays in effect")
            self.assertIn(complaint, server.log())
        self.write("taiod.conf", "idle-timeout = 300ms\n")
        os.rename(self.path("second.key"), self.path("live.key"))
        self.hup(server, "reload failed: the previous configuration stays in effect")
        self.assertEqual(self.common_name(server.port), "name-first")
        os.unlink(self.path("live.crt"))
        self.hup(server, "reload failed: the previous configuration stays in effect")
        time.sleep(0.6)  # twice the idle timeout that must not hold
        self.assertEqual(exchange(old, b"hello"), b"hello")
        self.assertEqual(self.common_name(server.port), "name-first")
        old.close()
        server.stop()

    def test_what_needs_a_restart_is_named(self):
        make_certificate(self.root, "first", "name-first")
        self.install("first")
        server = self.server("ring-entries = 1024\n")
        self.write("taiod.conf", "ring-entries = 2048\n")
        self.hup(server, "this needs a restart")
        server.stop()


class Listeners(unittest.TestCase):
    def test_port_file_has_a_line_for_each_in_order(self):
        with Server("service=echo", "service=http,tls", "service=discard", "service=http", "service=echo,tls") as server:
            self.assertEqual([re.sub(r"^127\.0\.0\.1:\d+ ", "", line) for line in server.lines],
                             ["echo tcp", "http tls", "discard tcp", "http tcp", "echo tls"])
            self.assertEqual(len(set(server.ports)), 5)
            self.assertEqual([name for name in os.listdir(server.dir) if name.startswith("ports")], ["ports"])
            for port in server.ports:
                connect(port).close()

    def test_two_workers_share_a_port_and_both_serve(self):
        with Server("service=echo", options=("--workers", "2")) as server:
            socks = [connect(server.port) for _ in range(64)]
            for sock in socks:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            before = self.busy_threads(server)
            data = pattern(1 << 20)
            until(lambda: all(exchange(sock, data) == data for sock in socks[:16]) and
                  len(self.busy_threads(server, before)) >= 2, "two threads that work")
            for sock in socks:
                sock.close()
            server.until_idle()

    @staticmethod
    def busy_threads(server, before=None):
        """Clock ticks of each thread; with @before those threads that used some since."""
        ticks = {}
        for task in os.listdir(f"/proc/{server.pid}/task"):
            with open(f"/proc/{server.pid}/task/{task}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
            ticks[task] = int(fields[11]) + int(fields[12])
        return ticks if before is None else [t for t in ticks if ticks[t] > before.get(t, 0)]

    def test_ipv6(self):
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                self.skipTest("no ::1 here")
        with Server("service=echo", options=("--listen", "[::1]:0,service=echo")) as server:
            port = int(server.lines[0].split()[0].rsplit(":", 1)[1])
            self.assertTrue(server.lines[0].startswith("[::1]:"))
            with socket.create_connection(("::1", port), PATIENCE) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")


if __name__ == "__main__":
    unittest.main()
