# SPDX-License-Identifier: MIT
"""The service proxy: backends that die, hang, crawl or reset, descriptors that run out, and checks that find out in time."""
import contextlib
import os
import resource
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
import unittest

from harness import (ENGINE, PATIENCE, SLACK, SLOW, Server, client_context, connect, make_certificate, pattern, read_exactly, read_to_end,
                     reset, until)
from proxy_test import V2, Backend, Case
from reload_test import Case as ReloadCase


class Checks(Case):
    options = ("--connect-timeout", f"{SLOW}s", "--handshake-timeout", f"{SLOW}s")

    def until_log(self, server, text):
        until(lambda: text in server.log(), f"'{text}' in the log")

    def test_down_and_up_again(self):
        good, bad = self.backends(2)
        bad.sock.close()
        server = self.serve(f"to={bad.where},to={good.where},check=50ms")
        self.until_log(server, f"warning: backend {bad.where} is down: Connection refused")
        self.assertEqual(server.stats()["backends_down"], 1)
        drop = threading.Event()
        taker = threading.Thread(target=self.take_checks, args=(good, drop))
        taker.start()
        for _ in range(4):
            with connect(server.port) as client:
                self.assertEqual(read_exactly(client, 1), b"!")
        drop.set()
        taker.join(PATIENCE)
        # Nobody has had to find out by trying it.
        self.assertEqual(server.stats()["backend_failed"], 0)
        again = Backend(port=bad.port)
        self.addCleanup(again.close)
        self.until_log(server, f"backend {bad.where} is up")
        stats = server.stats()
        self.assertEqual(stats["backends_down"], 0)
        self.assertGreater(stats["checks"], stats["checks_failed"])
        # Checks are no clients.
        self.assertEqual(stats["accepted"], 4)
        server.stop()

    @staticmethod
    def take_checks(backend, end):
        """Says ! to whoever connects, which a check does not wait for."""
        backend.sock.settimeout(0.05)
        while not end.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                with backend.accept() as peer:
                    peer.sendall(b"!")

    def test_one_that_is_down_is_better_than_none(self):
        bad, = self.backends(1)
        bad.sock.close()
        server = self.serve(f"to={bad.where},check=1h")
        self.until_log(server, "is down")
        again = Backend(port=bad.port)
        self.addCleanup(again.close)
        self.assert_reaches(connect(server.port), again)
        server.stop()

    def test_a_handshake_belongs_to_it(self):
        """One answers with bytes that are no TLS, one never."""
        mute, babbler = self.backends(2)
        behind = Server("service=echo,tls")
        self.addCleanup(behind.kill)
        server = self.serve(f"to-tls,verify=no,to={mute.where},to={babbler.where},to=127.0.0.1:{behind.port},check=200ms",
                            options=self.options)
        with babbler.accept() as peer:
            peer.sendall(b"220 hello\r\n")
            self.until_log(server, f"backend {babbler.where} is down: the peer does not speak TLS")
        self.until_log(server, f"backend {mute.where} is down: handshake timeout")
        self.assertEqual(server.stats()["backends_down"], 2)
        self.assertNotIn(f"127.0.0.1:{behind.port} is down", server.log())
        # One that is under way does not delay the end.
        begin = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - begin, SLACK)
        self.assertEqual(behind.stop()["tls_failed"], 0)

    def test_the_header_says_that_there_is_no_client(self):
        for version, want in (("v1", b"PROXY UNKNOWN\r\n"), ("v2", V2 + b"\x20\0\0\0")):
            backend, = self.backends(1)
            server = self.serve(f"to={backend.where},send-proxy={version},check=1h")
            with backend.accept() as peer:
                self.assertEqual(read_to_end(peer), (want, True))
            server.stop()

    def test_a_unix_socket_that_is_not_there(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "sock")
        server = self.serve(f"to=unix:{path},check=50ms")
        self.until_log(server, f"backend unix:{path} is down: No such file or directory")
        backend = Backend(socket.AF_UNIX, path)
        self.addCleanup(backend.close)
        self.until_log(server, f"backend unix:{path} is up")
        server.stop()


