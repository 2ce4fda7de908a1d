# SPDX-License-Identifier: MIT
"""A taiod for taio to watch, and servers in its place that say what they should not."""
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time

from harness import TAIO
from peers import WAIT

TAIOD = os.path.join(os.path.dirname(TAIO), "taiod")


def until(condition, what):
    deadline = time.monotonic() + WAIT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT} s: {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


class Taiod:
    """Echo at self.port, the service admin at self.where and, over TCP, at self.url."""

    def __init__(self, directory, *options):
        self.dir = directory
        self.path = os.path.join(directory, "admin.sock")
        self.where = f"unix:{self.path}"
        self.words = [TAIOD, "--workers", "1", "--max-connections", "200", "--engine", "poll", "--port-file",
                      os.path.join(directory, "ports"), "--state-dir", os.path.join(directory, "state"), "--listen",
                      f"{self.where},service=admin", "--listen", "127.0.0.1:0,service=echo", "--listen",
                      "127.0.0.1:0,service=admin", *options]
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.dir, "ports"))
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until(lambda: os.path.exists(os.path.join(self.dir, "ports")) or self.process.poll() is not None, "taiod listens")
        with open(os.path.join(self.dir, "ports"), encoding="ascii") as lines:
            ports = [line.split()[0].rsplit(":", 1)[1] for line in lines if not line.startswith("unix:")]
        self.port, self.url = int(ports[0]), f"http://127.0.0.1:{ports[1]}"

    def stop(self):
        self.process.terminate()
        assert self.process.wait(WAIT) == 0

    def connect(self, nbytes=5):
        """A client that has echoed so much."""
        sock = socket.create_connection(("127.0.0.1", self.port), WAIT)
        sock.sendall(nbytes * b"x")
        got = 0
        while got < nbytes:
            got += len(sock.recv(65536))
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(WAIT)


def name_of(sock):
    return "127.0.0.1:%d" % sock.getsockname()[1]


METRICS = b'taiod_info{version="1.2",engine="poll"} 1\ntaiod_start_time_seconds 100\ntaiod_accepted_total 7\n'
CONNECTIONS = b'{"workers": [{"worker": 0, "open": 0, "connections": []}]}'


def with_row(**row):
    return json.dumps({"workers": [{"worker": 0, "open": 1, "connections": [row]}]}).encode()


def answer(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@contextlib.contextmanager
def pretend(metrics=METRICS, connections=CONNECTIONS, raw=None):
    """At a path, in the place of a taiod; what it says may be a function. Yields "unix:/PATH"."""
    with tempfile.TemporaryDirectory(prefix="taio-pretend.") as directory, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(directory, "admin.sock")
        listener.bind(path)
        listener.listen()

        def one(conn):
            kept = b""
            with contextlib.suppress(OSError), conn:
                while True:
                    while b"\r\n\r\n" not in kept:
                        piece = conn.recv(65536)
                        if not piece:
                            return
                        kept += piece
                    head, kept = kept.split(b"\r\n\r\n", 1)
                    said = metrics if b" /metrics " in head else connections
                    if raw is not None:
                        conn.sendall(raw)
                        return
                    conn.sendall(answer(said() if callable(said) else said))

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = listener.accept()
                    threading.Thread(target=one, args=(conn,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"unix:{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
