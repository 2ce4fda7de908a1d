# SPDX-License-Identifier: MIT
"""The slots of fs.aio-max-nr, which all processes share: a server takes what its connections need, and says what it lacks.

Needs root: the limit is the machine's. Nothing else that takes slots may run beside it."""
import contextlib
import os
import re
import subprocess
import time
import unittest

from harness import ENGINE, PATIENCE, SLOW, TAIOD, TAIO_LOAD, Server, connect, exchange, run, taiod, until

LIMIT = "/proc/sys/fs/aio-max-nr"
TAIO = os.path.join(os.path.dirname(TAIOD), "taio")


def read_number(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


@contextlib.contextmanager
def free_slots(count):
    """fs.aio-max-nr leaves @count slots beside those that are taken."""
    before = read_number(LIMIT)

    def write(value):
        with open(LIMIT, "w", encoding="ascii") as file:
            file.write(str(value))
    write(read_number("/proc/sys/fs/aio-nr") + count)
    try:
        yield
    finally:
        write(before)


class Slots(unittest.TestCase):
    # As an operator starts it: the harness would take less.
    DEFAULTS = ("--max-connections", "10240")

    def connections(self, server, count):
        socks = [connect(server.port) for _ in range(count)]
        for sock in socks:
            self.addCleanup(sock.close)
        return socks

    def test_few_slots_serve_as_many_connections_as_they_can(self):
        with free_slots(2048), Server("service=echo", options=(*self.DEFAULTS, "--workers", "2")) as server:
            self.assertRegex(server.log(), r"warning: 10240 connections may need 20608 slots, two each: \d+ of fs\.aio-max-nr "
                                           r"= \d+ slots are taken, about \d+ of them by taiod \(pid \d+\)")
            socks = self.connections(server, 500)
            for sock in socks:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            for sock in socks:
                sock.close()
            server.until_idle()

    def test_a_full_ring_says_so_and_lets_others_wait(self):
        with free_slots(128), Server("service=echo", options=self.DEFAULTS) as server:
            socks = self.connections(server, 80)
            for sock in socks[:64]:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            until(lambda: "full at 64 connections" in server.log(), "what it could not get")
            self.assertRegex(server.log(), r"full at 64 connections, which need two slots each: \d+ of fs\.aio-max-nr = \d+ "
                                           r"slots are taken; raise fs\.aio-max-nr; taio engines shows which process holds them")
            for sock in socks[:16]:
                sock.close()
            for sock in socks[16:]:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            for sock in socks:
                sock.close()
            server.until_idle()
            self.assertEqual(server.stats()["accepted"], 80)

    def test_more_slots_are_used_once_there_are_some(self):
        with Server("service=echo", options=self.DEFAULTS) as server:
            with free_slots(0):
                socks = self.connections(server, 150)
                until(lambda: "full at 128 connections" in server.log(), "what it could not get")
            socks[0].close()  # it tries again when one ends
            for sock in socks[1:]:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            for sock in socks:
                sock.close()
            server.until_idle()

    def test_slots_that_others_free_are_used_without_one_that_ends(self):
        with Server("service=echo", options=self.DEFAULTS) as server:
            with free_slots(0):
                socks = self.connections(server, 150)
                for sock in socks[:128]:
                    self.assertEqual(exchange(sock, b"hello"), b"hello")
                until(lambda: "full at 128 connections" in server.log(), "what it could not get")
                time.sleep(2.5)  # it looks twice, and accepts nobody in vain
                stats = server.stats()
                self.assertEqual((stats["accepted"], stats["refused_full"], stats["accept_errors"]), (128, 0, 0))
                self.assertEqual(server.log().count("full at"), 1)
            for sock in socks:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            for sock in socks:
                sock.close()
            server.until_idle()
            self.assertEqual(server.stats()["accepted"], 150)

    def test_too_few_for_all_workers_is_the_next_engine_for_all(self):
        """A ring needs 64 at least: there are enough for the first worker alone."""
        with free_slots(100), \
                Server("service=echo", options=(*self.DEFAULTS, "--workers", "2"), engine="auto") as server:
            self.assertNotIn(server.stats()["engine"].split(":")[0], ("poll", "kmod"))
            self.assertRegex(server.log(), r"notice: engine threads:\S+: .*(poll|kmod:task): ring 2 of 2: io_setup: \d+ of fs\.aio-max-nr = \d+ "
                                           r"slots")
            socks = self.connections(server, 8)
            for sock in socks:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                sock.close()
            server.until_idle()

    def test_none_left_is_the_next_engine_for_auto_and_a_reason_for_others(self):
        with free_slots(0):
            with Server("service=echo", options=(*self.DEFAULTS, "--workers", "2"), engine="auto") as server:
                self.assertNotIn(server.stats()["engine"].split(":")[0], ("poll", "kmod"))
                sock = connect(server.port)
                self.assertEqual(exchange(sock, b"hello"), b"hello")
                sock.close()
            done = taiod("--engine", ENGINE, "--listen", "127.0.0.1:0,service=echo", *self.DEFAULTS)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"io_setup: \d+ of fs\.aio-max-nr = \d+ slots are taken.* more are needed: sysctl -w fs\.aio-max-nr=\d+")

    def test_a_limit_below_what_is_taken_is_explained_by_what_is_taken(self):
        """Some may be lowered, and a mapped ring has more than it asked for: the advice suffices, the holder has no more than all."""
        with Server("service=echo", options=self.DEFAULTS), free_slots(0), open(LIMIT, "w", encoding="ascii") as limit:
            limit.write("16")
            limit.flush()
            done = taiod("--engine", ENGINE, "--listen", "127.0.0.1:0,service=echo", *self.DEFAULTS)
            numbers = re.search(r"(\d+) of .*, about (\d+) of them .* (\d+) more are needed: sysctl -w \S+=(\d+)", done.stderr)
            taken, held, wanted, advice = map(int, numbers.groups())
            self.assertLessEqual(held, taken)
            self.assertGreaterEqual(advice, taken + wanted)

    def test_four_servers_two_loads_and_a_ping(self):
        """At the kernel's own limit, with the defaults of each program."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(free_slots(65536 - read_number("/proc/sys/fs/aio-nr")))
            servers = [stack.enter_context(Server("service=echo", options=self.DEFAULTS)) for _ in range(4)]
            loads = [subprocess.Popen([TAIO_LOAD, "echo", f"127.0.0.1:{server.port}", "-c", str(256 // SLOW), "-d", "2s",
                                       "--engine", ENGINE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                     for server in servers[:2]]
            for load in loads:
                stack.callback(load.kill)
            for server in servers:
                done = run(TAIO, "-e", ENGINE, "ping", f"127.0.0.1:{server.port}", "-c", "3")
                self.assertEqual(done.returncode, 0, done.stderr)
            for load in loads:
                said, _ = load.communicate(timeout=PATIENCE)
                self.assertEqual(load.returncode, 0, said)
                self.assertGreater(int(re.search(r"requests +(\d+)", said)[1]), 100)

    def test_taio_engines_says_what_is_taken_and_by_whom(self):
        with Server("service=echo", options=self.DEFAULTS) as server:
            socks = self.connections(server, 1000)
            for sock in socks:
                self.assertEqual(exchange(sock, b"hello"), b"hello")
            done = run(TAIO, "engines")
            self.assertRegex(done.stdout.decode(), rf"slots of io_setup\(2\), two for a connection: \d+ of fs\.aio-max-nr = \d+ "
                             rf"slots are taken, about \d+ of them by taiod \(pid {server.process.pid}\), \d+ are free\n")
            for sock in socks:
                sock.close()
            server.until_idle()


if __name__ == "__main__":
    unittest.main()
