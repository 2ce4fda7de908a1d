# SPDX-License-Identifier: MIT
"""Every timeout ends its connection, never early, with its counter and a log line that says how long it took."""
import contextlib
import os
import re
import signal
import ssl
import time
import unittest

from harness import (Http, PATIENCE, SLACK, SLOW, Server, ServerCase, client_context, client_hello, connect, pattern, read_exactly,
                     read_to_end, until)

HANDSHAKE, HEADER, IDLE, WRITE, LINGER = 0.7, 0.8, 0.9, 1.0, 0.5
LOG_LINE = r"127\.0\.0\.1:{port}: closed: {why} \(age (\d+\.\d{{3}}) s, io_cancel to completion (\d+) us\)"


class Timeouts(ServerCase):
    listeners = ("service=http,root={root}", "service=http,root={root},tls", "service=echo", "service=echo,tls")
    options = ("--handshake-timeout", "700ms", "--header-timeout", "800ms", "--idle-timeout", "900ms",
               "--write-timeout", "1s", "--linger-timeout", "500ms", "--file-cache", "0",
               "--log-level", "debug")

    @classmethod
    def make_root(cls, root):
        with open(os.path.join(root, "a.txt"), "wb") as file:
            file.write(b"0123456789")
        with open(os.path.join(root, "big.bin"), "wb") as file:
            file.write(pattern(16 << 20))

    def setUp(self):
        self.before = self.server.stats()

    def assert_end(self, sock, since, timeout, why, counter):
        """@sock is closed by the server, @timeout s after @since and not earlier. What came before the end."""
        port = sock.getsockname()[1]
        got, _ = read_to_end(sock)
        took = time.monotonic() - since
        self.assertGreaterEqual(took, timeout)
        self.assertLess(took, timeout + SLACK)
        self.assert_logged(port, why, timeout, counter)
        return got

    def assert_logged(self, port, why, timeout, counter):
        self.assert_counts(self.before, **{counter: 1})
        line = until(lambda: re.search(LOG_LINE.format(port=port, why=why), self.server.log()),
                     f"a line about {port} and {why}")
        self.assertGreaterEqual(float(line[1]), timeout)
        self.assertLess(int(line[2]), SLACK * 1e6)
        self.assertGreaterEqual(self.server.stats()["cancels"], self.before["cancels"] + 1)

    def test_idle_before_the_first_byte(self):
        since = time.monotonic()
        got = self.assert_end(self.connect(), since, IDLE, "idle timeout", "closed_idle")
        self.assertEqual(got, b"")

    def test_idle_echo(self):
        sock = self.connect(2)
        since = time.monotonic()
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        self.assert_end(sock, since, IDLE, "idle timeout", "closed_idle")

    def test_idle_after_an_answer(self):
        http = self.http()
        http.get("/a.txt")
        since = time.monotonic() - 0.01  # the response was received, so it was sent before
        self.assert_end(http.sock, since, IDLE, "idle timeout", "closed_idle")

    def test_idle_tls_ends_with_close_notify(self):
        sock = self.connect(3, tls=True)
        since = time.monotonic()
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        port = sock.getsockname()[1]
        got, orderly = read_to_end(sock)
        self.assertEqual((got, orderly), (b"", True))
        self.assertGreaterEqual(time.monotonic() - since, IDLE)
        self.assert_logged(port, "idle timeout", IDLE, "closed_idle")

    def test_bytes_postpone_the_idle_timeout(self):
        for index, tls in ((2, False), (3, True)):
            sock = self.connect(index, tls=tls)
            since = time.monotonic()
            while time.monotonic() - since < 2.5 * IDLE:
                sock.sendall(b"x")
                self.assertEqual(read_exactly(sock, 1), b"x")
                time.sleep(IDLE / 5)

    def test_bytes_that_make_no_tls_record_do_not_postpone_it(self):
        """One byte of a record at a time is no progress: the service has got nothing."""
        sock = self.connect(3, tls=True)
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        since = time.monotonic()
        port = sock.getsockname()[1]
        raw = os.dup(sock.fileno())
        self.addCleanup(os.close, raw)
        record = b"\x17\x03\x03\x40\x00" + bytes(16384)
        for i in range(int((IDLE + SLACK) * 10)):
            try:
                os.write(raw, record[i:i + 1])
            except ConnectionError:
                break
            time.sleep(0.1)
        took = time.monotonic() - since
        self.assertLess(took, IDLE + SLACK, "it is open all the same")
        self.assertGreaterEqual(took, IDLE - 0.15)
        self.assert_logged(port, "idle timeout", IDLE, "closed_idle")

    def test_header_that_stops(self):
        for index, tls in ((0, False), (1, True)):
            self.before = self.server.stats()
            sock = self.connect(index, tls=tls)
            since = time.monotonic()
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHo")
            http = Http(sock)
            response = http.response()
            self.assertEqual(response.status, 408)
            self.assertGreaterEqual(time.monotonic() - since, HEADER)
            self.assert_logged(sock.getsockname()[1], "header timeout", HEADER, "closed_header")
            sock.close()

    def test_header_one_byte_at_a_time(self):
        for index, tls in ((0, False), (1, True)):
            self.before = self.server.stats()
            sock = self.connect(index, tls=tls)
            since = time.monotonic()
            status = None
            request = b"GET /a.txt HTTP/1.1\r\nX: " + b"a" * 200
            for i in range(len(request)):
                sock.sendall(request[i:i + 1])
                sock.settimeout(0.1)
                try:
                    status = sock.recv(12)
                    break
                except (TimeoutError, ssl.SSLWantReadError):
                    continue
            took = time.monotonic() - since
            self.assertEqual(status, b"HTTP/1.1 408")
            self.assertGreaterEqual(took, HEADER)
            self.assertLess(took, HEADER + SLACK)
            self.assert_counts(self.before, closed_header=1, responses_4xx=1)
            sock.close()

    def test_the_header_timeout_begins_with_the_first_byte(self):
        http = self.http()
        time.sleep(IDLE * 0.8)
        http.send(b"GET /a.txt HTTP/1.1\r\n")
        time.sleep(HEADER * 0.8)
        http.send(b"Host: t\r\n\r\n")
        self.assertEqual(http.response().status, 200)

    def test_a_stall_of_the_server_is_not_held_against_its_peer(self):
        """What has arrived meanwhile is read before a deadline ends the connection."""
        request = b"GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n"
        for index, tls in ((0, False), (1, True)):
            for begin in (b"", request[:20]):
                http = self.http(index, tls=tls)
                self.assertEqual(http.get("/a.txt").status, 200)
                got = self.server.stats()["bytes_in"]
                if begin:
                    http.send(begin)
                    until(lambda: self.server.stats()["bytes_in"] > got, "it has arrived")
                self.server.signal(signal.SIGSTOP)
                try:
                    http.send(request[len(begin):])
                    time.sleep(1.5 * IDLE)
                finally:
                    self.server.signal(signal.SIGCONT)
                self.assertEqual(http.response().status, 200, (tls, begin))
                http.close()
        self.assert_counts(self.before, closed_header=0, closed_idle=0)

    def test_handshake_that_never_begins(self):
        since = time.monotonic()
        sock = self.connect(1)
        self.assert_end(sock, since, HANDSHAKE, "handshake timeout", "closed_handshake")

    def test_half_a_handshake_one_byte_at_a_time(self):
        since = time.monotonic()
        sock = self.connect(1)
        for byte in client_hello()[:-1]:
            try:
                sock.sendall(bytes([byte]))
            except ConnectionError:
                break
            time.sleep(0.02)
            if time.monotonic() - since > HANDSHAKE + SLACK:
                break
        self.assertLess(time.monotonic() - since, HANDSHAKE + SLACK)
        self.assert_counts(self.before, closed_handshake=1)

    def test_a_client_that_does_not_answer_the_handshake(self):
        since = time.monotonic()
        sock = self.connect(1)
        sock.sendall(client_hello())
        got = self.assert_end(sock, since, HANDSHAKE, "handshake timeout", "closed_handshake")
        self.assertEqual(got[:1], b"\x16")

    def test_a_peer_that_never_reads(self):
        for index, tls in ((0, False), (1, True)):
            self.before = self.server.stats()
            sock = self.connect(index, tls=tls, rcvbuf=4096)
            sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            port = sock.getsockname()[1]
            self.server.until_counter("closed_write", self.before["closed_write"] + 1)
            self.assert_logged(port, "write timeout", WRITE, "closed_write")
            sock.close()

    def test_an_echo_client_that_never_reads(self):
        for index, tls in ((2, False), (3, True)):
            self.before = self.server.stats()
            sock = self.connect(index, tls=tls, rcvbuf=4096)
            port = sock.getsockname()[1]
            sock.settimeout(0.3)
            try:
                for _ in range(1000):
                    sock.sendall(bytes(65536))
            except (TimeoutError, ssl.SSLWantWriteError, ConnectionError):
                pass
            self.server.until_counter("closed_write", self.before["closed_write"] + 1)
            self.assert_logged(port, "write timeout", WRITE, "closed_write")
            sock.close()

    def test_a_slow_reader_is_not_cut_off(self):
        http = self.http(rcvbuf=65536)
        http.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.head()
        since = time.monotonic()
        size = 0
        while time.monotonic() - since < 2 * WRITE:
            size += len(http.take(256 << 10))
            time.sleep(WRITE / 8)
        self.assertEqual(http.take((16 << 20) - size), pattern(16 << 20)[size:])

    def read_slowly(self, index, tls):
        """A steady reader, so slow that no write completes within the write timeout."""
        http = self.http(index, tls=tls, rcvbuf=8192)
        http.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.head()
        begin = since = time.monotonic()
        writes, still, got = 0, 0, []
        # Until none has completed for longer than the timeout allows. TLS writes records, some of which always fit.
        while still < 1.5 * WRITE and time.monotonic() - begin < (5 * WRITE if tls else PATIENCE):
            got.append(http.take(2048))
            time.sleep(WRITE / 10)
            now = self.server.stats()["writes"]
            if now != writes:
                writes, since = now, time.monotonic()
            still = time.monotonic() - since
        if not tls:
            self.assertGreaterEqual(still, 1.5 * WRITE)
        size = sum(map(len, got))
        self.assertEqual(b"".join(got) + http.take((16 << 20) - size), pattern(16 << 20))

    def test_what_a_slow_reader_acknowledges_counts(self):
        self.read_slowly(0, False)

    def test_what_a_slow_reader_acknowledges_counts_over_tls(self):
        self.read_slowly(1, True)

    def test_a_reader_that_stops_is_cut_off(self):
        """Within a quarter of the timeout more."""
        for index, tls in ((0, False), (1, True)):
            self.before = self.server.stats()
            http = self.http(index, tls=tls, rcvbuf=8192)
            http.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            http.head()
            until = time.monotonic() + 2 * WRITE
            while time.monotonic() < until:
                http.take(4096)
                time.sleep(WRITE / 10)
            since = time.monotonic()
            self.server.until_counter("closed_write", self.before["closed_write"] + 1)
            # The kernel acknowledges the last bytes some reads before they are read.
            self.assertGreaterEqual(time.monotonic() - since, WRITE - 4 * WRITE / 10)
            self.assertLess(time.monotonic() - since, 1.25 * WRITE + SLACK)

    # So much that it fits into the socket's buffers, and nothing waits in the server.
    PIECE = b"GET /big.bin HTTP/1.1\r\nHost: t\r\nRange: bytes=0-99999\r\n\r\n"

    def test_a_reader_of_what_was_sent_long_ago_is_not_idle(self):
        """Its next request is served, too."""
        for index, tls in ((0, False), (1, True)):
            http = self.http(index, tls=tls, rcvbuf=8192)
            http.send(self.PIECE)
            http.head()
            since, got = time.monotonic(), b""
            while time.monotonic() - since < 3 * IDLE:
                got += http.take(2048)
                time.sleep(WRITE / 10)
            got += http.take(100000 - len(got))
            self.assertEqual(got, pattern(16 << 20)[:100000])
            self.assertEqual(http.get("/a.txt").body, b"0123456789")
            http.close()
        self.assert_counts(self.before, closed_idle=0)

    def test_a_peer_that_does_not_take_what_was_sent_is_cut_off(self):
        sock = self.connect(rcvbuf=4096)
        since = time.monotonic()
        sock.sendall(self.PIECE)
        self.server.until_counter("closed_write", self.before["closed_write"] + 1)
        took = time.monotonic() - since
        self.assertGreaterEqual(took, IDLE + WRITE)
        self.assertLess(took, IDLE + 1.25 * WRITE + SLACK)
        self.assert_logged(sock.getsockname()[1], "write timeout", IDLE + WRITE, "closed_write")

    def test_a_slow_reader_of_the_last_answer_gets_all_of_it(self):
        """Over the linger timeout, for which the peer must have everything first."""
        sock = self.connect(rcvbuf=8192)
        sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: t\r\nConnection: close\r\nRange: bytes=0-199999\r\n\r\n")
        got, since = b"", time.monotonic()
        while time.monotonic() - since < 4 * LINGER:
            got += sock.recv(2048)
            sock.sendall(b"more")  # unread bytes at close() would reset the connection
            time.sleep(LINGER / 10)
        rest, orderly = read_to_end(sock)
        self.assertTrue((got + rest).endswith(pattern(16 << 20)[:200000]))

    def test_a_peer_that_does_not_close_after_the_last_answer(self):
        http = self.http()
        since = time.monotonic()
        self.assertEqual(http.get("/a.txt", Connection="close").status, 200)
        self.assertEqual(read_to_end(http.sock), (b"", True))
        self.server.until_counter("closed_done", self.before["closed_done"] + 1)
        until(lambda: self.server.stats()["active"] == self.before["active"], "it is closed", LINGER + SLACK)
        self.assertGreaterEqual(time.monotonic() - since, LINGER)

    def test_a_peer_that_sends_on_after_the_last_answer(self):
        http = self.http()
        self.assertEqual(http.get("/a.txt", Connection="close").status, 200)
        since = time.monotonic()
        with self.assertRaises(ConnectionError):
            while time.monotonic() - since < LINGER + SLACK:
                http.send(b"more")
                time.sleep(0.05)
        self.assertGreaterEqual(time.monotonic() - since, LINGER - 0.1)


