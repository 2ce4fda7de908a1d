# SPDX-License-Identifier: MIT
"""What an upgrade costs the clients: latency under a steady load with one in the midst of it, and without."""
import os
import shutil
import signal
import socket
import statistics
import sys
import threading
import time

from rig import Server, spread

RUN_S = 3
GOAL = 2.0  # at most so many times the latency without
WAIT_S = 30


class Upgradable(Server):
    """taiod from a file of its own, with this program as its service manager."""

    def __init__(self, env):
        self.directory = os.path.join(env.dir, "upgrade")
        os.mkdir(self.directory)
        self.taiod = env.bin("taiod")
        self.program = os.path.join(self.directory, "taiod")
        shutil.copy(self.taiod, self.program)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory, "notify"))
        self.notify.settimeout(WAIT_S)
        os.environ["NOTIFY_SOCKET"] = self.notify.getsockname()
        ports = os.path.join(self.directory, "ports")
        try:
            super().__init__([self.program, "--workers", "1", "--engine", "poll", "--log-level", "warning", "--port-file", ports,
                              "--listen", "127.0.0.1:0,service=http,root=" + env.root], lambda: os.path.exists(ports))
        finally:
            del os.environ["NOTIFY_SOCKET"]
        with open(ports, encoding="ascii") as lines:
            self.target = lines.read().split()[0]
        self.main = self.process.pid

    def message(self):
        return dict(line.split("=", 1) for line in self.notify.recv(4096).decode().splitlines())

    def upgrade(self):
        shutil.copy(self.taiod, self.program + ".new")
        os.rename(self.program + ".new", self.program)
        os.kill(self.main, signal.SIGHUP)
        told = self.message()
        while "MAINPID" not in told:
            if told.get("STATUS", "").startswith("upgrade failed"):
                sys.exit("bench: " + told["STATUS"])
            told = self.message()
        self.main = int(told["MAINPID"])

    def stop(self):
        os.kill(self.main, signal.SIGTERM)
        super().stop()
        self.notify.close()


def bench_upgrade(env):
    """Errors of taio-load end the benchmark (Env.load): there are none."""
    print("upgrade: http 1 KiB, 64 connections, open loop at half the peak rate, %d s a run: latency in us" % RUN_S)
    with Upgradable(env) as server:
        url = "http://%s/1k.html" % server.target
        peak = env.load("http", url, "--connections", "64", "--duration", "%ds" % RUN_S)["requests_per_second"]

        def run(upgrades):
            timer = threading.Timer(RUN_S / 2, server.upgrade)
            if upgrades:
                timer.start()
            report = env.load("http", url, "--connections", "64", "--rate", "%d" % (peak / 2), "--duration", "%ds" % RUN_S,
                              "--max-lag", "1s")
            if upgrades:
                timer.join()
            time.sleep(0.5)
            return report["latency_us"]

        run(False), run(True)
        with_one, without = [], []
        for i in range(10):
            for upgrades in (i % 2 == 0, i % 2 == 1):
                (with_one if upgrades else without).append(run(upgrades))
        for key, name in (("p50", "p50"), ("p99", "p99"), ("p99_9", "p99.9"), ("max", "max")):
            a, b = [one[key] for one in with_one], [one[key] for one in without]
            median, least, most = spread([x / y for x, y in zip(a, b)])
            verdict = "" if key != "p99_9" else "  goal %.1f: %s" % (GOAL, "met" if median <= GOAL else "MISSED")
            print("  %-6s %10.0f with, %10.0f without   %.3f  (%.3f .. %.3f)%s"
                  % (name, statistics.median(a), statistics.median(b), median, least, most, verdict))
        print("  11 upgrades at %d requests/s, no error" % (peak / 2))
