#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Nth call of each site fails, N = 1, 2, ... until a run in which nothing failed.

For each site taiod is started under the shim (fault.c) twice for each N: once the count begins with the
process, once with the first of four requests (http, http over TLS, echo, and echo behind a proxy that ends TLS). What must hold:
  - a failure at start ends it with status 1 and one or more lines on stderr, or does no harm;
  - a failure while it serves may cost requests, but every client gets an answer or an end in bounded time;
  - it never crashes; the next connection to each listener is served; no descriptor and no connection is left;
    SIGTERM ends it with status 0.

Sites with many calls are sampled ever more thinly; --all tries every one.
"""
import argparse
import mmap
import os
import ssl
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
# pylint: disable=wrong-import-position
from harness import ENGINE, Http, Server, connect, exchange, pattern, read_to_end, until  # noqa: E402

SITES = ("none", "malloc", "malloc-tls", "accept4", "openat2", "open", "socket", "fcntl", "setsockopt", "shutdown",
         "eventfd", "epoll-create", "epoll-ctl", "io-setup", "io-submit", "io-cancel", "pthread-create")
AT_START, SERVING = "at start", "serving"
CLIENT_S = 8  # any request has ended after this
# Whether OpenSSL, the system's as taiod's, goes on without what it could not fetch (seen with 3.5, never with 3.0).
ODD_OPENSSL = ssl.OPENSSL_VERSION_INFO >= (3, 1)
DENSE = 12  # up to this N each is tried, then every N that is larger by a quarter


class Plan:
    """The file that the shim has mapped: site, nth, armed, count, failed."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "plan")
        with open(self.path, "wb") as file:
            file.write(bytes(20))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 20)

    def write(self, site, nth, armed):
        self.map[:] = struct.pack("<5I", SITES.index(site), nth, armed, 0, 0)

    def arm(self):
        self.map[8:12] = struct.pack("<I", 1)

    def disarm(self):
        self.map[8:12] = struct.pack("<I", 0)

    @property
    def failed(self):
        return bool(struct.unpack("<5I", self.map[:])[4])


