# SPDX-License-Identifier: MIT
"""Certificates: those of a directory by name, staples of their state, and those of clients."""
import os
import re
import shutil
import signal
import socket
import ssl
import tempfile
import time
import unittest

from authority import Authority
from harness import Server, client_context, connect, curl, exchange, has_tool, run, taiod, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


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
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual([name in done.stderr for name in ("1.pem", "2.pem", "a.crt")], [True, True, False])
        self.assertIn("2 files of cert-dir cannot be used", done.stderr)
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

    def test_one_that_expires_is_told_of_once(self):
        """Nobody checks its signature here, and the client only shows what it gets."""
        file = self.authority.ocsp(self.one, self.path("certs/one.ocsp"))
        with open(file, "rb") as was:
            der = was.read()
        *_, ends = re.finditer(rb"\x18\x0f\d{14}Z", der)  # produced at, valid from, valid until
        with open(file, "wb") as now:
            now.write(der[:ends.start() + 2] + time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 3)).encode() + der[ends.end():])
        with Server("service=echo,tls", options=("--cert-dir", self.path("certs"))) as server:
            said = f"warning: {file}: the OCSP response has expired and is no longer sent"
            self.assertNotIn("OCSP", server.log())
            until(lambda: self.status(server, "one.test") is None, "it expires")
            self.assertIsNone(self.status(server, "one.test"))
            self.assertEqual(server.log().count(said), 1, server.log())
            self.assertIn("one.ocsp: the OCSP response has expired on ", self.reload(server))

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