class Reloaded(ReloadCase):
    def test_what_is_left_of_a_listener_checks_no_more(self):
        """Its clients stay, and need no checks."""
        good, bad = Backend(), Backend()
        self.addCleanup(good.close)
        bad.close()
        words = f"127.0.0.1:0,service=proxy,to={good.where},to={bad.where}"
        self.base.update({"listen": f'{{"{words},check=20ms"}}', "stats-file": f'"{self.path("stats")}"'})
        self.start()
        until(lambda: "is down" in self.log(), "it is down")
        self.assertEqual(self.counters()["backends_down"], 1)
        port, = self.ports()
        with self.connect(port) as client:
            client.sendall(b"x")
            good.sock.settimeout(0.1)
            peer = until(lambda: self.take(good), "the client among the checks")
            self.write(listen=f'{{"{words}"}}')
            self.reload()
            until(lambda: self.counters()["backends_down"] == 0, "nothing is known to be down")
            checks = self.counters()["checks"]
            time.sleep(0.3)  # not for order: none comes
            self.assertEqual(self.counters()["checks"], checks)
            peer.sendall(b"y")
            self.assertEqual(read_exactly(client, 1), b"y")
            peer.close()
        self.stop()

    def test_nor_is_a_backend_that_a_reload_drops(self):
        """Though a client is left there."""
        good, bad = Backend(), Backend()
        self.addCleanup(good.close)
        self.write_map(f"one.test {bad.where}", f"two.test {good.where}")
        self.base.update({"listen": f'{{"127.0.0.1:0,service=proxy,tls,sni-map={self.path("map")},check=20ms"}}',
                          "stats-file": f'"{self.path("stats")}"'})
        self.start()
        port, = self.ports()
        with client_context().wrap_socket(connect(port), server_hostname="one.test") as client:
            client.sendall(b"x")
            bad.sock.settimeout(0.1)
            peer = until(lambda: self.take(bad), "the client among the checks")
            bad.close()
            until(lambda: self.counters()["backends_down"] == 1, "it is down")
            self.write_map(f"one.test {good.where}")
            self.reload()
            until(lambda: self.counters()["backends_down"] == 0, "it is no longer there to be down")
            peer.sendall(b"y")
            self.assertEqual(read_exactly(client, 1), b"y")
            peer.close()
        self.stop()

    def write_map(self, *lines):
        with open(self.path("map"), "w", encoding="ascii") as to:
            to.writelines(line + "\n" for line in lines)

    @staticmethod
    def take(backend):
        """The next connection that brings a byte, or None."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            peer = backend.accept()
            if peer.recv(1):
                return peer
            peer.close()
        return None


class Faults(Case):
    """Of a backend, with a plain client and one under TLS."""

    def setUp(self):
        self.backend, = self.backends(1)
        self.idle = 1.0 * SLOW
        self.server = self.serve(f"to={self.backend.where}", f"tls,to={self.backend.where}",
                                 options=("--idle-timeout", f"{self.idle}s", "--linger-timeout", "1s"))
        self.addCleanup(self.assert_nothing_is_left)

    def assert_nothing_is_left(self):
        self.server.until_idle()
        until(lambda: self.server.fds() <= self.server.fds_before, "no descriptor is left")
        self.server.stop()

    def each(self):
        for tls in (False, True):
            with self.subTest(tls=tls), connect(self.server.ports[tls], tls=tls) as client, self.backend.accept() as peer:
                yield client, peer, tls

    def assert_ends(self, client, tls, want=None, was_reset=True):
        """What the client has got ends; plain, by a reset if the backend's was one."""
        got, in_order = read_to_end(client)
        if want is not None:
            self.assertTrue(want.startswith(got))
        if not tls and was_reset is not None:
            self.assertEqual(in_order, not was_reset)

    def test_killed_with_nothing_under_way(self):
        for client, peer, tls in self.each():
            peer.close()
            self.assert_ends(client, tls, b"", was_reset=False)

    def test_killed_with_bytes_unread(self):
        """The kernel resets what a process leaves with bytes that it has not read."""
        for client, peer, tls in self.each():
            client.sendall(b"x" * 1000)
            until(lambda peer=peer: len(peer.recv(2000, socket.MSG_PEEK)) == 1000, "they are there")
            peer.close()
            self.assert_ends(client, tls, b"")

    def test_hung(self):
        for client, _, tls in self.each():
            begin = time.monotonic()
            client.sendall(b"question")
            self.assert_ends(client, tls, b"", was_reset=False)
            self.assertGreaterEqual(time.monotonic() - begin, self.idle)
            self.assertLess(time.monotonic() - begin, self.idle * 1.25 + SLACK)

    def test_slow(self):
        """Slower than the idle timeout in all, but never for so long."""
        for client, peer, _ in self.each():
            for i in range(12):
                peer.sendall(b"%c" % i)
                self.assertEqual(read_exactly(client, 1), b"%c" % i)
                time.sleep(self.idle / 8)  # not for order: the pace

    def test_reset_at_once(self):
        """This may come before the connection is known to be made: then it is one that could not be."""
        for client, peer, tls in self.each():
            reset(peer)
            self.assert_ends(client, tls, b"", was_reset=None)

    def test_reset_while_bytes_go_up(self):
        for client, peer, tls in self.each():
            sender = threading.Thread(target=self.send_until_error, args=(client,))
            sender.start()
            read_exactly(peer, 1 << 20)
            reset(peer)
            sender.join(PATIENCE)
            self.assertFalse(sender.is_alive())

    @staticmethod
    def send_until_error(sock):
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(bytes(1 << 16))

    def test_reset_while_bytes_come_down(self):
        """The client has not taken what is queued for it."""
        data = pattern(8 << 20)
        for client, peer, tls in self.each():
            peer.settimeout(0.5 * SLOW)
            with contextlib.suppress(TimeoutError):
                peer.sendall(data)
            reset(peer)
            self.assert_ends(client, tls, data)

    def test_reset_after_the_client_has_ended_its_side(self):
        for client, peer, tls in self.each():
            client.sendall(b"all")
            if tls:
                continue  # close_notify and nothing more: not what Python's sockets do
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(peer), (b"all", True))
            peer.sendall(b"part")
            self.assertEqual(read_exactly(client, 4), b"part")
            reset(peer)
            self.assert_ends(client, tls)

    def test_reset_after_the_backend_has_ended_its_side(self):
        for client, peer, tls in self.each():
            peer.sendall(b"all")
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), (b"all", True))
            reset(peer)
            until(lambda client=client: self.is_broken(client), "the client learns of it")

    def test_reset_by_a_client_of_which_nothing_is_read(self):
        """The backend, which takes nothing, must not take its end for an orderly one when it ends its own side."""
        for client, peer, tls in self.each():
            if tls:
                continue  # there a close_notify is written, which fails by itself
            client.settimeout(0.5 * SLOW)
            with contextlib.suppress(TimeoutError):
                while True:
                    client.sendall(bytes(1 << 16))
            reset(client)
            peer.shutdown(socket.SHUT_WR)
            self.assertFalse(read_to_end(peer)[1])
            stats = self.server.until_counter("closed_reset", 1)
            self.assertEqual(stats["closed_error"], 0)

    @staticmethod
    def is_broken(client):
        try:
            client.send(b"x")
        except OSError:
            return True
        return False


