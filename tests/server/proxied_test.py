# SPDX-License-Identifier: MIT
"""Servers and clients of others through the service proxy; much at once; many that are idle.

What passes each way at once is TAIO_BULK_MIB, 256 by default."""
import contextlib
import hashlib
import os
import pwd
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import (ENGINE, PATIENCE, SANITIZED, SLACK, SLOW, Server, connect, curl, has_tool, pattern, read_exactly,
                     read_to_end, run, until)
from proxy_test import Backend, free_port

BULK = int(os.environ.get("TAIO_BULK_MIB", "32" if SANITIZED else "256")) << 20
POSTGRES = next((os.path.join("/usr/lib/postgresql", version, "bin") for version in sorted(
    os.listdir("/usr/lib/postgresql") if os.path.isdir("/usr/lib/postgresql") else [], key=float, reverse=True)), "")


def is_there(port):
    try:
        connect(port).close()
    except ConnectionError:
        return False
    return True


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-proxied-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.port = free_port()

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, *words, **how):
        """A server in the foreground that listens on self.port."""
        with open(self.path("log"), "wb") as log:
            process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        until(lambda: process.poll() is not None or is_there(self.port), f"{words[0]} listens")
        self.assertIsNone(process.poll(), f"{words[0]}: {self.log()}")

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def front(self, *words, options=()):
        server = Server(*(f"service=proxy,{w}" for w in words or (f"to=127.0.0.1:{self.port}", f"tls,to=127.0.0.1:{self.port}")),
                        options=options)
        self.addCleanup(server.kill)
        return server


class Redis(Case):
    @unittest.skipUnless(has_tool("redis-server"), "needs redis-server")
    def test_commands_and_large_values(self):
        self.start("redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
                   self.dir)
        server = self.front()
        value = pattern(4 << 20)
        for tls in (False, True):
            with self.subTest(tls=tls), connect(server.ports[tls], tls=tls) as client:
                client.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n" % (len(value), value))
                self.assertEqual(read_exactly(client, 5), b"+OK\r\n")
                client.sendall(b"GET key\r\n")
                head = b"$%d\r\n" % len(value)
                self.assertTrue(read_exactly(client, len(head) + len(value) + 2) == head + value + b"\r\n")
                client.sendall(b"QUIT\r\n")
                self.assertEqual(read_to_end(client), (b"+OK\r\n", True))
        done = run("redis-benchmark", "-p", server.port, "-n", 20000, "-c", 50, "-P", 4, "-t", "set,get", "--csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(re.findall(rb'^"[SG]ET",', done.stdout, re.M)), 2, done.stdout)
        server.stop()


class Postgres(Case):
    @unittest.skipUnless(POSTGRES, "needs postgresql")
    def test_pgbench(self):
        """It refuses to be root: somebody else is its owner then."""
        as_other = ()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.dir, nobody.pw_uid, nobody.pw_gid)
            as_other = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
        data = self.path("data")
        done = run(*as_other, os.path.join(POSTGRES, "initdb"), "-D", data, "-U", "taio", "-A", "trust", "--no-sync")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.start(*as_other, os.path.join(POSTGRES, "postgres"), "-D", data, "-p", self.port, "-k", self.dir,
                   "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
        server = self.front()
        where = ("-h", "127.0.0.1", "-p", server.port, "-U", "taio", "postgres")
        until(lambda: run(os.path.join(POSTGRES, "pg_isready"), *where[:4]).returncode == 0, "it is ready")
        for words in (("-i", "-q"), ("-c", 4, "-t", 50), ("-c", 4, "-t", 50, "-C", "-S")):
            done = run(os.path.join(POSTGRES, "pgbench"), *words, *where)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"number of transactions actually processed: 200/200", done.stdout)
        server.stop()


