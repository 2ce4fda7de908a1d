# SPDX-License-Identifier: MIT
"""What SIGHUP does with each option: applied in silence, or named in the log as one that needs a restart.

The options, and what a reload does with each, are those of the sample configuration: a new option is covered by itself
where its value is of a usual form, and fails this test otherwise until it has a value in OTHER."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import ENGINE, PATIENCE, SANITIZED, TAIOD, connect, make_certificate, make_ticket_key, read_exactly, taiod, until

RELOADED = "configuration and certificates reloaded"


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


class Reload(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-reload-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.conf, self.log_file = self.path("taiod.conf"), self.path("log")
        self.cert, self.key = make_certificate(self.dir, "one")
        both = self.path("both.pem")
        with open(both, "w", encoding="ascii") as to:
            for name in (self.cert, self.key):
                with open(name, encoding="ascii") as pem:
                    to.write(pem.read())
        self.base = {
            "listen": '{"127.0.0.1:0,service=http", "127.0.0.1:0,service=echo,tls"}',
            "port-file": f'"{self.path("ports")}"', "state-dir": f'"{self.path("state")}"',
            "cert": f'"{self.cert}"', "key": f'"{self.key}"', "engine": f'"{ENGINE}"', "workers": "1",
            "max-connections": "100",
        }
        shutil.copy(self.key, self.path("copy.key"))
        make_ticket_key(self.path("ticket.key"))
        # Values that another() does not find.
        self.other = {
            "listen": '{"127.0.0.1:0,service=http"}', "port-file": f'"{self.path("ports2")}"',
            "state-dir": f'"{self.path("state2")}"', "cert": f'"{both}"', "key": f'"{self.path("copy.key")}"',
            "engine": '"epoll"' if ENGINE != "epoll" else '"poll"', "when-full": '"refuse"', "log-level": '"debug"',
            "tls-min-version": '"1.3"', "tls-keylog": f'"{self.path("keys")}"',
            "tls-ticket-keys": f'{{"{self.path("ticket.key")}"}}', "stats-file": f'"{self.path("stats")}"',
            "index": '"other.html"', "conn-memory": '"1m"',
        }

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, **changed):
        values = {**self.base, **{name.replace("_", "-"): value for name, value in changed.items()}}
        with open(self.conf, "w", encoding="ascii") as to:
            to.writelines(f"{name} = {value}\n" for name, value in values.items())

    def log(self):
        with open(self.log_file, encoding="ascii") as log:
            return log.read()

    def start(self):
        self.write()
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen([TAIOD, "-c", self.conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
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

    def test_every_option_is_applied_or_named(self):
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
        with open(self.path("ports"), encoding="ascii") as ports:
            plain, tls = (int(line.split()[0].rsplit(":", 1)[1]) for line in ports)
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

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

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


if __name__ == "__main__":
    unittest.main()