class FaultsToTls(Case):
    """Of a backend under TLS, before its handshake is over: the next one is tried."""

    def test_each_before_its_handshake_is_over(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        cert, key = make_certificate(directory, "backend")
        behind = Server(f"service=echo,tls,cert={cert},key={key}")
        self.addCleanup(behind.kill)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        def half(peer):
            """Its part of the handshake, and not the rest."""
            received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
            received.write(peer.recv(1 << 16))
            with contextlib.suppress(ssl.SSLWantReadError):
                context.wrap_bio(received, sent, server_side=True).do_handshake()
            peer.sendall(sent.read()[:100])

        ends = {
            "closed": lambda peer: peer.close(),
            "reset": reset,
            "reset after the hello": lambda peer: (peer.recv(1 << 16), reset(peer)),
            "reset after half of its own": lambda peer: (half(peer), reset(peer)),
            "closed after half of its own": lambda peer: (half(peer), peer.close()),
            "no TLS": lambda peer: (peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), peer.close()),
            "hung": lambda peer: None,
        }
        for tls in (False, True):
            for name, end in ends.items():
                with self.subTest(name, tls=tls):
                    bad, = self.backends(1)
                    words = f"to-tls,verify=no,to={bad.where},to=127.0.0.1:{behind.port}" + (",tls" if tls else "")
                    server = self.serve(words, options=("--handshake-timeout", f"{SLOW}s"))
                    with connect(server.port, tls=tls) as client:
                        with bad.accept() as peer:
                            end(peer)
                            client.sendall(b"hello")
                            self.assertEqual(read_exactly(client, 5), b"hello")
                    self.assertIn(f"backend {bad.where}: ", server.log())
                    stats = server.stop()
                    self.assertEqual((stats["backend_failed"], stats["backend_none"]), (1, 0))
        behind.stop()


