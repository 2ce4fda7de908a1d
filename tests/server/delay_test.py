# SPDX-License-Identifier: MIT
"""A service that waits for something outside of its connection: resumed, half-closed, pushed back, drained, idle.

The server is taiod-delay: taiod with the service delay, which sends a line back once a timer has run out."""
import contextlib
import os
import select
import signal
import socket
import ssl
import time
import unittest

import harness
from harness import PATIENCE, SLACK, SLOW, Server, ServerCase, client_context, connect, read_exactly, read_to_end, reset

harness.TAIOD = os.environ.get("TAIOD_DELAY", "build/release/bin/taiod-delay")

DELAY, IDLE = 0.2 * SLOW, 1.0 * SLOW
COPIES = 1 << 14
RECORD_EXTRA = 5 + 1 + 16  # RFC 8446, 5.2: the header, the type, the tag of AES-GCM or ChaCha20-Poly1305


def seconds(value):
    return f"{value * 1000:.0f}ms"


def half_close(port, data):
    """A TLS client that sends close_notify right behind @data: what it still gets, up to the server's."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing)
    got = b""
    with connect(port) as sock:

        def step(call, *args):
            """Runs @call until it wants nothing more of the network."""
            while True:
                try:
                    return call(*args)
                except ssl.SSLWantReadError:
                    if pending := outgoing.read():
                        sock.sendall(pending)
                    piece = sock.recv(1 << 16)
                    incoming.write(piece) if piece else incoming.write_eof()

        step(tls.do_handshake)
        tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()  # writes close_notify; the peer's is to come
        with contextlib.suppress(ssl.SSLZeroReturnError):  # its close_notify; a bare end of stream is an error
            while piece := step(tls.read, 1 << 16):
                got += piece
    return got


class Delay(ServerCase):
    listeners = ("service=delay", "service=delay,tls", f"service=delay,copies={COPIES}",
                 f"service=delay,copies={COPIES},tls")
    options = ("--delay", seconds(DELAY), "--idle-timeout", seconds(20 * SLOW), "--write-timeout", "60s")

    def each(self, first=0):
        for index, tls in ((first, False), (first + 1, True)):
            with self.subTest(tls=tls):
                yield self.connect(index, tls=tls)

    def test_a_line_comes_back_after_the_timer_and_not_before(self):
        for sock in self.each():
            since = time.monotonic()
            sock.sendall(b"hello\n")
            self.assertEqual(read_exactly(sock, 6), b"hello\n")
            self.assertGreaterEqual(time.monotonic() - since, DELAY)

    def test_lines_sent_together_wait_one_after_the_other(self):
        for sock in self.each():
            since = time.monotonic()
            sock.sendall(b"a\nbb\nccc\n")
            self.assertEqual(read_exactly(sock, 9), b"a\nbb\nccc\n")
            self.assertGreaterEqual(time.monotonic() - since, 3 * DELAY)

    def test_a_line_in_pieces(self):
        for sock in self.each():
            for piece in (b"he", b"llo", b"\nwor", b"ld\n"):
                sock.sendall(piece)
                time.sleep(0.02)  # not for order: so that the pieces arrive as pieces
            self.assertEqual(read_exactly(sock, 12), b"hello\nworld\n")

    def test_a_peer_that_half_closes_gets_all_its_lines(self):
        sock = self.connect(0)
        sock.sendall(b"a\nb\nc\nand no line")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(sock), (b"a\nb\nc\n", True))
        self.assertEqual(half_close(self.ports[1], b"a\nb\nc\nand no line"), b"a\nb\nc\n")

    def test_a_response_larger_than_the_mark_arrives_whole(self):
        """A slow reader: the output is above its mark for long, then the next line has its turn."""
        line = b"0123456789abcde\n"
        for sock in self.each(2):
            sock.sendall(line + b"end\n")
            time.sleep(2 * DELAY)  # the peer reads nothing meanwhile
            self.assertEqual(read_exactly(sock, len(line) * COPIES), line * COPIES)
            self.assertEqual(read_exactly(sock, 4 * COPIES), b"end\n" * COPIES)

    def test_memory_is_bounded_while_the_peer_sends_more(self):
        """Nothing is read while the session waits: what a peer sends meanwhile stays in the kernel."""
        sock = self.connect(0)
        sock.sendall(b"first\n")
        sock.setblocking(False)
        sent = 0
        until_full = time.monotonic() + DELAY / 2
        try:
            while time.monotonic() < until_full:
                sent += sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        self.assertLess(self.server.memory(), 256 << 20)
        reset(sock)
        self.server.until_idle()

    def test_a_peer_that_goes_away_while_the_session_waits(self):
        for sock in self.each():
            sock.sendall(b"a\nb\n")
            reset(sock)
        self.server.until_idle()


class Push(ServerCase):
    """A session that has output while a read is under way, whose buffer must not move."""
    PUSHED, BURST = 200, 40000
    listeners = (f"service=delay,push={PUSHED}", f"service=delay,push={PUSHED},tls",
                 f"service=delay,push=3,copies={BURST}", f"service=delay,push=3,copies={BURST},tls")
    options = ("--delay", "1ms")

    def test_what_the_peer_sends_meanwhile_comes_back_intact(self):
        lines = [b"%d:" % i + b"x" * (i * 7 % 300) + b"\n" for i in range(100)]
        for index, tls in ((0, False), (1, True)):
            with self.subTest(tls=tls):
                sock = self.connect(index, tls=tls)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                got = bytearray()
                want = sum(map(len, lines)) + 5 * self.PUSHED
                data = b"".join(lines)
                # Pieces that end inside lines, so that something is left while the next read waits.
                for at in range(0, len(data), 137):
                    sock.sendall(data[at:at + 137])
                    if at % 3 == 0:
                        time.sleep(0.0005)  # not for order: so that pushes come between pieces
                while len(got) < want:
                    if not select.select([sock], [], [], 0.05)[0]:
                        sock.sendall(b"\n")  # what is left comes with what comes next
                        continue
                    piece = sock.recv(1 << 16)
                    self.assertTrue(piece, f"end after {len(got)} of {want} bytes")
                    got += piece
                back = bytes(got).split(b"\n")
                self.assertEqual(back.count(b"push"), self.PUSHED)
                self.assertEqual([line + b"\n" for line in back if line not in (b"push", b"")][:len(lines)], lines)

    def test_a_half_closed_peer_gets_what_is_pushed_afterwards(self):
        """The end of its input comes while the session waits, with a read under way."""
        for index in (0, 2):
            with self.subTest(index=index):
                sock = self.connect(index)
                sock.sendall(b"last\n")
                sock.shutdown(socket.SHUT_WR)
                got, orderly = read_to_end(sock)
                self.assertTrue(orderly)
                self.assertEqual(got.count(b"push\n"), self.PUSHED if index == 0 else 3 * self.BURST)
        self.assertEqual(half_close(self.ports[3], b"last\n").count(b"push\n"), 3 * self.BURST)

    def test_output_above_the_mark_moves_no_buffer(self):
        """Bursts above the mark block input while a read is under way; what it brings comes back intact."""
        lines = [b"line %d\n" % i for i in range(1, 9)]
        for index, tls in ((2, False), (3, True)):
            with self.subTest(tls=tls):
                sock = self.connect(index, tls=tls)
                sock.sendall(b"".join(lines[:3]))
                got = read_exactly(sock, 5 * self.BURST)
                for line in lines[3:]:
                    sock.sendall(line)
                    time.sleep(0.005)  # not for order: so that they come as pieces
                got += read_exactly(sock, 2 * 5 * self.BURST + sum(map(len, lines)))
                back = got.split(b"\n")
                self.assertEqual(back.count(b"push"), 3 * self.BURST)
                self.assertEqual([line + b"\n" for line in back if line not in (b"push", b"")], lines)


class Idle(ServerCase):
    """The timer is longer than the idle timeout: the connection ends while its session waits."""
    listeners = ("service=delay", "service=delay,tls")
    options = ("--delay", "1h", "--idle-timeout", seconds(IDLE))

    def test_an_idle_session_that_waits_is_closed_in_time(self):
        for index, tls in ((0, False), (1, True)):
            with self.subTest(tls=tls):
                sock = self.connect(index, tls=tls)
                since = time.monotonic()
                sock.sendall(b"hello\n")
                self.assertEqual(read_to_end(sock), (b"", True))
                took = time.monotonic() - since
                self.assertGreaterEqual(took, IDLE)
                self.assertLess(took, IDLE + SLACK)
        self.assertEqual(self.server.stats()["closed_idle"], 2)

    def test_half_closed_it_is_closed_in_time_too(self):
        sock = self.connect(0)
        since = time.monotonic()
        sock.sendall(b"hello\n")
        sock.shutdown(1)
        self.assertEqual(read_to_end(sock), (b"", True))
        self.assertGreaterEqual(time.monotonic() - since, IDLE)


class Drain(unittest.TestCase):
    def drained(self, delay, *options):
        """The lines that three connections get which wait when the server is asked to stop, and the log."""
        with_server = Server("service=delay", "service=delay,tls", options=("--delay", delay, *options))
        self.addCleanup(with_server.kill)
        socks = [connect(with_server.ports[0]), connect(with_server.ports[1], tls=True), connect(with_server.ports[0])]
        for sock in socks:
            self.addCleanup(sock.close)
        # The counter tells of bytes on the wire: those of the handshake are to be in before the lines are sent.
        before = with_server.until_counter("tls_handshakes", 1)["bytes_in"]
        for sock in socks[:2]:
            sock.sendall(b"one\ntwo\n")
        with_server.until_counter("bytes_in", before + 8 + RECORD_EXTRA + 8)
        with_server.signal(signal.SIGTERM)
        got = [read_to_end(sock)[0] for sock in socks]
        self.assertEqual(with_server.wait(), 0)
        with_server.check_end()
        return got, with_server.last_stats()

    def test_a_session_that_waits_finishes_its_line(self):
        got, stats = self.drained(seconds(5 * DELAY))
        self.assertEqual(got, [b"one\n", b"one\n", b""])

    def test_one_that_is_pushed_back_lingers_no_longer_than_its_peer(self):
        """Input that output has blocked is read again in LINGER: the peer's end is seen."""
        server = Server("service=echo", options=("--linger-timeout", "20s", "--drain-timeout", "25s"))
        self.addCleanup(server.kill)
        sock = connect(server.port, rcvbuf=4096)
        self.addCleanup(sock.close)
        sock.setblocking(False)
        sent, quiet = 0, 0
        while quiet < 20:  # until the server takes no more
            try:
                sent, quiet = sent + sock.send(bytes(65536)), 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.01)
        server.signal(signal.SIGTERM)
        sock.settimeout(PATIENCE)
        got, _ = read_to_end(sock)
        since = time.monotonic()
        sock.close()
        self.assertEqual(server.wait(), 0)
        self.assertLess(time.monotonic() - since, 10)
        server.check_end()

    def test_one_that_waits_too_long_is_ended_by_the_drain_timeout(self):
        since = time.monotonic()
        got, stats = self.drained("1h", "--drain-timeout", seconds(0.5 * SLOW))
        self.assertEqual(got, [b"", b"", b""])
        self.assertLess(time.monotonic() - since, PATIENCE)
        self.assertEqual(stats["closed_drain"], 3)


class Options(unittest.TestCase):
    """A service's own rows are options like any other."""

    def test_they_are_read_checked_and_shown(self):
        self.assertRegex(harness.taiod("--help").stdout, r"(?m)^ +--delay=DURATION")
        self.assertRegex(harness.taiod("--delay", "7s", "--dump-config").stdout, r"(?m)^delay = \"?7s\"?$")
        for words, says in ((("--delay", "soon"), "soon"),
                            (("--listen", "127.0.0.1:0,service=delay,copies=many"), "copies"),
                            (("--listen", "127.0.0.1:0,service=echo,copies=2"), "'copies'")):
            done = harness.taiod(*words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