class Ssh(Case):
    """The server speaks first."""

    @unittest.skipUnless(os.path.exists("/usr/sbin/sshd"), "needs openssh-server")
    def test_the_keys_of_a_server(self):
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        done = run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path("key"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.start("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", self.path("key"), "-o", f"Port={self.port}", "-o",
                   "ListenAddress=127.0.0.1", "-o", "PidFile=none")
        server = self.front()
        done = run("ssh-keyscan", "-t", "ed25519", "-p", server.port, "127.0.0.1")
        with open(self.path("key.pub"), encoding="ascii") as file:
            self.assertIn(file.read().split()[1], done.stdout.decode(), done.stderr)
        # Under TLS the greeting comes without a byte of the client's.
        with connect(server.ports[1], tls=True) as client:
            self.assertEqual(read_exactly(client, 8), b"SSH-2.0-")
        server.stop()


class Nginx(Case):
    def test_files_and_uploads(self):
        data = pattern(8 << 20)
        with open(self.path("file"), "wb") as file:
            file.write(data)
        with open(self.path("conf"), "w", encoding="ascii") as conf:
            conf.write(f"""daemon off; pid {self.dir}/pid; error_log {self.dir}/errors; worker_processes 1;
                events {{ worker_connections 512; }}
                http {{ access_log off; client_max_body_size 100m; client_body_temp_path {self.dir}/body;
                proxy_temp_path {self.dir}/p; fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u;
                scgi_temp_path {self.dir}/s; dav_methods PUT;
                server {{ listen 127.0.0.1:{self.port} proxy_protocol; root {self.dir};
                location = /who {{ return 200 $proxy_protocol_addr:$proxy_protocol_port; }} }} }}""")
        if os.geteuid() == 0:
            os.chmod(self.dir, 0o777)
        self.start("nginx", "-c", self.path("conf"), "-e", self.path("errors"))
        server = self.front(*(f"to=127.0.0.1:{self.port},send-proxy={version}{tls}" for version in ("v1", "v2")
                              for tls in ("", ",tls")))
        for port, scheme in zip(server.ports, ("http", "https") * 2):
            with self.subTest(port=port):
                url = f"{scheme}://127.0.0.1:{port}"
                self.assertTrue(curl(f"{url}/file") == data)
                self.assertEqual(curl("-T", self.path("file"), "-w", "%{http_code}", f"{url}/up{port}"), b"201")
                with open(self.path(f"up{port}"), "rb") as file:
                    self.assertTrue(file.read() == data)
                seen, had = curl("-w", " 127.0.0.1:%{local_port}", f"{url}/who").split()
                self.assertEqual(seen, had)
        server.stop()


class Http2(Case):
    """A cleartext HTTP/2 backend for those who have negotiated h2, an HTTP/1.1 one for the rest."""

    @unittest.skipUnless(has_tool("nghttpd") and has_tool("h2load"), "needs nghttp2")
    def test_through_tls(self):
        data = pattern(3 << 20)
        with open(self.path("file"), "wb") as file:
            file.write(data)
        with open(self.path("small"), "wb") as file:
            file.write(data[:1000])
        self.start("nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", self.dir, self.port)
        other = Server(f"service=http,root={self.dir}")
        self.addCleanup(other.kill)
        server = self.front(f"tls,to=h2:127.0.0.1:{self.port},to=127.0.0.1:{other.port}")
        url = f"https://127.0.0.1:{server.port}"
        for version, want in (("--http2", b"2"), ("--http1.1", b"1.1")):
            self.assertTrue(curl(version, f"{url}/file") == data)
            self.assertEqual(curl(version, "-o", "/dev/null", "-w", "%{http_version}", f"{url}/small"), want)
        for path, n in (("small", 4000), ("file", 60)):
            done = run("h2load", "-n", n, "-c", 8, "-m", 20, f"{url}/{path}", timeout=4 * PATIENCE)
            self.assertIn(f"requests: {n} total, {n} started, {n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout".encode(),
                          done.stdout)
            self.assertIn(b"Application protocol: h2", done.stdout)
        server.stop()
        other.stop()


class HalfClose(Case):
    """Clients and servers that say all they have to say, then read on."""

    @unittest.skipUnless(has_tool("socat") and has_tool("nc"), "needs socat and nc")
    def test_the_client_ends_first(self):
        """The checksum comes once the server has seen the end."""
        data = pattern(8 << 20)
        self.start("socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork", "EXEC:sha256sum")
        server = self.front(f"to=127.0.0.1:{self.port}")
        want = hashlib.sha256(data).hexdigest().encode()
        for client in (("nc", "-N", "127.0.0.1", server.port), ("socat", "-t", PATIENCE, "-", f"TCP:127.0.0.1:{server.port}")):
            self.assertTrue(run(*client, stdin=data).stdout.startswith(want), client)
        server.stop()

    @unittest.skipUnless(has_tool("socat") and has_tool("nc"), "needs socat and nc")
    def test_the_server_ends_first(self):
        """What the client sends after that arrives as well."""
        data, got = pattern(8 << 20), self.path("got")
        with open(self.path("data"), "wb") as file:
            file.write(data)
        # Sends the file and ends its side; then takes what comes.
        self.start("socat", "-t", PATIENCE, f"TCP-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork",
                   f"OPEN:{self.path('data')},rdonly!!OPEN:{got},creat,append")
        server = self.front(f"to=127.0.0.1:{self.port}")
        for i in (1, 2):
            with connect(server.port) as client:
                self.assertTrue(read_to_end(client) == (data, True))
                client.sendall(data)
            until(lambda i=i: os.path.exists(got) and os.path.getsize(got) == i * len(data), "it has all arrived")
            with open(got, "rb") as file:
                self.assertTrue(file.read() == data * i)
        server.stop()


class Bulk(Case):
    """Both ways at once, with checksums: plain, and under TLS between two proxies, the one opening it, the other ending it."""

    def test_much_each_way_at_once(self):
        backend = Backend()
        self.addCleanup(backend.close)
        inner = self.front(f"tls,to={backend.where}")
        outer = self.front(f"to={backend.where}", f"to-tls,verify=no,to=127.0.0.1:{inner.port}")
        for port in outer.ports:
            with self.subTest(port=port), connect(port) as client, backend.accept() as peer:
                sums = {}
                threads = [threading.Thread(target=work, args=(sums, name, sock)) for work, name, sock in (
                    (self.send, "sent up", client), (self.receive, "got up", peer),
                    (self.send, "sent down", peer), (self.receive, "got down", client))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(PATIENCE + BULK / (10 << 20))
                self.assertEqual(len(sums), 4)
                self.assertEqual(sums["got up"], sums["sent up"])
                self.assertEqual(sums["got down"], sums["sent down"])
                self.assertNotEqual(sums["got up"], sums["got down"])
        outer.stop()
        inner.stop()

    @staticmethod
    def send(sums, name, sock):
        block = bytearray(pattern(1 << 20, hash(name) & 0xFFFF))
        digest = hashlib.sha256()
        for i in range(BULK >> 20):
            block[:4] = i.to_bytes(4, "little")
            sock.sendall(block)
            digest.update(block)
        sock.shutdown(socket.SHUT_WR)
        sums[name] = (BULK, digest.digest())

    @staticmethod
    def receive(sums, name, sock):
        digest, size = hashlib.sha256(), 0
        while piece := sock.recv(1 << 20):
            digest.update(piece)
            size += len(piece)
        sums[name] = (size, digest.digest())


class Idle(Case):
    """Pairs that are idle at once, each ended by io_cancel on time. A pair takes two descriptors and two operations of the
    ring, and here two descriptors of the test's own."""

    def test_many_idle_pairs(self):
        pairs = self.how_many(10000)
        idle = 4.0 * SLOW + pairs / 2500
        backend = Backend()
        self.addCleanup(backend.close)
        backend.sock.listen(4096)
        server = self.front(f"to={backend.where}", options=("--max-connections", pairs, "--idle-timeout", f"{idle}s"))
        begin = time.monotonic()
        with contextlib.ExitStack() as socks:
            clients, peers = [], []
            for _ in range(pairs):
                clients.append(socks.enter_context(connect(server.port)))
                peers.append(socks.enter_context(backend.accept()))
            self.assertLess(time.monotonic() - begin, idle, "they are all idle at once")
            last = time.monotonic()
            for sock in clients + peers:
                self.assertEqual(read_to_end(sock)[0], b"")
            took = time.monotonic() - last
        self.assertLess(took, idle * 1.25 + SLACK)
        taken = self.slots("aio-nr")
        stats = server.stop()
        if ENGINE == "poll":
            # The kernel gives them back a while later, which others should not have to see.
            until(lambda: self.slots("aio-nr") <= taken - 2 * pairs, "the slots are back")
        self.assertEqual(stats["closed_idle"] + stats["closed_other"], 2 * pairs)
        self.assertGreaterEqual(stats["closed_idle"], pairs)
        self.assertGreaterEqual(stats["cancels"], 2 * pairs)

    @staticmethod
    def slots(name):
        with open(f"/proc/sys/fs/{name}", encoding="ascii") as file:
            return int(file.read())

    @staticmethod
    def how_many(most):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if ENGINE.startswith("kmod"):
            most //= 2
        free = Idle.slots("aio-max-nr") - Idle.slots("aio-nr")
        # A pair takes two slots; the third is left to others.
        return max(100, min(most, (hard - 500) // 2, free // 3 if ENGINE == "poll" else most))


if __name__ == "__main__":
    unittest.main()
