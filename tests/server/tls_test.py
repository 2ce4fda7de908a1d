# SPDX-License-Identifier: MIT
"""TLS as clients see it: versions, ciphers, ALPN, resumption, key updates, bad records."""
import os
import ssl
import subprocess
import unittest
import warnings

from harness import (Http, Server, ServerCase, client_context, connect, curl, exchange, has_tool, make_certificate,
                     pattern, run, taiod)

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
