# SPDX-License-Identifier: MIT
"""Bad input: each shape gets its status or alert and moves its counter, and others go on being served."""
import contextlib
import os
import re
import select
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from harness import (Http, PATIENCE, SLACK, Server, ServerCase, client_context, client_hello, connect, has_tool, pattern,
                     read_exactly, read_to_end, reset, until)

GET = b"GET /a.txt HTTP/1.1\r\nHost: t\r\n"
HEADER_MAX = 4096

# shape: request, status, counters
REQUESTS = {
    "length and coding": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"0\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "coding and length": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
                          b"0\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "two lengths": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400,
                    ("smuggling", "bad_requests")),
    "the same length twice": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
                              400, ("smuggling", "bad_requests")),
    "a list of lengths": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4, 4\r\n\r\nabcd", 400,
                          ("smuggling", "bad_requests")),
    "a signed length": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: +4\r\n\r\nabcd", 400,
                        ("smuggling", "bad_requests")),
    "chunked twice": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400,
                      ("smuggling", "bad_requests")),
    "another coding": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501, ("smuggling",)),
    "coding in 1.0": (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ("smuggling",)),
    "lone CR in a header": (GET + b"X: a\rContent-Length: 5\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "lone LF": (b"GET /a.txt HTTP/1.1\nHost: t\n\n", 400, ("smuggling", "bad_requests")),
    "folded line": (GET + b"X: a\r\n Content-Length: 5\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "folded by a tab": (GET + b"X: a\r\n\tb\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "HTTP/0.9": (b"GET /a.txt\n", 400, ("smuggling", "bad_requests")),
    "HTTP/0.9 with CRLF": (b"GET /a.txt\r\n\r\n", 400, ("smuggling", "bad_requests")),
    "blank before the colon": (GET + b"Content-Length : 5\r\n\r\nabcde", 400, ("bad_requests",)),
    "no name": (GET + b": x\r\n\r\n", 400, ("bad_requests",)),
    "NUL in a header": (GET + b"X: a\0b\r\n\r\n", 400, ("bad_requests",)),
    "no host": (b"GET /a.txt HTTP/1.1\r\n\r\n", 400, ("bad_requests",)),
    "two hosts": (GET + b"Host: u\r\n\r\n", 400, ("bad_requests",)),
    "unknown method": (b"BREW /a.txt HTTP/1.1\r\nHost: t\r\n\r\n", 501, ("bad_requests",)),
    "unknown version": (b"GET /a.txt HTTP/2.0\r\nHost: t\r\n\r\n", 505, ("bad_requests",)),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, ("bad_requests",)),
    "no words": (b"\r\n\r\n\r\n", 400, ("bad_requests",)),
    "garbage": (bytes(range(128, 256)) + b"\r\n\r\n", 400, ("bad_requests",)),
    "header block too big": (GET + b"X: " + b"a" * HEADER_MAX + b"\r\n\r\n", 431, ("header_too_big",)),
    "many small headers": (GET + b"X: a\r\n" * HEADER_MAX + b"\r\n", 431, ("header_too_big",)),
    "request line too long": (b"GET /" + b"a" * HEADER_MAX + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414,
                              ("header_too_big",)),
    "body too big": (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2000000\r\n\r\n", 413, ()),
    "chunk too big": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1e8480\r\n", 413, ()),
    "chunk size overflows": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                             b"10000000000000005\r\n", 400, ("smuggling",)),
    "chunk size signed": (b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400,
                          ("smuggling",)),
    "dot dot": (b"GET /../a.txt HTTP/1.1\r\nHost: t\r\n\r\n", 400, ("path_escapes",)),
    "dot dot to a file": (b"GET /../../../etc/passwd HTTP/1.1\r\nHost: t\r\n\r\n", 400, ("path_escapes",)),
    "%2e%2e": (b"GET /%2e%2e/%2E%2e/etc/passwd HTTP/1.1\r\nHost: t\r\n\r\n", 400, ("path_escapes",)),
    "%00": (b"GET /a.txt%00.html HTTP/1.1\r\nHost: t\r\n\r\n", 400, ()),
    "%2f": (b"GET /..%2fetc%2fpasswd HTTP/1.1\r\nHost: t\r\n\r\n", 400, ()),
    "half an escape": (b"GET /a%2 HTTP/1.1\r\nHost: t\r\n\r\n", 400, ()),
    "link out of the root": (b"GET /out HTTP/1.1\r\nHost: t\r\n\r\n", 403, ("path_escapes",)),
    "link to a directory out of the root": (b"GET /outdir/passwd HTTP/1.1\r\nHost: t\r\n\r\n", 403, ("path_escapes",)),
    "link up": (b"GET /up/x HTTP/1.1\r\nHost: t\r\n\r\n", 403, ("path_escapes",)),
    "link to itself": (b"GET /loop HTTP/1.1\r\nHost: t\r\n\r\n", 403, ("path_escapes",)),
    "fifo": (b"GET /fifo HTTP/1.1\r\nHost: t\r\n\r\n", 403, ()),
    "unknown expectation": (GET + b"Expect: 200-maybe\r\n\r\n", 417, ("bad_requests",)),
}

