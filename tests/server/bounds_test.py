# SPDX-License-Identifier: MIT
"""Bounds on connections and descriptors: what happens there, and that it ends when the load does."""
import contextlib
import os
import re
import socket
import tempfile
import time
import unittest

from harness import (Http, SANITIZED, SLACK, SLOW, Server, connect, exchange, hello, is_open, pattern, read_exactly,
                     read_to_end, until)


class MaxConnections(unittest.TestCase):
    def test_refuse_closes_the_new_one(self):
        with Server("service=echo", options=("--max-connections", "3", "--when-full", "refuse")) as server:
            held = [connect(server.port) for _ in range(3)]
            self.assertTrue(all(hello(sock) for sock in held))
            for _ in range(5):
                new = connect(server.port)
                self.assertEqual(read_to_end(new)[0], b"")
                new.close()
            server.until_counter("refused_full", 5)
            self.assertTrue(all(hello(sock) for sock in held))
            held.pop().close()
            until(lambda: server.stats()["active"] == 2, "a place is free")
            held.append(connect(server.port))
            self.assertTrue(hello(held[-1]))
            for sock in held:
                sock.close()
            server.until_idle()

    def test_wait_leaves_the_new_one_in_the_backlog(self):
        with Server("service=echo", options=("--max-connections", "3", "--when-full", "wait")) as server:
            held = [connect(server.port) for _ in range(3)]
            self.assertTrue(all(hello(sock) for sock in held))
            waiting = [connect(server.port) for _ in range(4)]
            for sock in waiting:
                sock.sendall(b"hello")
            self.assertTrue(all(hello(sock) for sock in held))
            self.assertEqual(server.stats()["accepted"], 3)
            before = server.cpu_seconds()
            time.sleep(0.5)
            self.assertLess(server.cpu_seconds() - before, 0.25, "it spins on a full table")
            for sock in held:
                sock.close()
            for sock in waiting:  # one place each is enough to serve them one after the other
                self.assertEqual(read_exactly(sock, 5), b"hello")
                sock.close()
            server.until_idle()
            self.assertEqual(server.stats()["accepted"], 7)

    def test_evict_ends_the_one_idle_the_longest(self):
        with Server("service=echo", options=("--max-connections", "3", "--when-full", "evict")) as server:
            held = [connect(server.port) for _ in range(3)]
            for i in (1, 0, 2):
                self.assertTrue(hello(held[i]))
            new = connect(server.port)
            self.assertTrue(hello(new))
            self.assertEqual(read_to_end(held[1]), (b"", True))
            self.assertTrue(hello(held[0]) and hello(held[2]) and hello(new))
            stats = server.until_counter("closed_evicted", 1)
            self.assertEqual(stats["evicted"], 1)
            self.assertIn("evicted to make room", server.log())
            for sock in (*held, new):
                sock.close()
            server.until_idle()


