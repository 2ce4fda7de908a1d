# SPDX-License-Identifier: MIT
"""What the parts of scripts/bench share: servers on one processor, taio-load on the other, medians."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SERVER_CPU, LOAD_CPU = "0", "1"
NGINX_CONF = """
daemon off; worker_processes 1; error_log stderr crit; pid {dir}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
    keepalive_requests 1000000000; keepalive_timeout 65;
    types {{ text/html html; }}
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} ssl backlog=4096;
        ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
        root {root};
    }}
}}
"""


class Server:
    """A process pinned to a processor, the server's by default, stopped by its process id."""

    def __init__(self, command, ready, cpu=SERVER_CPU):
        self.process = subprocess.Popen(["taskset", "-c", cpu] + command,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        limit = time.monotonic() + 10
        while not ready():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.stop()
                sys.exit("bench: %s did not start: %s" % (command[0], self.process.stderr.read().decode()))
            time.sleep(0.02)

    def pids(self):
        """The process and its children (nginx has a worker below its master)."""
        path = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        with open(path, encoding="ascii") as children:
            return [self.process.pid] + [int(pid) for pid in children.read().split()]

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="ascii") as stat:
                    total += int(stat.read().split()[0])
        return total / 1e9

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Taiod(Server):
    def __init__(self, env, engine, listen, *options, cpu=SERVER_CPU):
        self.ports_file = os.path.join(env.dir, "ports-%s-%s" % (engine.replace(":", "-"), cpu))
        if os.path.exists(self.ports_file):
            os.unlink(self.ports_file)
        command = [env.bin("taiod"), "--engine", engine, "--workers", "1", "--log-level", "warning",
                   "--port-file", self.ports_file, "--cert", env.cert, "--key", env.key]
        for one in listen:
            command += ["--listen", "127.0.0.1:0," + one]
        super().__init__(command + list(options), lambda: os.path.exists(self.ports_file), cpu)
        with open(self.ports_file, encoding="ascii") as lines:
            self.targets = [line.split()[0] for line in lines]


class Env:
    def __init__(self, args):
        self.args = args
        self.dir = tempfile.mkdtemp(prefix="taio-bench-")
        self.root = os.path.join(self.dir, "www")
        os.mkdir(self.root)
        self.page("1k.html", 1024)
        self.cert, self.key = os.path.join(self.dir, "cert.pem"), os.path.join(self.dir, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-keyout", self.key, "-out", self.cert],
                       check=True, stderr=subprocess.DEVNULL)

    def page(self, name, size):
        with open(os.path.join(self.root, name), "wb") as page:
            page.write(b"x" * (size - 1) + b"\n")

    def pem(self):
        """The certificate and its key in one file."""
        path = os.path.join(self.dir, "both.pem")
        with open(path, "w", encoding="ascii") as both:
            for part in (self.cert, self.key):
                with open(part, encoding="ascii") as text:
                    both.write(text.read())
        return path

    def bin(self, name):
        return os.path.join(self.args.build, "bin", name)

    def nginx(self, plain, tls):
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(NGINX_CONF.format(dir=self.dir, root=self.root, plain=plain, tls=tls))
        os.chmod(self.dir, 0o755)
        return Server(["nginx", "-c", conf], lambda: os.path.exists(os.path.join(self.dir, "nginx.pid")))

    def load(self, *words):
        """Returns taio-load's report. A run with errors is worthless: reports it and exits."""
        report = os.path.join(self.dir, "report.json")
        done = subprocess.run(["taskset", "-c", LOAD_CPU, self.bin("taio-load")] + list(words) + ["--json", report],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300, check=False)
        if done.returncode:
            sys.exit("bench: taio-load %s: %s" % (" ".join(words), done.stderr.decode()))
        with open(report, encoding="utf-8") as text:
            return json.load(text)

    def close(self):
        shutil.rmtree(self.dir)


def spread(values):
    return statistics.median(values), min(values), max(values)


def settle(server):
    """Waits until the server has used no CPU time for half a second: handshakes are done."""
    last = -1.0
    while server.cpu_seconds() - last > 0.002:
        last = server.cpu_seconds()
        time.sleep(0.5)


def count_fds(server):
    return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in server.pids())


def hold(env, server, target, count, *words, each=1):
    """Starts taio-load idle in the background and waits until the server has @each descriptors of every connection."""
    report = os.path.join(env.dir, "idle.json")
    load = subprocess.Popen(["taskset", "-c", LOAD_CPU, env.bin("taio-load"), "idle", target, "--connections", str(count),
                             "--engine", "epoll", "--json", report] + list(words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = time.monotonic() + 60
    want = each * count + count_fds(server)
    while count_fds(server) < want and time.monotonic() < limit:
        if load.poll() is not None:
            sys.exit("bench: taio-load idle: " + load.stderr.read().decode())
        time.sleep(0.05)
    return load, report