GARBAGE = {
    "words": b"hello, is anybody there?\r\n\r\n",
    "zeros": bytes(1000),
    "plain HTTP": GET + b"\r\n",
    "a record that claims 65535 bytes": b"\x16\x03\x01\xff\xff" + bytes(70000),
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40),
    "application data first": b"\x17\x03\x03\x00\x10" + bytes(16),
    "a broken ClientHello": b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03" + b"\xff" * 42,
}


class Hostile(ServerCase):
    listeners = ("service=http,root={root}", "service=http,root={root},tls", "service=echo", "service=echo,tls")
    options = ("--header-max", HEADER_MAX, "--body-max", "1m", "--linger-timeout", "300ms", "--file-cache", "0")

    @classmethod
    def make_root(cls, root):
        with open(os.path.join(root, "a.txt"), "wb") as file:
            file.write(b"0123456789")
        with open(os.path.join(root, "big.bin"), "wb") as file:
            file.write(pattern(8 << 20))
        os.symlink("/etc/passwd", os.path.join(root, "out"))
        os.symlink("/etc", os.path.join(root, "outdir"))
        os.symlink("..", os.path.join(root, "up"))
        os.symlink("loop", os.path.join(root, "loop"))
        os.mkfifo(os.path.join(root, "fifo"))

    def setUp(self):
        """A neighbour in the middle of things: it must be served before, meanwhile and after."""
        self.neighbours = [self.http(0), self.http(1, tls=True)]
        self.check_neighbours()
        self.before = self.server.stats()

    def check_neighbours(self):
        for http in self.neighbours:
            self.assertEqual(http.get("/a.txt").body, b"0123456789")

    def tearDown(self):
        self.check_neighbours()

    def test_bad_requests(self):
        for index, tls in ((0, False), (1, True)):
            for shape, (request, status, counters) in REQUESTS.items():
                with self.subTest(shape=shape, tls=tls):
                    before = self.server.stats()
                    http = Http(connect(self.ports[index], tls=tls))
                    http.send(request)
                    self.check_neighbours()
                    response = http.response()
                    self.assertEqual(response.status, status, response.body)
                    if status not in (403, 404):
                        self.assertEqual(response.headers["connection"], "close")
                        http.sock.settimeout(5)
                        self.assertEqual(read_to_end(http.sock)[0], b"")
                    http.close()
                    after = self.server.stats()
                    for name in counters:
                        self.assertEqual(after[name], before[name] + 1, name)
                    self.assertEqual(after["responses_4xx"] + after["responses_5xx"],
                                     before["responses_4xx"] + before["responses_5xx"] + 1)

    def test_nothing_behind_a_refused_request_is_answered(self):
        http = self.http()
        http.send(REQUESTS["length and coding"][0] + GET + b"\r\n")
        self.assertEqual(http.response().status, 400)
        self.assertEqual((http.kept, read_to_end(http.sock)[0]), (b"", b""))

    def test_garbage_instead_of_tls_gets_an_alert(self):
        for what, data in GARBAGE.items():
            with self.subTest(what=what):
                before = self.server.stats()
                sock = connect(self.ports[1])
                sock.sendall(data)
                self.check_neighbours()
                if len(data) > 5 and not what.startswith("a record"):
                    sock.shutdown(socket.SHUT_WR)
                got, _ = read_to_end(sock)
                sock.close()
                if what == "plain HTTP":
                    self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
                elif got:
                    self.assertEqual(got[0], 0x15, "an alert")
                after = self.server.until_counter("closed_tls", before["closed_tls"] + 1)
                self.assertEqual(after["tls_failed"], before["tls_failed"] + 1)

    def test_plain_http_on_a_tls_port_is_told_so(self):
        """As nginx does; by a service that speaks HTTP, whatever the request and its body."""
        for method, size in (("GET", 0), ("HEAD", 0), ("POST", 10), ("POST", 300000), ("PUT", 5), ("DELETE", 0), ("OPTIONS", 0),
                             ("PATCH", 5), ("LOCK", 0)):
            with self.subTest(method=method, size=size):
                http = Http(connect(self.ports[1]))
                self.addCleanup(http.close)
                with contextlib.suppress(ConnectionError):
                    http.send(f"{method} / HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size))
                response = http.response()
                self.assertEqual((response.status, response.headers["connection"]), (400, "close"))
                self.assertIn(b"TLS", response.body)
                self.assertEqual(read_to_end(http.sock)[0], b"")
        sock = connect(self.ports[3])
        self.addCleanup(sock.close)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertNotIn(b"HTTP", read_to_end(sock)[0], "echo knows no HTTP")

    def test_handshakes_that_fail_do_not_flood_the_log(self):
        before, logged, count = self.server.stats()["tls_failed"], self.server.log().count(" TLS: "), 200
        for _ in range(count):
            with connect(self.ports[1]) as sock:
                sock.sendall(GARBAGE["words"])
        self.server.until_counter("tls_failed", before + count)
        self.assertLess(self.server.log().count(" TLS: ") - logged, count / 2)

    def test_timeouts_do_not_flood_the_log(self):
        count = 200
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Server("service=http", options=("--idle-timeout", "300ms")))
            for _ in range(count):
                stack.enter_context(connect(server.port))
            server.until_counter("closed_idle", count)
            self.assertIn("closed: idle timeout", server.log())
            self.assertLess(server.log().count(" closed: "), count / 2)

    def test_garbage_after_the_handshake_gets_an_alert(self):
        sock = self.connect(3, tls=True)
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        raw = socket.socket(fileno=os.dup(sock.fileno()))
        raw.settimeout(10)
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertEqual(read_to_end(raw)[0][:1], b"\x17", "an encrypted alert")
        raw.close()
        self.assert_counts(self.before, closed_tls=1, tls_failed=1)

    def test_a_client_hello_on_the_plain_port_is_a_bad_request(self):
        http = self.http()
        http.send(client_hello())
        self.assertEqual(http.response().status, 400)
        self.assert_counts(self.before, bad_requests=1)

    def test_alpn_that_nobody_speaks_is_refused(self):
        with self.assertRaises(ssl.SSLError):
            self.connect(1, context=client_context(alpn=["spdy/9"]))
        self.assert_counts(self.before, tls_failed=1)

    def test_a_truncated_tls_stream_is_the_end(self):
        sock = self.connect(3, tls=True)
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        sock.shutdown(socket.SHUT_WR)
        self.server.until_counter("closed_peer", self.before["closed_peer"] + 1)

    def test_requests_cut_off_anywhere(self):
        request = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nabcd"
        for cut in range(len(request)):
            http = Http(connect(self.ports[0]))
            http.send(request[:cut])
            http.sock.shutdown(socket.SHUT_WR)
            got, _ = read_to_end(http.sock)
            http.close()
            if cut:
                self.assertRegex(got, rb"\AHTTP/1\.1 (400|200) ", f"cut at {cut}")

    def test_a_handshake_cut_off_anywhere(self):
        hello = client_hello()
        for cut in range(0, len(hello), 7):
            sock = connect(self.ports[1])
            sock.sendall(hello[:cut])
            if cut % 2:
                reset(sock)
            else:
                sock.close()
        self.server.until_counter("accepted", self.before["accepted"] + len(range(0, len(hello), 7)))

    def states(self):
        """Connections, each in another state, to be reset there."""
        sock = connect(self.ports[0])
        yield "nothing sent", sock
        sock = connect(self.ports[1])
        sock.sendall(client_hello()[:50])
        yield "mid handshake", sock
        sock = connect(self.ports[1])
        sock.sendall(client_hello())
        yield "handshake done", sock
        for index, tls in ((0, False), (1, True)):
            sock = connect(self.ports[index], tls=tls)
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHo")
            yield "mid header", sock
            sock = connect(self.ports[index], tls=tls)
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nabc")
            yield "mid body", sock
            sock = connect(self.ports[index], tls=tls, rcvbuf=4096)
            sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            read_exactly(sock, 1000)
            yield "mid response", sock
            sock = connect(self.ports[index], tls=tls)
            sock.sendall(GET + b"\r\n")
            Http(sock).response()
            yield "idle", sock
            sock = connect(self.ports[index], tls=tls)
            sock.sendall(GET + b"Connection: close\r\n\r\n")
            Http(sock).response()
            yield "lingering", sock
        sock = connect(self.ports[2], rcvbuf=4096)
        sock.settimeout(0.2)
        try:
            while True:
                sock.sendall(bytes(65536))
        except TimeoutError:
            pass
        yield "back-pressure", sock

    def test_a_reset_in_every_state(self):
        accepted = self.before["accepted"]
        for state, sock in self.states():
            with self.subTest(state=state):
                accepted += 1
                self.server.until_counter("accepted", accepted)
                reset(sock)
                until(lambda: self.server.stats()["active"] == len(self.neighbours), "the connection is gone")
                self.check_neighbours()
        self.assert_counts(self.before, closed_reset=8)

    def test_urgent_data_does_no_harm(self):
        sock = self.connect(2)
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")


