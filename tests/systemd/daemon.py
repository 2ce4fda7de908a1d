# SPDX-License-Identifier: MIT
"""A taiod under test with a notify socket of its own, as the service manager would give it one; it keeps descriptors, too.

Every wait is for a condition and bounded; a daemon ends with its `with` block, by its process id.
"""
import array
import fcntl
import os
import queue
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

BIN = os.path.join(os.environ["BUILD"], "bin")
TAIOD = os.path.join(BIN, "taiod")
WAIT_S = 30


# Runs a command with the descriptors from 200 on as sd_listen_fds(3) has them.
HAND_OVER = """import os, sys
names, command = sys.argv[1].split(":"), sys.argv[2:]
for i in range(len(names)):
    os.dup2(200 + i, 3 + i)
    os.close(200 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=sys.argv[1])
os.execv(command[0], command)
"""


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {WAIT_S} s: {what}")
        time.sleep(0.01)


class Daemon:
    """taiod with @args; @wrap is a command in front of it, @env is added to the environment. @program is run in the place
    of taiod; @passed are (name, descriptor) that it is started with."""

    def __init__(self, *args, wrap=(), env=None, program=TAIOD, passed=(), notify=True):
        self.dir = tempfile.TemporaryDirectory()
        self.port_file = os.path.join(self.dir.name, "ports")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.dir.name, "notify"))
        self.notify.settimeout(WAIT_S)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.unheard = []
        self.stored = []  # (name, descriptor), as FDSTORE=1 has brought them
        more = {**({"NOTIFY_SOCKET": self.notify.getsockname()} if notify else {}), **(env or {})}
        wrap = [*wrap, *(f"-E{name}={value}" for name, value in more.items())] if wrap else []
        if passed:
            wrap = [sys.executable, "-c", HAND_OVER, ":".join(name for name, _ in passed)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 300) for _, fd in passed]
        places = [os.dup2(fd, 200 + i) for i, fd in enumerate(high)]
        self.process = subprocess.Popen(
            [*wrap, program, "--port-file", self.port_file, "--state-dir", self.dir.name, *args],
            env={**os.environ, **more}, stderr=subprocess.PIPE, text=True, pass_fds=places)
        for fd in high + places:
            os.close(fd)
        self.successors = []  # process ids, as MAINPID= has told them
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
        for pid in self.successors:
            end(pid)
        self.reader.join()
        for _, fd in self.stored:
            os.close(fd)
        self.process.stderr.close()
        self.notify.close()
        self.dir.cleanup()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            self.lines.put(line)

    def _receive(self):
        """What the main process says next, and descriptors with it; what another says is not heard (NotifyAccess=main)."""
        while True:
            data, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(256 * 4) + socket.CMSG_SPACE(12))
            fds, sender = array.array("i"), None
            for _, kind, part in ancillary:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(part)
                else:
                    sender = struct.unpack("3i", part)[0]
            if sender in (self.successors[-1:] or [self.process.pid]):
                return dict(line.split("=", 1) for line in data.decode().splitlines()), list(fds)
            self.unheard.append(data)
            for fd in fds:
                os.close(fd)

    def message(self):
        """The next datagram as a dictionary of its assignments, in order; descriptors to keep or to forget come between."""
        while True:
            got, fds = self._receive()
            if "FDSTORE" in got:
                for fd in fds:
                    self._store(got["FDNAME"], fd)
            elif "FDSTOREREMOVE" in got:
                for row in [row for row in self.stored if row[0] == got["FDNAME"]]:
                    os.close(row[1])
                    self.stored.remove(row)
            else:
                self.successors += [int(got["MAINPID"])] if "MAINPID" in got else []
                return got

    def _store(self, name, fd):
        """Unless it is there already."""
        if any(row[0] == name and os.fstat(row[1]).st_ino == os.fstat(fd).st_ino for row in self.stored):
            os.close(fd)
        else:
            self.stored.append((name, fd))

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


def is_there(pid):
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid):
    if is_there(pid):
        os.kill(pid, signal.SIGKILL)


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(address, tls=False):
    sock = socket.create_connection(address, timeout=WAIT_S)
    return tls_context().wrap_socket(sock) if tls else sock


def handshake(context, address, session=None):
    """The session of a connection that echoes a byte, and whether it was resumed."""
    with context.wrap_socket(socket.create_connection(address, timeout=WAIT_S), session=session) as sock:
        assert echo(sock, b"x") == b"x"
        return sock.session, sock.session_reused


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