class Requests(ServerCase):
    """Limits of a request: their counter and log line, apart from the idle timeout, whatever the connection waits for."""
    REQUEST = 1.0
    listeners = ("service=http", "service=http,tls")
    options = ("--request-timeout", "1s", "--header-timeout", "0s", "--body-min-rate", "0", "--linger-timeout", "200ms")
    POST = b"POST /echo HTTP/1.1\r\nHost: t\r\n"
    CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

    def setUp(self):
        self.before = self.server.stats()

    def assert_end(self, sock, since):
        """By the request timeout. What came before the end."""
        port, got = sock.getsockname()[1], b""
        try:
            while piece := sock.recv(65536):
                got += piece
        except (ConnectionError, ssl.SSLError):
            pass
        took = time.monotonic() - since
        self.assertGreaterEqual(took, self.REQUEST)
        self.assertLess(took, self.REQUEST + SLACK)
        self.server.until_counter("closed_request", self.before["closed_request"] + 1)
        until(lambda: re.search(LOG_LINE.format(port=port, why="request timeout"), self.server.log()), "its line")
        self.assert_counts(self.before, slow_requests=1, closed_idle=0, closed_done=0)
        return got

    def each(self):
        for index, tls in ((0, False), (1, True)):
            self.before = self.server.stats()
            sock = self.connect(index, tls=tls)
            yield sock
            sock.close()

    def test_a_header_that_stops(self):
        for sock in self.each():
            since = time.monotonic()
            sock.sendall(self.POST)
            self.assertRegex(self.assert_end(sock, since), rb"\AHTTP/1\.1 408 ")

    def test_a_body_that_never_comes(self):
        for sock in self.each():
            since = time.monotonic()
            sock.sendall(self.CHUNKED)
            self.assertRegex(self.assert_end(sock, since), rb"\AHTTP/1\.1 408 ")

    def test_a_body_that_stops(self):
        for sock in self.each():
            since = time.monotonic()
            sock.sendall(self.CHUNKED + b"4\r\nabcd\r\n")
            self.assertRegex(self.assert_end(sock, since), rb"\AHTTP/1\.1 200 (?s:.*)\r\n\r\n4\r\nabcd\r\n\Z")

    def test_a_body_whose_echo_waits_for_its_reader(self):
        """Output is full all the time, and never still for as long as the write timeout."""
        sock = self.connect(rcvbuf=4096)
        since, port = time.monotonic(), sock.getsockname()[1]
        sock.sendall(self.POST + b"Content-Length: 16000000\r\n\r\n")
        sock.setblocking(False)
        with self.assertRaises(ConnectionError):
            while time.monotonic() - since < self.REQUEST + SLACK:
                with contextlib.suppress(BlockingIOError):
                    sock.send(bytes(65536))
                with contextlib.suppress(BlockingIOError):
                    sock.recv(1024)
                time.sleep(0.01)
        self.assertGreaterEqual(time.monotonic() - since, self.REQUEST)
        self.server.until_counter("closed_request", self.before["closed_request"] + 1)
        self.assertRegex(self.server.log(), LOG_LINE.format(port=port, why="request timeout"))

    def test_a_stall_of_the_server_is_not_held_against_its_peer(self):
        """What has arrived meanwhile is read before a limit is judged."""
        body = pattern(30000)
        for sock in self.each():
            sock.sendall(self.POST + b"Content-Length: 30000\r\n\r\n" + body[:100])
            until(lambda: self.server.stats()["requests"] > self.before["requests"], "the request has begun")
            self.server.signal(signal.SIGSTOP)
            try:
                sock.sendall(body[100:])
                time.sleep(2 * self.REQUEST)
            finally:
                self.server.signal(signal.SIGCONT)
            response = Http(sock).response()
            self.assertEqual((response.status, response.body), (200, body))
            self.assert_counts(self.before, closed_request=0, slow_requests=0)


