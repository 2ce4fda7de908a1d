# SPDX-License-Identifier: MIT
"""/metrics by listener and by backend: what is counted where, over reloads, and what docs/metrics.md says of it."""
import contextlib
import os
import re
import shutil
import socket
import tempfile
import threading
import unittest

from harness import Http, PATIENCE, Server, client_context, connect, exchange, has_tool, hello, read_to_end, run, until
from metrics import Scrape
from proxy_test import Backend, Case as ProxyCase, free_port
from reload_test import Case as ReloadCase

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def scrape(port):
    with connect(port) as sock:
        return Scrape(Http(sock).get("/metrics").body.decode())


class Case(ProxyCase):
    def start(self, *listeners, options=()):
        """The last of its listeners is the admin's."""
        server = Server(*listeners, "service=admin", options=options)
        self.addCleanup(server.kill)
        self.where = [f"127.0.0.1:{port}" for port in server.ports]
        return server

    @staticmethod
    def scrape(server):
        return scrape(server.ports[-1])


class Listeners(Case):
    def test_each_counts_its_own(self):
        behind = Server("service=echo")
        self.addCleanup(behind.kill)
        server = self.start("service=http", "service=echo", f"service=proxy,to=127.0.0.1:{behind.port}", options=("--workers", "2"))
        http, echo, proxy, admin = self.where
        client = Http(connect(server.ports[0]))
        for _ in range(2):
            self.assertEqual(client.get("/none").status, 404)
        client.close()
        for port in server.ports[1:3]:
            for _ in range(3):
                with connect(port) as sock:
                    self.assertEqual(exchange(sock, b"x" * 1000), b"x" * 1000)
        held = connect(server.ports[1])
        self.addCleanup(held.close)
        self.assertTrue(hello(held))
        until(lambda: self.scrape(server).total("taiod_listener_active") == 2, "only what is held, and the scraper")
        seen = self.scrape(server)
        for where, service, accepted, active in ((http, "http", 1, 0), (echo, "echo", 4, 1), (proxy, "proxy", 3, 0)):
            labels = {"listener": where, "service": service}
            self.assertEqual(seen.get("taiod_listener_accepted_total", **labels), accepted)
            self.assertEqual(seen.get("taiod_listener_active", **labels), active)
            self.assertEqual(seen.total("taiod_listener_closed_total", **labels), accepted - active)
        self.assertEqual(seen.get("taiod_listener_bytes_in_total", listener=echo, service="echo"), 3005)
        self.assertEqual(seen.get("taiod_listener_bytes_out_total", listener=proxy, service="proxy"), 3000)
        self.assertEqual(seen.get("taiod_listener_requests_total", listener=http, service="http"), 2)
        self.assertEqual(seen.get("taiod_listener_responses_total", listener=http, service="http", **{"class": "4xx"}), 2)
        self.assertGreater(seen.get("taiod_listener_responses_total", listener=admin, service="admin", **{"class": "2xx"}), 0)
        labels = {"listener": proxy, "backend": f"127.0.0.1:{behind.port}"}
        self.assertEqual(seen.get("taiod_backend_bytes_out_total", **labels), 3000)
        for name in ("accepted_total", "active", "requests_total", "bytes_in_total", "bytes_out_total"):
            until(lambda name=name: self.adds_up(server, name), f"{name} of all listeners and backends is what the process counts")
        held.close()
        server.stop()

    def adds_up(self, server, name):
        """Not at any time: the worker that does not answer may be counting."""
        seen = self.scrape(server)
        return seen.get(f"taiod_{name}") == seen.total(f"taiod_listener_{name}") + seen.total(f"taiod_backend_{name}")

    def test_what_is_refused(self):
        server = self.start("service=echo,max-connections=1,when-full=refuse", "service=echo,accept-rate=1")
        with connect(server.port) as first:
            self.assertTrue(hello(first))
            with connect(server.port) as second:
                self.assertEqual(read_to_end(second)[0], b"")
            seen = self.scrape(server)
        labels = {"listener": self.where[0], "service": "echo"}
        self.assertEqual(seen.get("taiod_listener_refused_total", reason="full", **labels), 1)
        self.assertEqual(seen.get("taiod_listener_refused_total", reason="address", **labels), 0)
        self.assertEqual(seen.get("taiod_listener_accepted_total", **labels), 1)
        for _ in range(2):
            with connect(server.ports[1]) as sock:
                self.assertTrue(hello(sock))
        seen = self.scrape(server)
        self.assertGreater(seen.get("taiod_listener_rate_limited_total", listener=self.where[1], service="echo"), 0)
        self.assertEqual(seen.get("taiod_listener_rate_limited_total", **labels), 0)
        server.stop()

    def test_what_is_refused_for_its_address(self):
        server = self.start("service=echo", options=("--max-per-address", "2"))
        with connect(server.port) as first:
            self.assertTrue(hello(first))
            with connect(server.ports[1]) as sock:
                admin = Http(sock)
                self.assertEqual(admin.get("/healthz").status, 200)
                with connect(server.port) as third:
                    self.assertEqual(read_to_end(third)[0], b"")
                seen = Scrape(admin.get("/metrics").body.decode())
        self.assertEqual(seen.get("taiod_listener_refused_total", listener=self.where[0], service="echo", reason="address"), 1)
        server.stop()

    def test_tls(self):
        server = self.start("service=echo,tls", "service=echo,tls")
        context = client_context()
        with connect(server.port, context=context) as sock:
            self.assertTrue(hello(sock))
            session = sock.session
        with connect(server.port, context=context, session=session) as sock:
            self.assertTrue(hello(sock) and sock.session_reused)
        with connect(server.ports[1]) as sock:
            sock.sendall(b"no TLS at all\r\n")
            read_to_end(sock)
        until(lambda: self.scrape(server).total("taiod_listener_active") == 1, "they are closed")
        seen = self.scrape(server)
        for where, made, resumed, failed in ((self.where[0], 2, 1, 0), (self.where[1], 0, 0, 1)):
            labels = {"listener": where, "service": "echo"}
            self.assertEqual([seen.get(f"taiod_listener_tls_{what}_total", **labels) for what in ("handshakes", "resumptions", "failed")],
                             [made, resumed, failed])
        server.stop()