@unittest.skipUnless(has_tool("openssl"), "openssl")
class KeyUpdates(unittest.TestCase):
    def test_of_one_that_does_not_read(self):
        """Each asks for one of ours, for which there is no room: it waits for what is being sent, and nothing is lost."""
        body = pattern(16 << 20)
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(tempfile.TemporaryDirectory())
            with open(os.path.join(root, "big.bin"), "wb") as file:
                file.write(body)
            server = stack.enter_context(Server(f"service=http,root={root},tls", options=("--tls-kernel", "no")))
            client = stack.enter_context(subprocess.Popen(
                ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{server.port}"], bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            stack.callback(client.kill)
            got, said = bytearray(), bytearray()

            def take(is_enough):
                while not is_enough():
                    for pipe in select.select([client.stdout, client.stderr], [], [], PATIENCE)[0]:
                        piece = os.read(pipe.fileno(), 1 << 16)
                        self.assertTrue(piece, f"the end after {len(got)} bytes: {said!r}")
                        (got if pipe is client.stdout else said).extend(piece)

            client.stdin.write(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            for n in range(1, 13):
                take(lambda: len(got) >= n << 20)
                client.stdin.write(b"K\n")
                take(lambda: said.count(b"KEYUPDATE") == n)
            end = got.index(b"\r\n\r\n") + 4 + len(body)
            take(lambda: len(got) >= end)
            self.assertTrue(got[:end].endswith(body))
            client.stdin.write(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
            take(lambda: got.endswith(b"ok\n"))


class Slow(ServerCase):
    """Requests that never end. body-min-rate is judged over 20 s: all of them at once."""
    listeners = ("service=http,root={root}", "service=http,root={root},tls")
    options = ("--body-max", "1m", "--log-level", "debug")
    POST = b"POST /echo HTTP/1.1\r\nHost: t\r\n"
    CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    # name: what begins it, what is sent every fifth of a second, whether it is ended, and the status.
    SHAPES = {
        "body": (POST + b"Content-Length: 100000\r\n\r\n", b"x", True, 200),
        "chunks": (CHUNKED, b"1\r\nx\r\n", True, 200),
        "trailers": (CHUNKED + b"4\r\nabcd\r\n0\r\n", b"a:b\r\n", True, 200),
        "size line": (CHUNKED + b"5", b";", True, 408),
        "burst": (POST + b"Content-Length: 500000\r\n\r\n" + bytes(400000), b"x", True, 200),
        # What begins a request is none of its body.
        "header": (POST + b"X: " + bytes(7000).replace(b"\0", b"x") + b"\r\nContent-Length: 100000\r\n\r\n", b"x" * 50,
                   True, 200),
        "silence": (CHUNKED, b"", True, 408),
        "upload": (POST + b"Content-Length: 100000\r\n\r\n", bytes(150), False, 200),
    }

    def test_a_body_that_comes_too_slowly_ends(self):
        before = self.server.stats()
        socks = {}
        for index in (0, 1):
            for name, (begin, *_) in self.SHAPES.items():
                sock = socks[name, index] = self.connect(index, tls=index == 1)
                sock.sendall(begin)
                sock.settimeout(0)
        ports = {sock.getsockname()[1]: key for key, sock in socks.items()}
        heads, ended = dict.fromkeys(socks, b""), {}
        # Time in which output waits for the peer does not count: it takes the burst back at once.
        for index in (0, 1):
            sock = socks["burst", index]
            sock.settimeout(PATIENCE)
            while len(heads["burst", index]) < 400000:
                piece = sock.recv(65536)
                self.assertTrue(piece)
                heads["burst", index] += piece
            sock.settimeout(0)
        since = time.monotonic()
        wanted = {key for key in socks if self.SHAPES[key[0]][2]}
        while set(ended) != wanted and time.monotonic() - since < 60:
            for key, sock in socks.items():
                if key in ended:
                    continue
                try:
                    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                        while piece := sock.recv(65536):
                            heads[key] += piece
                        ended[key] = time.monotonic() - since
                        continue
                    if self.SHAPES[key[0]][1]:
                        sock.send(self.SHAPES[key[0]][1])
                except ConnectionError:
                    ended[key] = time.monotonic() - since
            time.sleep(0.2)
        self.assertEqual(set(ended), wanted)
        for key, took in ended.items():
            # The burst is of the first window.
            self.assertGreaterEqual(took, 39 if key[0] == "burst" else 19, key)
            self.assertLess(took, (40 if key[0] == "burst" else 20) + SLACK, key)
        for key, head in heads.items():
            self.assertTrue(head.startswith(b"HTTP/1.1 %d " % self.SHAPES[key[0]][3]), (key, head[:100]))
        until(lambda: self.server.stats()["active"] == before["active"] + len(socks) - len(wanted), "they are gone")
        self.assert_counts(before, slow_requests=len(wanted), closed_body_rate=len(wanted), closed_idle=0)
        logged = re.findall(r":(\d+): closed: body below body-min-rate \(age", self.server.log())
        self.assertEqual({ports[int(port)] for port in logged}, wanted)

    def test_a_peer_that_takes_output_too_slowly_ends(self):
        """send-min-rate, which write-timeout is not: it ends those who take something now and then."""
        slow, fast = 2048, 16384  # bytes every tenth of a second
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(tempfile.TemporaryDirectory())
            with open(os.path.join(root, "big.bin"), "wb") as file:
                file.write(pattern(16 << 20))
            server = stack.enter_context(Server(f"service=http,root={root}", f"service=http,root={root},tls",
                                                options=("--send-min-rate", "60k", "--log-level", "debug")))
            stack.enter_context(connect(server.ports[0]))  # it has nothing to take
            readers, since = [], time.monotonic()
            for index, rate in ((0, slow), (1, slow), (0, fast), (1, fast)):
                sock = stack.enter_context(connect(server.ports[index], tls=index == 1, rcvbuf=8192))
                sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
                readers.append((Http(sock), rate))
            ports = {http.sock.getsockname()[1] for http, rate in readers if rate == slow}
            while time.monotonic() - since < 20 + SLACK:
                for http, rate in readers:
                    http.take(rate)  # what the kernel has at the end still comes
                time.sleep(0.1)
            stats = server.stats()
            self.assertEqual((stats["closed_send_rate"], stats["active"]), (2, 3))
            logged = re.findall(r":(\d+): closed: output taken below send-min-rate \(age (\d+\.\d+) s", server.log())
            self.assertEqual({int(port) for port, _ in logged}, ports)
            for _, age in logged:
                self.assertGreaterEqual(float(age), 20)

    def test_a_request_that_takes_too_long_ends(self):
        with Server("service=http", options=("--request-timeout", "1s", "--linger-timeout", "200ms")) as server:
            sock = connect(server.port)
            since = time.monotonic()
            sock.sendall(self.CHUNKED)
            with self.assertRaises(ConnectionError):
                while time.monotonic() - since < 1 + SLACK:
                    sock.sendall(b"400\r\n" + bytes(1024) + b"\r\n")
                    time.sleep(0.05)
            self.assertGreaterEqual(time.monotonic() - since, 0.9)
            # A connection may last longer than each of its requests.
            http = Http(connect(server.port))
            since = time.monotonic()
            while time.monotonic() - since < 1.5:
                self.assertEqual(http.get("/healthz").status, 200)
                time.sleep(0.1)
            http.close()
            sock.close()
            server.until_counter("slow_requests", 1)


if __name__ == "__main__":
    unittest.main()
