# SPDX-License-Identifier: MIT
"""PROXY protocol in: who must send a header, what it changes, what is refused; and out of it what is passed on."""
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from harness import (ENGINE, Http, PATIENCE, SLACK, SLOW, Server, ServerCase, TAIOD, client_context, exchange, pattern,
                     read_exactly, read_to_end, until)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LISTED, UNLISTED = "127.0.0.2", "127.0.0.1"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(source="192.0.2.1", destination="198.51.100.7", ports=(56324, 443), tlvs=b"", command=0x21, family=None):
    kind = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(kind, source) + socket.inet_pton(kind, destination) + struct.pack(">HH", *ports) + tlvs
    family = (0x21 if ":" in source else 0x11) if family is None else family
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def v2_with_checksum(**fields):
    header = v2(tlvs=tlv(0x04, b"padding") + tlv(0x03, b"\0\0\0\0") + tlv(0x01, b"h2"), **fields)
    at = header.index(b"\x03\0\4\0\0\0\0") + 3
    return header[:at] + struct.pack(">I", crc32c(header)) + header[at + 4:]


HEADERS = {  # what a sender may send, and the client that it tells of
    "v1": (V1, "192.0.2.1:56324"),
    "v1, IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1"),
    "v1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1, unknown, of the greatest length": (b"PROXY UNKNOWN " + 91 * b"x" + b"\r\n", None),
    "v2": (v2(), "192.0.2.1:56324"),
    "v2, IPv6": (v2("2001:db8::1", "2001:db8::2", (1, 65535)), "[2001:db8::1]:1"),
    "v2, local": (v2(command=0x20), None),
    "v2, unspecified": (v2(family=0), None),
    "v2, a Unix socket": (SIGNATURE + b"\x21\x31\0\xd8" + 216 * b"\0", None),
    "v2, checksum": (v2_with_checksum(), "192.0.2.1:56324"),
    "v2, of the greatest length": (v2(tlvs=tlv(0xEE, (4096 - 16 - 12 - 3) * b"x")), "192.0.2.1:56324"),
}

BAD = {  # what it says of them
    "none": (b"hello", "not a PROXY protocol header"),
    "a request": (b"GET / HTTP/1.1\r\n\r\n", "not a PROXY protocol header"),
    "a ClientHello": (b"\x16\x03\x01\x02\x00\x01", "not a PROXY protocol header"),
    "v1, no address": (b"PROXY TCP4 192.0.2 198.51.100.7 1 2\r\n", "two addresses"),
    "v1, too long": (b"PROXY UNKNOWN " + 94 * b"x", "longer than 107 bytes"),
    "v2, version 3": (SIGNATURE + b"\x31", "its version is not 2"),
    "v2, family": (SIGNATURE + b"\x21\x51", "its family or its protocol"),
    "v2, too long": (SIGNATURE + b"\x21\x11\xff\xff", "longer than 4096 bytes"),
    "v2, too short": (SIGNATURE + b"\x21\x21\0\x0c", "too short for its addresses"),
    "v2, a TLV": (v2(tlvs=b"\x04\xff\xff"), "a TLV is longer"),
    "v2, checksum": (v2_with_checksum()[:-1] + b"3", "checksum does not hold"),
}


def connect(port, source=LISTED, header=b"", tls=False):
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.sendall(header)
        return client_context().wrap_socket(sock) if tls else sock
    except BaseException:
        sock.close()
        raise


class Case(ServerCase):
    def connect(self, index=0, source=LISTED, header=b"", tls=False):
        sock = connect(self.ports[index], source, header, tls)
        self.addCleanup(sock.close)
        return sock

    def assert_logged(self, text):
        until(lambda: text in self.server.log(), f"'{text}' in the log")


