# SPDX-License-Identifier: MIT
"""Listeners as blocks of the configuration file: each with its own service, TLS, timeouts and limits."""
import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import time
import unittest

from harness import (PATIENCE, SLACK, SLOW, Http, Server, client_context, connect, exchange, is_open, make_certificate,
                     read_exactly, read_to_end, taiod, until)
from reload_test import Case, RELOADED, listen

SHORT = 0.5 * SLOW


class Listeners(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-listeners-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def serve(self, *blocks, general=""):
        """A server with a listener for each of @blocks, which are the keys."""
        with open(self.path("taiod.conf"), "w", encoding="utf-8") as conf:
            conf.write(f"max-connections = 1000\n{general}\n")
            conf.writelines(f'listener "127.0.0.1:0" {{\n{block}\n}}\n' for block in blocks)
        server = Server(options=("-c", self.path("taiod.conf")))
        self.addCleanup(server.kill)
        return server

    def connect(self, port, **how):
        sock = connect(port, **how)
        self.addCleanup(sock.close)
        return sock

    def hello(self, sock):
        self.assertEqual(exchange(sock, b"hello"), b"hello")

    def assert_ends(self, sock, since, timeout):
        """Not before, and not much after."""
        self.assertEqual(read_to_end(sock)[0], b"")
        took = time.monotonic() - since
        self.assertGreaterEqual(took, timeout)
        self.assertLess(took, timeout + SLACK)


class Paths(Listeners):
    """Sockets at a path."""

    def setUp(self):
        super().setUp()
        self.sock = self.path("a.sock")

    def start(self, *options):
        server = Server(options=("--listen", f"unix:{self.sock},service=echo", *options))
        self.addCleanup(server.kill)
        return server

    def reach(self):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.connect(self.sock)
        return sock

    def test_it_is_served_whole_by_one_of_several_workers_and_removed_at_the_end(self):
        server = self.start("--workers", "3", "--max-connections", "6")
        self.assertEqual(server.lines, [f"unix:{self.sock} echo tcp"])
        self.assertIn(f"listening on unix:{self.sock}: echo, 1 worker\n", server.log())
        socks = [self.reach() for _ in range(2)]
        for sock in socks:
            self.hello(sock)
        server.stop()
        self.assertFalse(os.path.exists(self.sock))

    def test_what_a_process_has_left_is_replaced(self):
        server = self.start()
        self.hello(self.reach())
        server.kill()
        self.assertTrue(os.path.exists(self.sock))
        server = self.start()
        self.hello(self.reach())
        server.stop()

    def test_another_process_is_not_driven_out(self):
        server = self.start()
        done = taiod("--listen", f"unix:{self.sock},service=echo")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"cannot listen on unix:{self.sock}: another process listens there", done.stderr)
        self.hello(self.reach())
        server.stop()

    def test_a_file_that_is_no_socket_stays(self):
        with open(self.sock, "w", encoding="ascii") as file:
            file.write("mine")
        done = taiod("--listen", f"unix:{self.sock},service=echo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is a file that is no socket", done.stderr)
        with open(self.sock, encoding="ascii") as file:
            self.assertEqual(file.read(), "mine")

    def test_another_that_has_taken_the_place_is_not_removed(self):
        server = self.start()
        os.unlink(self.sock)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.sock)
            server.stop()
            self.assertTrue(os.path.exists(self.sock))

    def test_a_path_that_cannot_be(self):
        for path in ("relative.sock", "", "/" + 120 * "x"):
            done = taiod("-t", "--listen", f"unix:{path},service=echo")
            self.assertEqual(done.returncode, 2)
            self.assertIn("is not an address: write 127.0.0.1:8080, [::1]:8080, :8080, unix:/PATH or fd:NAME", done.stderr)
        done = taiod("--listen", f"unix:{self.path('none')}/a.sock,service=echo")
        self.assertEqual((done.returncode, "No such file or directory" in done.stderr), (1, True))


class PathReload(Case):
    def test_it_is_kept_removed_and_made_again(self):
        sock = self.path("a.sock")

        def hello():
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(sock)
                self.assertEqual(exchange(client, b"hello"), b"hello")

        both, one = f'{{"127.0.0.1:0,service=http", "unix:{sock},service=echo"}}', '{"127.0.0.1:0,service=http"}'
        self.base["listen"] = both
        self.start()
        hello()
        inode = os.stat(sock).st_ino
        self.write(listen=both.replace("service=echo", "service=echo,idle-timeout=5m"))
        self.reload()
        hello()
        self.assertEqual(os.stat(sock).st_ino, inode)
        self.write(listen=one)
        self.assertIn(f"no longer listening on unix:{sock}", self.reload())
        until(lambda: not os.path.exists(sock), "it is gone")
        self.write(listen=both)
        self.assertIn(f"listening on unix:{sock}: echo", self.reload())
        hello()


