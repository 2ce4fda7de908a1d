# SPDX-License-Identifier: MIT
"""Connections ended through the service admin, whatever they are doing; and what it tells of them."""
import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import tempfile
import threading
import unittest

from harness import (PATIENCE, Http, Server, ServerCase, client_hello, connect, hello, make_certificate, pattern,
                     read_exactly, read_to_end, reset, until)


def at_path(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    return Http(sock)


def ask(admin, query=""):
    """What /connections says: the workers."""
    response = admin.get("/connections" + query)
    assert response.status == 200, response.body
    return json.loads(response.body)["workers"]


def rows(admin, query=""):
    return [row for worker in ask(admin, query) for row in worker["connections"]]


def end(admin, name):
    return admin.get(f"/connections/{name}", method="DELETE").status


class Watched(ServerCase):
    """A server that can be asked at a path, at self.admin."""

    @classmethod
    def setUpClass(cls):
        cls.sockets = tempfile.mkdtemp(prefix="taiod-admin-")
        cls.addClassCleanup(shutil.rmtree, cls.sockets, ignore_errors=True)
        cls.path = os.path.join(cls.sockets, "admin.sock")
        cls.options = (*cls.options, "--listen", f"unix:{cls.path},service=admin")
        super().setUpClass()

    def setUp(self):
        self.admin = at_path(self.path)
        self.addCleanup(self.admin.close)

    def row(self, sock, **wanted):
        """The row of the client's socket, once it is as wanted."""
        name = f"127.0.0.1:{sock.getsockname()[1]}"

        def found():
            for row in rows(self.admin):
                if row["peer"] == name and all(row[key] == value for key, value in wanted.items()):
                    return row
            return None

        return until(found, f"a row of {name} with {wanted}")

    def assert_ends(self, sock, row, counter="closed_admin"):
        """By its id, once."""
        before = self.server.stats()
        self.assertEqual(end(self.admin, row["id"]), 202)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while sock.recv(1 << 16):
                pass
        self.assert_counts(before, **{counter: 1})
        until(lambda: row["id"] not in [other["id"] for other in rows(self.admin)], "it is gone")
        self.assertEqual(end(self.admin, row["id"]), 404)


class Kinds(Watched):
    listeners = ("service=echo", "service=http,root={root}", "service=echo,tls,cert={root}/a.crt,key={root}/a.key")
    cached_files = 4

    @classmethod
    def make_root(cls, root):
        make_certificate(root, "a")
        with open(os.path.join(root, "big"), "wb") as file:
            file.write(pattern(32 << 20))

    def test_one_that_waits_for_bytes(self):
        sock = self.connect(0)
        self.assertTrue(hello(sock))
        row = self.row(sock, state="serve")
        self.assertEqual((row["service"], row["listener"], row["bytes_in"], row["bytes_out"]),
                         ("echo", f"127.0.0.1:{self.ports[0]}", 5, 5))
        self.assertEqual((row["waits"], row["waits_s"], row["pair"], row["backend"]), (None, None, None, None))
        self.assertTrue(0 <= row["idle_s"] <= row["age_s"] < 60, row)
        self.assert_ends(sock, row)

    def test_one_between_requests_and_one_inside(self):
        for text, phase in ((b"", "idle"), (b"GET /big HTTP/1.1\r\nHo", "head"),
                            (b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc", "body")):
            with self.subTest(phase=phase):
                http = self.http(1)
                self.assertEqual(http.get("/healthz").status, 200)
                http.send(text)
                self.assert_ends(http.sock, self.row(http.sock, phase=phase))

    def test_one_whose_peer_reads_nothing(self):
        """Its write is what is cancelled; its files are read in between."""
        sock = self.connect(1, rcvbuf=4096)
        sock.sendall(10 * b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
        row = self.row(sock, waits="write")
        self.assertGreater(row["bytes_out"], 0)
        first = until(lambda: [other["id"] for other in rows(self.admin, "?sort=waits&count=1")], "a row")
        self.assertEqual(first, [row["id"]])
        self.assert_ends(sock, row)

    def test_those_whose_file_is_being_read(self):
        """Whatever is under way for it at that moment: the read of the file, or the write of what was read."""
        for _ in range(20):
            sock = self.connect(1)
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
            read_exactly(sock, random.randrange(1, 1 << 20))
            self.assertEqual(end(self.admin, self.row(sock)["id"]), 202)
            got, _ = read_to_end(sock)
            self.assertLess(len(got), 32 << 20)
            sock.close()

    def test_one_before_and_in_its_handshake(self):
        for text in (b"", client_hello()[:50], client_hello()):
            with self.subTest(sent=len(text)):
                sock = self.connect(2)
                sock.sendall(text)
                self.assert_ends(sock, self.row(sock, tls=True, state="handshake"))

    def test_one_under_tls(self):
        sock = self.connect(2, tls=True)
        self.assertTrue(hello(sock))
        self.assert_ends(sock, self.row(sock, tls=True, state="serve"))

    def test_one_whose_peer_does_not_go(self):
        """It is served, and waits for the other side's end: that is not waited for any more."""
        sock = self.connect(1)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        self.assertTrue(sock.recv(100))
        row = self.row(sock, state="linger")
        self.assertEqual(end(self.admin, row["id"]), 202)
        until(lambda: row["id"] not in [other["id"] for other in rows(self.admin)], "it is gone")

    def test_the_one_that_asks(self):
        other = at_path(self.path)
        self.addCleanup(other.close)
        ours = [row for row in rows(other) if row["peer"] == "unix" and row["phase"] == "body"]
        self.assertEqual(len(ours), 1)
        other.send(f"DELETE /connections/{ours[0]['id']} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        self.assertEqual(read_to_end(other.sock)[0], b"")
        self.assertEqual(end(self.admin, ours[0]["id"]), 404)


class Asked(Watched):
    listeners = ("service=echo", "service=admin")

    def test_ids_that_are_none(self):
        for name in ("x", "0", "0-", "-1", "0-1x", "0-1-1", "+0-1", "0x0-1", "a-1", "0-1%20", "0-1/", "1.5-1",
                     "99999999999999999999-1", "0-99999999999999999999"):
            with self.subTest(name=name):
                http = at_path(self.path)
                self.addCleanup(http.close)
                self.assertIn(end(http, name), (400, 404) if name.endswith("/") else (400,))

    def test_ids_that_nobody_has(self):
        for name in ("0-0", "0-18446744073709551615", "1-1", "4294967296-1", "7-7", "%30-999999"):
            with self.subTest(name=name):
                self.assertEqual(end(self.admin, name), 404)

    def test_other_methods(self):
        for method in ("GET", "HEAD", "POST", "PUT"):
            response = self.admin.get("/connections/0-1", method=method, content_length="0")
            self.assertEqual((response.status, response.headers["allow"]), (405, "DELETE, OPTIONS"), method)
        response = self.admin.get("/connections", method="DELETE")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
        response = self.admin.get("/connections/0-1", method="OPTIONS")
        self.assertEqual((response.status, response.headers["allow"]), (204, "DELETE, OPTIONS"))
        self.assertIn(end(self.admin, ""), (404, 405))

    def test_no_body(self):
        for lines in ("Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            http = at_path(self.path)
            self.addCleanup(http.close)
            http.send(f"DELETE /connections/0-1 HTTP/1.1\r\nHost: t\r\n{lines}".encode())
            self.assertEqual(http.response().status, 413)

    def test_only_at_a_path(self):
        """Over TCP connections are told, not ended."""
        sock = self.connect(0)
        self.assertTrue(hello(sock))
        row = self.row(sock)
        http = self.http(1)
        response = http.get(f"/connections/{row['id']}", method="DELETE")
        self.assertEqual(response.status, 403)
        self.assertIn(b"unix:", response.body)
        self.assertIn(row["id"], [other["id"] for other in rows(http)])
        self.assertTrue(hello(sock))

    def test_requests_in_a_row(self):
        held = [self.connect(0) for _ in range(5)]
        ids = [self.row(sock)["id"] for sock in held]
        self.admin.send(b"".join(f"DELETE /connections/{name} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for name in ids + ids))
        statuses = [self.admin.response().status for _ in range(10)]
        self.assertEqual(statuses[:5], 5 * [202])
        for sock in held:
            self.assertEqual(read_to_end(sock)[0], b"")
        self.assertTrue(set(statuses[5:]) <= {202, 404}, statuses)

    def test_which_are_listed(self):
        socks = [self.connect(0) for _ in range(6)]
        ids = {}
        for i, sock in enumerate(socks):  # one after the other
            self.assertEqual(read_exactly(sock, (sock.sendall((i + 1) * b"x"), i + 1)[1]), (i + 1) * b"x")
            ids[self.row(sock)["id"]] = i

        def listed(query):
            return [ids[row["id"]] for row in rows(self.admin, query) if row["id"] in ids]

        self.assertEqual(listed("?sort=newest"), listed(""))
        newest = sorted(ids, key=lambda name: -int(name.split("-")[1]))
        self.assertEqual(listed(""), [ids[name] for name in newest])
        self.assertEqual(listed("?sort=age"), listed("")[::-1])
        self.assertEqual(listed("?sort=idle"), [0, 1, 2, 3, 4, 5])
        socks[0].sendall(b"y")
        self.assertEqual(socks[0].recv(1), b"y")
        self.assertEqual(listed("?sort=idle"), [1, 2, 3, 4, 5, 0])
        admins = [row for row in rows(self.admin, "?sort=bytes") if row["service"] == "admin"]
        self.assertEqual(listed("?sort=bytes"), [5, 4, 3, 2, 1, 0])
        worker = ask(self.admin, f"?count={len(admins) + 2}&sort=bytes")[0]
        self.assertEqual([ids[row["id"]] for row in worker["connections"] if row["id"] in ids], [5, 4])
        self.assertEqual(worker["open"], sum(worker["states"].values()))
        self.assertEqual(worker["services"]["echo"], 6)
        self.assertEqual(rows(self.admin, "?count=0"), [])
        for query in ("?", "?sort", "?sort=", "?sort=none", "?sort=agex", "?count=", "?count=-1", "?count=x", "?sort=age&",
                      "?count=1&x=1", "?count=99999999999999999999"):
            http = at_path(self.path)
            self.addCleanup(http.close)
            self.assertEqual(http.get("/connections" + query).status, 400, query)


class Pairs(unittest.TestCase):
    """The proxy's connections, of which one ends the other."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-admin-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    @contextlib.contextmanager
    def proxy(self, *to):
        path = os.path.join(self.dir, "admin.sock")
        words = ",".join(f"to=127.0.0.1:{port}" for port in to)
        with Server(f"service=proxy,{words}", options=("--listen", f"unix:{path},service=admin")) as server:
            admin = at_path(path)
            yield server, admin
            admin.close()
            server.until_idle()

    def test_either_ends_both(self):
        with Server("service=echo") as echo, self.proxy(echo.port) as (server, admin):
            for outgoing in (False, True):
                with connect(server.port) as sock:
                    self.assertTrue(hello(sock))
                    front, back = sorted((row for row in rows(admin) if row["service"] != "admin"), key=lambda row: row["outgoing"])
                    self.assertEqual((front["pair"], back["pair"]), (back["id"], front["id"]))
                    self.assertEqual((front["backend"], back["backend"]), 2 * (f"127.0.0.1:{echo.port}",))
                    self.assertEqual(front["listener"], back["listener"])
                    before = server.stats()
                    self.assertEqual(end(admin, (back if outgoing else front)["id"]), 202)
                    self.assertEqual(read_to_end(sock)[0], b"")
                after = server.until_counter("closed_admin", before["closed_admin"] + 1)
                until(lambda: len(rows(admin)) == 1, "both are gone")
                self.assertEqual(server.stats()["closed_other"], before["closed_other"] + 1)
                self.assertEqual(after["backend_failed"], 0)
            echo.until_idle()

    def test_one_that_is_being_connected(self):
        """It is not the backend's fault: the client ends, and no other backend is tried."""
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(3):  # the backlog is full: a further SYN stays unanswered
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            server, admin = stack.enter_context(self.proxy(full.getsockname()[1]))
            sock = stack.enter_context(connect(server.port))
            row = until(lambda: [row for row in rows(admin) if row["state"] == "connect"], "a connect")[0]
            self.assertEqual(row["waits"], "connect")
            self.assertEqual(end(admin, row["id"]), 202)
            self.assertEqual(read_to_end(sock)[0], b"")
            self.assertEqual(server.stats()["backend_failed"], 0)


class Races(unittest.TestCase):
    """Ends of connections that end, begin and move by themselves: each is counted once, and all is over after."""

    ENDS = 1000

    def client(self, port, over, moves):
        while not over.is_set():
            with contextlib.suppress(OSError, AssertionError), connect(port, tls=moves == "tls", timeout=5) as sock:
                for _ in range(random.randrange(5)):
                    sock.sendall(b"hello")
                    if random.random() < .7:
                        sock.recv(5)
                if random.random() < .3:
                    reset(sock)

    def race(self, *listeners, options=(), moves="echo"):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "admin.sock")
            with Server(*listeners, options=("--workers", "2", *options, "--listen", f"unix:{path},service=admin")) as server:
                over = threading.Event()
                clients = [threading.Thread(target=self.client, args=(server.port, over, moves)) for _ in range(6)]
                for thread in clients:
                    thread.start()
                admin, statuses, nends = at_path(path), {202: 0, 404: 0}, 0
                try:
                    while nends < self.ENDS:
                        ids = [row["id"] for row in rows(admin) if row["service"] != "admin"]
                        for name in ids:
                            statuses[end(admin, name)] += 1
                        nends += len(ids)
                finally:
                    over.set()
                    for thread in clients:
                        thread.join(PATIENCE)
                until(lambda: len(rows(admin)) == 1, "all have ended")
                admin.close()
                server.until_idle()
                stats = server.stats()
                closed = sum(value for name, value in stats.items() if name.startswith("closed_"))
                self.assertGreater(stats["closed_admin"], 0)
                self.assertLessEqual(stats["closed_admin"], statuses[202])
                self.assertEqual(closed, stats["accepted"] + stats["connects"])

    def test_plain(self):
        self.race("service=echo")

    def test_tls(self):
        with tempfile.TemporaryDirectory() as directory:
            cert, key = make_certificate(directory, "a")
            self.race(f"service=echo,tls,cert={cert},key={key}", moves="tls")

    def test_tls_by_threads(self):
        """Some are ended while a thread has their session."""
        with tempfile.TemporaryDirectory() as directory:
            cert, key = make_certificate(directory, "a")
            self.race(f"service=echo,tls,cert={cert},key={key}", options=("--handshake-threads", "2"), moves="tls")

    def test_pairs(self):
        with Server("service=echo") as echo:
            self.race(f"service=proxy,to=127.0.0.1:{echo.port}")
            echo.until_idle()


class Ids(unittest.TestCase):
    def test_none_is_used_twice(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "admin.sock")
            with Server("service=echo", options=("--workers", "3", "--listen", f"unix:{path},service=admin")) as server:
                admin, seen = at_path(path), []
                for _ in range(5):
                    held = [connect(server.port) for _ in range(20)]
                    for sock in held:
                        self.assertTrue(hello(sock))
                    workers = ask(admin)
                    for worker in workers:
                        names = [row["id"] for row in worker["connections"] if row["service"] == "echo"]
                        self.assertTrue(all(name.startswith(f"{worker['worker']}-") for name in names), names)
                        seen += names
                    for sock in held:
                        reset(sock)
                    until(lambda: len(rows(admin)) == 1, "they are gone")
                self.assertEqual(len(seen), len(set(seen)))
                self.assertEqual(len(seen), 100)
                admin.close()
                server.until_idle()
