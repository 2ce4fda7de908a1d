# SPDX-License-Identifier: MIT
"""Sessions of TLS that are resumed: tickets and their keys, and the cache, over reloads, workers and machines."""
import os
import shutil
import signal
import ssl
import tempfile
import unittest

from harness import Server, client_context, connect, exchange, has_tool, make_certificate, make_ticket_key, run, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Tickets(unittest.TestCase):
    """Sessions are resumed as long as the server has the key of their ticket, whatever becomes of the rest."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-tickets-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        self.contexts = {version: client_context(version, version) for version in (V12, V13)}
        self.sessions = {}

    def path(self, name):
        return os.path.join(self.dir, name)

    def server(self, *words, keys=(), service="echo"):
        self.write_keys(keys)
        server = Server(f"service={service},tls", options=("--config", self.path("taiod.conf"), "--max-connections", "100",
                                                           "--state-dir", self.path("state"), *words))
        self.addCleanup(server.kill)
        return server

    def write_keys(self, keys):
        with open(self.path("taiod.conf"), "w", encoding="ascii") as conf:
            conf.writelines(f'tls-ticket-keys += "{key}"\n' for key in keys)

    def reload(self, server):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "certificates reloaded" in server.log()[before:], "the reload")

    def visit(self, server, renew=True):
        """Whether the session of the visit before is resumed, the same in both versions."""
        resumed = set()
        for version, context in self.contexts.items():
            with connect(server.port, context=context, session=self.sessions.get(version)) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                resumed.add(sock.session_reused)
                if renew:
                    self.sessions[version] = sock.session
        self.assertEqual(len(resumed), 1)
        return resumed.pop()

    def test_made_keys_outlive_reloads_and_are_shared_by_workers(self):
        server = self.server("--workers", "3")
        self.assertFalse(self.visit(server))
        for _ in range(8):
            self.assertTrue(self.visit(server))
        for _ in range(3):
            self.reload(server)
            self.assertTrue(self.visit(server))
        self.assertEqual(server.stats()["tls_failed"], 0)
        server.stop()

    def test_clients_without_tickets_resume_on_every_worker(self):
        """The kernel spreads the connections over workers; the cache is the same for all."""
        for context in self.contexts.values():
            context.options |= ssl.OP_NO_TICKET
        server = self.server("--workers", "3")
        self.sessions[V12] = None
        resumed = 0
        for _ in range(20):
            with connect(server.port, context=self.contexts[V12], session=self.sessions[V12]) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                self.assertFalse(sock.session.has_ticket)
                resumed += sock.session_reused
                self.sessions[V12] = sock.session
        self.assertEqual(resumed, 19)
        server.stop()

    def test_without_tickets_all_sessions_are_in_the_cache(self):
        keys = [make_ticket_key(self.path("a.key"))]
        server = self.server("--workers", "3", "--no-tls-tickets", keys=keys)
        self.assertFalse(self.visit(server))
        for _ in range(8):
            self.assertTrue(self.visit(server))
        server.stop()
        again = self.server("--no-tls-tickets", keys=keys)  # tickets would be resumed
        self.assertFalse(self.visit(again))
        again.stop()

    def test_without_tickets_and_cache_nothing_is_resumed(self):
        server = self.server("--no-tls-tickets", "--tls-session-cache", "0")
        for _ in range(3):
            self.assertFalse(self.visit(server))
        self.assertEqual(server.stats()["tls_failed"], 0)
        server.stop()

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_early_data_is_refused(self):
        server, session = self.server(service="http"), self.path("session")
        request = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        with open(self.path("request"), "wb") as file:
            file.write(request)
        words = ("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3", "-ign_eof")
        done = run(*words, "-sess_out", session, stdin=request)
        self.assertIn(b"Max Early Data: 0", done.stdout)
        done = run(*words, "-sess_in", session, "-early_data", self.path("request"), stdin=request)
        self.assertIn(b"Reused, ", done.stdout)
        self.assertNotIn(b"Early data was accepted", done.stdout)
        self.assertEqual(server.stop()["requests"], 2)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_a_renewed_certificate_keeps_the_sessions(self):
        for name in ("one", "two", "three"):
            make_certificate(self.dir, name, "other" if name == "three" else "localhost")
        live = self.path("live.crt"), self.path("live.key")

        def install(name):
            for end, to in zip(("crt", "key"), live):
                shutil.copy(self.path(f"{name}.{end}"), to)

        install("one")
        server = self.server("--cert", live[0], "--key", live[1])
        self.assertFalse(self.visit(server))
        for name, resumed in (("two", True), ("three", False)):
            install(name)
            self.reload(server)
            self.assertEqual(self.visit(server), resumed, name)
        server.stop()

    def test_a_key_file_outlives_a_restart_and_is_shared(self):
        keys = [make_ticket_key(self.path("a.key"))]
        first = self.server(keys=keys)
        self.assertFalse(self.visit(first))
        both = self.server(keys=keys)
        self.assertTrue(self.visit(both))
        self.assertTrue(self.visit(first))
        first.stop()
        again = self.server(keys=keys)
        self.assertTrue(self.visit(again))
        again.stop()
        both.stop()
        without = self.server()
        self.assertFalse(self.visit(without))
        self.assertEqual(without.stats()["tls_failed"], 0)
        without.stop()

    def test_keys_are_rotated_by_reloads(self):
        old, new = (make_ticket_key(self.path(f"{name}.key"), size) for name, size in (("old", 48), ("new", 80)))
        server = self.server(keys=[old])
        self.assertFalse(self.visit(server))
        for keys, renew, resumed in (([new, old], False, True),  # its key still decrypts
                                     ([new], False, False),  # its key is gone: a handshake, and no error
                                     ([new, old], True, True),  # gets a ticket of the new key instead
                                     ([new], True, True)):
            self.write_keys(keys)
            self.reload(server)
            self.assertEqual(self.visit(server, renew), resumed, keys)
        make_ticket_key(new)  # written anew under its name
        self.reload(server)
        self.assertFalse(self.visit(server))
        self.assertEqual(server.stats()["tls_failed"], 0)
        server.stop()

    def test_a_key_that_is_none_fails_the_reload(self):
        key = make_ticket_key(self.path("a.key"))
        server = self.server(keys=[key])
        self.assertFalse(self.visit(server))
        make_ticket_key(key, size=10)
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "the previous configuration stays in effect" in server.log()[before:], "the refusal")
        self.assertIn(f"error: tls-ticket-keys: {key}: ", server.log()[before:])
        self.assertTrue(self.visit(server))
        server.stop()

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_s_client_resumes_over_reload_and_restart(self):
        key, session = make_ticket_key(self.path("a.key")), self.path("session")
        for version in ("-tls1_2", "-tls1_3"):
            server = self.server(keys=[key], service="http")

            def s_client(*words):
                done = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", version, "-ign_eof", *words,
                           stdin=b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                self.assertEqual(done.returncode, 0, done.stderr)
                return done.stdout

            self.assertIn(b"New, ", s_client("-sess_out", session))
            self.reload(server)
            self.assertIn(b"Reused, ", s_client("-sess_in", session))
            server.stop()
            server = self.server(keys=[key], service="http")
            self.assertIn(b"Reused, ", s_client("-sess_in", session))
            server.stop()