class Accepted(Case):
    """Echo, plain and under TLS: each line of the log tells whom it holds for the client."""

    listeners = (f"service=echo,accept-proxy=10.0.0.0/8,accept-proxy={LISTED}",
                 f"service=echo,tls,accept-proxy={LISTED}/32")
    options = ("--log-level", "debug")

    def assert_echo(self, sock, data=b"hello"):
        self.assertEqual(exchange(sock, data), data)

    def assert_client(self, sock, client):
        """How it ends is logged of @client, or of the socket's own end."""
        own = "%s:%d" % sock.getsockname()
        sock.close()
        self.assert_logged(f"{client or own}: closed: ")

    def test_any_header_gives_the_client(self):
        for tls in (False, True):
            for name, (header, client) in HEADERS.items():
                with self.subTest(header=name, tls=tls):
                    before = self.server.stats()["proxy_headers"]
                    sock = self.connect(int(tls), header=header, tls=tls)
                    self.assert_echo(sock)
                    self.assert_client(sock, client)
                    self.assertEqual(self.server.stats()["proxy_headers"], before + 1)

    def test_it_may_come_byte_by_byte(self):
        for header in (V1, v2_with_checksum()):
            sock = self.connect()
            for i in range(len(header)):
                sock.sendall(header[i:i + 1])
                time.sleep(0.002)  # not for order: to have them arrive apart
            self.assert_echo(sock)

    def test_a_handshake_byte_by_byte_behind_a_header_that_does(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = client_context().wrap_bio(incoming, outgoing)
        sock, sent = self.connect(1), V1
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                session.do_handshake()
                break
            sent += outgoing.read()
            for i in range(len(sent)):
                sock.sendall(sent[i:i + 1])
            sent = b""
            incoming.write(sock.recv(1 << 16))
        session.write(b"hello")
        sock.sendall(outgoing.read())
        while True:
            incoming.write(sock.recv(1 << 16))
            with contextlib.suppress(ssl.SSLWantReadError):
                self.assertEqual(session.read(100), b"hello")
                break

    def test_what_comes_with_it_is_not_lost(self):
        """In one piece with it, shorter and longer than what a connection holds at first."""
        for size in (1, 300, 5000, 1 << 20):
            for header, _ in HEADERS.values():
                sock, data = self.connect(), pattern(size)
                self.assertEqual(exchange(sock, header + data, size), data)
                sock.close()

    def test_a_handshake_that_comes_with_it_is_not_lost(self):
        for header, _ in HEADERS.values():
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = client_context().wrap_bio(incoming, outgoing)
            with contextlib.suppress(ssl.SSLWantReadError):
                session.do_handshake()
            with self.connect(1, header=header + outgoing.read()) as sock:
                self.assertEqual(read_exactly(sock, 2), b"\x16\x03")

    def test_another_network_sends_none(self):
        for tls in (False, True):
            before = self.server.stats()
            sock = self.connect(int(tls), UNLISTED, tls=tls)
            self.assert_echo(sock)
            self.assert_client(sock, None)
            self.assertEqual(self.server.stats()["proxy_headers"], before["proxy_headers"])

    def test_a_header_from_there_is_data(self):
        sock = self.connect(0, UNLISTED, V1)
        self.assertEqual(read_exactly(sock, len(V1)), V1)
        self.assert_client(sock, None)
        before = self.server.stats()
        with self.assertRaises(OSError):
            self.connect(1, UNLISTED, V1, tls=True)
        self.assert_counts(before, tls_failed=1)
        self.assertEqual(self.server.stats()["proxy_bad"], 0)

    def test_one_that_only_looks_is_no_fault(self):
        """As health checks do."""
        before = self.server.stats()
        sock = self.connect()
        sock.close()
        self.assert_counts(before, closed_peer=1)
        self.assertEqual(self.server.stats()["proxy_bad"], 0)

    def test_a_header_is_no_reason_to_wait_for_another(self):
        with self.connect(header=V1 + V1) as sock:
            self.assertEqual(read_exactly(sock, len(V1)), V1)


class Refused(Case):
    listeners = (f"service=echo,accept-proxy={LISTED}", f"service=echo,tls,accept-proxy={LISTED}")

    def test_what_is_wrong_ends_it(self):
        for index in (0, 1):
            for name, (data, _) in BAD.items():
                with self.subTest(header=name, tls=index == 1):
                    before = self.server.stats()
                    self.assertEqual(read_to_end(self.connect(index, header=data))[0], b"")
                    self.assert_counts(before, proxy_bad=1, closed_proxy=1)

    def test_the_log_tells_who_and_why(self):
        for name, (data, says) in BAD.items():
            with self.subTest(header=name), Server(*self.listeners) as server:
                with connect(server.port, header=data) as sock:
                    client = "%s:%d" % sock.getsockname()
                    self.assertEqual(read_to_end(sock)[0], b"")
                    until(lambda: re.search(rf"{client}: no PROXY protocol header, which accept-proxy requires from "
                                            rf"there: [^\n]*{says}", server.log()), f"'{says}' in the log")

    def test_one_that_is_cut_short_ends_it(self):
        for header in (V1, v2()):
            before = self.server.stats()
            with self.connect(header=header[:-1]) as sock:
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(sock)[0], b"")
            self.assert_counts(before, proxy_bad=1, closed_peer=1)

    def test_a_flood_of_them_makes_few_lines(self):
        with Server(*self.listeners) as server:
            for _ in range(200):
                with connect(server.port, header=b"x") as sock:
                    read_to_end(sock)
            self.assertEqual(server.stats()["proxy_bad"], 200)
            self.assertLess(server.log().count("no PROXY protocol header"), 50)


