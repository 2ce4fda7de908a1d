# SPDX-License-Identifier: MIT
"""A taiod under test with a notify socket of its own, as the service manager would give it one.

Every wait is for a condition and bounded; a daemon ends with its `with` block, by its process id.
"""
import os
import queue
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

BIN = os.path.join(os.environ["BUILD"], "bin")
TAIOD = os.path.join(BIN, "taiod")
WAIT_S = 30


class Daemon:
    """taiod with @args; @wrap is a command in front of it, @env is added to the environment."""

    def __init__(self, *args, wrap=(), env=None):
        self.dir = tempfile.TemporaryDirectory()
        self.port_file = os.path.join(self.dir.name, "ports")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.dir.name, "notify"))
        self.notify.settimeout(WAIT_S)
        more = {"NOTIFY_SOCKET": self.notify.getsockname(), **(env or {})}
        wrap = [*wrap, *(f"-E{name}={value}" for name, value in more.items())] if wrap else []
        self.process = subprocess.Popen(
            [*wrap, TAIOD, "--port-file", self.port_file, "--state-dir", self.dir.name, *args],
            env={**os.environ, **more}, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read_log)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        self.notify.close()
        self.dir.cleanup()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            self.lines.put(line)

    def message(self):
        """The next datagram as a dictionary of its assignments, in order."""
        return dict(line.split("=", 1) for line in self.notify.recv(4096).decode().splitlines())

    def messages_until(self, key, value):
        """The datagrams up to and including the one that says key=value."""
        got = [self.message()]
        while got[-1].get(key) != value:
            got.append(self.message())
        return got

    def messages_waiting(self):
        """The datagrams that are there already."""
        got = []
        self.notify.setblocking(False)
        try:
            while True:
                got.append(self.message())
        except BlockingIOError:
            return got
        finally:
            self.notify.settimeout(WAIT_S)

    def log_line(self, text):
        """Waits for a log line that contains @text."""
        while text not in self.lines.get(timeout=WAIT_S):
            pass

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(WAIT_S)

    def terminate(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def addresses(self):
        """(host, port) of each listener, in order."""
        with open(self.port_file, encoding="ascii") as file:
            where = [line.split()[0].rsplit(":", 1) for line in file]
        return [(host, int(port)) for host, port in where]


def connect(address, tls=False):
    sock = socket.create_connection(address, timeout=WAIT_S)
    if not tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def echo(sock, text):
    """What an echo service gives back for @text."""
    sock.sendall(text)
    got = b""
    while len(got) < len(text):
        part = sock.recv(len(text) - len(got))
        if not part:
            break
        got += part
    return got


def health(address, tls=False):
    """The first line of an HTTP answer to /healthz."""
    with connect(address, tls) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := sock.recv(4096):
            answer += part
    return answer.split(b"\r\n")[0]
