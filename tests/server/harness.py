# SPDX-License-Identifier: MIT
"""What the black-box tests share: a taiod started on ports of its own, clients, and what must hold after.

A Server is always stopped by its process id, and judged when it stops: exit status 0, no sanitizer's report,
no connection left in its counters. ServerCase runs one server for a class and adds that it leaked no file
descriptor. Nothing waits without a bound, and nothing sleeps for another process to get somewhere: until()
asks for the condition.

Environment, set by ctest: TAIOD, TAIO_LOAD (programs), TAIO_ENGINE, TAIO_SANITIZE, TAIO_OPTIONS (of each taiod); in an emulated guest TAIO_SLOW,
how many times as long things take there.
"""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

TAIOD = os.environ.get("TAIOD", "build/release/bin/taiod")
TAIO_LOAD = os.environ.get("TAIO_LOAD", "")
ENGINE = os.environ.get("TAIO_ENGINE", "poll")
OPTIONS = os.environ.get("TAIO_OPTIONS", "").split()
SANITIZED = os.environ.get("TAIO_SANITIZE", "") != ""

SLOW = int(os.environ.get("TAIO_SLOW", "1"))
PATIENCE = 30.0 * SLOW  # for what must happen at all
SLACK = (4.0 if SANITIZED else 2.0) * SLOW  # for what must happen on time, on a machine that does other things, too
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer")


def until(condition, what, patience=PATIENCE):
    """Returns what @condition returns once that is true."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.01)


def run(*words, stdin=b"", timeout=PATIENCE, env=None):
    return subprocess.run([str(w) for w in words], input=stdin, capture_output=True, timeout=timeout,
                          env=env, check=False)


def taiod(*options, env=None):
    """Runs taiod to its end: for what it refuses or prints."""
    done = run(TAIOD, *options, env=env)
    done.stderr = done.stderr.decode()
    done.stdout = done.stdout.decode()
    return done


def pattern(size, seed=1):
    """Bytes in which every place can be told from its neighbours."""
    block = b"".join(struct.pack("<II", i * 2654435761 & 0xFFFFFFFF, seed) for i in range(8192))
    return (block * (size // len(block) + 1))[:size]


def has_tool(name):
    return shutil.which(name) is not None


# --- sockets ---

def client_context(low=None, high=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if low:
        context.minimum_version = low
    if high:
        context.maximum_version = high
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def client_hello(alpn=None):
    """The first flight of a client, in bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(alpn=alpn).wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def connect(port, tls=False, context=None, rcvbuf=None, session=None, timeout=PATIENCE):
    sock = socket.socket()
    sock.settimeout(timeout)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    try:
        sock.connect(("127.0.0.1", port))
        if tls or context:
            sock = (context or client_context()).wrap_socket(sock, session=session)
    except BaseException:
        sock.close()
        raise
    return sock


def refuses(port):
    try:
        connect(port).close()
    except ConnectionError:
        return True
    return False


