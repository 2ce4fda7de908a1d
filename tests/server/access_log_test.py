# SPDX-License-Identifier: MIT
"""The access log: what a line says, that no client can forge one, and that nothing waits for it, be the disk full or the
reader gone."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from datetime import datetime

from harness import (ENGINE, Http, PATIENCE, SLACK, Server, client_context, connect, exchange, has_tool, pattern, read_exactly,
                     read_to_end, reset, taiod, until)

BIG = 8 << 20
CLF = re.compile(r'(\S+) - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)')


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-access-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.log = self.path("access.log")
        self.root = self.path("root")
        os.mkdir(self.root)
        for name, data in (("ten.txt", b"0123456789"), ("big", pattern(BIG))):
            with open(os.path.join(self.root, name), "wb") as file:
                file.write(data)

    def path(self, name):
        return os.path.join(self.dir, name)

    def serve(self, *listeners, form="json", options=(), log=None):
        server = Server(*(l.replace("{root}", self.root) for l in listeners),
                        options=("--access-log", log or self.log, "--access-log-format", form, *options))
        self.addCleanup(server.kill)
        return server

    def connect(self, port, **how):
        sock = connect(port, **how)
        self.addCleanup(sock.close)
        return sock

    def http(self, port, **how):
        return Http(self.connect(port, **how))

    def content(self, path=None):
        with open(path or self.log, "rb") as file:
            data = file.read()
        return data[:data.rfind(b"\n") + 1]

    def lines(self, n, path=None):
        """The @n lines that there are, and no more."""
        until(lambda: self.content(path).count(b"\n") >= n, f"{n} lines")
        lines = self.content(path).decode("utf-8").splitlines()
        self.assertEqual(len(lines), n, lines)
        return lines

    def entries(self, n, path=None):
        return [json.loads(line) for line in self.lines(n, path)]


class Responses(Case):
    def test_what_a_line_says(self):
        server = self.serve("service=http,root={root}")
        client = self.http(server.port)
        before = time.time()
        self.assertEqual(client.get("/ten.txt?q=1", User_Agent="me", Referer="http://r/").status, 200)
        self.assertEqual(client.get("/none", method="HEAD").status, 404)
        self.assertEqual(client.get("/ten.txt", Range="bytes=2-4").status, 206)
        client.send(b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(client.response().body, b"abc")
        get, head, part, post = self.entries(4)
        when = datetime.fromisoformat(get["time"].replace("Z", "+00:00")).timestamp()
        self.assertTrue(before - 1 <= when <= time.time(), get)
        self.assertEqual({key: get[key] for key in ("client", "port", "listener", "service", "method", "target", "protocol", "host",
                                                    "referer", "user_agent", "status", "body", "complete")},
                         {"client": "127.0.0.1", "port": client.sock.getsockname()[1], "listener": f"127.0.0.1:{server.port}",
                          "service": "http", "method": "GET", "target": "/ten.txt?q=1", "protocol": "HTTP/1.1", "host": "t",
                          "referer": "http://r/", "user_agent": "me", "status": 200, "body": 10, "complete": True})
        self.assertNotIn("tls", get)
        self.assertLess(get["duration"], SLACK)
        self.assertEqual([(e["method"], e["status"], e["body"], e["protocol"]) for e in (head, part, post)],
                         [("HEAD", 404, 0, "HTTP/1.1"), ("GET", 206, 3, "HTTP/1.1"), ("POST", 200, 3, "HTTP/1.0")])
        self.assertEqual(post["received"], len("POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"))
        self.assertEqual((post["host"], post["referer"], post["user_agent"]), (None, None, None))
        stats = server.until_counter("access_log_lines", 4)
        self.assertEqual((stats["access_log_lines"], stats["access_log_lost"]), (4, 0))
        self.assertEqual(sum(e["sent"] for e in (get, head, part, post)), stats["bytes_out"])
        self.assertEqual(sum(e["received"] for e in (get, head, part, post)), stats["bytes_in"])
        server.stop()

    def test_over_tls(self):
        server = self.serve("service=http,root={root},tls")
        sock = client_context(alpn=["http/1.1"]).wrap_socket(self.connect(server.port), server_hostname="www.example.org")
        self.addCleanup(sock.close)
        client = Http(sock)
        self.assertEqual(len(client.get("/big").body), BIG)
        self.assertEqual(client.get("/ten.txt").status, 200)
        for entry, size in zip(self.entries(2), (BIG, 10)):
            self.assertEqual((entry["tls"], entry["server_name"], entry["alpn"], entry["client_name"], entry["resumed"]),
                             ("TLSv1.3", "www.example.org", "http/1.1", None, False))
            self.assertEqual((entry["cipher"], entry["body"], entry["complete"]), (sock.cipher()[0], size, True))
        server.stop()

    def test_those_of_a_pipeline_one_by_one(self):
        server = self.serve("service=http,root={root}")
        client = self.http(server.port)
        paths = ["/ten.txt", "/none", "/big", "/healthz", "/ten.txt"] * 4
        client.send(b"".join(f"GET {path}?{i} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for i, path in enumerate(paths)))
        for path in paths:
            self.assertEqual(client.response().status, 404 if path == "/none" else 200)
        entries = self.entries(len(paths))
        self.assertEqual([e["target"] for e in entries], [f"{path}?{i}" for i, path in enumerate(paths)])
        self.assertEqual([e["body"] for e in entries if e["target"].startswith("/big")], [BIG] * 4)
        self.assertEqual(sum(e["sent"] for e in entries), server.stats()["bytes_out"])
        server.stop()

    def test_the_last_of_a_connection_does_not_wait_for_its_end(self):
        server = self.serve("service=http,root={root}", options=("--linger-timeout", "1h"))
        client = self.http(server.port)
        client.send(b"GET /ten.txt HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        self.assertEqual(client.response().status, 200)
        self.assertEqual(self.entries(1)[0]["body"], 10)
        self.assertEqual(server.stats()["active"], 1)
        client.close()
        server.stop()

    def test_one_that_is_cut_short_says_so(self):
        server = self.serve("service=http,root={root}")
        client = self.http(server.port, rcvbuf=4096)
        client.send(b"GET /ten.txt HTTP/1.1\r\nHost: t\r\n\r\nGET /big HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(client.response().status, 200)
        read_exactly(client.sock, 1000)
        reset(client.sock)
        ten, big = self.entries(2)
        self.assertEqual((ten["body"], ten["complete"]), (10, True))
        self.assertEqual((big["status"], big["complete"]), (200, False))
        self.assertTrue(1000 <= big["sent"] < BIG, big)
        server.stop()

    def test_a_body_that_never_comes(self):
        server = self.serve("service=http,root={root}", options=("--header-timeout", "200ms", "--request-timeout", "500ms"))
        for text in (b"POST /ten.txt HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na", b"GET /ten.txt HT"):
            sock = self.connect(server.port)
            sock.sendall(text)
            read_to_end(sock)
        post, none = self.entries(2)
        self.assertEqual((post["method"], post["status"], post["complete"]), ("POST", 405, False))
        self.assertEqual((none["method"], none["line"], none["status"]), (None, None, 408))
        server.stop()

    def test_those_of_other_forms(self):
        for form, rest in (("common", ""), ("combined", r' "-" "me \\"quoted\\""'), (None, r' "-" "me \\"quoted\\""')):
            with self.subTest(form=form):
                server = self.serve("service=http,root={root}", form=form) if form else Server(
                    f"service=http,root={self.root}", options=("--access-log", self.log))
                self.addCleanup(server.kill)
                client = self.http(server.port)
                client.get("/ten.txt", User_Agent='me "quoted"')
                client.get("/ten.txt", method="HEAD", User_Agent='me "quoted"')
                for line, (request, size) in zip(self.lines(2), (("GET /ten.txt HTTP/1.1", "10"), ("HEAD /ten.txt HTTP/1.1", "-"))):
                    match = re.fullmatch(CLF.pattern + rest, line)
                    self.assertTrue(match, line)
                    self.assertEqual(match.groups(), ("127.0.0.1", "-", request, "200", size))
                server.stop()
                os.unlink(self.log)

    def test_an_own_form(self):
        server = self.serve("service=http,root={root}", form='%h|%m|%U|%q|%>s|%{user-agent}i|%{ssl.server-name}x|100%%')
        self.http(server.port).get("/ten.txt?a=b", User_Agent="me")
        self.assertEqual(self.lines(1), ["127.0.0.1|GET|/ten.txt|?a=b|200|me|-|100%"])
        server.stop()

    def test_a_response_that_is_made_anew_is_told_as_it_was_sent(self):
        """Its file changes while it waits behind another; the lines of those behind it are right, too."""
        server = self.serve("service=http,root={root}", options=("--file-valid", "1h"))
        paths = ("/first", "/healthz", "/ten.txt", "/none", "/healthz")

        def stalled(before):
            """What has been sent since @before, once nothing more is: the client's socket is full."""
            seen = server.until_counter("bytes_out", before + 100000)["bytes_out"]
            while seen != (seen := server.stats()["bytes_out"]):
                time.sleep(0.1)
            return seen - before

        with connect(server.port, rcvbuf=4096) as sock:
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
            room = stalled(0)
        server.until_idle()
        self.lines(1)
        os.unlink(self.log)
        server.signal(signal.SIGUSR2)
        until(lambda: os.path.exists(self.log), "another file")
        with open(os.path.join(self.root, "first"), "wb") as file:
            file.write(pattern(room + 20000))  # of which these wait, and what is behind them
        client, before = self.http(server.port, rcvbuf=4096), server.stats()["bytes_out"]
        client.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for path in paths))
        self.assertLess(stalled(before), room + 20000)
        server.until_counter("requests", 1 + len(paths))
        longer = b"now it is longer than it was"
        with open(os.path.join(self.root, "ten.txt"), "wb") as file:
            file.write(longer)
        bodies = [client.response().body for _ in paths]
        self.assertEqual(bodies[2], longer)
        entries = self.entries(len(paths))
        self.assertEqual([e["target"] for e in entries], list(paths))
        self.assertEqual([e["body"] for e in entries], [len(body) for body in bodies])
        self.assertEqual([e["status"] for e in entries], [200, 200, 200, 404, 200])
        self.assertTrue(all(e["complete"] for e in entries), entries)
        client.close()
        server.stop()


