# SPDX-License-Identifier: MIT
"""What taiod says to a wrong configuration or environment: the exit status, and one clear line."""
import os
import random
import re
import socket
import tempfile
import unittest

from harness import TAIOD, Server, connect, exchange, has_tool, make_certificate, make_ticket_key, run, taiod

ECHO = "127.0.0.1:0,service=echo"
USAGE, RUN = 2, 1


class Configuration:
    """A random one, valid for -t: its lines in some order, a pattern that includes two more files, and those."""

    GENERAL = {"idle-timeout": ("0", "1500ms", "90s", "2m"), "write-timeout": ("1us", "1h"), "workers": ("0", "7"),
               "max-memory": ("0", "1g"), "conn-memory": ("256k", "1m"),
               "send-min-rate": ("0", "100"), "when-full": ("refuse", "wait", "evict"),
               "max-connections": ("1", "5000"), "index": ("a.html", "it's", 'a "b" $c', "a\\\\b", "${HOME}", "#x"),
               "dotfiles": ("yes", "no", "on", "false"), "backlog": ("1", "4096"), "body-max": ("0", "1g"),
               "stats-file": ("/tmp/a b", ""), "tls-min-version": ("1.2", "1.3"), "backend-rest": ("1s",),
               "log-level": ("debug", "error")}
    LISTENER = {"idle-timeout": ("0", "30s", "1.5s"), "handshake-timeout": ("5s",), "linger-timeout": ("1ms",),
                "max-connections": ("0", "12"), "when-full": ("refuse", "evict"), "conn-memory": ("300000",),
                "backlog": ("1", "99"), "tls": ("yes", "no"), "send-min-rate": ("1k",)}
    SERVICES = {"echo": {}, "discard": {},
                "http": {"root": ("/tmp", "/"), "index": ("b,c.html", "it's"), "metrics": ("yes", "no"), "header-max": ("1k",)},
                "proxy": {"to": None, "balance": ("round-robin", "least-connections"), "to-tls": ("yes",), "verify": ("no", "yes"),
                          "send-proxy": ("v1", "off"), "server-name": ("a,b", "x"), "lifetime-timeout": ("1h",)}}
    BACKENDS = ("127.0.0.1:1", "[::1]:80", "unix:/run/a,b", "unix:/x y", "localhost:99")

    def __init__(self, chance, directory):
        self.chance, self.dir, self.port = chance, directory, 1

    def quoted(self, text):
        kinds = ["'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
                 '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"']
        if re.fullmatch(r"[A-Za-z0-9/.-]+", text):
            kinds.append(text)
        return self.chance.choice(kinds)

    def noise(self):
        return self.chance.choice(("", "", " ", "\n", "# it's { } \"\n", "/* } \n */", "// x\n"))

    def assign(self, name, value):
        return f"{self.noise()}{name} = {self.quoted(value)} {self.noise()}\n"

    def some(self, table):
        names = self.chance.sample(sorted(table), self.chance.randint(0, len(table)))
        return [(name, self.chance.choice(table[name])) for name in names if table[name]]

    def where(self):
        self.port += 1
        return self.chance.choice((f"127.0.0.1:{self.port}", f":{self.port}", "[::1]:0", f"fd:web{self.port}"))

    def block(self):
        service = self.chance.choice(sorted(self.SERVICES))
        pairs = dict((*self.some(self.LISTENER), *self.some(self.SERVICES[service])))
        if "server-name" in pairs or "verify" in pairs:
            pairs["to-tls"] = "yes"
        lines = [self.assign(*pair) for pair in pairs.items()]
        lines.append(self.assign("service", service))
        if service == "proxy":
            items = ", ".join(self.quoted(self.chance.choice(self.BACKENDS)) for _ in range(self.chance.randint(1, 3)))
            lines.append(f"to {self.chance.choice(('=', '+='))} {{{items}}}\nto += {self.quoted('unix:/c')}\n")
        self.chance.shuffle(lines)
        return f"listener {self.quoted(self.where())} {{{self.noise()}\n{''.join(lines)}}}\n"

    def line(self):
        service = self.chance.choice(("echo", "discard", "http"))
        pairs = [pair for pair in (*self.some(self.LISTENER), *self.some(self.SERVICES[service])) if "," not in pair[1]]
        text = ",".join((self.where(), f"service={service}", *(f"{name}={value}" for name, value in pairs)))
        return f"listen += {self.quoted(text)}\n"

    def statements(self):
        lines = [self.assign(*pair) for pair in self.some(self.GENERAL)]
        lines += [self.chance.choice((self.block, self.line))() for _ in range(self.chance.randint(1, 4))]
        self.chance.shuffle(lines)
        return lines

    def files(self):
        main = self.statements()
        main.insert(self.chance.randint(0, len(main)), f'include = "{self.dir}/conf.d/*.conf"\n')
        return ["".join(main), "".join(self.statements()), "".join(self.statements())]


