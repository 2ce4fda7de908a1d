# SPDX-License-Identifier: MIT
"""What SIGHUP does with each option: applied in silence, or named in the log as one that needs a restart; and with listeners.

The options, and what a reload does with each, are those of the sample configuration: a new option is covered by itself
where its value is of a usual form, and fails this test otherwise until it has a value in OTHER."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

from harness import (ENGINE, Http, PATIENCE, REPORTS, SANITIZED, SLACK, TAIOD, TAIO_LOAD, connect, exchange, has_tool, make_certificate,
                     make_ticket_key, pattern, read_exactly, read_to_end, refuses, run, taiod, until)

RELOADED = "configuration and certificates reloaded"
BIG = 16 << 20


def options():
    """(name, value as in the file, whether it needs a restart) of every key in the sample configuration."""
    found, comment = [], ""
    for line in taiod("--sample-config").stdout.splitlines():
        key = re.fullmatch(r"#([a-z-]+) = (.*)", line)
        if key:
            found.append((key[1], key[2], "changes require a restart" in comment))
            comment = ""
        elif line.startswith("#"):
            comment += line + "\n"
        else:
            comment = ""
    return found


def another(value):
    """A value of the same form, different and valid."""
    if value in ("yes", "no"):
        return "no" if value == "yes" else "yes"
    number = re.fullmatch(r'"?(\d+)([a-z]*)"?', value)
    assert number, f"no other value for {value}: add one to OTHER"
    return f'"{int(number[1]) + 1}{number[2]}"' if number[2] else str(int(number[1]) + 1)


class Case(unittest.TestCase):
    """taiod with a configuration file, changed by write() and reload()."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-reload-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.conf, self.log_file = self.path("taiod.conf"), self.path("log")
        self.cert, self.key = make_certificate(self.dir, "one")
        self.base = {
            "listen": '{"127.0.0.1:0,service=http", "127.0.0.1:0,service=echo,tls"}',
            "port-file": f'"{self.path("ports")}"', "state-dir": f'"{self.path("state")}"',
            "cert": f'"{self.cert}"', "key": f'"{self.key}"', "engine": f'"{ENGINE}"', "workers": "1",
            "max-connections": "100",
        }
        self.tail = ""  # what comes behind

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, **changed):
        values = {**self.base, **{name.replace("_", "-"): value for name, value in changed.items()}}
        with open(self.conf, "w", encoding="ascii") as to:
            to.writelines(f"{name} = {value}\n" for name, value in values.items())
            to.write(self.tail)

    def log(self):
        with open(self.log_file, encoding="ascii") as log:
            return log.read()

    def start(self, wrap=(), pass_fds=()):
        self.write()
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen([*wrap, TAIOD, "-c", self.conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=pass_fds)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        until(lambda: self.process.poll() is not None or os.path.exists(self.path("ports")), "the port file")
        self.assertIsNone(self.process.poll(), self.log())

    def reload(self, done=RELOADED):
        """What the log says of this reload."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        until(lambda: done in self.log()[before:], f"'{done}' in the log")
        return self.log()[before:]

    def ports(self):
        with open(self.path("ports"), encoding="ascii") as ports:
            return [int(line.split()[0].rsplit(":", 1)[1]) for line in ports]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0, self.log())
        for report in REPORTS:
            self.assertNotIn(report, self.log())

    def counters(self):
        """The counters now; stats-file must be set."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("stats"))
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: os.path.exists(self.path("stats")), "the stats file")
        with open(self.path("stats"), encoding="ascii") as file:
            return json.load(file)

    def connect(self, port, **how):
        sock = connect(port, **how)
        self.addCleanup(sock.close)
        return sock

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024


