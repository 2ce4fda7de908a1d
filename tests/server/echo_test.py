# SPDX-License-Identifier: MIT
"""The services echo and discard, plain and TLS: bytes come back unchanged, whole, and end when the peer ends."""
import hashlib
import socket
import threading
import unittest

from harness import ServerCase, exchange, has_tool, pattern, read_exactly, read_to_end, run, PATIENCE

MEGABYTES = 4 << 20


class EchoCase(ServerCase):
    listeners = ("service=echo", "service=echo,tls", "service=discard", "service=discard,tls")

    def test_bytes_come_back_unchanged(self):
        data = pattern(MEGABYTES)
        for index, tls in ((0, False), (1, True)):
            with self.subTest(tls=tls):
                sock = self.connect(index, tls=tls)
                self.assertEqual(hashlib.sha256(exchange(sock, data)).digest(),
                                 hashlib.sha256(data).digest())

    def test_every_size_around_the_buffers(self):
        for index, tls in ((0, False), (1, True)):
            sock = self.connect(index, tls=tls)
            for size in (1, 2, 319, 320, 321, 1023, 1024, 1025, 16383, 16384, 16385, 18432, 65535, 65537,
                         131072):
                with self.subTest(tls=tls, size=size):
                    data = pattern(size, size)
                    self.assertEqual(exchange(sock, data), data)

    @unittest.skipUnless(has_tool("nc"), "nc")
    def test_nc_gets_its_file_back(self):
        data = pattern(MEGABYTES, 7)
        done = run("nc", "-N", "127.0.0.1", self.ports[0], stdin=data)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(data).digest())

    def test_half_close_gets_the_rest_and_then_the_end(self):
        sock = self.connect()
        data = pattern(300000)

        def send():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got, orderly = read_to_end(sock)
        sender.join(PATIENCE)
        self.assertEqual(got, data)
        self.assertTrue(orderly)

    def test_discard_takes_everything_and_sends_nothing(self):
        before = self.server.stats()
        sock = self.connect(2)
        sock.sendall(pattern(MEGABYTES))
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(sock), (b"", True))
        self.assert_counts(before, bytes_in=MEGABYTES)

    def test_discard_over_tls_answers_close_notify(self):
        sock = self.connect(3, tls=True)
        sock.sendall(pattern(1 << 20))
        plain = sock.unwrap()
        self.assertEqual(read_to_end(plain), (b"", True))
        plain.close()

    def test_many_connections_at_once_keep_their_bytes_apart(self):
        socks = [self.connect(i % 2, tls=bool(i % 2)) for i in range(64)]
        for turn in range(5):
            for i, sock in enumerate(socks):
                sock.sendall(pattern(1000 + i, turn * 100 + i))
            for i, sock in enumerate(socks):
                self.assertEqual(read_exactly(sock, 1000 + i), pattern(1000 + i, turn * 100 + i))

    def test_a_slow_reader_gets_everything_and_holds_back_the_sender(self):
        sock = self.connect(rcvbuf=4096)
        data = pattern(MEGABYTES, 3)
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        self.assertEqual(read_exactly(sock, len(data)), data)
        sender.join(PATIENCE)


if __name__ == "__main__":
    unittest.main()