class Backends(Case):
    def state(self, server, where):
        """The state that the only worker finds the backend in."""
        seen = self.scrape(server)
        found = [state for state in ("up", "resting", "down")
                 if seen.get("taiod_backend_state", listener=self.where[0], backend=where, state=state)]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_one_that_fails_rests(self):
        good, bad = self.backends(2)
        bad.close()
        server = self.start(f"service=proxy,to={bad.where},to={good.where}", options=("--backend-rest", "1h"))
        self.assertEqual((self.state(server, bad.where), self.state(server, good.where)), ("up", "up"))
        with connect(server.port) as client, good.accept() as peer:
            client.sendall(b"question")
            self.assertEqual(peer.recv(100), b"question")
            peer.sendall(b"answer")
            self.assertEqual(client.recv(100), b"answer")
            seen = self.scrape(server)
            labels = {"listener": self.where[0], "backend": good.where}
            self.assertEqual(seen.get("taiod_backend_active", **labels), 1)
        until(lambda: not self.scrape(server).total("taiod_backend_active"), "it has ended")
        seen = self.scrape(server)
        self.assertEqual(seen.get("taiod_backend_connects_total", **labels), 1)
        self.assertEqual(seen.get("taiod_backend_connect_seconds_count", **labels), 1)
        self.assertLess(seen.get("taiod_backend_connect_seconds_sum", **labels), PATIENCE)
        self.assertEqual(seen.get("taiod_backend_bytes_in_total", **labels), 6)
        self.assertEqual(seen.get("taiod_backend_bytes_out_total", **labels), 8)
        self.assertEqual(seen.total("taiod_backend_closed_total", **labels), 1)
        self.assertEqual(seen.get("taiod_backend_failures_total", **labels), 0)
        labels["backend"] = bad.where
        self.assertEqual(seen.get("taiod_backend_failures_total", **labels), 1)
        self.assertEqual(seen.get("taiod_backend_connects_total", **labels), 0)
        self.assertEqual((self.state(server, bad.where), self.state(server, good.where)), ("resting", "up"))
        server.stop()

    def test_checks_find_it_down_and_up(self):
        bad, = self.backends(1)
        bad.close()
        server = self.start(f"service=proxy,to={bad.where},check=50ms")
        until(lambda: self.state(server, bad.where) == "down", "it is down")
        seen = self.scrape(server)
        labels = {"listener": self.where[0], "backend": bad.where}
        self.assertGreater(seen.get("taiod_backend_checks_failed_total", **labels), 0)
        self.assertGreaterEqual(seen.get("taiod_backend_checks_total", **labels), seen.get("taiod_backend_checks_failed_total", **labels))
        # Checks are no connections of clients, nor are they failures.
        self.assertEqual(seen.get("taiod_backend_failures_total", **labels), 0)
        again = Backend(port=bad.port)
        self.addCleanup(again.close)
        until(lambda: self.state(server, bad.where) == "up", "it is up again")
        self.assertEqual(self.scrape(server).get("taiod_backend_connects_total", **labels), 0)
        server.stop()

    def test_a_unix_socket_and_two_listeners(self):
        """One backend of two listeners is counted for each."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        backend = self.backend(socket.AF_UNIX, os.path.join(directory, "sock"))
        server = self.start(f"service=proxy,to={backend.where}", f"service=proxy,to={backend.where}")
        for port in server.ports[:2]:
            self.assert_reaches(connect(port), backend)
        until(lambda: not self.scrape(server).total("taiod_backend_active"), "they have ended")
        seen = self.scrape(server)
        for where in self.where[:2]:
            self.assertEqual(seen.get("taiod_backend_connects_total", listener=where, backend=backend.where), 1)
        server.stop()


class Text(Case):
    def whole(self, directory):
        """What there is of services, listeners and backends, one at a path that needs escaping."""
        backend, = self.backends(1)
        path = os.path.join(directory, 'ad"min\\.sock')
        return self.start("service=http", "service=echo", f"service=proxy,to={backend.where},to=unix:{path},check=50ms",
                          options=("--workers", "2", "--listen", f"unix:{path},service=echo"))

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.server = self.whole(self.directory)
        self.admin = Http(connect(self.server.ports[-1]))
        self.addCleanup(self.server.kill)
        self.addCleanup(self.admin.close)

    def test_labels_are_escaped(self):
        path = "unix:" + os.path.join(self.directory, 'ad"min\\.sock')
        text = self.admin.get("/metrics").body.decode()
        seen = Scrape(text)
        self.assertTrue(seen.has("taiod_listener_accepted_total", listener=path, service="echo"))
        self.assertTrue(seen.has("taiod_backend_connects_total", listener=self.where[2], backend=path))
        self.assertIn('/ad\\"min\\\\.sock",', text)

    @unittest.skipUnless(has_tool("promtool"), "no promtool")
    def test_promtool_finds_nothing(self):
        text = self.admin.get("/metrics").body
        self.assertGreater(len(Scrape(text.decode()).samples), 300)
        done = run("promtool", "check", "metrics", stdin=text)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_the_slots(self):
        seen = Scrape(self.admin.get("/metrics").body.decode())
        taken, free, most = (seen.get(f"taiod_aio_slots{end}") for end in ("", "_free", "_max"))
        self.assertEqual(taken + free, most)
        self.assertLessEqual(seen.get("taiod_ring_slots"), taken)
        if self.server.stats()["engine"] == "poll":
            self.assertGreater(seen.get("taiod_ring_slots"), 0)

    def test_the_document_has_all_of_it_and_no_more(self):
        """Each family is in a row of a table: name, type, labels, help."""
        with open(os.path.join(SOURCE, "docs", "metrics.md"), encoding="utf-8") as file:
            text = file.read()
        rows = re.findall(r"(?m)^\| `(taiod_\w+)` \| (\w+) \| ((?:`\w+`(?:, )?)*) ?\| (.*) \|$", text)
        said = {name: (kind, set(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
        self.assertEqual(len(said), len(rows), "a family twice")
        # Of the reasons there is a row for all.
        said.pop("taiod_closed_REASON_total")
        seen = Scrape(self.admin.get("/metrics").body.decode())
        there = {}
        for name, family in seen.families.items():
            labels = {label for sample in seen.samples for label, _ in sample.labels
                      if sample.name in (name, name + "_count", name + "_sum")}
            if not re.fullmatch(r"taiod_closed_\w+_total", name):
                there[name] = (family.kind, labels, family.help)
        self.assertEqual(said, there)
        reasons = {name[len("taiod_closed_"):-len("_total")]: family.help for name, family in seen.families.items()
                   if name.startswith("taiod_closed_")}
        said = re.findall(r"(?m)^\| (\w+) \| (.*) \|$", text.split("\n## Reasons\n")[1])
        self.assertEqual({name: f"connections closed: {why}" for name, why in said if name != "reason"}, reasons)


class Reloads(ReloadCase):
    """Scraped without a pause while clients come and go and what is served changes."""

    def metrics(self):
        return scrape(self.admin_port)

    def lines(self, *listeners):
        return "{" + ", ".join(f'"{line}"' for line in (*listeners, f"127.0.0.1:{self.admin_port},service=admin")) + "}"

    def test_what_stays_never_goes_back(self):
        behind = Server("service=echo")
        self.addCleanup(behind.kill)
        port, other, self.admin_port = free_port(), free_port(), free_port()
        stays, goes = f"127.0.0.1:{port},service=proxy,to=127.0.0.1:{behind.port}", f"127.0.0.1:{other},service=echo"
        dead = f"127.0.0.1:{free_port()}"
        turns = (self.lines(stays), self.lines(stays, goes), self.lines(stays + f",to={dead}"),
                 self.lines(stays + f",to={dead},check=20ms", goes), self.lines(stays + ",max-connections=50"))
        self.base.update({"listen": turns[0], "workers": "2"})
        self.start()
        with contextlib.ExitStack() as stack:
            watcher = stack.enter_context(Watcher(self.admin_port, f"127.0.0.1:{port}", f"127.0.0.1:{behind.port}"))
            stack.enter_context(Client(port))
            held = stack.enter_context(connect(port))
            self.assertTrue(hello(held))
            for _ in range(4):
                for turn in turns:
                    self.write(listen=turn)
                    self.reload()
                    if goes in turn:
                        with connect(other) as sock:
                            self.assertTrue(hello(sock))
            self.assertTrue(hello(held))
        self.assertEqual(watcher.failures, [])
        self.assertGreater(watcher.scrapes, 5)
        seen = self.metrics()
        self.assertGreater(seen.get("taiod_backend_connects_total", listener=f"127.0.0.1:{port}", backend=f"127.0.0.1:{behind.port}"), 5)
        # What is gone is gone, once its last connection is.
        until(lambda: not self.metrics().total("taiod_backend_active"), "all clients have gone")
        until(lambda: not self.metrics().has("taiod_listener_active", listener=f"127.0.0.1:{other}", service="echo"),
              "nothing is left of the listener")
        until(lambda: not self.metrics().has("taiod_backend_active", listener=f"127.0.0.1:{port}", backend=dead), "nor of the backend")
        self.stop()
        behind.stop()

    def test_another_service_at_its_address(self):
        """It counts for itself, and the one before goes on until its last connection has ended."""
        port, self.admin_port = free_port(), free_port()
        self.base.update({"listen": self.lines(f"127.0.0.1:{port},service=echo")})
        self.start()
        labels = {"listener": f"127.0.0.1:{port}"}
        with connect(port) as held:
            self.assertTrue(hello(held))
            self.write(listen=self.lines(f"127.0.0.1:{port},service=http"))
            self.reload()
            self.assertTrue(hello(held))
            with connect(port) as sock:
                self.assertEqual(Http(sock).get("/none").status, 404)
            seen = self.metrics()
            self.assertEqual(seen.get("taiod_listener_bytes_in_total", service="echo", **labels), 10)
            self.assertEqual(seen.get("taiod_listener_requests_total", service="http", **labels), 1)
            self.assertEqual(seen.get("taiod_listener_accepted_total", service="echo", **labels), 1)
        until(lambda: not self.metrics().has("taiod_listener_active", service="echo", **labels), "nothing is left of the echo")
        self.stop()


class Background:
    """A thread that does something again and again until the block ends."""

    def __init__(self):
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.end.is_set():
            self.once()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.end.set()
        self.thread.join(PATIENCE)


class Client(Background):
    def __init__(self, port):
        super().__init__()
        self.port = port

    def once(self):
        with contextlib.suppress(OSError, AssertionError), connect(self.port) as sock:
            exchange(sock, b"x" * 100)


class Watcher(Background):
    """Compares each answer with the one before, but for listeners and backends that come and go."""

    def __init__(self, port, listener, backend):
        super().__init__()
        self.port = port
        self.labels = {"listener": listener, "backend": backend}
        self.before, self.failures, self.scrapes = {}, [], 0

    def once(self):
        try:
            seen = scrape(self.port)
            seen.get("taiod_backend_connects_total", **self.labels)
            seen.get("taiod_listener_accepted_total", listener=self.labels["listener"], service="proxy")
        except (AssertionError, KeyError, OSError) as error:
            self.failures.append(repr(error))
            self.end.set()
            return
        self.scrapes += 1
        now = {sample: value for sample, value in seen.growing().items() if self.stays(sample)}
        self.failures += [f"{sample}: {value} after {self.before[sample]}" for sample, value in now.items()
                          if value < self.before.get(sample, 0)]
        self.before = now

    def stays(self, sample):
        labels = dict(sample.labels)
        return all(labels.get(name, value) == value for name, value in self.labels.items())