class Reload(Case):
    def setUp(self):
        super().setUp()
        both = self.path("both.pem")
        with open(both, "w", encoding="ascii") as to:
            for name in (self.cert, self.key):
                with open(name, encoding="ascii") as pem:
                    to.write(pem.read())
        shutil.copy(self.key, self.path("copy.key"))
        make_ticket_key(self.path("ticket.key"))
        # Values that another() does not find.
        self.other = {
            "listen": '{"127.0.0.1:0,service=http"}', "port-file": f'"{self.path("ports2")}"',
            "state-dir": f'"{self.path("state2")}"', "cert": f'"{both}"', "key": f'"{self.path("copy.key")}"',
            "engine": '"epoll"' if ENGINE != "epoll" else '"poll"', "when-full": '"refuse"', "log-level": '"debug"',
            "tls-min-version": '"1.3"', "cert-dir": f'"{self.dir}"', "client-ca": f'"{both}"',
            "client-crl": f'"{self.path("crl")}"', "client-verify": '"optional"', "tls-ciphers": '"ECDHE+AESGCM"',
            "tls-ciphersuites": '"TLS_AES_256_GCM_SHA384"', "tls-groups": '"P-256"', "tls-keylog": f'"{self.path("keys")}"',
            "tls-kernel": "yes",
            "tls-ticket-keys": f'{{"{self.path("ticket.key")}"}}', "stats-file": f'"{self.path("stats")}"',
            "access-log": f'"{self.path("access.log")}"', "access-log-format": "json",
            "index": '"other.html"', "conn-memory": '"1m"', "address-prefix": '"24/48"',
        }


    def test_every_option_is_applied_or_named(self):
        self.base.update({"client-ca": f'"{self.cert}"', "client-verify": '"off"'})  # for client-crl, which needs one
        self.start()
        for name, value, needs_restart in options():
            with self.subTest(option=name):
                new = self.other.get(name) or another(self.base.get(name, value))
                self.assertNotEqual(new, self.base.get(name, value))
                self.write(**{name: new})
                named = re.findall(r"warning: ([a-z-]+) has changed: this needs a restart", self.reload())
                self.assertEqual(named, [name] if needs_restart else [])
        self.write()
        self.assertNotIn("restart", self.reload(), "everything is as it was at the start")
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_many_reloads_hold_on_to_nothing(self):
        """Memory and descriptors are flat, with connections that stay open over them and a key log open."""
        self.base["tls-keylog"] = f'"{self.path("keys")}"'
        self.start()
        plain, tls = self.ports()
        socks = [connect(plain), connect(tls, tls=True)]
        for sock in socks:
            self.addCleanup(sock.close)
        for _ in range(10):
            self.reload()
        fds, memory = self.descriptors(), self.memory()
        for _ in range(300):
            self.reload()
        self.assertEqual(self.descriptors(), fds)
        if not SANITIZED:  # whose quarantine grows
            self.assertLess(self.memory() - memory, 1 << 20)
        socks[1].sendall(b"hello")
        self.assertEqual(read_exactly(socks[1], 5), b"hello")

    def test_a_timeout_that_was_off_holds_for_open_connections(self):
        self.base.update({"idle-timeout": '"0s"', "write-timeout": '"0s"', "stats-file": f'"{self.path("stats")}"'})
        self.start()
        plain, tls = self.ports()
        idle = Http(self.connect(plain))
        self.assertEqual(idle.get("/healthz").status, 200)
        stuck = self.connect(tls, tls=True, rcvbuf=4096)
        stuck.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
            while True:
                stuck.sendall(bytes(65536))
        since = time.monotonic()
        self.write(idle_timeout='"500ms"', write_timeout='"500ms"')
        self.reload()
        self.assertEqual(read_to_end(idle.sock), (b"", True))
        until(lambda: self.counters()["closed_write"] == 1, "the write timeout")
        self.assertGreaterEqual(time.monotonic() - since, 0.5)
        self.assertLess(time.monotonic() - since, 0.5 * 1.25 + SLACK)
        self.assertEqual(self.counters()["closed_idle"], 1)
        self.stop()

    def test_errors_of_a_reload_are_logged_and_change_nothing(self):
        self.start()
        for bad in ({"idle-timeout": '"soon"'}, {"no-such-key": "1"}, {"cert": '"/does/not/exist"'}):
            with self.subTest(bad=bad):
                self.write(**bad)
                said = self.reload("the previous configuration stays in effect")
                self.assertRegex(said, r"error: .*" + re.escape(list(bad.values())[0].strip('"') if "cert" in bad
                                                               else list(bad)[0]))
                for line in said.splitlines():
                    self.assertRegex(line, r"^\d{4}-\d\d-\d\dT[0-9:.]+Z taiod ", "every line is a line of the log")
        self.write()
        self.assertNotIn("restart", self.reload())


def listen(*texts):
    return "{" + ", ".join(f'"{text}"' for text in texts) + "}"


