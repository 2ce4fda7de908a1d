# SPDX-License-Identifier: MIT
"""Peers for taio to talk to. Each listens on 127.0.0.1 at a port that the kernel chose and ends with its test."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading

WAIT = 20  # seconds; a bound on everything, never a measure of anything


@contextlib.contextmanager
def serve(handler, context=None):
    """A thread that gives each connection to handler(socket); yields "127.0.0.1:PORT"."""
    listener = socket.create_server(("127.0.0.1", 0))
    conns = []

    def one(conn):
        with contextlib.suppress(OSError), conn:
            if context:
                with context.wrap_socket(conn, server_side=True) as secure:
                    conns.append(secure)
                    handler(secure)
            else:
                handler(conn)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                conn, _ = listener.accept()
                conn.settimeout(WAIT)
                conns.append(conn)
                threading.Thread(target=one, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield "127.0.0.1:%d" % listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for conn in conns:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)


def echo(conn):
    while data := conn.recv(65536):
        conn.sendall(data)


def silent(conn):
    """Says nothing until the peer goes."""
    while conn.recv(65536):
        pass


def respond(*parts):
    """Reads a request head, then sends the parts as they are and closes."""

    def handler(conn):
        head = b""
        while b"\r\n\r\n" not in head:
            data = conn.recv(65536)
            if not data:
                return
            head += data
        handler.request = head.decode()
        for part in parts:
            conn.sendall(part)
        if isinstance(conn, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                conn.unwrap()

    return handler


class Certificate:
    """A self-signed certificate for 127.0.0.1 and localhost."""

    def __init__(self, directory):
        self.cert = os.path.join(directory, "cert.pem")
        self.key = os.path.join(directory, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True, timeout=WAIT)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


@contextlib.contextmanager
def program(args, pattern, stream="stdout", **kwargs):
    """Runs a server until its output matches pattern, whose group 1 is the port; yields (process, address)."""
    process = subprocess.Popen(["timeout", str(2 * WAIT), *args], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE if stream == "stderr" else subprocess.DEVNULL,
                               start_new_session=True, **kwargs)
    try:
        for line in getattr(process, stream):
            if match := re.search(pattern, line.decode()):
                break
        else:
            raise AssertionError("%s did not listen" % args[0])
        yield process, "127.0.0.1:" + match.group(1)
    finally:
        # Its own session: the group is "timeout" and the server, which nobody else runs.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def s_server(certificate, *args, **kwargs):
    return program(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate.cert, "-key",
                    certificate.key, *args], r"ACCEPT 127\.0\.0\.1:(\d+)", **kwargs)
