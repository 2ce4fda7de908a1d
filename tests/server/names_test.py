# SPDX-License-Identifier: MIT
"""Backends by name: resolved at the start and at each reload, off the workers' loops."""
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import PATIENCE, Server, connect, read_exactly, read_to_end, run, until
from proxy_test import Backend

TAIOD_HOSTS = os.environ.get("TAIOD_HOSTS", "build/release/bin/taiod-hosts")
RELOADED = "configuration and certificates reloaded"


class Names(unittest.TestCase):
    def setUp(self):
        self.one, self.two = self.at_one_port()
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)

    @staticmethod
    def at_one_port():
        """Two backends at the same port of two addresses, one that nobody else has at either."""
        for _ in range(100):
            one = Backend()
            with contextlib.suppress(OSError):
                return one, Backend(host="127.0.0.2", port=one.port)
            one.close()
        raise AssertionError("no port is free at both addresses")

    def serve(self, words, hosts, options=()):
        server = Server(f"service=proxy,{words}", options=options, program=TAIOD_HOSTS, env=self.set_hosts(hosts))
        self.addCleanup(server.kill)
        return server

    def set_hosts(self, hosts):
        """The environment in which these, "NAME ADDRESS", are all hosts under .test."""
        if not hasattr(self, "hosts"):
            self.hosts = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"taiod-hosts-{os.getpid()}-{id(self)}")
            self.addCleanup(os.unlink, self.hosts)
        with open(self.hosts + ".new", "w", encoding="ascii") as to:
            to.writelines(line + "\n" for line in hosts)
        os.rename(self.hosts + ".new", self.hosts)
        return {**os.environ, "TAIO_TEST_HOSTS": self.hosts}

    def reload(self, server, done=RELOADED):
        before = len(server.log())
        server.signal(signal.SIGHUP)
        until(lambda: done in server.log()[before:], f"'{done}' in the log")
        return server.log()[before:]

    def assert_reaches(self, server, backend):
        with connect(server.port) as client, backend.accept() as peer:
            client.sendall(b"x")
            self.assertEqual(read_exactly(peer, 1), b"x")

    def test_a_reload_resolves_again(self):
        server = self.serve(f"to=one.test:{self.one.port}", ["one.test 127.0.0.1"], ("--workers", "4"))
        with connect(server.port) as old, self.one.accept() as peer:
            self.assert_reaches(server, self.one)
            self.set_hosts(["one.test 127.0.0.2"])
            self.reload(server)
            for _ in range(12):
                self.assert_reaches(server, self.two)
            # What is established stays where it is.
            old.sendall(b"still")
            self.assertEqual(read_exactly(peer, 5), b"still")
        server.stop()

    def test_each_address_of_a_name_is_a_backend(self):
        server = self.serve(f"to=one.test:{self.one.port}", ["one.test 127.0.0.1", "one.test 127.0.0.2"])
        for backend in (self.one, self.two) * 2:
            self.assert_reaches(server, backend)
        server.stop()

    def test_a_name_that_is_lost_keeps_its_addresses(self):
        server = self.serve(f"to=one.test:{self.one.port},to=two.test:{self.one.port}",
                            ["one.test 127.0.0.1", "two.test 127.0.0.1"])
        self.set_hosts(["two.test 127.0.0.2"])
        log = self.reload(server)
        self.assertRegex(log, "warning: cannot resolve 'one.test': .*: it keeps the addresses that it has")
        for backend in (self.one, self.two) * 2:
            self.assert_reaches(server, backend)
        server.stop()

    def test_a_name_that_has_never_been_there_is_refused(self):
        done = run(TAIOD_HOSTS, "--listen", "127.0.0.1:0,service=proxy,to=nowhere.test:80", "--workers", "1",
                   env=self.set_hosts(["one.test 127.0.0.1"]))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot resolve 'nowhere.test'", done.stderr)
        # It is not looked up to check the syntax.
        done = run(TAIOD_HOSTS, "-t", "--listen", "127.0.0.1:0,service=proxy,to=nowhere.test:80")
        self.assertEqual(done.returncode, 0)

    def test_a_slow_resolver_stops_nothing(self):
        server = self.serve(f"to=one.test:{self.one.port}", ["one.test 127.0.0.1"])
        with connect(server.port) as old, self.one.accept() as peer:
            with open(self.hosts + ".wait", "w", encoding="ascii"):
                pass
            try:
                server.signal(signal.SIGHUP)
                until(lambda: self.is_waiting(server), "the resolver is being waited for")
                for i in range(20):
                    data = b"%d" % i
                    old.sendall(data)
                    self.assertEqual(read_exactly(peer, len(data)), data)
                    peer.sendall(data)
                    self.assertEqual(read_exactly(old, len(data)), data)
                self.assert_reaches(server, self.one)
                until(lambda: self.is_waiting(server), "it still is")
                self.assertNotIn(RELOADED, server.log())
            finally:
                os.unlink(self.hosts + ".wait")
            until(lambda: RELOADED in server.log(), "the reload")
        server.stop()

    def test_a_hangup_during_a_slow_start_is_a_reload_after_it(self):
        """By default it would end the process, and systemd take that for an orderly end."""
        env = self.set_hosts(["one.test 127.0.0.1"])
        with open(self.hosts + ".wait", "w", encoding="ascii"), tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen([TAIOD_HOSTS, "--workers", "1", "--max-connections", "100", "--listen",
                                        f"127.0.0.1:0,service=proxy,to=one.test:{self.one.port}"], env=env, stderr=log)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)

            def said():
                log.seek(0)
                return log.read()

            try:
                until(lambda: self.is_waiting(process), "the resolver is being waited for")
                process.send_signal(signal.SIGHUP)
                process.send_signal(signal.SIGUSR1)
            finally:
                os.unlink(self.hosts + ".wait")
            until(lambda: RELOADED in said() or process.poll() is not None, "the reload")
            process.terminate()
            self.assertEqual(process.wait(PATIENCE), 0, said())
            self.assertIn(RELOADED, said())

    @staticmethod
    def is_waiting(server):
        """Whether the main thread sleeps in the resolver."""
        with open(f"/proc/{server.pid}/wchan", encoding="ascii") as file:
            return "nanosleep" in file.read()


if __name__ == "__main__":
    unittest.main()
