# SPDX-License-Identifier: MIT
"""PROXY protocol with those who speak it in the field: haproxy on either side, nginx as a backend, curl as a client."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import Server, curl, has_tool, make_certificate, until

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
HAPROXY, NGINX = shutil.which("haproxy", path=PATH), shutil.which("nginx", path=PATH)

HAPROXY_CONF = """
global
    log /dev/null local0
defaults
    timeout connect 5s
    timeout client 10s
    timeout server 10s
{rest}
"""

# What it was told: addresses, and the server's name of a TLV.
RECEIVER = """
frontend in
    mode http
    bind 127.0.0.1:{port} accept-proxy {words}
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port] \
%[fc_rcvd_proxy] %[fc_pp_authority]"
"""

# The certificate is of its own front.
SENDER = """
listen out
    mode tcp
    bind 127.0.0.1:{port} {bind}
    server taiod 127.0.0.1:{to} {words}
"""

NGINX_CONF = """
daemon off; master_process off; error_log stderr warn; pid {dir}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir};
    scgi_temp_path {dir};
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        location / {{
            return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port";
        }}
    }}
}}
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listens(port):
    """Whether the port is taken, without a connection that the server would see."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


class Peers(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taiod-peers-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def serve(self, *listeners):
        server = Server(*listeners, options=("--log-level", "debug"))
        self.addCleanup(server.kill)
        return server

    def start(self, words, port):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        until(lambda: process.poll() is not None or listens(port), f"{words[0]} listens")
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            self.assertIsNone(process.poll(), log.read())
        return port

    def haproxy(self, rest, **fields):
        conf, port = os.path.join(self.dir, "haproxy.cfg"), free_port()
        with open(conf, "w", encoding="ascii") as file:
            file.write(HAPROXY_CONF.format(rest=rest.format(port=port, **fields)))
        return self.start([HAPROXY, "-db", "-f", conf], port)

    def nginx(self):
        conf, port = os.path.join(self.dir, "nginx.conf"), free_port()
        with open(conf, "w", encoding="ascii") as file:
            file.write(NGINX_CONF.format(port=port, dir=self.dir))
        return self.start([NGINX, "-p", self.dir, "-c", conf], port)


def get(port, *words, scheme="http"):
    """The body, and the client's own address."""
    text = curl(*words, "-w", "\n%{local_ip}:%{local_port}", f"{scheme}://127.0.0.1:{port}/").decode()
    body, own = text.rsplit("\n", 1)
    return body, own


@unittest.skipUnless(HAPROXY, "haproxy")
class Haproxy(Peers):
    def test_it_sends_and_taiod_accepts(self):
        """In front of an echo of HTTP, plain and under TLS, with all that it can put into a header."""
        certificate, key = make_certificate(self.dir, "front")
        with open(certificate, "a", encoding="ascii") as to, open(key, encoding="ascii") as pem:
            to.write(pem.read())
        server = self.serve("service=http,accept-proxy=127.0.0.1", "service=http,tls,accept-proxy=127.0.0.0/8")
        options = "proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id"
        cases = 0
        for words in ("send-proxy", "send-proxy-v2", f"send-proxy-v2 {options}"):
            for bind in ("", f"ssl crt {certificate}"):
                for to, more in ((0, ""), (1, "ssl verify none")):
                    with self.subTest(words=words, bind=bind, to=to):
                        port = self.haproxy(SENDER, to=server.ports[to], words=f"{words} {more}", bind=bind)
                        scheme = "https" if bind else "http"
                        text = curl("-w", "\n%{local_ip}:%{local_port}", f"{scheme}://127.0.0.1:{port}/healthz").decode()
                        own = text.rsplit("\n", 1)[1]
                        until(lambda: f"{own}: closed: " in server.log(), f"{own} in the log")
                        cases += 1
        stats = server.stop()
        self.assertEqual((stats["proxy_headers"], stats["proxy_bad"]), (cases, 0))

    def test_its_checks_are_none_of_a_client(self):
        """They say LOCAL."""
        server = self.serve("service=http,accept-proxy=127.0.0.1")
        self.haproxy(SENDER, to=server.port, bind="",
                     words="send-proxy-v2 proxy-v2-options crc32c check check-send-proxy inter 100ms")
        server.until_counter("proxy_headers", 3)
        self.assertEqual(server.stats()["proxy_bad"], 0)
        server.stop()

    def test_taiod_sends_and_it_accepts(self):
        for version in ("v1", "v2"):
            for tls in (False, True):
                with self.subTest(version=version, tls=tls):
                    port = self.haproxy(RECEIVER, words="")
                    server = self.serve(f"service=proxy,to=127.0.0.1:{port},send-proxy={version}{',tls' if tls else ''}")
                    body, own = get(server.port, scheme="https" if tls else "http")
                    self.assertEqual(body.strip(), f"{own} 127.0.0.1:{server.port} 1")
                    server.stop()

    def test_it_reads_the_name_that_the_client_asks_for(self):
        port = self.haproxy(RECEIVER, words="")
        server = self.serve(f"service=proxy,to=127.0.0.1:{port},send-proxy=v2,tls")
        body = curl("--resolve", f"name.test:{server.port}:127.0.0.1", f"https://name.test:{server.port}/").decode()
        self.assertEqual(body.split()[-1], "name.test")
        server.stop()

    def test_headers_ahead_of_tls_to_it(self):
        certificate, key = make_certificate(self.dir, "behind")
        with open(certificate, "a", encoding="ascii") as to, open(key, encoding="ascii") as pem:
            to.write(pem.read())
        port = self.haproxy(RECEIVER, words=f"ssl crt {certificate}")
        server = self.serve(f"service=proxy,to=127.0.0.1:{port},to-tls,verify=no,send-proxy=v2")
        body, own = get(server.port)
        self.assertEqual(body.strip(), f"{own} 127.0.0.1:{server.port} 1")
        server.stop()

    def test_from_one_through_taiod_to_another(self):
        """The client's own addresses arrive behind both."""
        behind = self.haproxy(RECEIVER, words="")
        server = self.serve(f"service=proxy,to=127.0.0.1:{behind},accept-proxy=127.0.0.1,send-proxy=v2")
        front = self.haproxy(SENDER, to=server.port, bind="", words="send-proxy-v2")
        body, own = get(front)
        self.assertEqual(body.strip(), f"{own} 127.0.0.1:{front} 1")
        server.stop()


@unittest.skipUnless(NGINX, "nginx")
class Nginx(Peers):
    def test_taiod_sends_and_it_accepts(self):
        port = self.nginx()
        for version in ("v1", "v2"):
            for tls in (False, True):
                with self.subTest(version=version, tls=tls):
                    server = self.serve(f"service=proxy,to=127.0.0.1:{port},send-proxy={version}{',tls' if tls else ''}")
                    body, own = get(server.port, scheme="https" if tls else "http")
                    self.assertEqual(body, f"{own} 127.0.0.1:{server.port}")
                    server.stop()


class Curl(Peers):
    @unittest.skipUnless(has_tool("curl"), "curl")
    def test_it_sends_and_taiod_accepts(self):
        server = self.serve("service=http,accept-proxy=127.0.0.1", "service=http,tls,accept-proxy=127.0.0.1")
        for index, scheme in enumerate(("http", "https")):
            text = curl("--haproxy-protocol", f"{scheme}://127.0.0.1:{server.ports[index]}/healthz")
            self.assertTrue(re.search(rb"ok", text, re.I), text)
        self.assertEqual(server.stop()["proxy_headers"], 2)