class Memory(unittest.TestCase):
    PEERS = 60 // SLOW  # the bound is one for each

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-root-")
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        with open(os.path.join(self.root, "big.bin"), "wb") as file:
            file.write(pattern(32 << 20))

    def flood(self, listener, tls, request):
        """Peers that send @request for ever and never read: a bound for each, and the write timeout for all."""
        with Server(listener, options=("--write-timeout", "2s", "--idle-timeout", "60s")) as server:
            before = server.memory()
            socks = [connect(server.port, tls=tls, rcvbuf=4096) for _ in range(self.PEERS)]
            for sock in socks:
                sock.settimeout(0.02)
            most, rounds = 0, 0
            while server.stats()["closed_write"] < self.PEERS:
                rounds += 1
                for sock in socks:
                    try:
                        sock.sendall(request)
                    except OSError:  # full, or ended
                        pass
                most = max(most, server.memory())
                self.assertLess(rounds, 1000)
            growth = (most - before) / self.PEERS
            if not SANITIZED:
                self.assertLess(growth, 512 << 10, "bytes for each peer")
            for sock in socks:
                sock.close()
            server.until_idle()

    def test_echo(self):
        self.flood("service=echo", False, bytes(65536))

    def test_echo_tls(self):
        self.flood("service=echo,tls", True, bytes(16384))

    def test_pipelined_downloads(self):
        self.flood(f"service=http,root={self.root}", False, b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n" * 1000)

    def test_pipelined_small_answers(self):
        self.flood(f"service=http,root={self.root}", False, b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n" * 1000)

    def test_idle_connections_are_small(self):
        if SANITIZED:
            self.skipTest("a sanitizer's memory is not the server's")
        for listener, tls, most in (("service=echo", False, 2048), ("service=echo,tls", True, 40 << 10)):
            # The first is to be there still when the last was opened, on a slow machine too.
            with Server(listener, options=("--idle-timeout", "10m")) as server:
                warm = [connect(server.port, tls=tls) for _ in range(100)]
                self.assertTrue(all(hello(sock) for sock in warm))
                before = server.memory()
                socks = [connect(server.port, tls=tls) for _ in range(1000)]
                self.assertTrue(all(hello(sock) for sock in socks))
                self.assertLess((server.memory() - before) / 1000, most)
                for sock in warm + socks:
                    sock.close()
                server.until_idle()


class Descriptors(unittest.TestCase):
    def test_emfile_is_backed_off_from_and_left_behind(self):
        root = tempfile.TemporaryDirectory(prefix="taiod-root-")
        self.addCleanup(root.cleanup)
        with open(os.path.join(root.name, "a.txt"), "wb") as file:
            file.write(b"0123456789")
        with Server("service=echo", f"service=http,root={root.name}", prefix=("prlimit", "--nofile=40:40"),
                    options=("--metrics", "--max-connections", "1000", "--file-cache", "0")) as server:
            inside = Http(connect(server.ports[1]))
            self.assertEqual(inside.get("/healthz").status, 200)
            socks = [connect(server.port) for _ in range(60)]

            def metric(name):
                return int(re.search(rf"(?m)^taiod_{name} (\d+)$", inside.get("/metrics").body.decode())[1])

            until(lambda: metric("emfile_total") > 0, "EMFILE")
            before, since, failures = server.cpu_seconds(), time.monotonic(), metric("emfile_total")
            time.sleep(1)
            took = time.monotonic() - since
            self.assertLess(server.cpu_seconds() - before, 0.3 * took, "it spins")
            self.assertLess(metric("emfile_total") - failures, 15 * took)
            self.assertIn("LimitNOFILE=", server.log())
            self.assertLess(server.log().count("cannot accept"), 3 + took + SLACK)
            self.assertEqual(inside.get("/a.txt").status, 503)
            served = [sock for sock in socks if self.is_served(sock)]
            self.assertGreater(len(served), 5)
            for sock in socks:
                sock.close()
            new = connect(server.port)
            self.assertTrue(hello(new))
            self.assertEqual(inside.get("/a.txt").body, b"0123456789")
            new.close()
            inside.close()
            server.until_idle()
            until(lambda: server.fds() <= server.fds_before, "no descriptor is left")

    @staticmethod
    def is_served(sock):
        sock.settimeout(0.05)
        try:
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
        except OSError:
            return False


class Ring(unittest.TestCase):
    def test_a_ring_smaller_than_the_load_only_makes_it_wait(self):
        with Server("service=echo", "service=echo,tls", options=("--ring-entries", "16")) as server:
            socks = [connect(server.ports[i % 2], tls=bool(i % 2)) for i in range(12)]
            for turn in range(20):
                for i, sock in enumerate(socks):
                    data = pattern(5000, turn * 100 + i)
                    self.assertEqual(exchange(sock, data), data)
            for sock in socks:
                sock.close()
            server.until_idle()

    def test_pairs_at_the_bound_go_on_however_many_writes_wait(self):
        """Two reads and a write that waits: three operations of each pair are under way."""
        pairs, piece = 128, pattern(8192)
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(os.path.join(directory, "backend"))
            listening.listen(pairs)
            server = stack.enter_context(Server(f"service=proxy,to=unix:{directory}/backend",
                                                options=("--max-connections", str(pairs), "--write-timeout", "10m")))
            clients, backends = [], []
            for _ in range(pairs):
                clients.append(stack.enter_context(connect(server.port)))
                backends.append(stack.enter_context(listening.accept()[0]))

            def is_passed_on():
                stats = server.stats()
                return stats["bytes_out"] == stats["bytes_in"]

            def pass_on(npieces):
                """To the first pair's backend, which does not read: whether it takes that much."""
                clients[0].sendall(piece)
                server.until_counter("bytes_in", npieces * len(piece))
                with contextlib.suppress(AssertionError):
                    return until(is_passed_on, "it is taken", 0.5 * SLOW)

            npieces = next(n for n in range(1, 200) if not pass_on(n))
            for client in clients[1:]:
                client.sendall(piece * npieces)
            server.until_counter("bytes_in", pairs * npieces * len(piece))
            for client in clients:  # the reads beside those writes
                client.sendall(b"hello")
            server.until_counter("bytes_in", pairs * (npieces * len(piece) + 5))
            for backend in backends:
                self.assertEqual(read_exactly(backend, npieces * len(piece) + 5), piece * npieces + b"hello")
            self.assertEqual(server.stats()["ring_full"], 0)
            for sock in clients:
                sock.close()

    def test_reaping_by_system_call_serves_the_same(self):
        with Server("service=echo", options=("--reap-syscall",)) as server:
            sock = connect(server.port)
            data = pattern(1 << 20)
            self.assertEqual(exchange(sock, data), data)
            self.assertTrue(is_open(sock))
            sock.close()
            server.until_idle()


if __name__ == "__main__":
    unittest.main()