class Scene:
    def __init__(self, directory, shim):
        self.directory, self.plan = directory, Plan(directory)
        self.root = os.path.join(directory, "root")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "a.bin"), "wb") as file:
            file.write(pattern(100000))
        # What is behind the proxy; nothing fails there.
        self.behind = Server("service=echo")
        self.map = os.path.join(directory, "map")
        with open(self.map, "w", encoding="ascii") as file:
            file.writelines(f"{name}.test 127.0.0.1:{self.behind.port}\n" for name in ("one", "*.two"))
        self.env = dict(os.environ, LD_PRELOAD=shim, FAULT_PLAN=self.plan.path)

    def server(self):
        """The certificate is made once, and kept."""
        return Server(f"service=http,root={self.root}", f"service=http,root={self.root},tls", "service=echo",
                      f"service=proxy,tls,to=127.0.0.1:{self.behind.port},sni-map={self.map},check=1h",
                      env=self.env, options=(
                          "--state-dir", os.path.join(self.directory, "state"), "--idle-timeout", "1s",
                          "--header-timeout", "1s", "--handshake-timeout", "1s", "--write-timeout", "1s",
                          "--linger-timeout", "300ms", "--drain-timeout", "2s", "--file-cache", "0",
                          "--max-connections", "100"))

    @staticmethod
    def requests(server):
        """One on each listener; each must end. How many were answered in full."""
        answered, data = 0, pattern(30000)
        for index in range(4):
            since = time.monotonic()
            sock = None
            try:
                sock = connect(server.ports[index], tls=index in (1, 3), timeout=CLIENT_S)
                if index >= 2:
                    answered += exchange(sock, data) == data
                else:
                    answer = Http(sock).get("/a.bin", Connection="close" if index == 0 else "keep-alive")
                    answered += answer.status == 200 and answer.body == pattern(100000)
                    sock.close()
            except TimeoutError:
                raise AssertionError(f"request {index} hangs") from None
            except (AssertionError, OSError, ValueError):
                assert time.monotonic() - since < CLIENT_S, f"request {index} took too long to fail"
            finally:
                if sock:
                    sock.close()
        return answered

    def idle(self, server):
        """A connection that is left to its idle timeout, so that there is something to cancel."""
        sock = connect(server.ports[2], timeout=CLIENT_S)
        try:
            read_to_end(sock)
        except TimeoutError:
            raise AssertionError("the idle connection is never closed") from None
        finally:
            sock.close()

    def served(self, server):
        """After the failure: every listener serves in full, and nothing is left."""
        self.plan.disarm()
        until(lambda: self.requests(server) == 4, "every listener serves again", 3)
        server.until_idle()
        until(lambda: server.fds() <= server.fds_before,
              f"no descriptor is left ({server.fds()}, before {server.fds_before})", 5)
        server.stop()

    def at_start(self, site, nth):
        """Whether a call failed."""
        self.plan.write(site, nth, 1)
        try:
            server = self.server()
        except AssertionError as e:
            self.plan.disarm()
            assert self.plan.failed, f"it did not start, and nothing failed: {e}"
            assert "taiod ended with 1:\n" in str(e), f"a failure at start must end with 1: {e}"
            assert "taiod" in str(e).split("\n", 1)[1], f"a failure at start says nothing: {e}"
            return True
        try:
            # libev makes a pipe where it gets no eventfd.
            server.fds_before = min(server.fds_before, self.usual_fds + (site == "eventfd"))
            try:
                self.served(server)
            except AssertionError:
                # SSL_CTX_new() takes a digest that it has no memory to fetch for one that does not exist. Then every
                # handshake ends with an error, and the rest is served.
                if site != "malloc-tls" or not ODD_OPENSSL or "TLS: EVP lib" not in server.log():
                    raise
                assert self.requests(server) == 2, "what is not TLS is served"
                server.stop()
        finally:
            server.kill()
        return self.plan.failed

    def serving(self, site, nth):
        self.plan.write(site, nth, 0)
        server = self.server()
        try:
            # What OpenSSL fetches once for all it never fetches again if that fails (3.0: an algorithm is marked as
            # looked up before it is). So what it does once is done before.
            if site == "malloc-tls":
                assert self.requests(server) == 4, server.log()
            self.plan.arm()
            self.requests(server)
            if site == "io-cancel":
                self.idle(server)
            failed = self.plan.failed
            self.served(server)
        finally:
            server.kill()
        return failed

    def warm(self):
        """Makes the certificate; and how many descriptors a healthy server has."""
        self.plan.write("none", 0, 0)
        server = self.server()
        self.usual_fds = server.fds()
        assert self.requests(server) == 4, server.log()
        server.stop()


def steps(every):
    n = 1
    while True:
        yield n
        n += 1 if every or n < DENSE else n // 4


def try_site(scene, site, phase, every):
    """How many N were tried, and what went wrong with them."""
    body = scene.at_start if phase == AT_START else scene.serving
    tried, bad = 0, []
    for nth in steps(every):
        try:
            if not body(site, nth):
                return tried, bad
        except (AssertionError, subprocess.TimeoutExpired, OSError) as e:
            bad.append(f"{site} {nth} {phase}: {e}")
            if len(bad) >= 5:
                return tried, bad
        tried += 1
    raise AssertionError("not reached")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="try every N")
    parser.add_argument("--site", choices=SITES[1:], help="this site alone")
    parser.add_argument("--phase", choices=(AT_START, SERVING), help="this phase alone")
    parser.add_argument("--nth", type=int, help="this N alone, and its end in full")
    args = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory(prefix="taiod-fault-") as directory:
        scene = Scene(directory, os.path.abspath(os.environ["FAULT_SHIM"]))
        scene.warm()
        for site in [args.site] if args.site else SITES[1:]:
            for phase in [args.phase] if args.phase else (AT_START, SERVING):
                if args.nth:
                    (scene.at_start if phase == AT_START else scene.serving)(site, args.nth)
                    continue
                since = time.monotonic()
                tried, bad = try_site(scene, site, phase, args.all)
                print(f"{ENGINE}: {site} {phase}: {tried} failures, {len(bad)} bad "
                      f"({time.monotonic() - since:.1f} s)", flush=True)
                failures += bad
        scene.behind.stop()
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
