# SPDX-License-Identifier: MIT
"""The service proxy: which backend a client gets by the protocol and the name that it asks for, TLS ended here or not."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import tempfile
import time
import unittest

import proxy_test
from harness import (PATIENCE, SLACK, SLOW, Server, client_context, connect, exchange, pattern, read_exactly, read_to_end, taiod,
                     until)

RELOADED = "configuration and certificates reloaded"


class Case(proxy_test.Case):
    def make_map(self, *lines):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.map = os.path.join(directory, "map")
        self.write_map(*lines)
        return self.map

    def write_map(self, *lines):
        with open(self.map, "w", encoding="ascii") as to:
            to.writelines(line + "\n" for line in lines)

    def reload(self, server, done=RELOADED):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: done in server.log()[before:], f"'{done}' in the log")

    def assert_nobody(self, *backends):
        for backend in backends:
            backend.sock.settimeout(0)
            with self.assertRaises(BlockingIOError):
                backend.sock.accept()
            backend.sock.settimeout(PATIENCE)


def tls(port, name=None, alpn=None, high=None):
    sock = connect(port)
    try:
        return client_context(alpn=alpn, high=high).wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


class Protocols(Case):
    def test_they_choose_the_backend(self):
        plain, h2 = self.backends(2)
        server = self.serve(f"tls,to=h2:{h2.where},to={plain.where}")
        for offered, selected, backend in ((["h2", "http/1.1"], "h2", h2), (["http/1.1", "h2"], "h2", h2),
                                           (["http/1.1"], "http/1.1", plain), (None, None, plain)):
            with self.subTest(offered=offered):
                client = tls(server.port, alpn=offered)
                self.assertEqual(client.selected_alpn_protocol(), selected)
                self.assert_reaches(client, backend)
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            tls(server.port, alpn=["spdy/3"])
        server.stop()

    def test_the_order_of_the_backends_is_the_preference(self):
        plain, h2 = self.backends(2)
        server = self.serve(f"tls,to=http/1.1:{plain.where},to=h2:{h2.where}")
        client = tls(server.port, alpn=["h2", "http/1.1"])
        self.assertEqual(client.selected_alpn_protocol(), "http/1.1")
        self.assert_reaches(client, plain)
        server.stop()

    def test_a_client_without_one_where_all_backends_have_one(self):
        h2, = self.backends(1)
        server = self.serve(f"tls,to=h2:{h2.where}")
        with tls(server.port) as client:
            self.assertEqual(read_to_end(client)[0], b"")
        self.assertIn("there is no backend for name (none), protocol (none)", server.log())
        self.assert_nobody(h2)
        self.assertEqual(server.stop()["backend_none"], 1)

    def test_each_has_its_own_round(self):
        backends = self.backends(4)
        server = self.serve("tls," + ",".join(("to=h2:" if i % 2 else "to=") + b.where for i, b in enumerate(backends)))
        for i in (0, 1, 2, 3, 0, 1):
            self.assert_reaches(tls(server.port, alpn=["h2"] if i % 2 else None), backends[i])
        server.stop()

    def test_it_is_negotiated_with_a_backend_under_tls(self):
        behind = Server("service=http,tls", "service=echo,tls")
        self.addCleanup(behind.kill)
        server = self.serve(f"tls,to-tls,verify=no,to=http/1.1:127.0.0.1:{behind.ports[0]},to=h2:127.0.0.1:{behind.ports[0]}")
        with tls(server.port, alpn=["http/1.1"]) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertTrue(read_to_end(client)[0].startswith(b"HTTP/1.1 200 "))
        # The backend speaks no h2, and says so.
        with tls(server.port, alpn=["h2"]) as client:
            self.assertEqual(read_to_end(client)[0], b"")
        until(lambda: "no application protocol" in server.log(), "the log says why")
        server.stop()
        behind.stop()


class Names(Case):
    """TLS ended here."""

    def test_they_choose_the_backend(self):
        default, one, wild = self.backends(3)
        server = self.serve(f"tls,to={default.where},sni-map=" + self.make_map(f"one.test {one.where}", f"*.test {wild.where}"))
        for high in (None, ssl.TLSVersion.TLSv1_2):
            for name, backend in (("one.test", one), ("ONE.test", one), ("two.test", wild), ("a.one.test", wild),
                                  ("example.org", default), (None, default)):
                with self.subTest(name=name, high=high):
                    self.assert_reaches(tls(server.port, name, high=high), backend)
        server.stop()

    def test_a_resumed_session_has_its_name(self):
        default, one = self.backends(2)
        server = self.serve(f"tls,to={default.where},sni-map=" + self.make_map(f"one.test {one.where}"))
        for high in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context, session = client_context(high=high), None
            for resumed in (False, True):
                with context.wrap_socket(connect(server.port), server_hostname="one.test", session=session) as client, \
                     one.accept() as peer:
                    self.assertEqual(client.session_reused, resumed)
                    peer.sendall(b"x")
                    self.assertEqual(read_exactly(client, 1), b"x")
                    session = client.session
        server.stop()

    def test_protocols_within_a_name(self):
        default, default_h2, one, one_h2 = self.backends(4)
        file = self.make_map(f"one.test h2:{one_h2.where} {one.where}")
        server = self.serve(f"tls,to=h2:{default_h2.where},to={default.where},sni-map={file}")
        for name, alpn, backend in (("one.test", ["h2"], one_h2), ("one.test", None, one), (None, ["h2"], default_h2),
                                    (None, ["http/1.1"], default)):
            self.assert_reaches(tls(server.port, name, alpn), backend)
        server.stop()

    def test_a_reload_reads_the_file_again(self):
        default, one, two = self.backends(3)
        server = self.serve(f"tls,to={default.where},sni-map=" + self.make_map(f"one.test {one.where}"))
        with tls(server.port, "one.test") as old, one.accept() as peer:
            self.write_map(f"one.test {two.where}", f"two.test {one.where}")
            self.reload(server)
            self.assert_reaches(tls(server.port, "one.test"), two)
            self.assert_reaches(tls(server.port, "two.test"), one)
            # A bad one changes nothing.
            self.write_map(f"one.test {default.where}", "two.test")
            self.reload(server, "reload failed: the previous configuration stays in effect")
            self.assertIn(f"{self.map}:2: no backend for two.test", server.log())
            self.assert_reaches(tls(server.port, "one.test"), two)
            os.unlink(self.map)
            self.reload(server, "reload failed: the previous configuration stays in effect")
            self.assert_reaches(tls(server.port, "two.test"), one)
            old.sendall(b"still")
            self.assertEqual(read_exactly(peer, 5), b"still")
        server.stop()

    def test_under_tls_without_a_default(self):
        """There is no first backend whose name could be asked for."""
        behind = Server("service=echo,tls")
        self.addCleanup(behind.kill)
        server = self.serve("tls,to-tls,verify=no,sni-map=" + self.make_map(f"one.test 127.0.0.1:{behind.port}"))
        with tls(server.port, "one.test") as client:
            self.assertEqual(exchange(client, b"hello"), b"hello")
        server.signal(signal.SIGHUP)
        until(lambda: RELOADED in server.log(), "the reload, with contexts made anew")
        with tls(server.port, "one.test") as client:
            self.assertEqual(exchange(client, b"hello"), b"hello")
        server.stop()
        behind.stop()

    def test_the_check_reads_the_file(self):
        file = self.make_map("one.test nowhere")
        done = taiod("-t", "--listen", f"127.0.0.1:0,service=proxy,tls,sni-map={file}")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{file}:1: 'nowhere' is not a backend", done.stderr)

    def test_a_file_without_names_is_refused_if_there_is_no_default(self):
        """As one is that was not written to its end: nobody would be served."""
        file = self.make_map("# one.test 127.0.0.1:1")
        for words, says in (("", f"{file}: has no names, and there is no backend of to="), (",to=127.0.0.1:1", "")):
            with self.subTest(words=words):
                done = taiod("-t", "--listen", f"127.0.0.1:0,service=proxy,sni-route,sni-map={file}{words}")
                self.assertEqual(done.returncode, 2 if says else 0, done.stderr)
                self.assertIn(says, done.stderr)


# --- TLS passed through ---

def hello_of(name, padding=0):
    """What a client sends first: one record, as OpenSSL makes it; with @padding, one of our own."""
    if not padding:
        sent = ssl.MemoryBIO()
        client = client_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        return sent.read()
    extensions = struct.pack(">HH", 21, padding) + bytes(padding)
    if name:
        host = struct.pack(">BH", 0, len(name)) + name.encode()
        extensions += struct.pack(">HHH", 0, len(host) + 2, len(host)) + host
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    return cut(b"\1" + struct.pack(">I", len(body))[1:] + body, 16384)


def cut(message, size):
    """The message in records of @size bytes."""
    return b"".join(b"\x16\3\1" + struct.pack(">H", len(message[i:i + size])) + message[i:i + size]
                    for i in range(0, len(message), size))


class Routed(Case):
    def setUp(self):
        self.default, self.one = self.backends(2)
        self.make_map(f"one.test {self.one.where}")

    def route(self, default=True, options=()):
        return self.serve((f"to={self.default.where}," if default else "") + f"sni-route,sni-map={self.map}", options=options)

    def assert_arrives(self, server, backend, hello, piece=None):
        """The hello and what follows it, sent in pieces, and what the backend answers."""
        with connect(server.port) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(hello), piece or len(hello)):
                client.sendall(hello[at:at + (piece or len(hello))])
            with backend.accept() as peer:
                client.sendall(b"more")
                self.assertTrue(read_exactly(peer, len(hello) + 4) == hello + b"more")
                peer.sendall(b"answer")
                self.assertEqual(read_exactly(client, 6), b"answer")

    def test_the_hello_arrives_as_it_was(self):
        server = self.route()
        one, none, other = hello_of("one.test"), hello_of(None), hello_of("other.test")
        for backend, hello in ((self.one, one), (self.default, none), (self.default, other)):
            self.assert_arrives(server, backend, hello)
            self.assert_arrives(server, backend, hello, piece=1)
            self.assert_arrives(server, backend, cut(hello[5:], 7))
            self.assert_arrives(server, backend, cut(hello[5:], 1), piece=3)
        self.assertEqual(server.stop()["hello_refused"], 0)

    def test_a_client_that_ends_its_side_behind_it(self):
        server = self.route()
        hello = hello_of("one.test")
        with connect(server.port) as client:
            client.sendall(hello + b"more")
            client.shutdown(socket.SHUT_WR)
            with self.one.accept() as peer:
                self.assertEqual(read_to_end(peer), (hello + b"more", True))
                peer.sendall(b"answer")
            self.assertEqual(read_to_end(client), (b"answer", True))
        server.stop()

    def test_one_of_60_kb(self):
        server = self.route()
        hello = hello_of("one.test", padding=60000)
        self.assert_arrives(server, self.one, hello)
        self.assert_arrives(server, self.one, hello, piece=1000)
        self.assert_arrives(server, self.default, hello_of(None, padding=60000))
        server.stop()

    def test_tls_from_end_to_end(self):
        behind = Server("service=echo,tls")
        self.addCleanup(behind.kill)
        self.write_map(f"echo.test 127.0.0.1:{behind.port}")
        server = self.route()
        with tls(server.port, "echo.test") as client:
            data = pattern(1 << 20)
            self.assertTrue(exchange(client, data) == data)
        server.stop()
        behind.stop()

    def test_a_name_without_a_backend(self):
        server = self.route(default=False)
        for hello in (hello_of("other.test"), hello_of(None)):
            with connect(server.port) as client:
                client.sendall(hello)
                self.assertEqual(read_to_end(client)[0], b"")
        self.assert_nobody(self.default, self.one)
        self.assertIn("there is no backend for name other.test", server.log())
        self.assertEqual(server.stop()["backend_none"], 2)

    def test_what_is_no_hello(self):
        server = self.route()
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"S", b"\x16\3\1\0\0", b"\x16\3\1\0\4\2\0\0\0",
                     hello_of("one.test").replace(b"one.test", b"one/test"), hello_of("one.test", 65400)[:5] + b"\1\1\0\0"):
            with self.subTest(data=data[:20]), connect(server.port) as client:
                client.sendall(data)
                self.assertEqual(read_to_end(client)[0], b"")
        self.assert_nobody(self.default, self.one)
        self.assertIn("does not begin with a TLS ClientHello", server.log())
        self.assertEqual(server.stop()["hello_refused"], 6)

    def test_one_that_does_not_end(self):
        """In so many records that it never comes to an end within the bound."""
        server = self.route()
        endless = cut(hello_of("one.test", padding=60000)[5:], 10)
        with connect(server.port) as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(endless[:1 << 16])
            self.assertEqual(read_to_end(client)[0], b"")
        self.assertEqual(server.stop()["hello_refused"], 1)

    def test_a_slow_one_ends_in_time(self):
        header = 1.0 * SLOW
        server = self.route(options=("--header-timeout", f"{header}s"))
        hello = hello_of("one.test")
        begin = time.monotonic()
        with connect(server.port) as silent, connect(server.port) as slow:
            slow.sendall(hello[:100])
            for client in (silent, slow):
                self.assertEqual(read_to_end(client)[0], b"")
            self.assertGreaterEqual(time.monotonic() - begin, header)
            self.assertLess(time.monotonic() - begin, header + SLACK)
        self.assertEqual(server.stop()["closed_header"], 2)

    def test_a_client_that_leaves_before_its_end(self):
        server = self.route()
        with connect(server.port) as client:
            client.sendall(hello_of("one.test")[:100])
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client)[0], b"")
        connect(server.port).close()
        server.until_idle()
        self.assert_nobody(self.default, self.one)
        self.assertEqual(server.stop()["hello_refused"], 0)

    def test_one_that_is_being_read_ends_with_the_server(self):
        server = self.route()
        with connect(server.port) as client:
            client.sendall(hello_of("one.test")[:100])
            server.until_counter("bytes_in", 100)
            self.assertEqual(server.stop()["closed_drain"], 1)


if __name__ == "__main__":
    unittest.main()