class Listeners(Case):
    """Added, kept and removed, all of them or none."""

    def setUp(self):
        super().setUp()
        for name in ("one", "two"):
            os.mkdir(self.path(name))
            for file in ("a.txt", "index.html", "other.html"):
                with open(self.path(f"{name}/{file}"), "w", encoding="ascii") as to:
                    to.write(f"{name} {file}")
        with open(self.path("one/big"), "wb") as to:
            to.write(pattern(BIG))
        self.base.update({"drain-timeout": '"20s"', "linger-timeout": '"300ms"', "stats-file": f'"{self.path("stats")}"'})

    def http(self, root, address="127.0.0.1:0"):
        return f"{address},service=http,root={self.path(root)}"

    def begin(self, *texts, wrap=(), pass_fds=(), **options):
        """The ports of listeners @texts."""
        self.base.update(listen=listen(*texts), **{name.replace("_", "-"): value for name, value in options.items()})
        self.start(wrap, pass_fds)
        return self.ports()

    def listen(self, *texts, done=RELOADED):
        self.base["listen"] = listen(*texts)
        self.write()
        return self.reload(done)

    def echoes(self, port, **how):
        with connect(port, **how) as sock:
            self.assertEqual(exchange(sock, b"hello"), b"hello")

    def test_listeners_are_added_kept_and_removed(self):
        echo, more = "127.0.0.1:0,service=echo", "127.0.0.1:0,service=discard"
        web, first = self.begin(self.http("one"), echo)
        idle, old = Http(self.connect(web)), self.connect(first)
        self.assertEqual(idle.get("/a.txt").body, b"one a.txt")
        self.assertEqual(exchange(old, b"hello"), b"hello")
        said = self.listen(more, echo, "127.0.0.1:0,service=echo,tls", self.http("one"))
        third, second, tls, again = self.ports()
        self.assertEqual((second, again), (first, web), "the same text keeps its port, wherever it stands")
        self.assertEqual(re.findall(r"notice: (.*listening on .*)", said),
                         [f"listening on 127.0.0.1:{third}: discard, 1 worker",
                          f"listening on 127.0.0.1:{tls}: echo over TLS, 1 worker"])
        self.echoes(tls, tls=True)
        self.connect(third)
        self.assertEqual(exchange(old, b"again"), b"again")
        self.assertEqual(idle.get("/a.txt").body, b"one a.txt")
        said = self.listen(self.http("one"))
        self.assertEqual(self.ports(), [web])
        self.assertCountEqual(re.findall(r"notice: no longer listening on .*:(\d+)", said), list(map(str, (third, first, tls))))
        for port in (third, first, tls):
            self.assertTrue(refuses(port))
        self.assertEqual(read_to_end(old), (b"", True))
        self.assertEqual(idle.get("/a.txt").body, b"one a.txt")
        self.listen(self.http("one"), f"127.0.0.1:{first},service=echo")
        self.assertEqual(self.ports(), [web, first])
        self.echoes(first)
        self.stop()

    @unittest.skipUnless(ENGINE == "poll", "takes slots")
    def test_the_first_proxy_may_need_more_slots_than_there_are(self):
        """Twice as many as without, as a start with it says."""
        with open("/proc/sys/fs/aio-max-nr", encoding="ascii") as file:
            most = int(file.read()) * 3 // 8
        if most > 1 << 19:
            self.skipTest("there are always enough")
        self.base["max-connections"] = most
        self.start()
        self.assertNotIn("slots", self.reload())
        proxy = '{"127.0.0.1:0,service=proxy,to=127.0.0.1:1"}'
        self.write(listen=proxy)
        self.assertRegex(self.reload(), rf"warning: {most} connections, and as many to backends, may need {4 * most + 64} slots")
        self.write(listen=proxy, max_connections=most - 1)  # this needs a restart
        self.assertNotIn("slots", self.reload())
        self.stop()

    def test_a_port_that_the_kernel_chose_may_be_written_out(self):
        port, = self.begin("127.0.0.1:0,service=echo")
        self.listen(f"127.1:{port},service=echo")  # inet(3)'s short form: the same address, another text
        self.assertEqual(self.ports(), [port])
        self.echoes(port)
        self.stop()

    def test_a_removed_listener_drains(self):
        web, tls, other = self.begin(self.http("one"), self.http("one") + ",tls", "127.0.0.1:0,service=echo")
        slow = [Http(self.connect(web, rcvbuf=8192)), Http(self.connect(tls, tls=True, rcvbuf=8192))]
        got = []
        for http in slow:
            http.send(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
            http.head()
            got.append([http.take(1 << 20)])
        half = Http(self.connect(web))
        self.assertEqual(half.get("/a.txt").status, 200)
        half.send(b"GET /a.txt HTTP/1.1\r\n")
        until(lambda: self.counters()["bytes_in"] >= 3 * 35 + 22, "the first line is in")
        self.listen("127.0.0.1:0,service=echo")
        self.assertEqual(self.ports(), [other])
        for port in (web, tls):
            self.assertTrue(refuses(port))
        self.listen("127.0.0.1:0,service=echo")  # what is left outlives another reload
        half.send(b"Host: t\r\n\r\n")
        response = half.response()
        self.assertEqual((response.body, response.headers["connection"]), (b"one a.txt", "close"))
        for http, parts in zip(slow, got):
            parts.append(http.take(BIG - (1 << 20)))
            self.assertTrue(b"".join(parts) == pattern(BIG))
            self.assertEqual(read_to_end(http.sock), (b"", True))
        self.echoes(other)
        self.stop()

    def test_the_drain_timeout_ends_what_a_removed_listener_leaves(self):
        web, other = self.begin(self.http("one"), "127.0.0.1:0,service=echo", drain_timeout='"700ms"')
        stuck, kept = self.connect(web, rcvbuf=4096), self.connect(other)
        stuck.sendall(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
        stuck.recv(1)
        since = time.monotonic()
        self.listen("127.0.0.1:0,service=echo")
        until(lambda: self.counters()["active"] == 1, "the timeout")
        took = time.monotonic() - since
        self.assertGreaterEqual(took, 0.7)
        self.assertLess(took, 0.7 + SLACK)
        self.assertEqual(exchange(kept, b"hello"), b"hello")
        self.stop()

    def test_an_address_that_is_kept_may_serve_something_else(self):
        port, = self.begin("127.0.0.1:0,service=echo")
        address = f"127.0.0.1:{port}"
        echo = self.connect(port)
        self.assertEqual(exchange(echo, b"hello"), b"hello")
        self.assertIn(f"listening on {address}: http", self.listen(self.http("one", address)))
        one = Http(self.connect(port))
        self.assertEqual(one.get("/a.txt").body, b"one a.txt")
        self.listen(self.http("two", address) + ",tls")
        two = Http(self.connect(port, tls=True))
        self.assertEqual(two.get("/a.txt").body, b"two a.txt")
        self.listen(f"{address},service=echo")
        for _ in range(3):  # whatever came since, each goes on as it began
            self.assertEqual(exchange(echo, b"hello"), b"hello")
            self.assertEqual(one.get("/a.txt").body, b"one a.txt")
            self.assertEqual(two.get("/a.txt").body, b"two a.txt")
            self.echoes(port)
            self.listen(f"{address},service=echo")
        self.assertEqual(self.ports(), [port])
        self.listen("127.0.0.2:0,service=discard")
        for sock in (echo, one.sock, two.sock):
            self.assertEqual(read_to_end(sock)[0], b"", "all connections of the address have ended with it")
        self.stop()

    def test_http_options_hold_for_new_connections(self):
        port, = self.begin(self.http("one"), index='"index.html"')
        old = Http(self.connect(port))
        self.assertEqual(old.get("/").body, b"one index.html")
        self.write(index='"other.html"', metrics="yes")
        self.assertNotIn("restart", self.reload())
        new = Http(self.connect(port))
        self.assertEqual(new.get("/").body, b"one other.html")
        self.assertEqual(new.get("/metrics").status, 200)
        self.assertEqual(old.get("/").body, b"one index.html")
        self.assertEqual(old.get("/metrics").status, 404)
        self.stop()

    def test_one_that_cannot_be_changes_nothing(self):
        """Beside one that could be added, one that would go, another service, and another timeout."""
        web, gone = self.begin(self.http("one"), "127.0.0.1:0,service=echo", idle_timeout='"60s"', workers="3")
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
            probe.close()
            port = taken.getsockname()[1]
            good = (f"127.0.0.1:{web},service=echo", f"127.0.0.1:{free},service=echo")
            descriptors = self.descriptors()
            for bad, words in ((f"127.0.0.1:{port},service=echo", ("cannot listen on", f"127.0.0.1:{port}", "Address already in use")),
                               ("192.0.2.1:7,service=echo", ("192.0.2.1:7",)),
                               (f"127.1:{free},service=http", (f"127.1:{free}", f"127.0.0.1:{free}", "the same address")),
                               ("127.0.0.1:0,service=http,root=/does/not/exist", ("root=/does/not/exist",)),
                               ("127.0.0.1:0,service=echo,tls,cert=/does/not/exist", ("/does/not/exist",)),
                               ("fd:web,service=http", ("fd:web", "FileDescriptorName="))):
                with self.subTest(bad=bad):
                    self.write(listen=listen(*good, bad), idle_timeout='"100ms"')
                    said = self.reload("the previous configuration stays in effect")
                    for word in words:
                        self.assertIn(word, said)
                    self.assertNotIn("listening on 127", said)
            self.write(listen=listen(*good), port_file='"/proc/none/ports"', idle_timeout='"100ms"')
            self.assertIn("/proc/none/ports", self.reload("the previous configuration stays in effect"))
            # Workers drop what they had prepared at their next turn, and with it the last reference on its sockets.
            until(lambda: refuses(free), "nobody listens where it was to be added")
            self.assertEqual(self.ports(), [web, gone])
            http, echo = Http(self.connect(web)), self.connect(gone)
            for _ in range(6):
                self.assertEqual(exchange(echo, b"hello"), b"hello")
                self.assertEqual(http.get("/a.txt").body, b"one a.txt")
                time.sleep(0.1)  # the idle timeout that must not hold
            http.close()
            echo.close()
            until(lambda: self.counters()["active"] == 0 and self.descriptors() <= descriptors + 3, "nothing is left open")
        self.stop()

    def test_the_backlog_outlives_a_reload(self):
        port, = self.begin("127.0.0.1:0,service=echo", max_connections="1", when_full='"wait"')
        socks = [self.connect(port) for _ in range(5)]
        self.assertEqual(exchange(socks[0], b"hello"), b"hello")
        for _ in range(3):
            self.reload()
        for sock in socks:
            self.assertEqual(exchange(sock, b"hello"), b"hello")
            sock.close()
        self.stop()

    @unittest.skipUnless(has_tool("ss"), "ss")
    def test_the_backlog_may_change(self):
        port, = self.begin("127.0.0.1:0,service=echo", backlog="100")

        def backlog():
            return [int(line.split()[2]) for line in run("ss", "-Hltn", "sport", f"= :{port}").stdout.decode().splitlines()]

        self.assertEqual(backlog(), [100])
        self.write(backlog="7")
        self.assertNotIn("restart", self.reload())
        self.assertEqual(backlog(), [7])
        self.stop()

    def test_every_worker_accepts_on_a_listener_that_is_added(self):
        port, = self.begin("127.0.0.1:0,service=discard", workers="3")
        said = self.listen("127.0.0.1:0,service=discard", "127.0.0.1:0,service=echo")
        self.assertIn("echo, 3 workers", said)
        port, echo = self.ports()
        sockets = run("ss", "-Hltn", "sport", f"= :{echo}").stdout.decode().splitlines() if has_tool("ss") else [None] * 3
        self.assertEqual(len(sockets), 3)
        for _ in range(60):
            self.echoes(echo)
        self.stop()

    def test_a_socket_that_was_handed_over_may_go_and_come_back(self):
        with socket.create_server(("127.0.0.1", 0)) as passed:
            handed = passed.getsockname()[1]
            wrap = [sys.executable, "-c", "import os, sys; fd = int(sys.argv[1]); fd != 3 and os.dup2(fd, 3); "
                    "os.set_inheritable(3, True); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', "
                    "LISTEN_FDNAMES='web'); os.execv(sys.argv[2], sys.argv[2:])", str(passed.fileno())]
            web = "fd:web,service=http,root=" + self.path("one")
            port, echo = self.begin(web, "127.0.0.1:0,service=echo", wrap=wrap, pass_fds=[passed.fileno()], workers="2")
            self.assertEqual(port, handed)
            kept = Http(self.connect(handed))
            self.assertEqual(kept.get("/a.txt").body, b"one a.txt")
            self.listen(web, "127.0.0.1:0,service=echo")
            self.assertEqual(kept.get("/a.txt").body, b"one a.txt")
            self.listen("127.0.0.1:0,service=echo")
            self.assertEqual(read_to_end(kept.sock), (b"", True))
            waiting = [self.connect(echo) for _ in range(20)]  # descriptors that might take its number
            queued = Http(self.connect(handed))  # it still listens, for the service manager
            queued.send(b"GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n")
            self.listen(web, "127.0.0.1:0,service=echo")
            self.assertEqual(queued.response().body, b"one a.txt")
            for sock in waiting:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            self.stop()


class UnderLoad(Case):
    """A thousand reloads, each of which adds and removes a listener, makes new sites and changes certificates."""

    NRELOADS = 1000
    AT_MOST_S = 45  # on a machine on which a thousand take longer, fewer are enough

    def setUp(self):
        super().setUp()
        self.certs = ((self.cert, self.key), make_certificate(self.dir, "two"))
        os.mkdir(self.path("root"))
        with open(self.path("root/a.txt"), "wb") as to:
            to.write(pattern(1000))
        self.keys = [make_ticket_key(self.path(f"{i}.key")) for i in range(2)]
        self.loads = []

    def variant(self, i):
        """Configuration @i: two addresses stay, the third is another each time."""
        cert, key = self.certs[i % 2]
        return {
            "listen": listen(f"127.0.0.1:{self.web},service=http,root={self.path('root')}",
                             f"127.0.0.1:{self.tls},service=http,root={self.path('root')},tls",
                             f"127.0.0.1:{self.others[i % 2]},service={'echo' if i % 3 else 'http'}"),
            "cert": f'"{cert}"', "key": f'"{key}"', "header-max": f'"{8 + i % 2}k"', "backlog": str(4096 - i % 2),
            "tls-ticket-keys": "{" + ", ".join(f'"{key}"' for key in self.keys[::1 - i % 2 * 2]) + "}",
        }

    def load(self, *words):
        result = self.path(f"load{len(self.loads)}.json")
        process = subprocess.Popen([TAIO_LOAD, *words, "-d", "300s", "--max-lag", "300s", "--engine", ENGINE, "--json",
                                    result],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.loads.append((process, result))

    def end_loads(self):
        for process, result in self.loads:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=PATIENCE)[0]
            self.assertEqual(process.returncode, 0, said)
            with open(result, encoding="ascii") as file:
                figures = json.load(file)
            self.assertEqual({kind: n for kind, n in figures["errors_by_kind"].items() if n}, {}, figures["target"])
            self.assertGreater(figures["requests"], 50)

    def turn(self, i):
        self.base.update(self.variant(i))
        self.write()
        self.reload()

    @unittest.skipUnless(TAIO_LOAD, "TAIO_LOAD")
    def test_a_thousand_reloads_fail_no_request(self):
        self.base.update({"workers": "2", "max-connections": "200", "stats-file": f'"{self.path("stats")}"',
                          "listen": listen(*["127.0.0.1:0,service=http"] * 4)})
        self.start()
        self.web, self.tls, *self.others = self.ports()
        for i in range(2):
            self.turn(i)
        idle = self.descriptors()
        self.load("http", f"127.0.0.1:{self.web}", "--path", "/a.txt", "-c", "4")
        self.load("http", f"127.0.0.1:{self.tls}", "--path", "/a.txt", "-c", "4", "--tls", "--insecure")
        self.load("churn", f"127.0.0.1:{self.web}", "--request", "http", "--path", "/a.txt", "--rate", "200")
        self.load("churn", f"127.0.0.1:{self.tls}", "--request", "http", "--path", "/a.txt", "--rate", "50", "--tls",
                  "--insecure", "--resume")
        for i in range(10):
            self.turn(i)
        memory = self.memory()
        end = time.monotonic() + self.AT_MOST_S
        for i in range(10, self.NRELOADS):
            if time.monotonic() > end:
                break
            self.turn(i)
            if i % 50 < 2:
                connect(self.others[i % 2]).close()
                self.assertTrue(refuses(self.others[1 - i % 2]))
        self.assertGreater(i, 50)
        grown = self.memory() - memory
        self.end_loads()
        until(lambda: self.counters()["active"] == 0, "no connection is open")
        self.turn(1)  # drops the files that the caches have open
        self.assertEqual(self.descriptors(), idle)
        if not SANITIZED:
            self.assertLess(grown, 1 << 20)
        counters = self.counters()
        self.assertEqual(counters["tls_failed"], 0)
        # All but the first sessions of the clients are resumed, whatever has been reloaded.
        self.assertLess(counters["tls_handshakes"] - counters["tls_resumed"], 20)
        self.stop()


if __name__ == "__main__":
    unittest.main()