def reset(sock):
    """Ends the connection by an RST, whatever it is doing."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_exactly(sock, size):
    got = bytearray()
    while len(got) < size:
        piece = sock.recv(min(size - len(got), 1 << 16))
        if not piece:
            raise AssertionError(f"end of stream after {len(got)} of {size} bytes")
        got += piece
    return bytes(got)


def exchange(sock, data, want=None):
    """Sends @data and reads @want bytes (as many by default) at the same time, in one thread: TLS wants that."""
    want = len(data) if want is None else want
    got, sent = bytearray(), 0
    deadline = time.monotonic() + PATIENCE
    sock.setblocking(False)
    while sent < len(data) or len(got) < want:
        assert time.monotonic() < deadline, f"sent {sent}, got {len(got)} of {want} bytes"
        moved = False
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if sent < len(data):
                sent += sock.send(data[sent:sent + (1 << 16)])
                moved = True
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            piece = sock.recv(1 << 16)
            assert piece, f"end of stream after {len(got)} bytes"
            got += piece
            moved = True
        if not moved:
            poll = select.poll()
            poll.register(sock, select.POLLIN | (select.POLLOUT if sent < len(data) else 0))
            poll.poll(100)
    sock.settimeout(PATIENCE)
    return bytes(got)


def hello(sock):
    """Whether it is served, by an echo."""
    return exchange(sock, b"hello") == b"hello"


def read_to_end(sock):
    """All bytes up to the end, and whether it was an orderly one."""
    got = bytearray()
    while True:
        try:
            piece = sock.recv(1 << 16)
        except (ConnectionResetError, ssl.SSLEOFError):
            return bytes(got), False
        except ssl.SSLError as error:  # what some versions of Python say instead
            if error.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise
            return bytes(got), False
        if not piece:
            return bytes(got), True
        got += piece


def is_open(sock):
    """Whether the peer has neither closed nor reset. Reads nothing off a plain socket."""
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        sock.settimeout(PATIENCE)


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Http:
    """Reads responses off a connection one after the other, strictly."""

    def __init__(self, sock):
        self.sock, self.kept = sock, b""

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def get(self, path, method="GET", **headers):
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.send(f"{method} {path} HTTP/1.1\r\nHost: t\r\n{lines}\r\n".encode("latin-1"))
        return self.response(method)

    def fill(self):
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise AssertionError(f"the connection ended inside a response; last bytes {self.kept[-200:]!r}")
        self.kept += piece

    def take(self, size):
        parts, size = [], size
        while size:
            if not self.kept:
                self.fill()
            part, self.kept = self.kept[:size], self.kept[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def line(self):
        while b"\r\n" not in self.kept:
            self.fill()
        line, self.kept = self.kept.split(b"\r\n", 1)
        return line.decode("latin-1")

    def head(self):
        status = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", self.line())
        assert status, "a status line"
        headers = {}
        while line := self.line():
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        return int(status[1]), headers

    def chunks(self):
        body = b""
        while size := int(self.line(), 16):
            body += self.take(size)
            assert self.line() == "", "CRLF behind a chunk"
        assert self.line() == "", "no trailer"
        return body

    def response(self, method="GET"):
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, self.chunks())
        return Response(status, headers, self.take(int(headers["content-length"])))


# --- the server ---

class Server:
    """
    taiod on listeners such as "service=echo" or "service=http,root=DIR,tls", each on a port that the kernel
    chooses. @prefix are words in front of the program that exec it (prlimit).
    """

    def __init__(self, *listeners, options=(), prefix=(), env=None, engine=ENGINE, program=None):
        self.dir = tempfile.mkdtemp(prefix="taiod-test-")
        self.stats_file, self.log_file = self.path("stats.json"), self.path("log")
        self.port_file = self.path("ports")
        words = [*prefix, program or TAIOD, "--engine", engine, "--port-file", self.port_file, "--stats-file",
                 self.stats_file, "--state-dir", self.path("state"), *OPTIONS, *options]
        if not any(str(w).startswith("--workers") for w in options):
            words += ["--workers", "1"]
        # So many that, whatever it opens, slots of fs.aio-max-nr are left for the servers of other tests.
        if not prefix and not {"--max-connections", "--config", "-c"} & set(map(str, options)):
            words += ["--max-connections", "4000"]
        for listener in listeners:
            words += ["--listen", f"127.0.0.1:0,{listener}"]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env)
        self.pid = self.process.pid
        try:
            until(self.is_up, "the port file")
            with open(self.port_file, encoding="ascii") as lines:
                self.lines = lines.read().splitlines()
            self.ports = [int(line.split()[0].rsplit(":", 1)[1]) for line in self.lines if not line.startswith("unix:")]
            self.fds_before = self.fds()
        except BaseException:
            self.kill()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def port(self):
        return self.ports[0]

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"taiod ended with {self.process.returncode}:\n{self.log()}")
        return os.path.exists(self.port_file)

    def signal(self, number):
        os.kill(self.pid, number)

    def stats(self):
        """The counters now."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.stats_file)
        self.signal(signal.SIGUSR1)
        until(lambda: self.process.poll() is not None or os.path.exists(self.stats_file), "the stats file")
        return self.last_stats()

    def last_stats(self):
        with open(self.stats_file, encoding="ascii") as file:
            return json.load(file)

    def until_counter(self, name, value, patience=PATIENCE):
        """Waits until counter @name is at least @value; the counters then."""
        seen = {}

        def reached():
            seen.update(self.stats())
            return seen[name] >= value

        try:
            until(reached, f"{name} >= {value}", patience)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {seen.get(name)}\n{self.log()[-2000:]}") from None
        return seen

    def until_idle(self):
        """Waits until no connection is open."""
        until(lambda: self.stats()["active"] == 0, "no connection is open")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self, row="VmRSS"):
        """Bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{row}:\s+(\d+) kB", file.read())[1]) * 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, patience=PATIENCE):
        self.process.wait(patience)
        return self.process.returncode

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def check_end(self):
        """After the process has ended by itself or by a signal of the test."""
        log = self.log()
        for report in REPORTS:
            assert report not in log, log
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{log}"
        assert self.last_stats()["active"] == 0, "a connection is left at the end"

    def stop(self):
        """Asks it to end, and judges how it did."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            self.wait()
            self.check_end()
            return self.last_stats()
        finally:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()


class ServerCase(unittest.TestCase):
    """One server for the tests of a class, which sets listeners and options; "{root}" is a directory."""

    listeners = ("service=echo",)
    options = ()
    cached_files = 0  # descriptors that may stay open after the last connection

    @classmethod
    def make_root(cls, root):
        """Fills the directory that is served."""

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="taiod-root-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.make_root(cls.root)
        cls.server = Server(*(l.replace("{root}", cls.root) for l in cls.listeners), options=cls.options)
        cls.addClassCleanup(cls.server.kill)
        cls.ports = cls.server.ports

    @classmethod
    def tearDownClass(cls):
        server = cls.server
        server.until_idle()
        # Engine kmod has a proxy beside each file.
        most = server.fds_before + cls.cached_files * (2 if ENGINE.startswith("kmod") else 1)
        until(lambda: server.fds() <= most, f"{most} descriptors or fewer")
        server.stop()

    def connect(self, index=0, **how):
        sock = connect(self.ports[index], **how)
        self.addCleanup(sock.close)
        return sock

    def http(self, index=0, **how):
        return Http(self.connect(index, **how))

    def assert_counts(self, before, at_least=1, **names):
        """Waits until each counter has grown by its value since @before."""
        for name, grown in names.items():
            self.server.until_counter(name, before[name] + grown)


def curl(*words, stdin=b""):
    """Output of curl, which must succeed."""
    done = run("curl", "-sS", "-k", "--noproxy", "*", "--max-time", PATIENCE, *words, stdin=stdin)
    if done.returncode:
        raise AssertionError(f"curl {words}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def make_ticket_key(path, size=80, mode=0o600):
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(os.urandom(size))
    return path


def make_certificate(directory, name, common_name="localhost", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
    """A self-signed certificate and its key by openssl(1), of the kind @key: two paths."""
    cert_file, key_file = (os.path.join(directory, f"{name}.{end}") for end in ("crt", "key"))
    done = run("openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2", "-subj", f"/CN={common_name}",
               "-keyout", key_file, "-out", cert_file)
    assert done.returncode == 0, done.stderr
    return cert_file, key_file
