# SPDX-License-Identifier: MIT
"""TLS that the kernel carries on once the handshake is done. For guests: it wants the kernel's module tls."""
import os
import select
import ssl
import subprocess
import time
import unittest

from harness import (PATIENCE, SLOW, Server, ServerCase, client_context, connect, curl, exchange, pattern, read_to_end, run, until)

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# Whether the kernel can change the keys of a session.
REKEYS = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 14)


class KernelTls(ServerCase):
    listeners = ("service=echo,tls", "service=http,root={root},tls")
    options = ("--tls-kernel", "yes", "--idle-timeout", f"{60 * SLOW}s", "--file-cache", "0")

    @classmethod
    def make_root(cls, root):
        with open(os.path.join(root, "big.bin"), "wb") as file:
            file.write(pattern(4 << 20))

    def setUp(self):
        self.before = self.server.stats()

    def given(self, n=1):
        """Waits until the kernel has got @n more connections."""
        self.assert_counts(self.before, tls_kernel=n)

    def each(self, *versions, index=0, **how):
        for version in versions or (V12, V13):
            with self.subTest(version=version):
                self.before = self.server.stats()
                yield self.connect(index, context=client_context(version, version, **how))

    def s_client(self, *words):
        """A session of TLS 1.3 that goes on until the test ends; what it has printed is in seen."""
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[0]}", "-tls1_3", *words],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdin.close)
        client.seen = []
        return client

    def line(self, client, text, want=None):
        """Sends it, and waits until it is back, or @want has come instead."""
        client.stdin.write(text)
        got = b""
        while got != (want or text):
            self.assertTrue(select.select([client.stdout], [], [], PATIENCE)[0], b"".join(client.seen))
            got = client.stdout.readline()
            self.assertTrue(got, b"".join(client.seen))
            client.seen.append(got)

    def test_bytes_pass(self):
        data = pattern(1 << 20)
        for sock in self.each():
            self.assertTrue(exchange(sock, data) == data)
            self.given()

    def test_each_cipher(self):
        for name in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            with self.subTest(cipher=name):
                self.before = self.server.stats()
                context = client_context(V12, V12)
                context.set_ciphers(name)
                sock = self.connect(0, context=context)
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                self.given()
                self.assertEqual(exchange(sock, b"again"), b"again")
        for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            with self.subTest(cipher=name):
                self.before = self.server.stats()
                client = self.s_client("-ciphersuites", name)
                self.line(client, b"first\n")
                self.given()
                self.line(client, b"second\n")
                self.assertIn(f"Cipher is {name}", b"".join(client.seen).decode())

    def test_pages_by_curl_in_both_versions(self):
        for words in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            with self.subTest(words=words):
                got = curl(*words, f"https://127.0.0.1:{self.ports[1]}/big.bin")
                self.assertTrue(got == pattern(4 << 20))
        self.given(2)

    def test_a_request_that_comes_with_the_handshake(self):
        """s_client sends its line with Finished or right behind: nothing of it is lost, whoever decrypts it."""
        for _ in range(10):
            done = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[1]}", "-quiet", "-ign_eof",
                       stdin=b"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            self.assertTrue(done.stdout.endswith(pattern(4 << 20)))

    def test_a_record_that_comes_in_parts_behind_the_handshake(self):
        """OpenSSL has the first part by the time that nothing else is under way: it goes on until the record is whole."""
        for version in (V12, V13):
            context = client_context(version, version)
            with connect(self.ports[0], context=context) as sock:
                self.assertEqual(exchange(sock, b"x"), b"x")
                session = sock.session
            for first in (3, 5, 500):
                with self.subTest(version=version, first=first):
                    self.in_parts(context, session if version == V12 else None, first)

    def in_parts(self, context, session, first):
        """The client that speaks last in its handshake sends @first bytes of a record with that, and the rest later."""
        data, before = pattern(4096), self.server.stats()["tls_handshakes"]
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, session=session)
        with connect(self.ports[0]) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(1 << 16))
            last = outgoing.read()
            self.assertTrue(last, "the client does not speak last")
            tls.write(data)
            record = outgoing.read()
            sock.sendall(last + record[:first])
            self.server.until_counter("tls_handshakes", before + 1)
            sock.sendall(record[first:])
            got = b""
            while len(got) < len(data):
                try:
                    got += tls.read(1 << 16)
                except ssl.SSLWantReadError:
                    piece = sock.recv(1 << 16)
                    self.assertTrue(piece, "the connection has ended")
                    incoming.write(piece)
            self.assertTrue(got == data)

    def test_the_last_record_of_a_download_arrives(self):
        """A slow reader, and the end of the connection right behind: nothing is cut off, and close_notify comes."""
        with connect(self.ports[1], context=client_context(V13), rcvbuf=4096) as sock:
            sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            until(lambda: self.server.stats()["requests"] > self.before["requests"], "the request is there")
            time.sleep(1)  # not for order: the sockets fill up
            got, orderly = read_to_end(sock)
            self.assertTrue(got.endswith(pattern(4 << 20)))
            self.assertTrue(orderly)

    def test_the_peers_close_notify_is_its_end(self):
        for sock in self.each():
            self.assertEqual(exchange(sock, b"x"), b"x")
            self.given()
            sock = sock.unwrap()  # ends with the server's close_notify
            self.assertEqual(read_to_end(sock), (b"", True))

    def test_an_idle_one_ends_with_close_notify(self):
        with Server("service=echo,tls", options=("--tls-kernel", "yes", "--idle-timeout", "1s")) as server:
            with connect(server.port, context=client_context(V13)) as sock:
                self.assertEqual(exchange(sock, b"x"), b"x")
                self.assertEqual(read_to_end(sock), (b"", True))
            stats = server.stats()
            self.assertEqual((stats["tls_kernel"], stats["closed_idle"]), (1, 1))

    def test_an_alert_ends_it(self):
        """A client that does not like the certificate says so after the server has finished, in TLS 1.3."""
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[0]}", "-tls1_3", "-verify_return_error")
        self.assertNotEqual(done.returncode, 0)
        self.assert_counts(self.before, tls_failed=1)

    def test_key_updates(self):
        client = self.s_client()
        self.line(client, b"first\n")
        self.given()
        for command in (b"k\n", b"K\n", b"K\n"):  # the second asks for the server's, too
            self.line(client, command, b"KEYUPDATE\n")
            if not REKEYS:
                client.stdout.read()  # to its end
                self.assert_counts(self.before, tls_failed=1)
                until(lambda: "cannot change the keys" in self.server.log(), "the log says why")
                break
            self.line(client, b"line\n")

    def test_the_switches(self):
        for switch, want in (("no", (0, 0)), ("auto", (1, int(REKEYS))), ("yes", (1, 1))):
            with self.subTest(switch=switch), Server("service=echo,tls", options=("--tls-kernel", switch)) as server:
                got = []
                for version in (V12, V13):
                    with connect(server.port, context=client_context(version, version)) as sock:
                        self.assertEqual(exchange(sock, b"x"), b"x")
                        self.assertEqual(exchange(sock, b"y"), b"y")
                    got.append(server.stats()["tls_kernel"] - sum(got))
                self.assertEqual(tuple(got), want)

    def test_an_idle_one_is_small(self):
        """User memory beside what the process had: at most 3 KiB each."""
        n = 200
        socks = []
        for i in range(2 * n):
            sock = self.connect(0, context=client_context(V13))
            self.assertEqual(exchange(sock, b"x"), b"x")
            socks.append(sock)
            if i == n - 1:
                self.given(n)
                before = self.server.memory("RssAnon")
        self.given(2 * n)
        each = (self.server.memory("RssAnon") - before) / n
        print(f"an idle connection takes {each:.0f} bytes")
        self.assertLessEqual(each, 3 << 10)


class BehindThreads(ServerCase):
    """The kernel gets what a thread's handshake has made, and the request that came with its last step."""

    listeners = ("service=echo,tls", "service=http,root={root},tls")
    options = ("--tls-kernel", "yes", "--handshake-threads", "2", "--file-cache", "0")

    @classmethod
    def make_root(cls, root):
        with open(os.path.join(root, "big.bin"), "wb") as file:
            file.write(pattern(1 << 20))

    def test_bytes_pass(self):
        data = pattern(1 << 18)
        for version in (V12, V13):
            with self.subTest(version=version):
                before = self.server.stats()
                sock = self.connect(0, context=client_context(version, version))
                self.assertTrue(exchange(sock, data) == data)
                self.assert_counts(before, tls_kernel=1)
                self.assertGreaterEqual(self.server.stats()["tls_steps_off_loop"], before["tls_steps_off_loop"] + 2)
                self.assertTrue(exchange(sock, data) == data)

    def test_a_request_that_comes_with_the_handshake(self):
        for _ in range(5):
            done = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[1]}", "-quiet", "-ign_eof",
                       stdin=b"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            self.assertTrue(done.stdout.endswith(pattern(1 << 20)))


if __name__ == "__main__":
    unittest.main()