class Config(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="taiod-conf-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def refused(self, status, *options, words=()):
        """taiod ends with @status and one line on stderr that has all of @words; nothing on stdout."""
        done = taiod(*options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        for word in words:
            self.assertIn(word, done.stderr)

    def test_usage_errors(self):
        for options, words in (
                ((), ["--listen"]),
                (("--no-such-option",), ["no-such-option"]),
                (("--listen", ECHO, "word"), ["'word'"]),
                (("--listen", ECHO, "--idle-timeout", "soon"), ["idle-timeout", "soon"]),
                (("--listen", ECHO, "--idle-timeout", "-1s"), ["idle-timeout"]),
                (("--listen", ECHO, "--idle-timeout", "3 parsecs"), ["idle-timeout"]),
                (("--listen", ECHO, "--workers", "many"), ["workers"]),
                (("--listen", ECHO, "--max-connections", "0"), ["max-connections"]),
                (("--listen", ECHO, "--engine", "steam"), ["steam", "poll"]),
                (("--listen", ECHO, "--engine", "threads:swim"), ["threads:swim"]),
                (("--listen", ECHO, "--when-full", "panic"), ["when-full", "refuse"]),
                (("--listen", ECHO, "--tls-min-version", "1.1"), ["tls-min-version", "1.1"]),
                (("--listen", ECHO, "--tls-ciphers", "ECDHE-RSA-AES128-GCM-SHA256:ROT13"), ["tls-ciphers", "'ROT13'", "TLS 1.2"]),
                (("--listen", ECHO, "--tls-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM"), ["'TLS_AES_128_GCM'"]),
                (("--listen", ECHO, "--tls-groups", "P-256:P-257"), ["tls-groups", "'P-257'"]),
                (("--listen", "127.0.0.1:0,service=gopher"), ["gopher", "echo", "http"]),
                (("--listen", "127.0.0.1"), ["127.0.0.1"]),
                (("--listen", "127.0.0.1:99999"), ["127.0.0.1:99999"]),
                (("--listen", "127.0.0.1:0,service=http,colour=red"), ["'colour'"]),
                (("--listen", "127.0.0.1:0,service=http,root="), ["'root=' has no value"]),
                (("--listen", "127.0.0.1:0,service=http,root=/does/not/exist"), ["/does/not/exist"]),
                (("--listen", "127.0.0.1:0,service=http,root=/etc/passwd"), ["/etc/passwd"]),
                (("--listen", "127.0.0.1:0,service=echo,cert=/x"), ["tls"]),
                (("--listen", "127.0.0.1:0,service=echo,root=/tmp"), ["'root'"]),
                (("--listen", "127.0.0.1:7,service=echo", "--listen", ECHO, "--listen", "127.0.0.1:7,service=http"),
                 ["127.0.0.1:7", "same address"]),
                (("--listen", "fd:web,service=echo", "--listen", "fd:web,service=http"), ["fd:web", "same address"]),
                (("--listen", ECHO, "--index", "a/b"), ["index", "a/b"]),
                (("--config", "/does/not/exist.conf"), ["/does/not/exist.conf"])):
            with self.subTest(options=options):
                self.refused(USAGE, *options, words=words)
                self.refused(USAGE, "-t", *options, words=words)

    def test_errors_in_the_file_name_file_and_line(self):
        listen = f'listen += "{ECHO}"\n'
        for text, line, words in ((listen + "no-such-key = 1\n", 2, ["no-such-key"]),
                                  (listen + "\nidle-timeout = soon\n", 3, ["idle-timeout", "soon"]),
                                  ('listen += "127.0.0.1:0,service=gopher"\n', 1, ["gopher"]),
                                  (listen + "workers 3\n", 2, []),
                                  (listen + 'when-full = "panic"\n', 2, ["refuse"])):
            with self.subTest(text=text):
                conf = self.write("bad.conf", text)
                for options in (("-c", conf), ("-t", "-c", conf)):
                    self.refused(USAGE, *options, words=[f"{conf}:{line}", *words])

    def test_errors_in_a_block_name_the_line_of_the_key(self):
        for text, line, words in (
                ('listener "127.0.0.1:0" {\n\n  colour = red\n}\n', 3, ["'colour'", "allowed are service, tls", "with proxy to"]),
                ('listener "127.0.0.1:0" {\n  idle-timeot = 3s\n}\n', 2, ["did you mean 'idle-timeout'?"]),
                ('listener "127.0.0.1:0" {\n  workers = 3\n}\n', 2, ["'workers'", "allowed are"]),
                ('listener "127.0.0.1:0" {\n  root = "/tmp"\n  service = proxy\n}\n', 2, ["root", "not allowed with service proxy", "to, "]),
                ('listener "127.0.0.1:0" {\n  service = proxy\n  to = {"x:1",\n "y"}\n}\n', 4, ["to: ", "'y'"]),
                ('listener "127.0.0.1:0" {\n  idle-timeout = soon\n}\n', 2, ["idle-timeout", "soon"]),
                ('listener "127.0.0.1:0" {\n  service = gopher\n}\n', 2, ["gopher", "echo"]),
                ('\nlistener "127.0.0.1" {\n  service = echo\n}\n', 2, ["'127.0.0.1'", "127.0.0.1:8080"]),
                ('listener "127.0.0.1:0" {\n  cert = "/x"\n}\n', 2, ["tls"]),
                ("idle-timeout = 3s\nlistener {\n}\n", 2, ["title"])):
            with self.subTest(text=text):
                conf = self.write("bad.conf", text)
                for options in (("-c", conf), ("-t", "-c", conf)):
                    self.refused(USAGE, *options, words=[f"{conf}:{line}: ", *words])

    def test_what_a_block_cannot_be_is_refused_by_name(self):
        for text, words in (
                ('listener "127.0.0.1:0" { service = proxy }', ["127.0.0.1:0", "backend"]),
                ('listener "127.0.0.1:0" { service = http root = "/does/not/exist" }', ["/does/not/exist"]),
                ('listener "127.0.0.1:7" { }\nlisten = "127.0.0.1:7"', ["127.0.0.1:7", "same address"]),
                ('listener "127.0.0.1:7" { }\nlistener "127.0.0.1:7" { tls = yes }', ["127.0.0.1:7", "same address"]),
                ('listener "127.0.0.1:7" { tls = yes cert = "/does/not/exist" }', ["/does/not/exist"])):
            with self.subTest(text=text):
                self.refused(USAGE, "-t", "-c", self.write("bad.conf", text + "\n"), words=words)

    def test_errors_in_an_included_file_name_it(self):
        os.mkdir(self.path("conf.d"))
        main = self.write("main.conf", f'listen = "{ECHO}"\ninclude = "conf.d/*.conf"\n')
        self.assertEqual(taiod("-t", "-c", main).returncode, 0)
        good = self.write("conf.d/1.conf", 'listener "127.0.0.1:0" { }\n')
        self.assertEqual(taiod("-t", "-c", main).returncode, 0)
        bad = self.write("conf.d/2.conf", "workers = 1\nworkers = many\n")
        self.refused(USAGE, "-t", "-c", main, words=[f"{bad}:2: workers: ", "'many'"])
        self.write("conf.d/2.conf", f'include = "{main}"\n')
        self.refused(USAGE, "-c", main, words=[f"{bad}:1: include: ", "being read already"])
        self.write("conf.d/2.conf", f'include = "{good}"\ninclude = "no.conf"\n')
        self.refused(USAGE, "-c", main, words=[f"{bad}:2: include: ", "no.conf: No such file"])

    def test_check_accepts_what_is_right_and_binds_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = taiod("-t", "--listen", f"127.0.0.1:{taken.getsockname()[1]},service=echo")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_command_line_overrides_the_file(self):
        conf = self.write("taiod.conf", "idle-timeout = 5s\nworkers = 3\n")
        done = taiod("-c", conf, "--idle-timeout", "7s", "--dump-config")
        self.assertRegex(done.stdout, r"(?m)^idle-timeout = \"?7s\"?$")
        self.assertRegex(done.stdout, r"(?m)^workers = \"?3\"?$")

    def test_the_dump_is_read_back_as_the_same(self):
        dump = taiod("--listen", "127.0.0.1:0,service=http,root=/tmp,tls", "--listen", ECHO, "--idle-timeout", "1500ms",
                     "--metrics", "--conn-memory", "1m", "--when-full", "evict", "--index", 'a "b".html',
                     "--dump-config")
        self.assertEqual(dump.returncode, 0)
        again = taiod("-c", self.write("dump.conf", dump.stdout), "--dump-config")
        self.assertEqual((again.returncode, again.stdout), (0, dump.stdout), again.stderr)

    def test_whatever_is_dumped_is_read_back_as_the_same(self):
        """Many configurations, in lines and blocks, some in files that are included."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        os.mkdir(self.path("conf.d"))
        for i in range(100):
            files = Configuration(chance, self.dir).files()
            for name in ("10.conf", "20.conf"):
                self.write(f"conf.d/{name}", files.pop())
            conf = self.write("random.conf", "\n".join(files))
            with self.subTest(seed=seed, round=i, conf=files):
                dump = taiod("-c", conf, "--dump-config")
                self.assertEqual((dump.returncode, dump.stderr), (0, ""))
                again = taiod("-c", self.write("dump.conf", dump.stdout), "--dump-config")
                self.assertEqual((again.returncode, again.stdout, again.stderr), (0, dump.stdout, ""))
                checked = run(TAIOD, "-t", "-c", "/dev/stdin", stdin=dump.stdout.encode())
                self.assertEqual((checked.returncode, checked.stderr), (0, b""))

    def test_the_dump_says_the_listeners_as_they_were_written(self):
        conf = self.write("l.conf", 'listener "127.0.0.1:0" {\n service = proxy\n idle-timeout = 3s\n'
                                    f' to = {{"127.0.0.1:1", "unix:/a,b"}}\n}}\nlisten += "{ECHO}"\n')
        dump = taiod("-c", conf, "--dump-config").stdout
        self.assertIn(f'listen = {{"{ECHO}"}}\nlistener "127.0.0.1:0" {{\n\tservice = "proxy"\n\tidle-timeout = "3s"\n'
                      '\tto = {"127.0.0.1:1", "unix:/a,b"}\n}\n', dump)
        self.assertNotIn("listener", taiod("-c", conf, "--listen", ECHO, "--dump-config").stdout)

    def test_the_sample_is_valid_and_the_help_names_every_option(self):
        sample = taiod("--sample-config").stdout
        self.assertEqual(taiod("-t", "-c", self.write("s.conf", sample), "--listen", ECHO).returncode, 0)
        block = re.search(r'(?ms)^#listener "ADDRESS:PORT" \{\n.*?^#\}\n', sample)[0]
        for name in ("service", "tls", "idle-timeout", "max-connections", "root", "index", "to", "backend-rest"):
            self.assertRegex(block, rf"(?m)^#\t{name} = ")
        self.assertNotRegex(block, "workers")
        text = taiod("--help").stdout
        for name in re.findall(r"(?m)^#?([a-z-]+) \+?= ", sample):
            self.assertRegex(text, rf"--(\[no-\])?{name}\b")

    @unittest.skipUnless(has_tool("openssl"), "openssl")
    def test_the_installed_configuration_is_the_sample_with_listeners(self):
        path = os.path.join(os.path.dirname(__file__), "../../configs/taiod.conf")
        with open(path, encoding="utf-8") as file:
            shipped = re.sub(r"(?s)#\n# As shipped.*?\nlisten = [^\n]*\n", "", file.read())
        self.assertEqual(shipped, taiod("--sample-config").stdout)

    def test_certificates(self):
        cert, key = make_certificate(self.dir, "one")
        _, other = make_certificate(self.dir, "two")
        junk = self.write("junk.pem", "this is no certificate\n")
        missing = self.path("missing.pem")
        for words, names in ((("--cert", cert, "--key", other), [cert, other]),
                             (("--cert", missing, "--key", key), [missing]),
                             (("--cert", cert, "--key", missing), [missing]),
                             (("--cert", junk, "--key", key), [junk]),
                             (("--cert", cert, "--key", junk), [junk]),
                             (("--cert", cert), [cert])):
            with self.subTest(words=words):
                self.refused(USAGE, "--listen", ECHO + ",tls", *words, words=names)
                self.refused(USAGE, "-t", "--listen", ECHO + ",tls", *words, words=names)

    def test_ticket_keys(self):
        good, short = make_ticket_key(self.path("good.key")), make_ticket_key(self.path("short.key"), size=79)
        world, missing = make_ticket_key(self.path("world.key"), mode=0o644), self.path("missing.key")
        for file, words in ((short, ["80 bytes", "48", "openssl rand"]), (world, ["0644", "chmod 600"]), (missing, ["No such file"])):
            for action in ((), ("-t",)):
                with self.subTest(file=file):
                    self.refused(USAGE, *action, "--listen", ECHO + ",tls", "--tls-ticket-keys", good, "--tls-ticket-keys", file,
                                 "--state-dir", self.dir, words=["tls-ticket-keys", file, *words])

    def test_run_time_errors(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(RUN, "--listen", f"127.0.0.1:{port},service=echo",
                         words=[f"127.0.0.1:{port}", "Address already in use"])
        self.refused(RUN, "--listen", "192.0.2.1:7,service=echo", words=["192.0.2.1:7"])
        self.refused(RUN, "--listen", ECHO + ",tls", "--state-dir", "/proc/nowhere", words=["/proc/nowhere", "--state-dir"])
        self.refused(RUN, "--listen", "fd:web,service=http", words=["fd:web", "FileDescriptorName="])

    def test_a_name_cannot_forge_a_line_of_the_log(self):
        """Names of files come into the log, and may hold anything."""
        done = taiod("--listen", ECHO, "--port-file", "/no\n<3>forged\x1b[31m\x7f\u00e4/ports", "--log-level", "error")
        self.assertEqual(done.returncode, RUN)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("/no?<3>forged?[31m?\u00e4/ports", done.stderr)

    def test_an_unwritable_port_file_is_a_run_time_error(self):
        done = taiod("--listen", ECHO, "--port-file", "/proc/nowhere/ports", "--log-level", "error")
        self.assertEqual(done.returncode, RUN)
        self.assertIn("/proc/nowhere/ports", done.stderr)

    def test_help_version_and_manual(self):
        self.assertRegex(taiod("--version").stdout, r"\Ataiod \d+\.\d+")
        self.assertTrue(taiod("--man").stdout.startswith(".\\\"") or ".Dd" in taiod("--man").stdout)
        for option in ("--help", "-h"):
            done = taiod(option)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_certificate_that_was_made_is_kept(self):
        state = self.path("state")
        for _ in range(2):
            with Server("service=echo,tls", options=("--state-dir", state)) as server:
                sock = connect(server.port, tls=True)
                der = sock.getpeercert(True)
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                sock.close()
                self.assertEqual("made a self-signed certificate" in server.log(), not hasattr(self, "der"))
                self.assertEqual(getattr(self, "der", der), der)
                self.der = der


if __name__ == "__main__":
    unittest.main()