class Late(Case):
    HEADER = 0.8
    listeners = (f"service=echo,accept-proxy={LISTED}", f"service=http,tls,accept-proxy={LISTED}",
                 f"service=http,accept-proxy={LISTED}")
    options = ("--header-timeout", f"{HEADER * SLOW}s", "--log-level", "debug")

    def assert_late(self, sock, since, got=b""):
        timeout = self.HEADER * SLOW
        client = "%s:%d" % sock.getsockname()
        self.assertEqual(read_to_end(sock)[0], got)
        took = time.monotonic() - since
        self.assertGreaterEqual(took, timeout)
        self.assertLess(took, timeout + SLACK)
        self.assert_logged(f"{client}: closed: header timeout")

    def test_nothing_and_a_part_of_it_end_in_time(self):
        for index in range(3):
            for part in (b"", V1[:10], v2()[:-1]):
                before = self.server.stats()
                since = time.monotonic()
                sock = self.connect(index, header=part)
                self.assert_late(sock, since)
                self.assert_counts(before, proxy_bad=1, closed_header=1)
        self.assert_logged("it is not complete within header-timeout")

    def test_bytes_that_keep_coming_do_not_postpone_it(self):
        since = time.monotonic()
        sock = self.connect(header=SIGNATURE + b"\x21\x11\x0f\xf0")
        with contextlib.suppress(OSError):
            while time.monotonic() - since < self.HEADER * SLOW + SLACK:
                sock.sendall(b"x")
                time.sleep(0.02)  # not for order: the pace
        took = time.monotonic() - since
        self.assertGreaterEqual(took, self.HEADER * SLOW)
        self.assertLess(took, self.HEADER * SLOW + SLACK)

    def test_the_timeout_is_over_with_it(self):
        """What comes then has time of its own, a request's header too."""
        since = time.monotonic()
        sock = self.connect(2)
        time.sleep(self.HEADER * SLOW * 0.6)  # not for order: the pace
        late = time.monotonic()
        sock.sendall(V1 + b"GET / HTTP/1.1\r\n")
        self.assertIn(b"408", read_to_end(sock)[0])
        self.assertGreaterEqual(time.monotonic() - late, self.HEADER * SLOW)
        self.assertGreaterEqual(time.monotonic() - since, self.HEADER * SLOW * 1.6)
        self.assert_logged("192.0.2.1:56324: closed: header timeout")

    def test_the_end_of_the_server_does_not_wait_for_it(self):
        server = Server(*self.listeners)
        self.addCleanup(server.kill)
        with connect(server.port, header=V1[:10]) as sock:
            until(lambda: server.stats()["active"] == 1, "it is open")
            begin = time.monotonic()
            self.assertEqual(server.stop()["closed_drain"], 1)
            self.assertLess(time.monotonic() - begin, SLACK)
            self.assertEqual(read_to_end(sock)[0], b"")