class Herd(unittest.TestCase):
    """One deadline for many: none early, every one ended by a cancel."""

    HERD = 1000 // SLOW

    def herd(self, tls):
        listener = "service=echo,tls" if tls else "service=echo"
        with Server(listener, options=("--idle-timeout", "2s", "--log-level", "debug")) as server:
            context = client_context()
            opened = []
            for _ in range(self.HERD):
                before = time.monotonic()
                opened.append((before, connect(server.port, context=context if tls else None)))
            late = []
            for before, sock in opened:
                sock.settimeout(PATIENCE)
                self.assertEqual(read_to_end(sock), (b"", True))
                late.append(time.monotonic() - before - 2.0)
                sock.close()
            self.assertGreaterEqual(min(late), 0)
            server.until_idle()
            stats = server.stats()
            self.assertEqual(stats["closed_idle"], self.HERD)
            self.assertGreaterEqual(stats["cancels"], self.HERD)
            self.assertEqual(stats["cancel_us"]["count"], stats["cancels"])
            ages = [float(age) for age in re.findall(r"idle timeout \(age (\d+\.\d{3}) s", server.log())]
            self.assertEqual(len(ages), self.HERD)
            self.assertGreaterEqual(min(ages), 2.0)
            # By the server's clock: a client that has opened the last sees the first ends late.
            self.assertLess(sorted(ages)[self.HERD // 2], 2.0 + SLACK)

    def test_plain(self):
        self.herd(tls=False)

    def test_tls(self):
        self.herd(tls=True)


if __name__ == "__main__":
    unittest.main()
