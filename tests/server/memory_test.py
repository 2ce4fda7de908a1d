# SPDX-License-Identifier: MIT
"""max-memory: what counts, who waits or ends, and that nobody else does."""
import contextlib
import os
import re
import signal
import socket
import ssl
import tempfile
import time
import unittest

from harness import (Http, PATIENCE, SANITIZED, Server, client_context, client_hello, connect, exchange, hello,
                     make_certificate, pattern, read_to_end, reset, until)


class MaxMemory(unittest.TestCase):
    """Peers that hold data of the server: the beginning of a request, which takes a buffer of 18 KiB."""

    BOUND = 2 << 20
    TURN = 512 << 10  # that several connections may take in one turn, before the memory of those that end is free
    BEGIN = b"GET /healthz HTTP/1.1\r\nHost: t\r\nX: " + bytes(5000).replace(b"\0", b"x")
    HTTP = "service=http,root=."

    def serve(self, *listeners, when_full="wait", bound=BOUND, options=()):
        """A server whose connections may take @bound, beside what it takes without any."""
        options = (*options, "--when-full", when_full, "--tls-kernel=no", "--idle-timeout", "10m", "--header-timeout", "10m",
                   "--handshake-timeout", "10m", "--write-timeout", "10m")
        with Server(*listeners, options=(*options, "--max-memory", "1g")) as server:
            bound += self.taken(server)
        server = Server(*listeners, options=(*options, "--max-memory", str(bound)))
        self.addCleanup(server.kill)
        return server

    @staticmethod
    def taken(server):
        """All that max-memory bounds."""
        stats = server.stats()
        return sum(stats[name] for name in ("memory", "memory_kept", "memory_tls", "memory_base"))

    def open(self, server, n):
        peers = [Http(connect(server.port)) for _ in range(n)]
        for peer in peers:
            self.addCleanup(peer.close)
        return peers

    def end(self, server, peers):
        for peer in peers:
            peer.close()
        server.until_idle()
        until(lambda: server.stats()["memory"] == 0, "nothing is left")
        server.stop()

    @staticmethod
    def is_silent(sock):
        """Nothing comes, and no end either."""
        sock.settimeout(0.02)
        try:
            return sock.recv(1) is None
        except TimeoutError:
            return True

    @staticmethod
    def is_served(peer):
        return peer.get("/healthz").status == 200

    def test_what_comes_waits_until_others_hold_less(self):
        server, held, since = self.serve(self.HTTP), [], time.monotonic()
        while not (stats := server.stats())["memory_full"]:
            self.assertLess(len(held), 200)
            held += self.open(server, 1)
            held[-1].send(self.BEGIN)
            server.until_counter("reads", len(held))
        self.assertGreater(len(held), 50)
        waiting = self.open(server, 20)
        for peer in waiting:
            peer.send(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        held[0].send(b"\r\n\r\n")  # one that is there is served
        self.assertEqual(held[0].response().status, 200)
        stats = server.stats()
        self.assertLess(stats["accepted"], len(held) + len(waiting))
        self.assertLessEqual(stats["memory"], self.BOUND)
        self.assertEqual((stats["closed_memory"], stats["refused_full"]), (0, 0))
        self.assertIn("no memory for another connection", server.log())
        self.assertLess(server.log().count("no memory for"), 3 + time.monotonic() - since)
        for peer in held[1:]:
            peer.send(b"\r\n\r\n")
        for peer in held[1:] + waiting:
            self.assertEqual(peer.response().status, 200)
        self.end(server, held + waiting)

    def test_one_that_holds_more_than_its_share_ends_and_others_go_on(self):
        server = self.serve(self.HTTP)
        small, hogs = self.open(server, 100), self.open(server, 200)
        self.assertTrue(all(map(self.is_served, small + hogs)))
        self.assertEqual(server.stats()["closed_memory"], 0)
        for hog in hogs:
            hog.send(self.BEGIN)
        server.until_counter("bytes_in", len(hogs) * len(self.BEGIN))
        stats = server.stats()
        self.assertLess(stats["memory"], self.BOUND + (64 << 10))
        self.assertGreater(stats["closed_memory"], 10)
        self.assertIn("no memory for what a connection holds", server.log())
        self.assertTrue(all(map(self.is_served, small)))
        self.end(server, small + hogs)

    def test_one_that_is_sent_more_than_its_share_ends(self):
        hogs, piece = 100, pattern(1 << 20)
        with socket.socket(socket.AF_UNIX) as sink, tempfile.TemporaryDirectory() as directory:
            sink.bind(os.path.join(directory, "sink"))
            sink.listen(hogs)  # it reads nothing
            server = self.serve(f"service=proxy,to=unix:{directory}/sink")
            hogs = self.open(server, hogs)
            server.until_counter("connects", len(hogs))
            for hog in hogs:
                hog.sock.settimeout(0.05)
                try:
                    hog.sock.sendall(piece)
                except OSError:  # it is full, or has ended
                    pass
                self.assertLess(server.stats()["memory"], self.BOUND + self.TURN)
            stats = server.until_counter("closed_memory", 1)
            self.assertGreater(stats["closed_memory"], 10)
            self.assertEqual(stats["closed_error"], 0)
        self.end(server, hogs)

    def test_files_on_their_way_count(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "big.bin"), "wb") as file:
                file.write(pattern(8 << 20))
            server = self.serve(f"service=http,root={root}")
            hogs = self.open(server, 200)
            for hog in hogs:
                hog.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
                self.assertLess(server.stats()["memory"], self.BOUND + self.TURN)
            self.assertGreater(server.until_counter("closed_memory", 1)["closed_memory"], 10)
            self.end(server, hogs)

    def fill(self, when_full):
        """Idle sessions of TLS, up to the bound."""
        server = self.serve("service=echo,tls", when_full=when_full, bound=1 << 20)
        held = []
        while not (stats := server.stats())["memory_full"]:
            self.assertLess(len(held), 100)
            try:
                sock = connect(server.port, tls=True)
            except OSError:  # refused
                break
            self.addCleanup(sock.close)
            self.assertTrue(hello(sock))
            held.append(sock)
        self.assertGreater(len(held), 30)
        return server, held

    def test_refuse_closes_the_new_one(self):
        server, held = self.fill("refuse")
        new = connect(server.port)
        self.assertEqual(read_to_end(new)[0], b"")
        self.assertTrue(all(hello(sock) for sock in held))
        self.assertGreaterEqual(server.stats()["refused_full"], 2)
        self.end(server, held + [new])

    def test_evict_ends_the_one_idle_the_longest(self):
        server, held = self.fill("evict")
        self.assertEqual(read_to_end(held[0])[0], b"")
        self.assertTrue(all(hello(sock) for sock in held[1:]))
        self.assertEqual(server.stats()["evicted"], 1)
        self.end(server, held)

    def test_above_the_bound_one_goes_for_each_that_comes_until_there_is_room(self):
        """A reload has lowered it below what is in use."""
        with tempfile.TemporaryDirectory() as directory:
            conf = os.path.join(directory, "taiod.conf")

            def write(bound):
                with open(conf, "w", encoding="ascii") as to:
                    to.write(f'listen = {{"127.0.0.1:0,service=echo,tls"}}\nmax-memory = "{bound}"\nwhen-full = "evict"\n'
                             'tls-kernel = no\nidle-timeout = 10m\nmax-connections = 100\n')

            write("1g")
            server = Server(options=("--config", conf))
            self.addCleanup(server.kill)
            before = self.taken(server)
            held = self.open_tls(server, 20)
            taken = self.taken(server)
            bound = taken - (taken - before) // 4
            write(bound)
            server.signal(signal.SIGHUP)
            until(lambda: "certificates reloaded" in server.log(), "the reload")
            stats, gone = {"refused_full": 0}, 0
            while stats["refused_full"] == gone:
                held.append(connect(server.port))
                self.addCleanup(held[-1].close)
                gone += 1
                stats = server.until_counter("closed_evicted", gone)
            self.assertGreater(gone, 4)
            self.assertEqual((stats["evicted"], stats["refused_full"]), (gone, gone - 1))
            self.assertLessEqual(self.taken(server), bound)
            for sock in held[:gone]:
                self.assertEqual(read_to_end(sock)[0], b"")
            self.assertTrue(all(map(self.is_silent, (*held[gone:20], held[-1]))))
            self.end(server, held)

    def test_what_ends_for_its_memory_waits_for_no_close_notify_to_be_taken(self):
        """Its peer reads nothing: what is queued for it would stay. Which side of a pair it is depends on the engine."""
        with socket.socket() as backend:
            backend.bind(("127.0.0.1", 0))
            backend.listen(100)
            server = self.serve(f"service=proxy,tls,to=127.0.0.1:{backend.getsockname()[1]}", options=("--log-level", "debug"))
            hogs, peers, context = [], [], client_context()
            # An end without close_notify is to be told apart from one with it.
            context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
            for _ in range(60):
                hogs.append(context.wrap_socket(connect(server.port, rcvbuf=4096), suppress_ragged_eofs=False))
                self.addCleanup(hogs[-1].close)
                peers.append(backend.accept()[0])
                self.addCleanup(peers[-1].close)
                peers[-1].settimeout(0.05)
            for peer in peers:
                with contextlib.suppress(OSError):  # it is full, or has ended
                    peer.sendall(bytes(8 << 20))
            stats = server.until_counter("closed_memory", 10)
            self.assertLess(stats["memory"], self.BOUND + self.TURN)
            said = set(re.findall(r"127\.0\.0\.1:(\d+): closed: out of memory", server.log()))
            ended = [hog for hog in hogs if str(hog.getsockname()[1]) in said]
            if stats["engine"] == "poll":
                self.assertGreater(len(ended), 10)
            self.assertFalse(any(read_to_end(hog)[1] for hog in ended))
            self.end(server, hogs)

    def test_a_bound_that_leaves_room_for_none_still_serves_one(self):
        """A second one waits: the first, which holds nothing yet, takes more than all."""
        server = Server("service=echo", options=("--max-memory", "512"))
        self.addCleanup(server.kill)
        for _ in range(3):
            with connect(server.port) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
        server.until_idle()
        if not SANITIZED:  # its malloc is another
            self.assertRegex(server.log(), "warning: max-memory is 512 bytes, and taiod takes [0-9]{5,} without any connection")
        server.stop()

    def open_tls(self, server, n):
        socks = [connect(server.port, tls=True) for _ in range(n)]
        for sock in socks:
            self.addCleanup(sock.close)
        self.assertTrue(all(map(hello, socks)))
        return socks

    def test_handshakes_under_way_keep_the_process_below_it(self):
        """They take most of all: some 45 KiB each, nearly all of it OpenSSL's."""
        bound, flight = 16 << 20, client_hello()
        server = self.serve("service=echo,tls", when_full="refuse", bound=bound)
        innocents, held = self.open_tls(server, 20), []
        for _ in range(700):
            held.append(connect(server.port))
            self.addCleanup(held[-1].close)
            with contextlib.suppress(OSError):  # it has been refused
                held[-1].sendall(flight)
        stats = until(lambda: (now := server.stats())["accepted"] + now["refused_full"] == 720 and now, "all have come")
        self.assertGreater(stats["accepted"], 200)
        self.assertGreater(stats["refused_full"], 100)
        self.assertLess(self.taken(server), bound + (4 << 20))
        if not SANITIZED:  # its malloc takes more
            self.assertLess(server.memory("RssAnon"), bound + (8 << 20))
        self.assertTrue(all(map(hello, innocents)))
        for sock in (*held, *innocents):
            sock.close()
        server.until_idle()
        with connect(server.port, tls=True) as sock:
            self.assertTrue(hello(sock))
        server.stop()

    def session_cost(self):
        """About what an idle session of TLS takes in all; this differs from one version of OpenSSL to the next."""
        with Server("service=echo,tls", options=("--tls-kernel=no",)) as server:
            first = connect(server.port, tls=True)  # OpenSSL keeps some of what it took
            self.assertTrue(hello(first))
            before = self.taken(server)
            socks = self.open_tls(server, 50)
            cost = (self.taken(server) - before) // len(socks)
            for sock in (first, *socks):
                sock.close()
            server.until_idle()
        self.assertGreater(cost, 8000)
        return cost

    def test_who_holds_half_a_record_ends_and_others_do_not(self):
        """OpenSSL keeps a buffer for it."""
        bound = 200 * self.session_cost() * 8 // 7 + (384 << 10)
        server = self.serve("service=echo,tls", bound=bound)
        innocents = self.open_tls(server, 20)
        hogs = [RawTls(server.port) for _ in range(180)]
        for hog in hogs:
            self.addCleanup(hog.close)
        self.assertEqual(server.stats()["closed_memory"], 0)
        for hog in hogs:
            hog.send_half(16000)
        self.assertGreater(server.until_counter("closed_memory", 10)["closed_memory"], 10)
        self.assertTrue(all(map(hello, innocents)))
        until(lambda: self.taken(server) <= bound + (1 << 20) + server.stats()["memory_base"], "it is below the bound")
        server.stop()

    def test_renewed_certificates_end_nobody(self):
        """Old ones stay as long as their sessions do; what is there goes on, and new clients are served once they have gone."""
        with tempfile.TemporaryDirectory() as directory:
            for i in range(100):
                make_certificate(directory, f"name{i}", common_name=f"name{i}.test")
            options = ("--cert-dir", directory, "--when-full", "refuse", "--tls-kernel=no")
            with Server("service=echo,tls", options=(*options, "--max-memory", "1g")) as server:
                bound = (self.taken(server) + 15 * self.session_cost()) * 8 // 7
            server = Server("service=echo,tls", options=(*options, "--max-memory", str(bound)))
            self.addCleanup(server.kill)
            held = self.open_tls(server, 10)
            for i in range(100):
                make_certificate(directory, f"name{i}", common_name=f"name{i}.test")
            server.signal(signal.SIGHUP)
            until(lambda: "certificates reloaded" in server.log(), "the reload")
            self.assertGreater(self.taken(server), bound, "the old ones are still there")
            self.assertTrue(all(map(hello, held)))
            for sock in held:
                sock.close()
            server.until_idle()
            with connect(server.port, tls=True) as sock:
                self.assertTrue(hello(sock))
            server.stop()

    def test_no_connection_to_a_backend_is_opened_above_it_and_none_is_blamed(self):
        with socket.socket() as backend:
            backend.bind(("127.0.0.1", 0))
            backend.listen(1000)  # and says nothing
            server = self.serve(f"service=proxy,to=127.0.0.1:{backend.getsockname()[1]},to-tls,verify=no", when_full="refuse",
                                bound=8 << 20, options=("--connect-timeout", "10m"))
            peers = [connect(server.port) for _ in range(600)]
            for peer in peers:
                self.addCleanup(peer.close)
            until(lambda: (now := server.stats())["accepted"] + now["refused_full"] == len(peers), "all have come")
            self.assertLess(self.taken(server), (8 << 20) + (3 << 20))
            self.assertEqual(server.stats()["backend_failed"], 0, server.log())
            server.stop()

    def test_sessions_to_be_resumed_give_way(self):
        """Clients that hold no connection have filled the cache."""
        bound = 40 * self.session_cost() * 8 // 7
        context = client_context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        context.options |= ssl.OP_NO_TICKET
        for when_full in ("refuse", "evict"):
            with self.subTest(when_full=when_full):
                server = self.serve("service=echo,tls", when_full=when_full, bound=bound)
                innocents = self.open_tls(server, 5)
                before = server.stats()["memory_tls"]
                for _ in range(1500):
                    with contextlib.suppress(OSError):  # those before it have not gone yet
                        connect(server.port, context=context).close()
                until(lambda s=server: s.stats()["active"] == 5, "they have gone")
                self.assertGreater(server.stats()["tls_handshakes"], 1000)
                self.assertLess(server.stats()["memory_tls"] - before, bound)
                self.assertTrue(all(map(hello, innocents)))
                self.open_tls(server, 3)
                server.stop()

    def test_free_buffers_of_idle_workers_give_way(self):
        """The one that serves the path has the others' to wait for."""
        with tempfile.TemporaryDirectory() as directory:
            path, conf = os.path.join(directory, "path"), os.path.join(directory, "taiod.conf")

            def write(bound):
                with open(conf, "w", encoding="ascii") as to:
                    to.write(f'max-memory = {bound}\nwhen-full = refuse\nmax-connections = 1600\n'
                             'listener "127.0.0.1:0" { service = echo }\n'
                             f'listener "unix:{path}" {{ service = echo }}\n')

            write("1g")
            server = Server(options=("--config", conf, "--workers", "4"))
            self.addCleanup(server.kill)
            hogs = [connect(server.port, rcvbuf=4096) for _ in range(200)]
            for hog in hogs:
                self.addCleanup(hog.close)
                hog.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while hog.send(pattern(1 << 18)):
                        pass
            until(lambda: server.stats()["memory"] > 8 << 20, "they hold something")
            for hog in hogs:
                reset(hog)
            server.until_idle()
            stats = until(lambda: (now := server.stats())["memory"] == 0 and now, "they have gone")
            self.assertGreater(stats["memory_kept"], 3 << 20)
            write(self.taken(server) - (1 << 20))
            server.signal(signal.SIGHUP)
            until(lambda: "certificates reloaded" in server.log(), "the reload")
            until(lambda: server.stats()["memory_kept"] < 1 << 20, "idle workers give them back")
            socks = [socket.socket(socket.AF_UNIX) for _ in range(10)]
            for sock in socks:
                self.addCleanup(sock.close)
                sock.settimeout(PATIENCE)
                sock.connect(path)
            self.assertTrue(all(map(hello, socks)))
            server.stop()


class RawTls:
    """A client of TLS whose ciphertext the test sends as it likes."""

    def __init__(self, port):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session, self.sock = client_context().wrap_bio(self.incoming, self.outgoing), connect(port)
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.session.do_handshake()
                break
            self.sock.sendall(self.outgoing.read())
            self.incoming.write(self.sock.recv(1 << 16))
        self.sock.sendall(self.outgoing.read())

    def send_half(self, size):
        self.session.write(bytes(size))
        with contextlib.suppress(OSError):  # it has ended
            self.sock.sendall(self.outgoing.read()[:size // 2])

    def close(self):
        self.sock.close()