class OverHttp(Case):
    listeners = (f"service=http,accept-proxy={LISTED}", f"service=http,tls,accept-proxy={LISTED}")

    def test_requests_behind_it(self):
        for tls in (False, True):
            http = Http(self.connect(int(tls), header=V1, tls=tls))
            for _ in range(2):
                self.assertEqual(http.get("/healthz").status, 200)

    def test_a_request_in_one_piece_with_it(self):
        http = Http(self.connect(header=v2() + b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n"))
        self.assertEqual(http.response().status, 200)

    def test_one_from_another_network_is_a_bad_request(self):
        for header in (V1, v2()):
            before = self.server.stats()
            self.assertEqual(Http(self.connect(0, UNLISTED, header)).response().status, 400)
            self.assert_counts(before, bad_requests=1)


class PassedOn(unittest.TestCase):
    """To a backend with send-proxy: the addresses that came in, or those of the connection."""

    def setUp(self):
        self.backend = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.backend.close)
        self.backend.settimeout(PATIENCE)
        to = "127.0.0.1:%d" % self.backend.getsockname()[1]
        self.words = f"service=proxy,to={to},accept-proxy={LISTED}"

    def header(self, version, header, tls=False, context=None, name=None):
        """What the backend gets, and the client's socket's own (source, destination)."""
        with Server(f"{self.words},send-proxy={version}{',tls' if tls else ''}") as server:
            with connect(server.port, header=header) as client:
                own = client.getsockname(), client.getpeername()
                if tls:
                    client = (context or client_context()).wrap_socket(client, server_hostname=name)
                backend, _ = self.backend.accept()
                with client, backend:
                    backend.settimeout(PATIENCE)
                    client.sendall(b"rest")
                    got = b""
                    while not got.endswith(b"rest"):
                        got += read_exactly(backend, 1)
                    return got[:-4], own

    def test_addresses(self):
        for tls in (False, True):
            for name, (header, client) in HEADERS.items():
                with self.subTest(header=name, tls=tls):
                    got, own = self.header("v1", header, tls)
                    if not client:
                        (source, source_port), (destination, port) = own
                        want = f"PROXY TCP4 {source} {destination} {source_port} {port}\r\n".encode()
                    elif "IPv6" in name:
                        want = HEADERS["v1, IPv6"][0]
                    else:
                        want = V1
                    self.assertEqual(got, want)

    def test_tls_in_tlvs(self):
        for version, number in (("TLSv1.2", ssl.TLSVersion.TLSv1_2), ("TLSv1.3", ssl.TLSVersion.TLSv1_3)):
            got, _ = self.header("v2", v2(), True, client_context(number, number), "name.test")
            self.assertEqual(got[:12], SIGNATURE)
            self.assertEqual(got[16:28], v2()[16:28])
            self.assertEqual(len(got), 16 + struct.unpack(">H", got[14:16])[0])
            tlvs = dict(split_tlvs(got[28:]))
            self.assertEqual(tlvs[0x02], b"name.test")
            self.assertEqual(tlvs[0x20][:5], b"\x01\0\0\0\x01")  # TLS, and no certificate
            inner = dict(split_tlvs(tlvs[0x20][5:]))
            self.assertEqual(inner[0x21], version.encode())
            self.assertIn(b"GCM" if b"GCM" in inner[0x23] else b"CHACHA20", inner[0x23])
            self.assertNotIn(0x22, inner)

    def test_without_a_name_there_is_none(self):
        got, _ = self.header("v2", V1, True)
        self.assertEqual({kind for kind, _ in split_tlvs(got[28:])}, {0x20})


def split_tlvs(data):
    while data:
        kind, size = struct.unpack(">BH", data[:3])
        yield kind, data[3:3 + size]
        data = data[3 + size:]


class UnixSockets(unittest.TestCase):
    def test_who_comes_by_one_must_send_it(self):
        """The socket is handed over, as by a service manager."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "sock")
        with socket.socket(socket.AF_UNIX) as passed, open(os.path.join(directory, "log"), "w+b") as log:
            passed.bind(path)
            passed.listen()
            process = subprocess.Popen(
                [sys.executable, "-c", "import os, sys; fd = int(sys.argv[1]); fd != 3 and os.dup2(fd, 3); "
                 "os.set_inheritable(3, True); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', "
                 "LISTEN_FDNAMES='web'); os.execv(sys.argv[2], sys.argv[2:])", str(passed.fileno()), TAIOD, "--engine",
                 ENGINE, "--workers", "1", "--max-connections", "100", "--log-level", "debug", "--listen",
                 "fd:web,service=echo,accept-proxy=unix"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[passed.fileno()])
            try:
                for data, want in ((V1 + b"hello", b"hello"), (b"hello", b"")):
                    with socket.socket(socket.AF_UNIX) as sock:
                        sock.settimeout(PATIENCE)
                        sock.connect(path)
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                        self.assertEqual(read_to_end(sock)[0], want)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), 0)
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            text = log.read().decode()
            self.assertIn("192.0.2.1:56324: closed: ", text)
            self.assertIn("unix: no PROXY protocol header", text)


class Reloaded(unittest.TestCase):
    def test_networks_come_and_go_with_a_reload(self):
        """For new connections; what is there goes on."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            def reload(*networks):
                names = ", ".join(f'"{network}"' for network in networks)
                words = f"accept-proxy = {{{names}}}\n" if networks else ""
                conf.seek(0)
                conf.truncate()
                conf.write(f'max-connections = 100\nlistener "127.0.0.1:0" {{\nservice = echo\n{words}}}\n')
                conf.flush()

            def apply(server, *networks):
                before = server.log().count("reloaded")
                reload(*networks)
                server.signal(signal.SIGHUP)
                until(lambda: server.log().count("reloaded") > before, "it has reloaded")

            def echoes(sock, header=b""):
                self.assertEqual(exchange(sock, header + b"hello", 5), b"hello")

            reload(LISTED)
            with Server(options=("--config", conf.name)) as server:
                with connect(server.port) as before, connect(server.port) as half, connect(server.port, UNLISTED) as other:
                    echoes(before, V1)
                    echoes(other)
                    half.sendall(V1[:20])
                    apply(server, UNLISTED, "10.0.0.0/8")
                    echoes(before)
                    echoes(other)
                    echoes(half, V1[20:])
                    for source, header in ((LISTED, b""), (UNLISTED, V1)):
                        with connect(server.port, source) as sock:
                            echoes(sock, header)
                    apply(server)
                    with connect(server.port, UNLISTED) as sock:
                        echoes(sock)