class Hostile(Case):
    FIELDS = (b'"', b"\\", b'\\"', b'"}', b'","status":200,"x":"', b"\xff\xfe", b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80",
              b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\xe2\x82", b"\t", b"%s%n%h", b"x" * 6000,
              b'"' * 6000, b"\xff" * 6000, bytes(range(0x80, 0x100)), b"\\u000a", b"</script>")
    REQUESTS = (b"GET /\x00 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nX: y\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
                b"GET /\x1b[2J\x07 HTTP/1.1\r\n\r\n", b'GET /"} HTTP/9.9\r\n\r\n', b"\x7f\x80\xff\r\n\r\n", b"GET / HTTP/1.1\r\x00\r\n\r\n",
                b"BREW /\\ HTTP/1.1\r\nHost: t\r\n\r\n", b"GET /\xe2\x80\xa8 HTTP/1.1\r\n\r\n", b"a" * 20000, b"\x01" * 20000)

    def provoke(self, server):
        """How many lines there must be."""
        client = self.http(server.port)
        for field in self.FIELDS:
            client.send(b'GET /"\\%0a?%22{} HTTP/1.1\r\nHost: t\r\nUser-Agent: ' + field + b"\r\nReferer:" + field[:1000] + b"\r\n\r\n")
            self.assertIn(client.response().status, (200, 404), field[:20])
        for request in self.REQUESTS:
            sock = self.connect(server.port)
            with contextlib.suppress(ConnectionError):
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                read_to_end(sock)
        return len(self.FIELDS) + len(self.REQUESTS)

    def test_json_is_json_and_a_line_a_line(self):
        server = self.serve("service=http,root={root}", options=("--header-max", "16k"))
        n = self.provoke(server)
        until(lambda: self.content().count(b"\n") >= n, f"{n} lines")
        data = self.content()
        self.assertEqual(data.count(b"\n"), n)
        self.assertFalse(re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", data))
        text = data.decode("utf-8")  # all of it is
        self.assertEqual(len(text.splitlines()), n, "no line has what Unicode takes for a line's end")
        agents = set()
        for line in text.splitlines():
            entry = json.loads(line, object_pairs_hook=lambda pairs: self.assertEqual(len(dict(pairs)), len(pairs)) or dict(pairs))
            self.assertEqual((entry["client"], entry["service"]), ("127.0.0.1", "http"))
            agents.add(entry.get("user_agent"))
        for field in self.FIELDS:
            if len(field) < 1000:
                self.assertTrue(any(agent is not None and agent.replace("\ufffd", "") in field.decode("utf-8", "replace")
                                    for agent in agents), field)
        self.assertIn('","status":200,"x":"', agents)
        self.assertIn("x" * 4096 + "...", agents)
        server.stop()

    def test_text_stays_between_its_quotes(self):
        server = self.serve("service=http,root={root}", form="combined", options=("--header-max", "16k"))
        n = self.provoke(server)
        until(lambda: self.content().count(b"\n") >= n, f"{n} lines")
        data = self.content()
        self.assertFalse(re.search(rb"[^\n -~]", data), "printable ASCII alone")
        lines = data.decode("ascii").splitlines()
        self.assertEqual(len(lines), n)
        for line in lines:
            self.assertTrue(re.fullmatch(CLF.pattern + r'(?: "(?:[^"\\]|\\.)*"){2}', line), line)
        server.stop()


class Connections(Case):
    def test_of_echo_and_discard(self):
        server = self.serve("service=echo,idle-timeout=300ms", "service=discard", "service=echo,tls")
        with self.connect(server.ports[0]) as sock:
            exchange(sock, b"hello")
            self.assertEqual(read_to_end(sock), (b"", True))
        idle, = self.entries(1)
        self.assertEqual((idle["service"], idle["reason"], idle["received"], idle["sent"], idle["backend"], idle["client"]),
                         ("echo", "idle", 5, 5, None, "127.0.0.1"))
        self.assertTrue(0.3 <= idle["duration"] < 0.3 * 1.25 + SLACK, idle)
        with self.connect(server.ports[1]) as sock:
            sock.sendall(b"x" * 100000)
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
        thrown = self.entries(2)[1]
        self.assertEqual((thrown["service"], thrown["reason"], thrown["received"], thrown["sent"], thrown["listener"]),
                         ("discard", "peer", 100000, 0, f"127.0.0.1:{server.ports[1]}"))
        with client_context().wrap_socket(self.connect(server.ports[2]), server_hostname="echo.example") as sock:
            exchange(sock, b"hello")
        tls = self.entries(3)[2]
        self.assertEqual((tls["tls"], tls["server_name"]), ("TLSv1.3", "echo.example"))
        self.assertGreater(tls["sent"], 500)
        server.stop()

    def test_of_a_proxy_with_its_backend(self):
        with Server("service=echo") as backend:
            server = self.serve(f"service=proxy,to=127.0.0.1:{backend.port}", f"service=proxy,to=127.0.0.1:{backend.port},tls")
            for port in server.ports:
                with client_context().wrap_socket(self.connect(port), server_hostname="p.example") if port == server.ports[1] \
                        else self.connect(port) as sock:
                    exchange(sock, b"hello")
            plain, tls = self.entries(2)
            self.assertEqual((plain["service"], plain["backend"], plain["received"], plain["sent"]),
                             ("proxy", f"127.0.0.1:{backend.port}", 5, 5))
            self.assertEqual((tls["backend"], tls["server_name"]), (f"127.0.0.1:{backend.port}", "p.example"))
            server.stop()

    def test_of_a_proxy_whose_backend_is_gone(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            server = self.serve(f"service=proxy,to=127.0.0.1:{taken.getsockname()[1]}", form="common")
            read_to_end(self.connect(server.port))
            match = CLF.fullmatch(self.lines(1)[0])
            self.assertTrue(match, self.content())
            self.assertEqual(match.groups(), ("127.0.0.1", "-", f"proxy 127.0.0.1:{taken.getsockname()[1]}", "-", "-"))
            server.stop()

    def test_the_client_is_where_a_proxy_header_says(self):
        server = self.serve("service=http,root={root},accept-proxy=127.0.0.0/8", "service=echo,accept-proxy=127.0.0.0/8")
        header = b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n"
        client = self.http(server.ports[0])
        client.send(header)
        client.get("/ten.txt")
        with self.connect(server.ports[1]) as sock:
            exchange(sock, header + b"hello", want=5)
        for entry in self.entries(2):
            self.assertEqual((entry["client"], entry["port"]), ("2001:db8::1", 1234))
        server.stop()

    def test_listeners_may_be_left_out(self):
        server = self.serve("service=http,root={root},access-log=no", "service=echo,access-log=no", "service=admin",
                            "service=http,root={root}")
        for port in (server.ports[0], server.ports[2], server.ports[3]):
            self.http(port).get("/healthz")
        with self.connect(server.ports[1]) as sock:
            exchange(sock, b"hello")
        server.until_counter("accepted", 4)
        self.assertEqual(server.stop()["access_log_lines"], 1)
        self.assertEqual(self.entries(1)[0]["listener"], f"127.0.0.1:{server.ports[3]}")


class Files(Case):
    """Renamed, full, unread, gone."""

    def requests(self, server, n, path="/healthz"):
        """Sends @n requests; the longest that one took."""
        client, longest = self.http(server.port), 0.0
        for i in range(n):
            since = time.monotonic()
            self.assertEqual(client.get(f"{path}?{i}").status, 200)
            longest = max(longest, time.monotonic() - since)
        client.close()
        return longest

    def assert_whole(self, path):
        with open(path, "rb") as file:
            self.assertRegex(file.read()[-1000:], rb"\}\n$")
        self.targets(path)

    def targets(self, *paths):
        return sorted(json.loads(line)["target"] for path in paths for line in self.content(path).splitlines())

    def rotate(self, number, said, options=()):
        """Renames the file while requests come, again and again: none is lost, and the newest are in the newest file."""
        server = self.serve("service=http,root={root}", options=("--workers", "2", *options))
        client, sent, names = self.http(server.port), 0, []
        for round in range(5):
            for _ in range(200):
                client.send(f"GET /healthz?{sent:05} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
                sent += 1
            names.append(self.path(f"access.log.{round}"))
            os.rename(self.log, names[-1])
            server.signal(number)
            until(lambda: server.log().count(said) == round + 1, said)
            for _ in range(200):
                client.response()
            while not os.path.getsize(self.log):
                self.assertEqual(client.get(f"/healthz?{sent:05}").status, 200)
                sent += 1
                self.assertLess(sent, 90000, "the new file has no line")
        client.close()
        self.assertEqual(server.stop()["access_log_lost"], 0)
        self.assertEqual(self.targets(*names, self.log), [f"/healthz?{i:05}" for i in range(sent)])
        self.assertEqual(self.targets(self.log)[-1], f"/healthz?{sent - 1:05}")

    def test_a_reload_opens_it_anew(self):
        self.rotate(signal.SIGHUP, "configuration and certificates reloaded")

    def test_sigusr2_does_nothing_else(self):
        self.rotate(signal.SIGUSR2, "access log opened anew")

    def test_one_that_cannot_be_opened_fails_the_reload(self):
        place = self.path("place")
        os.mkdir(place)
        server = self.serve("service=http,root={root}", log=os.path.join(place, "log"))
        os.rename(place, self.path("elsewhere"))
        for number, said in ((signal.SIGHUP, "the previous configuration stays in effect"),
                             (signal.SIGUSR2, "it goes on with the file that it has")):
            server.signal(number)
            until(lambda: said in server.log(), said)
            self.assertIn(f"access-log {place}/log: No such file or directory", server.log())
        self.requests(server, 3)
        server.stop()
        self.assertEqual(len(self.targets(self.path("elsewhere/log"))), 3)

    def test_it_comes_and_goes_with_a_reload(self):
        conf = self.path("conf")

        def write(*lines):
            with open(conf, "w", encoding="ascii") as file:
                file.writelines(line + "\n" for line in lines)

        def reload():
            before = server.log().count("reloaded")
            server.signal(signal.SIGHUP)
            until(lambda: server.log().count("reloaded") > before, "the reload")

        def held():
            return server.fds(), len(os.listdir(f"/proc/{server.pid}/task"))

        off = ("max-connections = 100",)
        on = (*off, f'access-log = "{self.log}"', 'access-log-format = "%q \\"%m\\""')
        write(*on)
        server = Server("service=http", options=("--config", conf))
        self.addCleanup(server.kill)
        client = self.http(server.port)
        client.get("/healthz?0")
        self.assertEqual(self.lines(1), ['?0 "GET"'])
        before = held()
        for i in range(3):
            write(*off)
            reload()
            client.get("/healthz?off")
            until(lambda: held() == (before[0] - 1, before[1] - 1), "its file and its thread end")
            write(*on)
            reload()
            client.get(f"/healthz?{i}")
            self.assertEqual(self.lines(i + 2)[-1], f'?{i} "GET"')
            self.assertEqual(held(), before)
        client.close()
        server.stop()
        self.assertEqual(len(self.lines(4)), 4)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a small file system")
    def test_a_full_disk_loses_lines_and_nothing_else(self):
        small = self.path("small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        log = os.path.join(small, "log")
        server = self.serve("service=http,root={root}", log=log)
        self.requests(server, 1000)
        stats = server.until_counter("access_log_lost", 1)
        self.assertLess(self.requests(server, 1000), SLACK)
        until(lambda: sum(server.stats()[name] for name in ("access_log_lines", "access_log_lost")) == 2000, "all are accounted for")
        stats = server.stats()
        self.assert_whole(log)
        self.assertEqual(len(self.targets(log)), stats["access_log_lines"])
        os.truncate(log, 0)
        until(lambda: self.requests(server, 1) is not None and "written again" in server.log(), "losing is over")
        said = re.findall(r"(warning|notice): access log \S+: (.*)", server.log())
        self.assertEqual([level for level, _ in said], ["warning", "notice"], "one of each")
        self.assertEqual(said[0][1], "No space left on device: lines are lost until this is told to be over")
        stats = server.stop()
        self.assertEqual(said[1][1], f"written again; {stats['access_log_lost']} lines were lost")
        self.assert_whole(log)

    @unittest.skipUnless(os.geteuid() == 0 and has_tool("fsfreeze") and has_tool("mkfs.ext4") and os.path.exists("/dev/loop-control"),
                         "needs root, fsfreeze, mkfs.ext4 and loop devices")
    def test_a_file_system_that_hangs_holds_up_nobody(self):
        image, place = self.path("image"), self.path("place")
        os.mkdir(place)
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        for words in (("mkfs.ext4", "-q", image), ("mount", "-o", "loop", image, place)):
            subprocess.run(words, check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        log = os.path.join(place, "log")
        server = self.serve("service=http,root={root}", log=log, options=("--access-log-queue", "128k"))
        self.requests(server, 10)
        server.until_counter("access_log_lines", 10)
        thaw = ["fsfreeze", "-u", place]
        subprocess.run(["fsfreeze", "-f", place], check=True)
        self.addCleanup(subprocess.run, thaw, check=False, stderr=subprocess.DEVNULL)
        self.assertLess(self.requests(server, 2000), SLACK)
        self.assertGreater(server.stats()["access_log_lost"], 0)
        since = time.monotonic()
        server.signal(signal.SIGTERM)
        until(lambda: "taiod notice: stopped" in server.log(), "the end")
        self.assertTrue(2 <= time.monotonic() - since < 2 + SLACK)
        self.assertIn("the access log cannot be written: its last lines are lost", server.log())
        subprocess.run(thaw, check=True)  # without which the kernel cannot end the process
        server.wait()
        server.check_end()

    def test_dev_full(self):
        server = self.serve("service=http,root={root}", "service=admin", log="/dev/full")
        self.assertLess(self.requests(server, 500), SLACK)
        self.assertEqual(server.until_counter("access_log_lost", 500)["access_log_lines"], 0)
        self.assertEqual(server.log().count("No space left on device"), 1)
        metrics = self.http(server.ports[1]).get("/metrics").body.decode()
        self.assertIn("\ntaiod_access_log_lost_total 500\n", metrics)
        self.assertIn("\ntaiod_access_log_lines_total 0\n", metrics)
        server.stop()

    def test_a_fifo_that_nobody_reads_holds_up_nobody(self):
        os.mkfifo(self.log)
        server = self.serve("service=http,root={root}", options=("--access-log-queue", "128k"))
        agent, sent = "x" * 4000, 0
        client = self.http(server.port)
        while not sent % 50 == 0 or not server.stats()["access_log_lost"]:
            since = time.monotonic()
            self.assertEqual(client.get("/healthz", User_Agent=agent).status, 200)
            self.assertLess(time.monotonic() - since, SLACK)
            sent += 1
            self.assertLess(sent, 2000)
        self.assertIn("its queue is full: lines are lost", server.log())
        with open(self.log, "rb", buffering=0) as reader:
            os.set_blocking(reader.fileno(), False)
            got = bytearray()

            def take():
                with contextlib.suppress(BlockingIOError):
                    got.extend(reader.read(1 << 20) or b"")
                stats = server.stats()
                return stats["access_log_lines"] + stats["access_log_lost"] == sent and "written again" in server.log()

            until(take, "what was queued is read")
            for line in bytes(got).splitlines():
                self.assertEqual(json.loads(line)["user_agent"], agent)
            self.assertEqual(got.count(b"\n"), server.stats()["access_log_lines"])
        client.close()
        server.stop()

    def test_a_fifo_that_nobody_reads_does_not_keep_it_from_ending(self):
        os.mkfifo(self.log)
        server = self.serve("service=http,root={root}")
        client = self.http(server.port)
        for _ in range(100):
            client.get("/healthz", User_Agent="x" * 4000)
        client.close()
        since = time.monotonic()
        stats = server.stop()
        self.assertLess(time.monotonic() - since, 2 + SLACK)
        self.assertEqual(stats["access_log_lines"] + stats["access_log_lost"], 100)
        self.assertGreater(stats["access_log_lost"], 0)

    def test_the_end_writes_what_is_queued(self):
        server = self.serve("service=http,root={root}")
        client = self.http(server.port)
        client.send(b"".join(f"GET /healthz?{i:04} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for i in range(300)))
        for _ in range(300):
            client.response()
        client.close()
        stats = server.stop()
        self.assertEqual((stats["access_log_lines"], stats["access_log_lost"]), (300, 0))
        self.assertEqual(self.targets(self.log), [f"/healthz?{i:04}" for i in range(300)])

    def test_standard_output(self):
        server = self.serve("service=http,root={root}", log="-")
        self.requests(server, 3)
        until(lambda: server.log().count('"target":"/healthz?') == 3, "three lines on standard output")
        server.stop()

    def test_what_is_wrong_is_said_at_once(self):
        for options, said in ((("--access-log", "log"), "'log' is neither an absolute path nor -"),
                              (("--access-log-format", "%h %Z"), "unknown sequence '%Z'; use common, combined, json, or text with %h"),
                              (("--access-log-queue", "1k"), "access-log-queue")):
            done = taiod("-t", "--listen", "127.0.0.1:0,service=echo", *options)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
        done = taiod("--listen", "127.0.0.1:0,service=echo", "--access-log", "/does/not/exist", "--engine", ENGINE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("access-log /does/not/exist: No such file or directory", done.stderr)
