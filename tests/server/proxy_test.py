# SPDX-License-Identifier: MIT
"""The service proxy: bytes both ways, half-closes, resets, back-pressure, backends that fail, PROXY headers out."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import tempfile
import threading
import time
import unittest

from authority import Authority
from harness import (PATIENCE, SANITIZED, SLOW, Server, ServerCase, connect, curl, exchange, is_open, make_certificate, pattern,
                     read_exactly, read_to_end, reset, run, taiod, until)

V2 = b"\r\n\r\n\0\r\nQUIT\n"


class Backend:
    """A listening socket of the test's own; what connects to it is taken one by one."""

    def __init__(self, family=socket.AF_INET, path=None, host="127.0.0.1", port=0):
        self.sock = socket.socket(family)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.bind(path or (host, port))
        except OSError:
            self.sock.close()
            raise
        self.sock.listen(128)
        self.port = None if path else self.sock.getsockname()[1]
        self.where = f"unix:{path}" if path else f"{host}:{self.port}"

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(PATIENCE)
        return sock

    def close(self):
        self.sock.close()


def free_port():
    """A port that nobody listens on, for a moment at least."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Case(unittest.TestCase):
    def backend(self, *args, **kwargs):
        backend = Backend(*args, **kwargs)
        self.addCleanup(backend.close)
        return backend

    def backends(self, n):
        return [self.backend() for _ in range(n)]

    def serve(self, *listeners, options=()):
        server = Server(*("service=proxy," + words for words in listeners), options=options)
        self.addCleanup(server.kill)
        return server

    def assert_reaches(self, client, backend):
        """A byte of @client, which is closed then."""
        with client, backend.accept() as peer:
            client.sendall(b"x")
            self.assertEqual(read_exactly(peer, 1), b"x")

    def full_backend(self):
        """It takes no more connections, and refuses none: a connect takes until what fills its queue is closed."""
        backend, fillers = self.backend(), contextlib.ExitStack()
        self.addCleanup(fillers.close)
        backend.sock.listen(0)
        for _ in range(2):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", backend.port))
        return backend, fillers


class Pairs(ServerCase):
    """Each test has the client's end, plain or under TLS, and the backend's."""

    options = ("--idle-timeout", f"{20 * SLOW}s")

    @classmethod
    def setUpClass(cls):
        cls.backend = Backend()
        cls.addClassCleanup(cls.backend.close)
        cls.listeners = (f"service=proxy,to={cls.backend.where}", f"service=proxy,tls,to={cls.backend.where}")
        super().setUpClass()

    def pair(self, tls=False):
        client = self.connect(int(tls), tls=tls)
        backend = self.backend.accept()
        self.addCleanup(backend.close)
        return client, backend

    def each(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                yield self.pair(tls)

    def test_the_backend_may_speak_first(self):
        for client, backend in self.each():
            backend.sendall(b"220 hello\r\n")
            self.assertEqual(read_exactly(client, 11), b"220 hello\r\n")

    def test_bytes_pass_both_ways(self):
        for client, backend in self.each():
            client.sendall(b"question")
            self.assertEqual(read_exactly(backend, 8), b"question")
            backend.sendall(b"answer")
            self.assertEqual(read_exactly(client, 6), b"answer")

    def test_much_passes_both_ways_at_once(self):
        size = (8 if SLOW == 1 else 1) << 20
        up, down = pattern(size, 1), pattern(size, 2)
        for client, backend in self.each():
            got = {}
            thread = threading.Thread(target=lambda sock=backend: got.update(up=exchange(sock, down)))
            thread.start()
            got["down"] = exchange(client, up)
            thread.join(PATIENCE)
            self.assertTrue(got["up"] == up and got["down"] == down)

    def test_pauses_between_large_pieces(self):
        """After each, memory that was borrowed to read into is given back: the read that waits begins again."""
        before = self.server.stats()
        for client, backend in self.each():
            for i in range(3):
                for source, sink in ((backend, client), (client, backend)):
                    for size in (100, 2000, 3000, 8 << 10, 200 << 10):
                        sent = pattern(size, i)
                        source.sendall(sent)
                        self.assertTrue(read_exactly(sink, size) == sent)
                time.sleep(0.8)  # not for order: three looks
        after = self.server.stats()
        self.assertEqual([after[name] - before[name] for name in ("cancels", "cancel_raced", "closed_error")], [0, 0, 0])

    def test_the_client_half_closes(self):
        """A plain one: what is under way towards it still comes, and may take its time."""
        client, backend = self.pair()
        client.sendall(b"all")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(backend), (b"all", True))
        self.assertTrue(is_open(client))
        backend.sendall(b"late")
        self.assertEqual(read_exactly(client, 4), b"late")
        backend.close()
        self.assertEqual(read_to_end(client), (b"", True))

    def test_the_backend_half_closes(self):
        for client, backend in self.each():
            backend.sendall(b"all")
            backend.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), (b"all", True))
            client.sendall(b"late")
            self.assertEqual(read_exactly(backend, 4), b"late")
            client.close()
            self.assertEqual(read_to_end(backend), (b"", True))

    def test_a_reset_of_either_side_reaches_the_other(self):
        for i in range(2):
            with self.subTest(side=("client", "backend")[i]):
                pair = self.pair()
                pair[0].sendall(b"x")
                read_exactly(pair[1], 1)
                reset(pair[i])
                with self.assertRaises(ConnectionResetError):
                    pair[1 - i].recv(1)

    def test_a_side_that_does_not_read_stops_the_other(self):
        """In both directions: what is queued is bounded, and nothing is lost."""
        for tls in (False, True):
            for upwards in (True, False):
                with self.subTest(tls=tls, upwards=upwards):
                    client, backend = self.pair(tls)
                    source, sink = (client, backend) if upwards else (backend, client)
                    before = self.server.memory()
                    source.setblocking(False)
                    sent, quiet = bytearray(), time.monotonic() + 0.5 * SLOW
                    while time.monotonic() < quiet and len(sent) < 64 << 20:
                        piece = pattern(1 << 16, len(sent))
                        try:
                            n = source.send(piece)
                        except (BlockingIOError, ssl.SSLWantWriteError):
                            time.sleep(0.01)  # not for order: until nothing has been taken for a while
                            continue
                        sent += piece[:n]
                        quiet = time.monotonic() + 0.5 * SLOW
                    self.assertLess(len(sent), 64 << 20)
                    if not SANITIZED:  # whose quarantine grows
                        self.assertLess(self.server.memory() - before, 2 << 20)
                    self.assertTrue(read_exactly(sink, len(sent)) == sent)
                    source.settimeout(PATIENCE)


class Ends(Case):
    def setUp(self):
        self.backend, = self.backends(1)

    def pair(self, server, tls=False):
        client = connect(server.ports[0], tls=tls)
        self.addCleanup(client.close)
        backend = self.backend.accept()
        self.addCleanup(backend.close)
        return client, backend

    def test_an_idle_pair_ends_in_time_and_one_that_moves_does_not(self):
        idle = 1.0 * SLOW
        server = self.serve(f"to={self.backend.where}", options=("--idle-timeout", f"{idle}s"))
        moves, ends = self.pair(server), self.pair(server)
        begin = time.monotonic()
        while time.monotonic() < begin + 2 * idle:
            moves[1].sendall(b"x")
            read_exactly(moves[0], 1)
            time.sleep(idle / 4)  # not for order: the pace
        for sock in ends:
            self.assertEqual(read_to_end(sock)[0], b"")
        self.assertTrue(is_open(moves[0]))
        stats = server.stats()
        # Both may be due before the first that is ended ends the other.
        self.assertGreaterEqual(stats["closed_idle"], 1)
        self.assertEqual(stats["closed_idle"] + stats["closed_other"], 2)
        for sock in moves:
            sock.close()
        server.stop()

    def test_a_lifetime_ends_what_still_moves(self):
        life = 1.0 * SLOW
        server = self.serve(f"to={self.backend.where}", options=("--lifetime-timeout", f"{life}s"))
        client, backend = self.pair(server)
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            while read_to_move(backend, client):
                self.assertLess(time.monotonic() - begin, PATIENCE)
        self.assertGreaterEqual(time.monotonic() - begin, life)
        self.assertEqual(server.stats()["closed_lifetime"], 1)
        server.stop()

    def test_pairs_end_when_the_server_does(self):
        server = self.serve(f"to={self.backend.where}", options=("--drain-timeout", f"{0.5 * SLOW}s"))
        client, backend = self.pair(server)
        stats = server.stop()
        self.assertEqual(stats["closed_drain"], 2)
        for sock in (client, backend):
            self.assertEqual(read_to_end(sock)[0], b"")


def read_to_move(source, sink):
    """Whether a byte passes from @source to @sink."""
    source.sendall(b"x")
    time.sleep(0.05)  # not for order: the pace
    return sink.recv(1)


class Choice(Case):
    """Backends that fail, and which one is next."""

    def test_one_that_refuses_is_passed_over_and_rests(self):
        good, = self.backends(1)
        server = self.serve(f"to=127.0.0.1:{free_port()},to={good.where}")
        for _ in range(4):
            self.assert_reaches(connect(server.port), good)
        self.assertEqual(server.stats()["backend_failed"], 1)
        self.assertIn("Connection refused", server.log())
        server.stop()

    def test_it_is_tried_again_once_it_has_rested(self):
        port = free_port()
        server = self.serve(f"to=127.0.0.1:{port}", options=("--backend-rest", "1h"))
        with connect(server.port) as client:
            self.assertEqual(read_to_end(client)[0], b"")
        # The only one is tried although it rests.
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            listener.settimeout(PATIENCE)
            with connect(server.port) as client:
                backend, _ = listener.accept()
                with backend:
                    backend.sendall(b"x")
                    self.assertEqual(read_exactly(client, 1), b"x")
        stats = server.stop()
        self.assertEqual((stats["backend_failed"], stats["backend_none"], stats["closed_backend"]), (1, 1, 2))

    def test_one_that_does_not_answer_is_given_up_in_time(self):
        full, _ = self.full_backend()
        good, = self.backends(1)
        server = self.serve(f"to={full.where},to={good.where}", options=("--connect-timeout", f"{0.5 * SLOW}s"))
        begin = time.monotonic()
        with connect(server.port) as client, good.accept() as backend:
            self.assertGreaterEqual(time.monotonic() - begin, 0.5 * SLOW)
            backend.sendall(b"x")
            self.assertEqual(read_exactly(client, 1), b"x")
        stats = server.stop()
        self.assertEqual((stats["closed_connect"], stats["backend_failed"]), (1, 1))

    def test_they_take_turns(self):
        backends = self.backends(3)
        server = self.serve(",".join(f"to={b.where}" for b in backends))
        for backend in backends * 2:
            self.assert_reaches(connect(server.port), backend)
        server.stop()

    def test_the_one_with_the_fewest_connections(self):
        a, b = self.backends(2)
        server = self.serve(f"to={a.where},to={b.where},balance=least-connections")
        with connect(server.port), a.accept():
            for _ in range(3):
                with connect(server.port) as client, b.accept() as peer:
                    client.sendall(b"x")
                    self.assertEqual(read_exactly(peer, 1), b"x")
                    client.close()
                    self.assertEqual(read_to_end(peer), (b"", True))
                until(lambda: server.stats()["active"] == 1, "the pair has ended")
        server.stop()

    def test_a_unix_socket(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        backend = self.backend(socket.AF_UNIX, os.path.join(directory, "sock"))
        server = self.serve(f"to={backend.where}")
        with connect(server.port) as client, backend.accept() as peer:
            client.sendall(b"x")
            self.assertEqual(read_exactly(peer, 1), b"x")
            peer.sendall(b"y")
            self.assertEqual(read_exactly(client, 1), b"y")
        server.stop()


class Connecting(Case):
    """What happens to a connect while the server looks away, which is stopped meanwhile."""

    LIFETIME = 2 * SLOW

    def connected(self, server, backend, fillers):
        """The backend's end of a connection of which the server, stopped, does not know that it is made."""
        server.until_counter("accepted", 1)
        server.signal(signal.SIGSTOP)
        fillers.close()
        while True:
            peer = backend.accept()
            self.addCleanup(peer.close)
            if is_open(peer):  # not one of the fillers
                return peer

    def test_the_client_has_ended_by_then(self):
        """Its lifetime is over when the server learns of both: there is nobody to tell the backend of."""
        backend, fillers = self.full_backend()
        server = self.serve(f"to={backend.where},send-proxy=v2,lifetime-timeout={self.LIFETIME}s", options=("--connect-timeout", "60s"))
        with connect(server.port) as client:
            begin = time.monotonic()
            peer = self.connected(server, backend, fillers)
            time.sleep(max(0, begin + self.LIFETIME + 0.1 - time.monotonic()))
            server.signal(signal.SIGCONT)
            self.assertEqual(read_to_end(client)[0], b"")
            self.assertEqual(read_to_end(peer)[0], b"")
        self.assertEqual(server.until_counter("closed_lifetime", 1)["backend_failed"], 0)
        server.stop()

    def test_one_that_has_reset_by_then_could_not_be_reached(self):
        """Nothing of the client has been sent: the next one serves it."""
        backend, fillers = self.full_backend()
        other, = self.backends(1)
        server = self.serve(f"to={backend.where},to={other.where}", options=("--connect-timeout", "60s"))
        with connect(server.port) as client:
            client.sendall(b"x")
            reset(self.connected(server, backend, fillers))
            server.signal(signal.SIGCONT)
            with other.accept() as peer:
                self.assertEqual(read_exactly(peer, 1), b"x")
                self.assertEqual(server.stats()["backend_failed"], 1)
                self.assertIn(f"backend {backend.where}: Connection reset by peer", server.log())
        server.stop()


