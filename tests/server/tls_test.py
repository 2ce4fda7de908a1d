# SPDX-License-Identifier: MIT
"""TLS as clients see it: versions, ALPN, resumption, key updates, certificates."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest
import warnings

from authority import Authority
from harness import (Http, Server, ServerCase, client_context, connect, curl, exchange, has_tool,
                     make_certificate, make_ticket_key, pattern, run, taiod, until)

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Tls(ServerCase):
    listeners = ("service=http,root={root},tls", "service=echo,tls")
    options = ("--file-cache", "0")

    @classmethod
    def make_root(cls, root):
        with open(os.path.join(root, "a.txt"), "wb") as file:
            file.write(b"0123456789")
        with open(os.path.join(root, "big.bin"), "wb") as file:
            file.write(pattern(16 << 20))

    def s_client(self, *words, index=0, stdin=b""):
        return run("openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[index]}", *words, stdin=stdin)

    def test_both_versions(self):
        for version, name in ((V12, "TLSv1.2"), (V13, "TLSv1.3")):
            sock = self.connect(1, context=client_context(version, version))
            self.assertEqual(sock.version(), name)
            data = pattern(1 << 20)
            self.assertEqual(exchange(sock, data), data)

    def test_old_versions_are_refused(self):
        context = client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        before = self.server.stats()
        with self.assertRaises(ssl.SSLError):
            self.connect(1, context=context)
        self.assert_counts(before, tls_failed=1)

    def test_alpn(self):
        sock = self.connect(0, context=client_context(alpn=["h2", "http/1.1"]))
        self.assertEqual(sock.selected_alpn_protocol(), "http/1.1")
        sock = self.connect(0)
        sock.close()

    def test_sessions_are_resumed(self):
        for version in (V12, V13):
            with self.subTest(version=version):
                before = self.server.stats()
                context = client_context(version, version)
                first = self.connect(0, context=context)
                self.assertEqual(Http(first).get("/a.txt").status, 200)
                session = first.session
                first.close()
                second = self.connect(0, context=context, session=session)
                self.assertTrue(second.session_reused)
                self.assertEqual(Http(second).get("/a.txt").status, 200)
                self.assert_counts(before, tls_handshakes=2, tls_resumed=1)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_s_client(self):
        for version, name in (("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")):
            done = self.s_client(version, "-alpn", "http/1.1", "-ign_eof",
                                 stdin=b"GET /a.txt HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"ALPN protocol: http/1.1", done.stdout)
            self.assertIn(name, done.stdout)
            self.assertIn(b"0123456789", done.stdout)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_s_client_reconnects_with_its_session(self):
        done = self.s_client("-tls1_2", "-reconnect")
        self.assertEqual(done.stdout.count(b"Reused, TLSv1.2"), 5, done.stdout)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_s_client_takes_a_session_to_another_process(self):
        session = os.path.join(self.server.dir, "session")
        request = b"GET /a.txt HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        for version in ("-tls1_2", "-tls1_3"):
            done = self.s_client(version, "-ign_eof", "-sess_out", session, stdin=request)
            self.assertIn(b"New, ", done.stdout)
            done = self.s_client(version, "-ign_eof", "-sess_in", session, stdin=request)
            self.assertIn(b"Reused, ", done.stdout)
            self.assertIn(b"0123456789", done.stdout)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_key_updates(self):
        with subprocess.Popen(["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{self.ports[1]}"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            for i in range(5):
                for line in (b"before %d\n" % i, b"K\n"):  # K: update, and ask the peer for one
                    client.stdin.write(line)
                    client.stdin.flush()
                    while line != b"K\n" and (got := client.stdout.readline()) != line:
                        self.assertTrue(got, "the connection has ended")
                while not client.stdout.readline().startswith(b"KEYUPDATE"):
                    pass
            client.stdin.write(b"after\n")
            client.stdin.flush()
            while (got := client.stdout.readline()) != b"after\n":
                self.assertTrue(got, "the connection has ended")
            client.kill()

    def test_a_bad_record_in_the_middle_of_a_download(self):
        """It comes while a file is read, too: what is sent is a beginning of the responses, and the alert ends it.

        Of responses that are queued the server may send all before it reads on.
        """
        before, body, taken = self.server.stats(), pattern(16 << 20), range(0, 30, 3)
        for i in taken:
            sock = self.connect(tls=True)
            sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n" * 2)
            got = bytearray()
            for _ in range(i):
                got += sock.recv(16384)
            raw = os.dup(sock.fileno())
            self.addCleanup(os.close, raw)
            os.write(raw, b"\x17\x03\x03\x00\x20" + bytes(32))
            with self.assertRaises((ssl.SSLError, ConnectionError)):  # the alert, or the reset behind it
                while piece := sock.recv(1 << 16):
                    got += piece
            at = 0
            while at < len(got):
                self.assertTrue(b"HTTP/1.1 200 OK\r\n".startswith(got[at:at + 17]), i)
                end = got.find(b"\r\n\r\n", at)
                at = end + 4 if end >= 0 else len(got)
                self.assertTrue(body.startswith(got[at:at + len(body)]), i)
                at += len(body)
            self.assertEqual(Http(self.connect(tls=True)).get("/a.txt").body, b"0123456789")
        self.assert_counts(before, tls_failed=len(taken))

    def test_the_self_signed_certificate_verifies_as_localhost(self):
        cert = self.server.path("state/self-signed.crt")
        self.assertEqual(os.stat(self.server.path("state/self-signed.key")).st_mode & 0o777, 0o600)
        for host in ("localhost", "127.0.0.1"):
            out = run("curl", "-sS", "--noproxy", "*", "--cacert", cert, "--resolve",
                      f"localhost:{self.ports[0]}:127.0.0.1", f"https://{host}:{self.ports[0]}/a.txt")
            self.assertEqual((out.returncode, out.stdout), (0, b"0123456789"), out.stderr)

    @unittest.skipUnless(has_tool("curl"), "curl")
    def test_curl_in_both_versions(self):
        for words in (("--tlsv1.2", "--tls-max", "1.2"), ("--tlsv1.3",)):
            self.assertEqual(curl(*words, f"https://127.0.0.1:{self.ports[0]}/a.txt"), b"0123456789")


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


@unittest.skipUnless(has_tool("openssl"), "openssl")
class Directory(unittest.TestCase):
    """cert-dir: the certificate that a name gets, and reloads over bad files."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-certs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.certs = self.path("certs")
        os.mkdir(self.certs)
        self.authority = Authority(self.path("ca"))
        for stem, names, key in (("a", ["a.test"], "ec"), ("b-ec", ["b.test", "*.b.test"], "ec"),
                                 ("b-rsa", ["b.test", "*.b.test"], "rsa")):
            self.authority.issue(self.path(f"certs/{stem}"), stem, names, key)

    def path(self, name):
        return os.path.join(self.dir, name)

    def server(self, *words, listener=""):
        server = Server(f"service=http,tls{listener}", options=(*(words or ("--cert-dir", self.certs)),))
        self.addCleanup(server.kill)
        return server

    def reload(self, server):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "certificates reloaded" in server.log()[before:], "the reload")
        return server.log()[before:]

    def served(self, server, name=None, ciphers=None):
        """The common name of what a client gets that asks for @name, verified by the authority."""
        context = client_context(V12, V12 if ciphers else None)
        context.load_verify_locations(self.authority.cert)
        context.verify_mode = ssl.CERT_REQUIRED
        if ciphers:
            context.set_ciphers(ciphers)
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            with context.wrap_socket(sock, server_hostname=name) as tls:
                return dict(field for part in tls.getpeercert()["subject"] for field in part)["commonName"]

    def test_a_name_gets_its_certificate(self):
        server = self.server()
        for name, ciphers, want in (("a.test", None, "a"), ("b.test", None, "b-ec"), ("b.test", "aRSA", "b-rsa"),
                                    ("www.b.test", None, "b-ec"), ("WWW.B.TEST", "aRSA", "b-rsa"),
                                    ("deep.www.b.test", None, "a"), ("other.test", None, "a"), (None, None, "a")):
            with self.subTest(name=name, ciphers=ciphers):
                self.assertEqual(self.served(server, name, ciphers), want)
        server.stop()

    @unittest.skipUnless(has_tool("curl"), "curl")
    def test_curl_verifies_each_name(self):
        server = self.server(listener=f",cert-dir={self.certs}")
        for name, status in (("a.test", 0), ("x.b.test", 0), ("c.test", 60)):
            done = run("curl", "-sS", "--noproxy", "*", "--cacert", self.authority.cert, "--resolve",
                       f"{name}:{server.port}:127.0.0.1", f"https://{name}:{server.port}/healthz")
            self.assertEqual(done.returncode, status, done.stderr)
        server.stop()

    def test_a_default_beside_the_directory(self):
        cert, key = self.authority.issue(self.path("fallback"), "fallback")
        server = self.server("--cert", cert, "--key", key, "--cert-dir", self.certs)
        self.assertEqual(self.served(server, "b.test"), "b-ec")
        for name in (None, "other.test"):
            self.assertEqual(self.served(server, name), "fallback")
        server.stop()

    def test_names_that_are_none(self):
        """Extensions that are malformed get an alert; what is no name of a host gets the default."""
        server = self.server()

        def hello(extension):
            ciphers, session = b"\x00\x04\xc0\x2b\xc0\x2f", b"\x00"
            extensions = b"".join(number + len(body).to_bytes(2, "big") + body for number, body in (
                (b"\x00\x00", extension), (b"\x00\x0a", b"\x00\x02\x00\x17"), (b"\x00\x0d", b"\x00\x04\x04\x03\x04\x01")))
            body = b"\x03\x03" + bytes(32) + session + ciphers + b"\x01\x00" + len(extensions).to_bytes(2, "big") + extensions
            message = b"\x01" + len(body).to_bytes(3, "big") + body
            with connect(server.port) as sock:
                sock.sendall(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
                return sock.recv(1)

        def names(name, kind=0):
            entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
            return len(entry).to_bytes(2, "big") + entry

        handshake, alert = b"\x16", b"\x15"
        for extension, want in ((names(b"b.test"), handshake), (names(b"b\x80.test"), handshake), (names(b"*.b.test"), handshake),
                                (names(b"." * 200), handshake), (names(b"b" * 255), handshake), (names(b"."), handshake),
                                (names(b"b" * 256), alert), (names(b"b\0.test"), alert), (names(b""), handshake), (b"", alert),
                                (b"\x00", alert), (b"\x00\x00", alert), (b"\x00\x04\x00\x00\x09b", alert),
                                (names(b"b.test") + b"b", alert), (b"\xff\xff\x00\xff\xff" + bytes(20), alert)):
            with self.subTest(extension=extension):
                self.assertEqual(hello(extension), want)
        self.assertEqual(self.served(server, "b.test"), "b-ec")
        server.stop()

    def test_reloads_judge_each_file_by_itself(self):
        server = self.server()
        shutil.copy(self.path("certs/b-rsa.key"), self.path("certs/b-ec.key"))
        self.authority.issue(self.path("certs/a"), "a-new", ["a.test"])
        self.authority.issue(self.path("certs/c"), "c", ["c.test"])
        with open(self.path("certs/junk.pem"), "w", encoding="ascii") as junk:
            junk.write("junk")
        said = self.reload(server)
        bad = [line.split(" error: ")[1] for line in said.splitlines() if " error: " in line]
        self.assertEqual(len(bad), 2, said)
        self.assertIn("b-ec.key does not match certificate", bad[0])
        self.assertIn("loaded before stays in effect", bad[0])
        self.assertIn("junk.pem: holds no valid certificate", bad[1])
        for name, want in (("a.test", "a-new"), ("b.test", "b-ec"), ("c.test", "c"), (None, "a-new")):
            self.assertEqual(self.served(server, name), want)
        for stem in ("b-ec.crt", "b-rsa.crt", "junk.pem"):
            os.unlink(self.path(f"certs/{stem}"))
        self.assertNotIn("error", self.reload(server))
        self.assertEqual(self.served(server, "b.test"), "a-new")
        server.stop()

    def test_a_start_goes_on_without_the_bad_ones_and_check_names_them(self):
        for name in ("1.pem", "2.pem"):
            with open(self.path(f"certs/{name}"), "w", encoding="ascii") as junk:
                junk.write("junk")
        server = self.server()
        for name in ("1.pem", "2.pem"):
            self.assertEqual(server.log().count(f"{name}: holds no valid certificate"), 1)
        self.assertEqual(self.served(server, None), "a")
        words = ("-t", "--listen", "127.0.0.1:0,service=echo,tls")
        done = taiod(*words, "--cert-dir", self.certs)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([name in done.stderr for name in ("1.pem", "2.pem", "a.crt")], [True, True, False])
        for stem in ("a", "b-ec", "b-rsa"):
            os.unlink(self.path(f"certs/{stem}.crt"))
        for action in (words, words[1:]):
            done = taiod(*action, "--cert-dir", self.certs)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{self.certs}: no certificate can be used", done.stderr)
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "the previous configuration stays in effect" in server.log()[before:], "the refusal")
        self.assertEqual(self.served(server, "b.test"), "b-ec")
        server.stop()