class Timeouts(Listeners):
    def test_each_listener_has_its_own(self):
        server = self.serve(f"idle-timeout = {3 * SHORT}s", f"idle-timeout = {SHORT}s", "idle-timeout = 0", "",
                            general=f"idle-timeout = {2 * SHORT}s")
        since = time.monotonic()
        long, short, never, general = (self.connect(port) for port in server.ports)
        self.assert_ends(short, since, SHORT)
        self.assertTrue(is_open(general))
        self.assert_ends(general, since, 2 * SHORT)
        self.assertTrue(is_open(long))
        self.assert_ends(long, since, 3 * SHORT)
        self.hello(never)
        stats = server.stop()
        self.assertEqual(stats["closed_idle"], 3)

    def test_a_shorter_one_is_not_held_up_by_a_longer_one(self):
        """Those of the longer timeout come first and last."""
        server = self.serve("idle-timeout = 1h", f"idle-timeout = {SHORT}s")
        socks = [self.connect(server.ports[0])]
        for _ in range(3):
            since = time.monotonic()
            short = self.connect(server.ports[1])
            socks.append(self.connect(server.ports[0]))
            self.assert_ends(short, since, SHORT)
        for sock in socks:
            self.hello(sock)
        server.stop()

    def test_those_of_the_handshake_and_the_header(self):
        cert, key = make_certificate(self.dir, "one")
        server = self.serve(f'tls = yes\ncert = "{cert}"\nkey = "{key}"\nhandshake-timeout = {SHORT}s',
                            f"service = http\nheader-timeout = {SHORT}s")
        since = time.monotonic()
        silent, slow = (self.connect(port) for port in server.ports)
        slow.sendall(b"GET / HTTP/1.1\r\n")
        self.assert_ends(silent, since, SHORT)
        self.assertIn(b" 408 ", read_to_end(slow)[0])
        stats = server.stop()
        self.assertEqual((stats["closed_handshake"], stats["closed_header"]), (1, 1))

    def test_both_connections_of_a_pair_have_those_of_its_listener(self):
        with socket.create_server(("127.0.0.1", 0)) as backend, socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(8):  # its backlog is full: it takes no more connections, and refuses none
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(full.getsockname())
            to = "127.0.0.1:%d" % backend.getsockname()[1]
            server = self.serve(f'service = proxy\nto = "{to}"\nidle-timeout = {SHORT}s',
                                f'service = proxy\nto = "127.0.0.1:{full.getsockname()[1]}"\nconnect-timeout = {SHORT}s',
                                general="idle-timeout = 1h\nconnect-timeout = 1h")
            since = time.monotonic()
            idle, unanswered = (self.connect(port) for port in server.ports)
            peer, _ = backend.accept()
            stack.enter_context(peer)
            self.assert_ends(unanswered, since, SHORT)
            self.assert_ends(idle, since, SHORT)
            self.assert_ends(peer, since, SHORT)
            stats = server.stop()
            self.assertEqual((stats["closed_connect"], stats["closed_backend"]), (1, 1))


class Limits(Listeners):
    def test_refuse(self):
        server = self.serve("max-connections = 2\nwhen-full = refuse", "")
        held = [self.connect(server.port) for _ in range(2)]
        for sock in held:
            self.hello(sock)
        for _ in range(3):
            self.assertEqual(read_to_end(self.connect(server.port))[0], b"")
        server.until_counter("refused_full", 3)
        for _ in range(5):
            held.append(self.connect(server.ports[1]))
            self.hello(held[-1])
        held.pop(0).close()
        until(lambda: server.stats()["active"] == 6, "a place is free")
        held.append(self.connect(server.port))
        self.hello(held[-1])
        server.stop()

    def test_wait(self):
        server = self.serve("max-connections = 2\nwhen-full = wait", "", general="when-full = refuse")
        held = [self.connect(server.port) for _ in range(2)]
        for sock in held:
            self.hello(sock)
        waiting = self.connect(server.port)
        waiting.sendall(b"hello")
        self.hello(self.connect(server.ports[1]))
        self.assertEqual(server.stats()["accepted"], 3)
        before = server.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(server.cpu_seconds() - before, 0.25, "it spins on a full listener")
        held[0].close()
        self.assertEqual(read_exactly(waiting, 5), b"hello")
        server.stop()

    def test_evict_ends_one_of_the_listener(self):
        """Although another listener has one that has been idle for longer; but not at the general maximum."""
        server = self.serve("max-connections = 2\nwhen-full = evict", "when-full = evict", general="max-connections = 4")
        oldest = self.connect(server.ports[1])
        self.hello(oldest)
        held = [self.connect(server.port) for _ in range(2)]
        for i in (1, 0):
            self.hello(held[i])
        new = self.connect(server.port)
        self.hello(new)
        self.assertEqual(read_to_end(held[1])[0], b"")
        self.hello(held[0])
        self.assertTrue(is_open(oldest))
        last = self.connect(server.ports[1])
        self.hello(last)
        self.hello(self.connect(server.ports[1]))
        self.assertEqual(read_to_end(oldest)[0], b"")
        stats = server.stop()
        self.assertEqual((stats["evicted"], stats["closed_evicted"]), (2, 2))