class Eviction(Case):
    def test_it_ends_the_client_idle_the_longest_with_its_backend_and_no_backend_alone(self):
        backend, = self.backends(1)
        server = self.serve(f"to={backend.where}", options=("--max-connections", "2", "--when-full", "evict"))
        with contextlib.ExitStack() as stack:
            def pair():
                client = stack.enter_context(connect(server.port))
                return client, stack.enter_context(backend.accept())

            first = pair()
            # Of its two connections that of the backend is idle longer: it was read from before the other was written to.
            first[1].sendall(b"x")
            self.assertEqual(read_exactly(first[0], 1), b"x")
            client = "%s:%d" % first[0].getsockname()
            others = pair(), pair()
            for sock in first:
                self.assertEqual(read_to_end(sock)[0], b"")
            for sock, peer in others:
                sock.sendall(b"question")
                self.assertEqual(read_exactly(peer, 8), b"question")
            stats = server.stats()
            self.assertEqual([stats[name] for name in ("evicted", "closed_evicted", "closed_other", "active")], [1, 1, 1, 2])
            self.assertIn(f"{client}: closed: evicted to make room", server.log())
        server.stop()


class Descriptors(Case):
    @unittest.skipUnless(ENGINE == "poll", "counts descriptors of a connection")
    def test_none_is_left_for_the_backend(self):
        backend, = self.backends(1)
        server = self.serve(f"to={backend.where}", f"tls,to={backend.where}")
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        used = {int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd")}
        # The first that is free is the client's, and the limit leaves no other.
        limit = [fd for fd in range(max(used) + 3) if fd not in used][1]
        for tls in (False, True):
            with self.subTest(tls=tls):
                counted = server.stats()["backend_none"]
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
                with connect(server.ports[tls], tls=tls) as client:
                    self.assertEqual(read_to_end(client)[0], b"")
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
                stats = server.until_counter("backend_none", counted + 1)
                self.assertEqual(stats["backend_failed"], 0)
                self.assertIn(": cannot connect to a backend: Too many open files; raise LimitNOFILE=", server.log())
                # It is not the backend's fault: it does not rest.
                self.assert_reaches(connect(server.ports[tls], tls=tls), backend)
                server.until_idle()
        server.stop()


if __name__ == "__main__":
    unittest.main()