@unittest.skipUnless(has_tool("openssl"), "openssl")
class Staples(unittest.TestCase):
    """NAME.ocsp beside a certificate, as s_client -status sees it."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-staples-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.authority = Authority(self.path("ca"))
        os.mkdir(self.path("certs"))
        self.one, self.two = (self.authority.issue(self.path(f"certs/{name}"), name, [f"{name}.test"])[0] for name in ("one", "two"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def status(self, server, name):
        """"good", "revoked", or None: no response was sent."""
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", name, "-status")
        if b"OCSP response: no response sent" in done.stdout:
            return None
        return re.search(rb"Cert Status: (\w+)", done.stdout)[1].decode()

    def reload(self, server):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "certificates reloaded" in server.log()[before:], "the reload")
        return server.log()[before:]

    def test_staples_come_and_go_with_reloads(self):
        self.authority.ocsp(self.one, self.path("certs/one.ocsp"))
        with Server("service=echo,tls", options=("--cert-dir", self.path("certs"))) as server:
            self.assertEqual((self.status(server, "one.test"), self.status(server, "two.test")), ("good", None))
            shutil.copy(self.path("certs/one.ocsp"), self.path("certs/two.ocsp"))
            self.assertIn("two.ocsp: the OCSP response is for another certificate", self.reload(server))
            self.assertEqual((self.status(server, "one.test"), self.status(server, "two.test")), ("good", None))
            self.authority.ocsp(self.two, self.path("certs/two.ocsp"))
            self.authority.revoke(self.one)
            self.authority.ocsp(self.one, self.path("certs/one.ocsp"))
            self.assertIn("one.ocsp: warning: the OCSP response says that the certificate's status is revoked", self.reload(server))
            self.assertEqual((self.status(server, "one.test"), self.status(server, "two.test")), ("revoked", "good"))

    def test_a_listener_with_one_certificate(self):
        self.authority.ocsp(self.one, self.path("certs/one.ocsp"))
        words = f"cert={self.one},key={self.path('certs/one.key')}"
        with Server(f"service=echo,tls,{words}") as server:
            self.assertEqual(self.status(server, "one.test"), "good")
            with open(self.path("certs/one.ocsp"), "w", encoding="ascii") as junk:
                junk.write("junk")
            self.assertIn("one.ocsp: not an OCSP response", self.reload(server))
            self.assertIsNone(self.status(server, "one.test"))


@unittest.skipUnless(has_tool("openssl"), "openssl")
class Clients(unittest.TestCase):
    """client-ca, client-crl, client-verify: who is served, and what the others and the log are told."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-clients-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.authority, self.stranger = Authority(self.path("ca")), Authority(self.path("stranger"))
        self.alice = self.authority.issue(self.path("alice"), "alice")
        self.bob = self.authority.issue(self.path("bob"), "bob")
        self.old = self.authority.issue(self.path("old"), "old", expired=True)
        self.eve = self.stranger.issue(self.path("eve"), "eve")
        self.ca = shutil.copy(self.authority.cert, self.path("clients.crt"))
        self.crl = self.authority.crl(self.path("crl.pem"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def server(self, *listeners, options=()):
        server = Server(*(f"service=echo,tls,{words}" if words else "service=echo,tls" for words in listeners),
                        options=("--log-level", "debug", *options))
        self.addCleanup(server.kill)
        return server

    def visit(self, server, pair, version=None, port=None, session=None, context=None):
        """Whether a client with this certificate is served; if not, the alert it gets."""
        if not context:
            context = client_context(version, version)
            if pair:
                context.load_cert_chain(*pair)
        try:
            with connect(port or server.port, context=context, session=session) as sock:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                self.session, self.reused = sock.session, sock.session_reused
                return True
        except ssl.SSLError as e:
            return e.reason

    def reload(self, server, done="certificates reloaded"):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: done in server.log()[before:], f"'{done}' in the log")
        return server.log()[before:]

    def test_who_is_served(self):
        server = self.server(f"client-ca={self.ca}", f"client-ca={self.ca},client-verify=optional",
                             f"client-ca={self.ca},client-verify=off")
        self.authority.revoke(self.bob[0])
        refused = 0
        for index, port in enumerate(server.ports):
            for pair, want in ((self.alice, True), (self.bob, True), (self.old, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
                               (self.eve, "TLSV1_ALERT_UNKNOWN_CA"), (None, True if index else None)):
                for version in (V12, V13):
                    with self.subTest(index=index, pair=pair, version=version):
                        want = True if index == 2 else want
                        got = self.visit(server, pair, version, port)
                        if want is None:
                            self.assertIn("ALERT", got)
                        else:
                            self.assertEqual(got, want)
                        refused += want is not True
        stats = server.until_counter("tls_client_refused", refused)
        self.assertEqual(stats["tls_client_refused"], refused)
        self.assertEqual(stats["tls_failed"], refused)
        log = server.log()
        self.assertIn('TLS: certificate verify failed: certificate has expired: that of "old"', log)
        until(lambda: " (alice): closed: closed by the peer" in server.log(), "the name in the log")
        server.stop()

    def test_a_name_cannot_forge_a_line_of_the_log(self):
        mallory = self.authority.issue(self.path("mallory"), "mal\x1blory")
        server = self.server(f"client-ca={self.ca}")
        self.assertIs(self.visit(server, mallory), True)
        until(lambda: " (mal?lory): closed" in server.log(), "the name in the log")
        server.stop()

    def test_revocation_takes_effect_with_a_reload(self):
        server = self.server("", options=("--client-ca", self.ca, "--client-crl", self.crl))
        context = client_context(V12, V12)
        context.load_cert_chain(*self.bob)
        self.assertIs(self.visit(server, None, context=context), True)
        session = self.session
        self.assertIs(self.visit(server, None, context=context, session=session), True)
        self.assertTrue(self.reused)
        self.reload(server)
        self.assertIs(self.visit(server, None, context=context, session=session), True)
        self.assertTrue(self.reused, "nothing has changed")
        self.authority.revoke(self.bob[0])
        self.authority.crl(self.crl)
        self.reload(server)
        self.assertEqual(self.visit(server, None, context=context, session=session), "SSLV3_ALERT_CERTIFICATE_REVOKED")
        self.assertIs(self.visit(server, self.alice), True)
        self.assertIn('certificate revoked: that of "bob"', server.log())
        server.stop()

    def test_a_reload_to_an_unreadable_file_keeps_the_old_state(self):
        server = self.server(f"client-ca={self.ca},client-crl={self.crl}")
        for file, junk in ((self.ca, b"junk"), (self.ca, None), (self.crl, b"junk"), (self.crl, None)):
            with self.subTest(file=file, junk=junk):
                with open(file, "rb") as was:
                    kept = was.read()
                os.unlink(file)
                if junk:
                    with open(file, "wb") as now:
                        now.write(junk)
                said = self.reload(server, "the previous configuration stays in effect")
                self.assertIn(f"error: 127.0.0.1:0: {file}: ", said)
                self.assertIs(self.visit(server, self.alice), True)
                self.assertIsNot(self.visit(server, self.eve), True)
                with open(file, "wb") as now:
                    now.write(kept)
        self.reload(server)
        self.assertIs(self.visit(server, self.alice), True)
        server.stop()

    @unittest.skipUnless(has_tool("curl"), "curl")
    def test_curl_and_s_client(self):
        with Server(f"service=http,tls,client-ca={self.ca}") as server:
            url = f"https://127.0.0.1:{server.port}/healthz"
            curl("--cert", self.alice[0], "--key", self.alice[1], url)
            self.assertNotEqual(run("curl", "-sSk", "--noproxy", "*", url).returncode, 0)
            done = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-cert", self.alice[0], "-key",
                       self.alice[1])
            self.assertRegex(done.stdout, rb"Acceptable client certificate CA names\nCN ?= ?Authority ca")

    def test_what_is_wrong_with_the_words(self):
        echo = "127.0.0.1:0,service=echo,tls"
        missing = self.path("missing")
        for words, says in (((f"{echo},client-verify=required",), "client-verify needs client-ca"),
                            ((f"{echo},client-verify=maybe",), "'maybe' is neither"),
                            ((f"{echo},client-crl={self.crl}",), "client-crl needs client-ca"),
                            ((echo, "--client-verify", "optional"), "client-verify needs client-ca"),
                            ((echo, "--client-ca", missing), f"{missing}: No such file"),
                            ((f"{echo},client-ca={self.ca},client-crl={self.ca}",), "holds no revocation list")):
            for action in ((), ("-t",)):
                with self.subTest(words=words, action=action):
                    done = taiod(*action, "--listen", *words, "--state-dir", self.dir)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                    self.assertIn(says, done.stderr)


class Versions(unittest.TestCase):
    def test_min_version_1_3_refuses_1_2(self):
        with Server("service=echo,tls", options=("--tls-min-version", "1.3")) as server:
            with self.assertRaises(ssl.SSLError):
                connect(server.port, context=client_context(V12, V12))
            sock = connect(server.port, context=client_context(V13, V13))
            self.assertEqual(exchange(sock, b"hello"), b"hello")
            sock.close()
            stats = server.until_counter("tls_failed", 1)
            self.assertEqual(stats["tls_handshakes"], 1)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_ciphers_and_groups(self):
        lists = ("--tls-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384",
                 "--tls-ciphersuites", "TLS_AES_256_GCM_SHA384", "--tls-groups", "P-384:P-256")
        own = ",".join(f"{name[2:]}={value}" for name, value in zip(lists[::2], lists[1::2]))
        for server in (Server("service=echo,tls", options=lists), Server(f"service=echo,tls,{own}")):
            self.addCleanup(server.kill)
            for words, status, said in (
                    (("-tls1_2",), 0, b"ECDHE-ECDSA-CHACHA20-POLY1305"),
                    (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"), 0, b"ECDHE-ECDSA-AES256-GCM-SHA384"),
                    (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), 1, b"handshake failure"),
                    (("-tls1_3",), 0, b"TLS_AES_256_GCM_SHA384"),
                    (("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), 1, b"handshake failure"),
                    (("-tls1_3", "-curves", "P-384:P-256"), 0, b"ECDH, secp384r1"),
                    (("-tls1_3", "-curves", "X25519"), 1, b"handshake failure")):
                with self.subTest(words=words):
                    done = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *words)
                    self.assertEqual(done.returncode, status)
                    self.assertIn(said, done.stdout + done.stderr)
            server.stop()

    def test_an_unknown_min_version_is_a_usage_error(self):
        done = taiod("--listen", "127.0.0.1:0,service=echo,tls", "--tls-min-version", "1.4", "-t")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.count("\n"), 1)

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_each_listener_may_have_its_certificate(self):
        with Server("service=echo") as elsewhere:  # for its directory only
            directory = elsewhere.dir
            one, two = (make_certificate(directory, name, name) for name in ("one", "two"))
            with Server(f"service=echo,tls,cert={one[0]},key={one[1]}", "service=echo,tls",
                        options=("--cert", two[0], "--key", two[1])) as server:
                for port, cert in zip(server.ports, (one, two)):
                    sock = connect(port, tls=True)
                    with open(cert[0], encoding="ascii") as file:
                        self.assertEqual(sock.getpeercert(True), ssl.PEM_cert_to_DER_cert(file.read()))
                    sock.close()

    def test_the_key_log_opens_the_session(self):
        with Server("service=echo") as elsewhere:
            log = elsewhere.path("keys")
            with Server("service=echo,tls", options=("--tls-keylog", log)) as server:
                sock = connect(server.port, tls=True)
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                sock.close()
            with open(log, encoding="ascii") as file:
                self.assertRegex(file.read(), r"(?m)^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$")


if __name__ == "__main__":
    unittest.main()
