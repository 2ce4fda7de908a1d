# SPDX-License-Identifier: MIT
"""TLS handshakes by threads (handshake-threads): the loop goes on meanwhile, and whatever ends a connection then, ends it.

taiod-gate is a taiod whose handshakes do not go on as long as a file exists.
"""
import contextlib
import os
import pathlib
import select
import signal
import socket
import ssl
import tempfile
import time
import unittest

from harness import PATIENCE, SLACK, Server, client_context, connect, exchange, make_certificate, read_to_end, reset, until

TAIOD_GATE = os.environ.get("TAIOD_GATE", "build/release/bin/taiod-gate")
THREADS = 2
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def greet(port, context=None):
    """A client that has sent its ClientHello."""
    context = context or client_context()
    sock = context.wrap_socket(connect(port), do_handshake_on_connect=False)
    sock.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        sock.do_handshake()
    sock.settimeout(PATIENCE)
    return sock


def end_of(sock):
    """When the server ends it, which has sent nothing before."""
    raw = socket.socket(fileno=sock.detach())
    raw.settimeout(PATIENCE)
    with raw:
        got, _ = read_to_end(raw)
        assert got == b"", f"{len(got)} bytes"
    return time.monotonic()


class Held(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-gate-")
        self.addCleanup(directory.cleanup)
        self.dir, self.gate = directory.name, os.path.join(directory.name, "gate")
        self.clients = []
        self.addCleanup(self.close_clients)

    def close_clients(self):
        for sock in self.clients:
            sock.close()
        self.clients = []

    def serve(self, *listeners, options=(), env=None):
        server = Server(*(listeners or ("service=echo,tls", "service=echo")), program=TAIOD_GATE,
                        options=("--handshake-threads", THREADS, *options),
                        env={**os.environ, "TAIO_TEST_GATE": self.gate, **(env or {})})
        self.addCleanup(server.kill)
        return server

    def close_gate(self):
        with open(self.gate, "wb"):
            pass

    def open_gate(self):
        os.unlink(self.gate)

    def hold(self, server, n, context=None):
        """@n clients whose handshakes wait, the first of them in threads."""
        self.close_gate()
        self.clients += (held := [greet(server.port, context) for _ in range(n)])
        server.until_counter("tls_handshakes_waiting", n)
        return held

    def assert_served(self, sock):
        if sock not in self.clients:
            self.clients.append(sock)
        self.assertEqual(exchange(sock, b"hello"), b"hello")

    def test_the_loop_goes_on(self):
        server = self.serve()
        kept = [connect(server.port, tls=True), connect(server.ports[1])]
        for sock in kept:
            self.assert_served(sock)
        for version in (V12, V13):
            with self.subTest(version=version):
                context = client_context(version, version)
                begun = server.stats()
                self.assert_served(connect(server.port, context=context))
                before = server.stats()
                # One for what each side says last; one more for a ClientHello longer than the first read.
                steps = before["tls_steps_off_loop"] - begun["tls_steps_off_loop"]
                self.assertIn(steps, (2, 3))
                held = self.hold(server, 5, context)
                for sock in (*kept, connect(server.ports[1])):
                    self.assert_served(sock)
                self.open_gate()
                for sock in held:
                    sock.do_handshake()
                    self.assert_served(sock)
                after = server.stats()
                self.assertEqual(after["tls_handshakes"] - before["tls_handshakes"], 5)
                self.assertEqual(after["tls_steps_off_loop"] - before["tls_steps_off_loop"], 5 * steps)
                self.assertEqual(after["tls_handshakes_waiting"], 0)
        self.close_clients()
        server.stop()

    def test_a_step_that_is_back_wakes_the_loop(self):
        """Which otherwise sleeps, but for a beat a second."""
        server = self.serve()
        begun = time.monotonic()
        for _ in range(10):
            with connect(server.port, tls=True) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
        self.assertLess(time.monotonic() - begun, 2 * SLACK)
        server.until_idle()
        server.stop()

    def test_more_than_threads_can_make_wait_in_the_backlog(self):
        most, bunch = 256, 64  # that wait, and are accepted at once
        server = self.serve()
        held = self.hold(server, most)
        self.clients += (late := [greet(server.port) for _ in range(2 * bunch)])
        for _ in range(3):
            self.assert_served(connect(server.ports[1]))
        stats = server.stats()
        self.assertLessEqual(stats["tls_handshakes_waiting"], most + bunch)
        self.assertLessEqual(stats["accepted"], most + bunch + 3)
        self.open_gate()
        for sock in held + late:
            sock.do_handshake()
        self.assert_served(late[-1])
        self.close_clients()
        server.until_idle()
        self.assertEqual(server.stop()["tls_handshakes"], len(held) + len(late))

    def test_a_timeout_comes_on_time(self):
        server = self.serve(options=("--handshake-timeout", "1s"))
        begun = time.monotonic()
        held = self.hold(server, THREADS + 3)
        for sock in held[THREADS:]:
            took = end_of(sock) - begun
            self.assertTrue(1 <= took <= 1 + SLACK, took)
        stats = server.until_counter("closed_handshake", len(held))
        self.assertEqual(stats["tls_handshakes_waiting"], THREADS)
        self.open_gate()
        for sock in held[:THREADS]:
            end_of(sock)
        server.until_idle()
        self.assertEqual(server.stop()["tls_handshakes"], 0)

    def test_a_timeout_counts_from_the_start(self):
        """The peer says nothing more once a thread has done its step."""
        server = self.serve(options=("--handshake-timeout", "1500ms"))
        begun = time.monotonic()
        sock, = self.hold(server, 1)
        until(lambda: time.monotonic() > begun + 0.7, "some time")
        self.open_gate()
        server.until_counter("tls_steps_off_loop", 1)
        raw = socket.socket(fileno=sock.detach())
        raw.settimeout(PATIENCE)
        with raw:
            self.assertNotEqual(read_to_end(raw)[0], b"")
        took = time.monotonic() - begun
        self.assertTrue(1.5 <= took <= 1.5 + SLACK, took)
        self.assertEqual(server.stop()["closed_handshake"], 1)

    def test_clients_that_vanish(self):
        server = self.serve()
        held = self.hold(server, 60)
        for i, sock in enumerate(held):
            if i % 3 == 0:
                reset(sock)
            elif i % 3 == 1:
                sock.close()
            else:
                sock.shutdown(socket.SHUT_WR)
        self.open_gate()
        server.until_idle()
        self.assert_served(connect(server.port, tls=True))
        self.clients[-1].close()
        server.until_idle()
        until(lambda: server.fds() <= server.fds_before, "no descriptor is left")
        stats = server.stop()
        self.assertEqual(stats["closed_peer"] + stats["closed_reset"], 61, stats)
        self.assertEqual(stats["tls_handshakes"], 1)

    def test_the_watchdog_is_not_fed_while_they_are_stuck(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(os.path.join(self.dir, "notify"))
            manager.settimeout(PATIENCE)
            said = "error: the threads for handshakes are stuck: not feeding the watchdog"
            server = self.serve(env={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"})
            while manager.recv(4096) != b"WATCHDOG=1":
                pass
            held = self.hold(server, THREADS + 1)
            until(lambda: said in server.log(), "it is noticed")
            manager.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while manager.recv(4096):
                    pass
            seen = server.log().count(said)
            until(lambda: server.log().count(said) > seen + 1, "it stays so")
            with self.assertRaises(BlockingIOError):
                manager.recv(4096)
            self.open_gate()
            manager.settimeout(PATIENCE)
            self.assertEqual(manager.recv(4096), b"WATCHDOG=1")
            for sock in held:
                sock.do_handshake()
                self.assert_served(sock)
        self.close_clients()
        server.stop()

    def test_a_reload(self):
        """The held ones go on with the certificate that they began with; of a listener that is gone they end."""
        pairs = [make_certificate(self.dir, name, name) for name in ("one", "two")]
        conf = os.path.join(self.dir, "taiod.conf")

        def write(pair, listener="127.0.0.1:0,service=echo,tls"):
            with open(conf, "w", encoding="ascii") as to:
                to.write(f'cert = "{pair[0]}"\nkey = "{pair[1]}"\nlisten = {{"{listener}"}}\nmax-connections = 100\n')

        def reload():
            before = len(server.log())
            server.signal(signal.SIGHUP)
            until(lambda: "certificates reloaded" in server.log()[before:], "the reload")

        write(pairs[0])
        server = Server(program=TAIOD_GATE, options=("--config", conf, "--handshake-threads", THREADS),
                        env={**os.environ, "TAIO_TEST_GATE": self.gate})
        self.addCleanup(server.kill)
        held = self.hold(server, THREADS + 2)
        write(pairs[1])
        reload()
        self.open_gate()
        for sock in (*held, connect(server.port, tls=True)):
            sock.do_handshake()
            self.assert_served(sock)
        self.assertEqual(server.stats()["tls_handshakes_waiting"], 0)
        one, two = (ssl.PEM_cert_to_DER_cert(pathlib.Path(cert).read_text()) for cert, _ in pairs)
        self.assertEqual([sock.getpeercert(True) for sock in self.clients], [one] * len(held) + [two])
        self.close_clients()
        held = self.hold(server, THREADS + 2)
        write(pairs[1], "127.0.0.2:0,service=echo")
        reload()
        for sock in held[THREADS:]:
            end_of(sock)
        self.open_gate()
        for sock in held[:THREADS]:
            end_of(sock)
        self.close_clients()
        server.stop()

    def test_the_end(self):
        """SIGTERM ends those that wait, and the process once its threads are back; a second one hurries nothing."""
        for signals in (1, 2):
            with self.subTest(signals=signals):
                server = self.serve()
                held = self.hold(server, THREADS + 10)
                for _ in range(signals):
                    server.signal(signal.SIGTERM)
                for sock in held[THREADS:]:
                    end_of(sock)
                self.assertIsNone(server.process.poll())
                self.open_gate()
                for sock in held[:THREADS]:
                    end_of(sock)
                server.wait()
                self.assertEqual(server.stop()["closed_drain"], len(held))
                self.close_clients()

    def test_through_the_proxy(self):
        """Both sides of a pair have handshakes; one ends while a thread has the other's session."""
        backend = self.enterContext(Server("service=echo,tls"))
        to = f"service=proxy,to=127.0.0.1:{backend.port},to-tls,verify=no"
        server = self.serve(to, f"{to},tls", options=("--lifetime-timeout", "1s"))
        self.assert_served(connect(server.ports[1], tls=True))
        self.close_clients()
        server.until_idle()
        steps = server.stats()["tls_steps_off_loop"]
        self.assertGreaterEqual(steps, 3)  # two with the client, one with the backend
        self.close_gate()
        begun = time.monotonic()
        client = connect(server.port)
        self.clients.append(client)
        server.until_counter("tls_handshakes_waiting", 1)
        read_to_end(client)
        took = time.monotonic() - begun
        self.assertTrue(1 <= took <= 1 + SLACK, took)
        self.assertEqual(server.stats()["tls_handshakes_waiting"], 1)
        self.open_gate()
        server.until_idle()
        self.assertEqual(server.stop()["tls_steps_off_loop"], steps + 1)


class Storm(unittest.TestCase):
    """Many handshakes at once, each of them long: P-384, for which OpenSSL has no code of its own."""

    CLIENTS, STORMS = 32, 3

    def storm(self, server, echo, hello):
        """The longest that an established connection waits for its echo while they last."""
        with contextlib.ExitStack() as stack:
            poll, left, longest = select.poll(), self.CLIENTS, 0
            clients = [stack.enter_context(connect(server.port)) for _ in range(self.CLIENTS)]
            for sock in clients:
                poll.register(sock, select.POLLIN)
            server.until_counter("active", self.CLIENTS + 1)
            for sock in clients:
                sock.sendall(hello)
            while left:
                begun = time.monotonic()
                self.assertEqual(exchange(echo, b"x"), b"x")
                longest = max(longest, time.monotonic() - begun)
                for fd, _ in poll.poll(0):
                    poll.unregister(fd)
                    left -= 1
        until(lambda: server.stats()["active"] == 1, "they are gone")
        return longest

    def test_it_does_not_stop_what_is_established(self):
        """Of several storms that one counts in which other programs took the least time."""
        out, waits = ssl.MemoryBIO(), {}
        with contextlib.suppress(ssl.SSLWantReadError):
            client_context(V12, V12).wrap_bio(ssl.MemoryBIO(), out).do_handshake()
        hello = out.read()
        with tempfile.TemporaryDirectory(prefix="taiod-storm-") as directory:
            cert, key = make_certificate(directory, "long", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-384"))
            for threads in (0, 1):
                with Server("service=echo,tls", "service=echo", options=("--handshake-threads", threads, "--cert", cert,
                                                                         "--key", key, "--tls-groups", "P-384")) as server:
                    with connect(server.ports[1]) as echo:
                        self.assertEqual(exchange(echo, b"x"), b"x")
                        waits[threads] = min(self.storm(server, echo, hello) for _ in range(self.STORMS))
                    self.assertEqual(server.stats()["tls_failed"], 0)
        self.assertLess(waits[1], waits[0] / 3, waits)
