# SPDX-License-Identifier: MIT
"""Limits of acceptance: connections from one address, the client's where a PROXY header gives it; accepts a second."""
import os
import signal
import socket
import tempfile
import time
import unittest

from harness import PATIENCE, SLOW, Server, exchange, is_open, read_to_end, until


def connect(port, source="127.0.0.1", header=b""):
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
    sock.sendall(header)
    return sock


def client(address, port=1):
    return f"PROXY TCP4 {address} 127.0.0.1 {port} 80\r\n".encode()


class PerAddress(unittest.TestCase):
    def serve(self, *listeners, options=()):
        server = Server(*listeners, options=("--max-per-address", "2", *options))
        self.addCleanup(server.kill)
        return server

    def setUp(self):
        self.socks = []
        self.addCleanup(self.close)

    def close(self):
        for sock in self.socks:
            sock.close()

    def stop(self, server):
        self.close()
        self.assertEqual(server.stop()["active"], 0)

    def served(self, port, *where):
        """A connection that is answered."""
        sock = connect(port, *where)
        self.socks.append(sock)
        self.assertEqual(exchange(sock, b"x"), b"x")
        return sock

    def refused(self, port, *where):
        with connect(port, *where) as sock:
            self.assertEqual(read_to_end(sock)[0], b"")

    def test_one_too_many_is_refused_and_another_address_is_served(self):
        server = self.serve("service=echo", "service=echo")
        kept = [self.served(server.ports[0]), self.served(server.ports[1])]
        for port in server.ports:
            self.refused(port)
        self.served(server.port, "127.0.0.2")
        self.assertTrue(all(map(is_open, kept)))
        self.assertEqual(server.stats()["refused_address"], 2)
        self.assertIn("refused: max-per-address is reached", server.log())
        kept.pop().close()
        until(lambda: server.stats()["active"] == 2, "it has ended")
        self.served(server.port)
        self.stop(server)

    def test_the_workers_count_together(self):
        server = self.serve("service=echo", options=("--workers", "4"))
        kept = [self.served(server.port) for _ in range(2)]
        for _ in range(8):
            self.refused(server.port)
        self.assertTrue(all(map(is_open, kept)))
        self.stop(server)

    def test_addresses_of_a_prefix_are_one(self):
        server = self.serve("service=echo", options=("--address-prefix", "24/64"))
        for source in ("127.0.0.1", "127.0.0.2"):
            self.served(server.port, source)
        self.refused(server.port, "127.0.0.3")
        self.served(server.port, "127.0.1.1")
        self.stop(server)

    def test_behind_a_proxy_the_client_counts(self):
        server = self.serve("service=echo,accept-proxy=127.0.0.1")
        for address in ("192.0.2.1", "192.0.2.2"):
            for port in (1, 2):
                self.served(server.port, "127.0.0.1", client(address, port))
            self.refused(server.port, "127.0.0.1", client(address, 3))
        # Of one that is not given, nobody knows.
        for _ in range(4):
            self.served(server.port, "127.0.0.1", b"PROXY UNKNOWN\r\n")
        stats = server.stats()
        self.assertEqual((stats["refused_address"], stats["closed_address"], stats["proxy_bad"]), (2, 2, 0))
        self.assertIn("192.0.2.1:3: refused", server.log())
        self.stop(server)

    def test_a_client_counts_however_it_comes(self):
        server = self.serve("service=echo,accept-proxy=127.0.0.1")
        self.served(server.port, "127.0.0.2")
        self.served(server.port, "127.0.0.1", client("127.0.0.2"))
        self.refused(server.port, "127.0.0.2")
        self.refused(server.port, "127.0.0.1", client("127.0.0.2", 2))
        self.stop(server)

    def test_a_reload_changes_it(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            def write(limit):
                conf.seek(0)
                conf.truncate()
                conf.write(f"max-per-address = {limit}\nmax-connections = 100\n")
                conf.flush()

            write(1)
            with Server("service=echo", options=("--config", conf.name)) as server:
                self.served(server.port)
                self.refused(server.port)
                write(0)
                os.kill(server.pid, signal.SIGHUP)
                until(lambda: "reloaded" in server.log(), "it has reloaded")
                for _ in range(3):
                    self.served(server.port)
                self.close()


class Rate(unittest.TestCase):
    def test_what_comes_faster_waits(self):
        rate = 40
        with Server(f"service=echo,accept-rate={rate}") as server:
            begin = time.monotonic()
            socks = [connect(server.port) for _ in range(2 * rate)]
            for sock in socks:
                self.assertEqual(exchange(sock, b"x"), b"x")
            took = time.monotonic() - begin
            # A second's worth at once, and the rest by and by.
            self.assertGreaterEqual(took, 0.9)
            self.assertLess(took, 5 * SLOW)
            self.assertGreaterEqual(server.stats()["rate_limited"], 1)
            for sock in socks:
                sock.close()

    def test_another_listener_does_not_wait(self):
        with Server("service=echo,accept-rate=1", "service=echo") as server:
            waits = [connect(server.ports[0]) for _ in range(10)]
            begin = time.monotonic()
            for _ in range(20):
                with connect(server.ports[1]) as sock:
                    self.assertEqual(exchange(sock, b"x"), b"x")
            self.assertLess(time.monotonic() - begin, 5 * SLOW)
            for sock in waits:
                sock.close()