class Headers(unittest.TestCase):
    """PROXY protocol towards the backend, ahead of all else."""

    def exchange(self, version):
        backend = Backend()
        self.addCleanup(backend.close)
        with Server(f"service=proxy,to={backend.where},send-proxy={version}") as server:
            with connect(server.port) as client, backend.accept() as peer:
                client.sendall(b"rest")
                source, destination = client.getsockname(), client.getpeername()
                client.shutdown(socket.SHUT_WR)
                return read_to_end(peer)[0], source, destination

    def test_version_1(self):
        got, source, destination = self.exchange("v1")
        self.assertEqual(got, f"PROXY TCP4 127.0.0.1 127.0.0.1 {source[1]} {destination[1]}\r\nrest".encode())

    def test_version_2(self):
        got, source, destination = self.exchange("v2")
        addresses = socket.inet_aton("127.0.0.1") * 2 + struct.pack(">HH", source[1], destination[1])
        self.assertEqual(got, V2 + bytes([0x21, 0x11]) + struct.pack(">H", 12) + addresses + b"rest")


class TlsBackend:
    """A server in a thread that takes a connection after the other, sends what it gets back, and remembers how each was made."""

    def __init__(self, cert, key, version, protocols=()):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.minimum_version = self.context.maximum_version = version
        if protocols:
            self.context.set_alpn_protocols(protocols)
        self.backend, self.resumed, self.protocols = Backend(), [], []
        self.where = self.backend.where
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(ssl.SSLError, ConnectionError), \
                        self.context.wrap_socket(self.backend.accept(), server_side=True) as sock:
                    self.resumed.append(sock.session_reused)
                    self.protocols.append(sock.selected_alpn_protocol())
                    while data := sock.recv(4096):
                        sock.sendall(data)

    def close(self):
        self.backend.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.backend.close()


