#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that know nothing of taio, as they are and under `taio run`, in a guest of scripts/vm.

usage: programs_test.py [unittest arguments]
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from slow_disk import SlowDisk

NGINX = "build/release/nginx-aio"
LIMIT_S = 120
REQUEST_MS = 30
STOCK, RUN = (), ("taio", "run", "--")
PORT = 8079


def operations():
    """Of the module, since it was loaded. One is of `taio run`, which tries it."""
    with open("/sys/kernel/debug/taio/counters", encoding="ascii") as lines:
        counters = dict(line.split() for line in lines)
    return int(counters["submitted"]) + int(counters["inline_done"])


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taio-programs.", dir=os.environ["SCRATCH"])
        self.addCleanup(shutil.rmtree, self.dir)

    def finishes(self, how, *command):
        """Runs it, one way or the other; it goes by way of the module only where it should."""
        before = operations()
        done = subprocess.run([*how, *map(str, command)], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if how == RUN:
            self.assertGreater(operations(), before + 1)
        else:
            self.assertEqual(operations(), before)
        return done.stdout


class Fio(Case):
    @classmethod
    def setUpClass(cls):
        """A request takes so long that what waits for one shows in the median."""
        cls.disk = SlowDisk(1, REQUEST_MS)
        cls.addClassCleanup(cls.disk.close)

    def fio(self, how, **options):
        report = os.path.join(self.dir, "report")
        words = ["--%s=%s" % (name, value) for name, value in options.items()]
        self.finishes(how, "fio", "--name=job", "--ioengine=libaio", "--bs=4k", "--output-format=json",
                      "--output=" + report, "--slat_percentiles=1", *words)
        with open(report, encoding="ascii") as file:
            job = json.load(file)["jobs"][0]
        self.assertEqual(job["error"], 0)
        return job

    def test_buffered_reads_wait_side_by_side(self):
        path = os.path.join(self.disk.mount(), "file")
        with open(path, "wb") as file:
            file.write(bytes(8 << 20))
        iops, slat_ns = {}, {}
        for how in (STOCK, RUN):
            drop_caches()
            read = self.fio(how, filename=path, rw="randread", size="8m", iodepth=32, runtime=2)["read"]
            iops[how], slat_ns[how] = read["iops"], read["slat_ns"]["percentile"]["50.000000"]
        self.assertGreater(iops[RUN], 4 * iops[STOCK], iops)
        self.assertLess(10 * slat_ns[RUN], slat_ns[STOCK], slat_ns)

    def test_what_is_written_is_read(self):
        for how in (STOCK, RUN):
            for options in ({"rw": "randrw"}, {"rw": "write", "direct": 1}):
                with self.subTest(how=how, **options):
                    self.fio(how, directory=self.dir, size="1m", iodepth=16, verify="crc32c", fsync_on_close=1,
                             verify_fatal=1, unlink=1, **options)

    def test_extending_direct_writes_do_not_wait_for_the_disk(self):
        """While fdatasync is called for another file every second."""
        slat_ns = {}
        for how in (STOCK, RUN):
            path = os.path.join(self.disk.mount(), "log")
            other = subprocess.Popen([sys.executable, "-c", SYNCING, self.disk.mount()])
            try:
                write = self.fio(how, filename=path, rw="write", size="8m", iodepth=8, direct=1, fallocate="none",
                                 create_on_open=1, file_append=1, runtime=2, time_based=1)["write"]
            finally:
                other.kill()
                other.wait()
            os.unlink(path)
            slat_ns[how] = write["slat_ns"]["percentile"]["50.000000"]
        self.assertLess(10 * slat_ns[RUN], slat_ns[STOCK], slat_ns)


SYNCING = """
import os, sys, time
fd = os.open(sys.argv[1] + "/synced", os.O_WRONLY | os.O_CREAT)
while True:
    os.write(fd, bytes(4096))
    os.fdatasync(fd)
    time.sleep(1)
"""


class StressNg(Case):
    def test_aiol(self):
        for how in (STOCK, RUN):
            self.finishes(how, "stress-ng", "--aiol", 2, "--aiol-ops", 100, "--temp-path", self.dir, "--verify",
                          "--timeout", 30)


class Nginx(Case):
    CONFIG = """
        daemon off;
        pid {dir}/pid;
        error_log {dir}/errors;
        user www-data;
        worker_processes 2;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {dir}/body;
            proxy_temp_path {dir}/proxy;
            fastcgi_temp_path {dir}/fastcgi;
            uwsgi_temp_path {dir}/uwsgi;
            scgi_temp_path {dir}/scgi;
            server {{ listen 127.0.0.1:{port}; root {dir}/root; aio on; directio 4k; }}
        }}
    """
    SIZES = (4096, 100_001, 3 << 20)

    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        os.mkdir(os.path.join(self.dir, "root"))
        self.digests = {}
        for size in self.SIZES:
            content = os.urandom(size)
            self.digests[size] = hashlib.sha256(content).hexdigest()
            with open(os.path.join(self.dir, "root", str(size)), "wb") as file:
                file.write(content)
        self.config = os.path.join(self.dir, "nginx.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(self.CONFIG.format(dir=self.dir, port=PORT))

    def get(self, *words):
        return subprocess.run(["curl", "-sS", "--retry", "50", "--retry-connrefused", "--retry-delay", "0",
                               "--retry-max-time", "30", *words], capture_output=True, check=True, timeout=LIMIT_S).stdout

    def serve(self, how):
        server = subprocess.Popen([*how, NGINX, "-p", self.dir, "-c", self.config])
        try:
            for size in self.SIZES:
                body = self.get("http://127.0.0.1:%d/%d" % (PORT, size))
                self.assertEqual(hashlib.sha256(body).hexdigest(), self.digests[size])
            # Some at once, over and over.
            load = subprocess.run(["wrk", "-c", "8", "-t", "1", "-d", "2", "http://127.0.0.1:%d/%d" % (PORT, 100_001)],
                                  capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout
            self.assertNotIn("Non-2xx", load)
            self.assertNotIn("Socket errors", load)
        finally:
            server.terminate()
            server.wait(LIMIT_S)
        with open(os.path.join(self.dir, "errors"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "")

    def test_files_by_aio(self):
        before = operations()
        self.serve(STOCK)
        self.assertEqual(operations(), before)
        self.serve(RUN)
        self.assertGreater(operations(), before + len(self.SIZES))


class Installed(Case):
    """Away from where it was built, and without a library of its own."""

    def setUp(self):
        super().setUp()
        os.mkdir(os.path.join(self.dir, "bin"))
        self.taio = shutil.copy(shutil.which("taio"), os.path.join(self.dir, "bin"))

    def run_echo(self):
        done = subprocess.run([self.taio, "run", "--policy=task", "--", "sh", "-c", "echo $TAIO_POLICY $LD_PRELOAD"],
                              capture_output=True, text=True, timeout=LIMIT_S, check=True,
                              env={**os.environ, "LD_PRELOAD": "libc.so.6"})
        return done.stdout + done.stderr

    def test_the_library_is_found_where_it_is_installed(self):
        lib = os.path.join(self.dir, "lib", os.uname().machine + "-linux-gnu", "taio")
        os.makedirs(lib)
        library = shutil.copy(os.path.join(os.path.dirname(shutil.which("taio")), "libtaio-preload.so"), lib)
        task, preloaded = self.run_echo().split()
        self.assertEqual(task, "task")
        self.assertEqual([os.path.realpath(path) for path in preloaded.split(":")[:1]], [os.path.realpath(library)])
        self.assertEqual(preloaded.split(":")[1:], ["libc.so.6"])

    def test_without_its_library_it_says_so(self):
        self.assertRegex(self.run_echo(), r"taio: running sh as it is: libtaio-preload.so is neither beside taio nor in ")


class Refused(unittest.TestCase):
    """What cannot be preloaded runs as it is, and taio says why."""

    def says(self, program, why):
        done = subprocess.run([*RUN, program, "--help"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertRegex(done.stderr, r"(?m)^taio: running %s as it is: .*%s" % (program, why))
        self.assertEqual(done.returncode, 0)

    def test_a_static_program(self):
        self.says("/sbin/ldconfig", "linked statically")

    def test_a_program_that_gains_privileges(self):
        command = "taio run -- passwd --help >/dev/null"
        done = subprocess.run(["setpriv", "--reuid=alice", "--regid=taio", "--clear-groups", "sh", "-c", command],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertRegex(done.stderr, r"\Ataio: running passwd as it is: it gains privileges")

    def test_a_user_who_may_not(self):
        done = subprocess.run(["setpriv", "--reuid=mallory", "--regid=nogroup", "--clear-groups", *RUN, "echo", "yes"],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "yes\n"))
        self.assertRegex(done.stderr, r"\Ataio: running echo as it is: permission denied for /dev/taio")


if __name__ == "__main__":
    unittest.main(verbosity=2)
