# SPDX-License-Identifier: MIT
"""What the tests of taio-load share: peers, a certificate, running it and reading what it reports.

Bounds on time are as wide as a busy machine of two cores needs.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD, SCHEMA = sys.argv[1:3]  # the program's, of each module
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
WAIT_S = 60
TMP = tempfile.TemporaryDirectory()
CERT, KEY = os.path.join(TMP.name, "cert.pem"), os.path.join(TMP.name, "key.pem")


def main():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", KEY, "-out", CERT, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)


class Peer:
    """A running peer.py; it ends with its standard input."""

    def __init__(self, *behaviour, tls=False, port=0):
        command = [sys.executable, os.path.join(HERE, "peer.py"), *map(str, behaviour), "--port", str(port)]
        if tls:
            command += ["--cert", CERT, "--key", KEY]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())

    def counts(self):
        """Ends it; returns how many connections it had accepted and how many requests it had served."""
        self.process.stdin.close()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Nginx:
    """A running nginx that responds to every request; @extra are directives of its server."""

    CONFIG = """
daemon off;
master_process off;
pid {dir}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{ listen 127.0.0.1:{port}; {extra} location / {{ return 200 "hello"; }} }}
}}
"""

    def __init__(self, extra):
        self.dir = tempfile.mkdtemp(dir=TMP.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = os.path.join(self.dir, "conf")
        with open(config, "w") as file:
            file.write(self.CONFIG.format(dir=self.dir, port=self.port, extra=extra))
        self.process = subprocess.Popen([NGINX, "-c", config, "-e", "stderr"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + WAIT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise AssertionError("nginx does not listen")
            time.sleep(0.02)

    def served(self):
        with open(os.path.join(self.dir, "access.log")) as file:
            return len(file.readlines())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Result:
    def __init__(self, code, out, err, path):
        self.code, self.out, self.err = code, out, err
        self.json = None
        if os.path.exists(path) and os.path.getsize(path):
            with open(path) as file:
                self.json = json.load(file)


class Case(unittest.TestCase):
    def start(self, mode, target, *options):
        self.path = os.path.join(TMP.name, "%s.json" % self.id())
        if os.path.exists(self.path):
            os.unlink(self.path)
        return subprocess.Popen([LOAD, mode, str(target), *map(str, options), "--json", self.path],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, process):
        try:
            out, err = process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        self.assertGreaterEqual(process.returncode, 0, err)
        return Result(process.returncode, out, err, self.path)

    def load(self, mode, peer, *options, url=None):
        target = url.replace("PORT", str(peer.port)) if url else "127.0.0.1:%d" % peer.port
        return self.end(self.start(mode, target, *options))

    def wait_for_second_line(self, csv):
        """The first second was measured."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if os.path.exists(csv):
                with open(csv) as file:
                    if len(file.readlines()) > 1:
                        return
            time.sleep(0.02)
        self.fail("nothing was measured")

    def assert_success(self, result):
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(result.err, "")
        self.assertEqual(result.json["errors"], 0)
        self.assertIsNone(result.json["failure"])

    def assert_errors(self, result, kind, least=1):
        """Errors of this kind and no other; exit 1 with one line that says why."""
        self.assertEqual(result.code, 1, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertGreaterEqual(result.json["errors_by_kind"][kind], least, result.json["errors_by_kind"])
        self.assertEqual(result.json["errors"], result.json["errors_by_kind"][kind], result.json["errors_by_kind"])