class ToTls(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.cert, self.key = make_certificate(self.dir, "backend")
        self.behind = Server(f"service=echo,tls,cert={self.cert},key={self.key}")
        self.addCleanup(self.behind.kill)

    def front(self, words):
        server = Server(f"service=proxy,to-tls,{words},to=127.0.0.1:{self.behind.port}", f"service=proxy,tls,to-tls,"
                        f"{words},to=127.0.0.1:{self.behind.port}")
        self.addCleanup(server.kill)
        return server

    def test_what_it_trusts(self):
        server = self.front(f"ca={self.cert},server-name=localhost")
        for index, tls in ((0, False), (1, True)):
            with self.subTest(tls=tls), connect(server.ports[index], tls=tls) as client:
                data = pattern(1 << 20)
                self.assertTrue(exchange(client, data) == data)
        server.stop()
        self.behind.stop()

    def test_what_it_does_not_trust(self):
        for words in ("server-name=localhost", f"ca={self.cert},server-name=elsewhere.test"):
            with self.subTest(words=words):
                server = self.front(words)
                with connect(server.ports[0]) as client:
                    self.assertEqual(read_to_end(client)[0], b"")
                until(lambda: f"backend 127.0.0.1:{self.behind.port}: certificate verify failed: " in server.log(), "the log says why")
                self.assertEqual(server.stop()["backend_failed"], 1)

    def hello(self, server):
        with connect(server.ports[0]) as client:
            self.assertEqual(exchange(client, b"hello"), b"hello")

    def test_sessions_are_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version), contextlib.closing(TlsBackend(self.cert, self.key, version)) as backend:
                server = Server(f"service=proxy,to-tls,ca={self.cert},server-name=localhost,to={backend.where}")
                self.addCleanup(server.kill)
                for _ in range(4):
                    self.hello(server)
                self.assertEqual(backend.resumed, [False, True, True, True])
                self.assertEqual(server.stats()["backend_tls_resumed"], 3)
                before = len(server.log())
                server.signal(signal.SIGHUP)
                until(lambda: "certificates reloaded" in server.log()[before:], "the reload")
                for _ in range(2):
                    self.hello(server)
                self.assertEqual(backend.resumed[4:], [False, True], "what is trusted was read again")
                server.stop()

    def test_protocols_are_offered(self):
        for words, chosen in (("", None), (",to-alpn=h2,to-alpn=http/1.1", "h2"), (",to-alpn=http/1.1,to-alpn=h2", "h2"),
                              (",to-alpn=http/1.1", "http/1.1"), (",to-alpn=other", None)):
            with self.subTest(words=words), contextlib.closing(TlsBackend(self.cert, self.key, ssl.TLSVersion.TLSv1_3,
                                                                          ["h2", "http/1.1"])) as backend:
                with Server(f"service=proxy,to-tls,ca={self.cert},server-name=localhost,to={backend.where}{words}") as server:
                    self.hello(server)
                    self.assertEqual(backend.protocols, [chosen])

    def test_a_client_certificate(self):
        authority = Authority(os.path.join(self.dir, "ca"))
        cert, key = authority.issue(os.path.join(self.dir, "proxy"), "the proxy")
        asking = Server(f"service=echo,tls,cert={self.cert},key={self.key},client-ca={authority.cert}",
                        options=("--log-level", "debug"))
        self.addCleanup(asking.kill)
        words = f"service=proxy,to-tls,verify=no,to=127.0.0.1:{asking.port}"
        server = Server(f"{words},client-cert={cert},client-key={key}", words)
        self.addCleanup(server.kill)
        self.hello(server)
        until(lambda: " (the proxy): closed" in asking.log(), "its name in the backend's log")
        with connect(server.ports[1]) as client:
            self.assertEqual(read_to_end(client)[0], b"")
        self.assertEqual(asking.until_counter("tls_client_refused", 1)["tls_client_refused"], 1)
        authority.issue(os.path.join(self.dir, "proxy"), "renewed")
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: "certificates reloaded" in server.log()[before:], "the reload")
        self.hello(server)
        until(lambda: " (renewed): closed" in asking.log(), "the new name in the backend's log")
        with open(cert, "w", encoding="ascii") as junk:
            junk.write("junk")
        server.signal(signal.SIGHUP)
        until(lambda: "the previous configuration stays in effect" in server.log(), "the refusal")
        self.hello(server)
        server.stop()
        asking.stop()

    def test_what_is_wrong_with_the_words(self):
        missing = os.path.join(self.dir, "missing")
        for words, says in ((f"client-cert={self.cert}", "add ,to-tls"), ("to-alpn=h2", "add ,to-tls"),
                            (f"ca={self.cert}", "add ,to-tls"), ("server-name=a.test", "add ,to-tls"),
                            ("verify=no", "add ,to-tls"),
                            (f"to-tls,client-key={self.key}", "needs client-cert"),
                            (f"to-tls,client-cert={self.cert}", f"{self.cert}: holds no valid private key"),
                            (f"to-tls,client-cert={missing}", f"{missing}: No such file"),
                            (f"to-tls,ca={missing}", f"{missing}: No such file")):
            with self.subTest(words=words):
                done = taiod("-t", "--listen", f"127.0.0.1:0,service=proxy,to=127.0.0.1:1,{words}")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(says, done.stderr)

    def test_it_need_not_verify(self):
        server = self.front("verify=no")
        with connect(server.ports[0]) as client:
            self.assertEqual(exchange(client, b"hello"), b"hello")
        server.stop()