class Services(Listeners):
    def test_options_of_a_service(self):
        for name in ("a,b", "c"):
            os.mkdir(self.path(name))
            for file in ("one.html", "two.html"):
                with open(self.path(f"{name}/{file}"), "w", encoding="ascii") as to:
                    to.write(f"{name} {file}")
        server = self.serve(f'service = http\nroot = "{self.path("a,b")}"\nindex = two.html\nkeepalive-requests = 1',
                            f'root = "{self.path("c")}"\nmetrics = yes\nservice = http',
                            general='index = "one.html"')
        first, second = (Http(self.connect(port)) for port in server.ports)
        response = first.get("/")
        self.assertEqual((response.body, response.headers["connection"]), (b"a,b two.html", "close"))
        self.assertEqual(second.get("/").body, b"c one.html")
        self.assertEqual(second.get("/metrics").status, 200)
        self.assertEqual(Http(self.connect(server.port)).get("/metrics").status, 404)
        server.stop()

    def test_tls(self):
        """Certificates and the oldest version."""
        first, second = make_certificate(self.dir, "one"), make_certificate(self.dir, "two")
        server = self.serve(f'tls = yes\ncert = "{first[0]}"\nkey = "{first[1]}"\ntls-min-version = 1.3',
                            f'tls = yes\ncert = "{second[0]}"\nkey = "{second[1]}"', "tls = no")
        served = []
        for port in server.ports[:2]:
            sock = self.connect(port, tls=True)
            self.hello(sock)
            served.append(sock.getpeercert(True))
        for made, der in zip((first, second), served):
            with open(made[0], encoding="ascii") as pem:
                self.assertEqual(ssl.PEM_cert_to_DER_cert(pem.read()), der)
        old = client_context(high=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            connect(server.port, context=old)
        self.hello(self.connect(server.ports[1], context=old))
        self.hello(self.connect(server.ports[2]))
        self.assertEqual([line.split(" ", 1)[1] for line in server.lines], ["echo tls", "echo tls", "echo tcp"])
        server.stop()


class Reload(Case):
    """Of listeners as blocks, and of files that are included."""

    def setUp(self):
        super().setUp()
        self.base.update({"listen": "{}", "stats-file": f'"{self.path("stats")}"', "idle-timeout": '"1h"'})
        for name in ("one", "two"):
            os.mkdir(self.path(name))
            with open(self.path(f"{name}/a.txt"), "w", encoding="ascii") as to:
                to.write(name)

    def blocks(self, *blocks):
        """Each is (address, keys)."""
        self.tail = "".join(f'listener "{address}" {{\n{keys}\n}}\n' for address, keys in blocks)

    def change(self, *blocks, done=RELOADED):
        self.blocks(*blocks)
        self.write()
        return self.reload(done)

    def begin(self, *keys):
        """The addresses of listeners with these keys."""
        self.blocks(*(("127.0.0.1:0", text) for text in keys))
        self.start()
        return [f"127.0.0.1:{port}" for port in self.ports()]

    def hello(self, sock):
        self.assertEqual(exchange(sock, b"hello"), b"hello")

    def assert_ends(self, sock, since, timeout):
        self.assertEqual(read_to_end(sock)[0], b"")
        self.assertGreaterEqual(time.monotonic() - since, timeout)
        self.assertLess(time.monotonic() - since, timeout + SLACK)

    def test_new_timeouts_of_a_listener_hold_for_its_connections_at_once(self):
        first, second = self.begin("", "")
        one, two = (self.connect(port) for port in self.ports())
        for sock in (one, two):
            self.hello(sock)
        since = time.monotonic()
        said = self.change((first, "idle-timeout = 500ms"), (second, ""))
        self.assertNotIn("listening on", said)
        self.assert_ends(one, since, 0.5)
        self.hello(two)
        since = time.monotonic()
        self.change((first, ""), (second, "idle-timeout = 500ms"))
        one = self.connect(self.ports()[0])
        self.assert_ends(two, since, 0.5)
        self.hello(one)
        self.assertEqual(self.counters()["closed_idle"], 2)
        # The general one holds for those without their own.
        self.base["idle-timeout"] = '"500ms"'
        since = time.monotonic()
        two = self.connect(self.ports()[1])
        self.change((first, ""), (second, "idle-timeout = 1h"))
        self.assert_ends(one, since, 0.5)
        self.hello(two)
        self.stop()

    def test_connections_that_go_on_with_what_was_served_have_the_new_timeouts(self):
        address, = self.begin(f'service = http\nroot = "{self.path("one")}"')
        http = Http(self.connect(self.ports()[0]))
        self.assertEqual(http.get("/a.txt").body, b"one")
        self.change((address, f'service = http\nroot = "{self.path("two")}"\nidle-timeout = 1s'))
        self.assertEqual(http.get("/a.txt").body, b"one")
        self.assertEqual(Http(self.connect(self.ports()[0])).get("/a.txt").body, b"two")
        self.assert_ends(http.sock, time.monotonic(), 0.9)
        self.stop()

    def test_new_limits_of_a_listener_hold_at_once(self):
        address, = self.begin("max-connections = 1\nwhen-full = wait")
        first = self.connect(self.ports()[0])
        self.hello(first)
        waiting = self.connect(self.ports()[0])
        waiting.sendall(b"hello")
        self.assertEqual(self.counters()["accepted"], 1)
        self.change((address, "max-connections = 2\nwhen-full = refuse"))
        self.assertEqual(read_exactly(waiting, 5), b"hello")
        self.assertEqual(read_to_end(self.connect(self.ports()[0]))[0], b"")
        self.change((address, "max-connections = 1\nwhen-full = refuse"))
        for sock in (first, waiting):
            self.hello(sock)
        first.close()
        until(lambda: self.counters()["active"] == 1, "one is gone")
        self.assertEqual(read_to_end(self.connect(self.ports()[0]))[0], b"")
        self.change((address, ""))
        self.hello(self.connect(self.ports()[0]))
        self.stop()

    def test_a_line_and_a_block_are_one_listener(self):
        address, = self.begin("service = echo")
        sock = self.connect(self.ports()[0])
        self.hello(sock)
        descriptors = self.descriptors()
        for _ in range(3):
            self.base["listen"], self.tail = listen(f"{address},service=echo"), ""
            self.write()
            self.assertNotIn("listening", self.reload())
            self.base["listen"] = "{}"
            self.assertNotIn("listening", self.change((address, "service = echo")))
        self.hello(sock)
        self.assertEqual(self.descriptors(), descriptors)
        self.stop()

    def test_a_wrong_block_changes_nothing(self):
        address, = self.begin("idle-timeout = 1h")
        sock = self.connect(self.ports()[0])
        keys = len(self.base)
        for bad, line, words in (("idle-timeout = soon", keys + 6, ("idle-timeout", "soon")), ("colour = red", keys + 6, ("colour", "allowed are")),
                                 ("service = proxy", None, ("127.0.0.1:0", "backend")),
                                 ("service = http\nroot = /does/not/exist", None, ("/does/not/exist",)),
                                 ("tls = yes\ncert = /does/not/exist", None, ("/does/not/exist",))):
            with self.subTest(bad=bad):
                said = self.change((address, "idle-timeout = 300ms"), ("127.0.0.1:0", "\n" + bad), done="the previous configuration stays in effect")
                for word in words:
                    self.assertIn(word, said)
                if line:
                    self.assertIn(f"{self.conf}:{line}: ", said)
        time.sleep(0.6)  # the idle timeout that must not hold
        self.hello(sock)
        self.assertEqual(len(self.ports()), 1)
        self.stop()

    def test_included_files_are_read_again(self):
        os.mkdir(self.path("conf.d"))
        address, = self.begin("")
        self.tail += 'include = "conf.d/*.conf"\n'
        self.write()
        self.assertNotIn("listening", self.reload())
        with open(self.path("conf.d/1.conf"), "w", encoding="ascii") as to:
            to.write('listener "127.0.0.1:0" {\nservice = http\n}\n')
        self.assertIn("listening on", self.reload())
        self.assertEqual(len(self.ports()), 2)
        self.assertEqual(Http(self.connect(self.ports()[1])).get("/healthz").status, 200)
        with open(self.path("conf.d/2.conf"), "w", encoding="ascii") as to:
            to.write("\nidle-timeout = soon\n")
        self.assertIn(f"{self.path('conf.d/2.conf')}:2: idle-timeout", self.reload("the previous configuration stays in effect"))
        for name in ("1.conf", "2.conf"):
            os.unlink(self.path(f"conf.d/{name}"))
        self.assertIn("no longer listening on", self.reload())
        self.assertEqual([f"127.0.0.1:{port}" for port in self.ports()], [address])
        self.stop()


if __name__ == "__main__":
    unittest.main()
