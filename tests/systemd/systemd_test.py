#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taiod as the service manager and the package see it.

usage: SOURCE=... BUILD=... (see CMakeLists.txt) systemd_test.py [unittest arguments]
"""
import ctypes
import difflib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from daemon import BIN, TAIOD, WAIT_S, Daemon, connect, echo, handshake, health, is_there, tls_context, until

SOURCE, BUILD, PREFIX = os.environ["SOURCE"], os.environ["BUILD"], os.environ["PREFIX"]
LIBDIR, SANITIZE = os.environ["LIBDIR"], os.environ.get("SANITIZE", "")
CONFIGS = os.path.join(SOURCE, "configs")
SHIPPED = os.path.join(CONFIGS, "taiod.conf")
SANITIZER = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(SANITIZE, [])
PROGRAM = """#include <stdio.h>
#include <taio.h>
int main(void)
{
	struct taio_params params = {.entries = 8};
	char why[TAIO_WHY_LEN];
	struct taio *ring;

	if (taio_open(&ring, &params, why))
		return puts(why), 1;
	puts(taio_name(ring));
	taio_close(ring);
	return 0;
}
"""
PAGES = {"taiod": "taiod.8", "taio": "taio.1", "taio-load": "taio-load.1"}


def run(*command, **kwargs):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kwargs)


def text_of(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


class Config(unittest.TestCase):
    def test_the_shipped_file_is_the_sample_and_a_listener(self):
        sample = run(TAIOD, "--sample-config").stdout.splitlines()
        diff = [line for line in difflib.unified_diff(sample, text_of(SHIPPED).splitlines(), "taiod --sample-config",
                                                      "configs/taiod.conf", n=0, lineterm="")]
        changes = [line for line in diff if not line.startswith(("@@", "+++", "---"))]
        alien = [line for line in changes if not line.startswith(("+#", "+listen "))]
        self.assertEqual(alien, [], "the option table and the file differ:\n" + "\n".join(diff))

    def test_every_key_is_in_the_shipped_file(self):
        keys = re.findall(r"^#?([a-z-]+) (?:is not set|=)", run(TAIOD, "--dump-config").stdout, re.M)
        text = text_of(SHIPPED)
        self.assertGreater(len(keys), 20)
        self.assertEqual([key for key in keys if not re.search(rf"^#?{key} = ", text, re.M)], [])

    def test_the_shipped_file_is_valid(self):
        got = run(TAIOD, "-t", "-c", SHIPPED)
        self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_the_defaults_it_shows_are_the_defaults(self):
        shown = re.sub(r'^#([a-z-]+ = (?!"[A-Z]|\{).*)$', r"\1", text_of(SHIPPED), flags=re.M)
        self.assertGreater(len(re.findall(r"^[a-z-]+ = ", shown, re.M)), 20)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(shown)
            file.flush()
            got = run(TAIOD, "--dump-config", "-c", file.name)
        self.assertEqual(got.stderr, "")
        self.assertEqual(got.stdout, run(TAIOD, "--dump-config", "-c", SHIPPED).stdout)

    def test_a_wrong_line_is_refused_with_its_number(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(text_of(SHIPPED) + "\nidle-timeot = 3s\n")
            file.flush()
            got = run(TAIOD, "-t", "-c", file.name)
        lines = text_of(SHIPPED).count("\n") + 2
        self.assertEqual(got.returncode, 2)
        self.assertIn(f"{file.name}:{lines}: ", got.stderr)

    def test_the_arithmetic_of_the_sysctl_file_is_right(self):
        text = text_of(CONFIGS, "sysctl.d/60-taiod.conf")
        rows = re.findall(r"N = (\d+), W = (\d+):\s+(\d+)", text)
        value = int(re.search(r"^fs\.aio-max-nr = (\d+)$", text, re.M)[1])
        self.assertEqual(len(rows), 3)
        for conns, workers, total in rows:
            self.assertEqual(2 * int(conns) + 64 * int(workers), int(total))
            self.assertLessEqual(int(total), value)


class Example(unittest.TestCase):
    """configs/examples/proxy.conf, with the certificate that it expects."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        os.mkdir(self.path("conf.d"))
        made = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                   "-subj", "/CN=example.org", "-keyout", self.path("example.org.key"), "-out", self.path("example.org.pem"))
        self.assertEqual(made.returncode, 0, made.stderr)
        self.text = text_of(CONFIGS, "examples/proxy.conf").replace("/etc/taiod/", self.dir + "/")

    def path(self, name):
        return os.path.join(self.dir, name)

    def check(self, text):
        with open(self.path("conf.d/app.conf"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(self.path("taiod.conf"), "w", encoding="utf-8") as file:
            file.write(text_of(SHIPPED) + 'include = "conf.d/*.conf"\n')
        return run(TAIOD, "-t", "-c", self.path("taiod.conf"))

    def test_it_is_valid_as_it_is_and_without_its_comments(self):
        uncommented = re.sub(r"(?m)^(\t?)#(?=[a-z-]+ = |listener |\t[a-z-]+ = |\})", r"\1", self.text)
        self.assertIn("\nlistener \"127.0.0.1:6380\"", uncommented)
        self.assertIn("\tsend-proxy = v2", uncommented)
        for text in (self.text, uncommented):
            got = self.check(text)
            self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_an_error_in_it_names_it(self):
        got = self.check(self.text.replace("balance =", "balanse ="))
        self.assertEqual(got.returncode, 2)
        line = self.text[:self.text.index("balance =")].count("\n") + 1
        self.assertIn(f"{self.path('conf.d/app.conf')}:{line}: no such option 'balanse'; did you mean 'balance'?", got.stderr)


class Manual(unittest.TestCase):
    def test_mandoc_has_nothing_to_say(self):
        for page in PAGES.values():
            got = run("mandoc", "-Tlint", "-Wwarning", os.path.join(BUILD, "man", page))
            self.assertEqual((got.returncode, got.stdout, got.stderr), (0, "", ""))

    def test_every_option_of_help_is_in_the_page(self):
        for program, page in PAGES.items():
            options = set(re.findall(r"^ {1,8}(?:-\w, )?--([a-z-]+)", run(os.path.join(BIN, program), "--help").stdout,
                                     re.M))
            text = run("mandoc", "-Tascii", os.path.join(BUILD, "man", page)).stdout
            text = re.sub(r".\x08", "", text)
            self.assertGreater(len(options), 5, program)
            self.assertEqual([name for name in sorted(options) if f"--{name}" not in text], [], program)


def install(destdir):
    got = run(os.environ["CMAKE"], "--install", BUILD, env={**os.environ, "DESTDIR": destdir})
    if got.returncode:
        raise AssertionError(got.stdout + got.stderr)


@unittest.skipUnless(PREFIX == "/usr", f"the build is for {PREFIX}, not for Debian's /usr")
class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.root = cls.dir.name
        install(cls.root)

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()


class Install(Installed):
    def test_things_are_where_debian_expects_them(self):
        want = {
            "etc/taiod/taiod.conf": 0o644,
            "usr/bin/taio": 0o755,
            "usr/bin/taio-load": 0o755,
            "usr/include/taio.h": 0o644,
            "usr/include/taio/taio.h": 0o644,
            "usr/lib/sysctl.d/60-taiod.conf": 0o644,
            "usr/lib/systemd/system/taiod.service": 0o644,
            "usr/lib/systemd/system/taiod.socket": 0o644,
            "usr/lib/systemd/system/taiod@.service": 0o644,
            "usr/lib/sysusers.d/taio.conf": 0o644,
            "usr/lib/udev/rules.d/60-taio.rules": 0o644,
            f"usr/{LIBDIR}/taio/libtaio-preload.so": 0o644,
            f"usr/{LIBDIR}/cmake/taio/taioConfig.cmake": 0o644,
            f"usr/{LIBDIR}/cmake/taio/taioConfigVersion.cmake": 0o644,
            f"usr/{LIBDIR}/cmake/taio/taioTargets.cmake": 0o644,
            f"usr/{LIBDIR}/libtaio.a": 0o644,
            f"usr/{LIBDIR}/libtaio.so": 0o644,
            f"usr/{LIBDIR}/libtaio.so.0": 0o644,
            f"usr/{LIBDIR}/pkgconfig/taio.pc": 0o644,
            "usr/sbin/taiod": 0o755,
            "usr/share/bash-completion/completions/taio": 0o644,
            "usr/share/bash-completion/completions/taio-load": 0o644,
            "usr/share/bash-completion/completions/taiod": 0o644,
            "usr/share/doc/taiod/copyright": 0o644,
            "usr/share/doc/taiod/examples/grafana-dashboard.json": 0o644,
            "usr/share/doc/taiod/examples/kmod.conf": 0o644,
            "usr/share/doc/taiod/examples/prometheus-rules.yml": 0o644,
            "usr/share/doc/taiod/examples/proxy.conf": 0o644,
            "usr/share/doc/taiod/examples/sockets.conf": 0o644,
            "usr/share/doc/taiod/examples/taio-modprobe.conf": 0o644,
            "usr/share/doc/taiod/examples/taio-modules-load.conf": 0o644,
            "usr/share/doc/taiod/examples/taiod-https.socket": 0o644,
            "usr/share/doc/taiod/examples/taiod.conf": 0o644,
            "usr/share/man/man1/taio-load.1": 0o644,
            "usr/share/man/man1/taio.1": 0o644,
            "usr/share/man/man4/taio.4": 0o644,
            "usr/share/man/man8/taiod.8": 0o644,
        }
        # Names with the version, and with the kind of build.
        library, = glob.glob(self.root + f"/usr/{LIBDIR}/libtaio.so.0.*")
        targets, = glob.glob(self.root + f"/usr/{LIBDIR}/cmake/taio/taioTargets-*.cmake")
        want.update({os.path.relpath(path, self.root): 0o644 for path in (library, targets)})
        # The module's sources, whole, for DKMS.
        module, = glob.glob(self.root + "/usr/src/taio-*")
        sources = [os.path.relpath(path, os.path.join(SOURCE, "kmod"))
                   for path in glob.glob(os.path.join(SOURCE, "kmod/**"), recursive=True) if os.path.isfile(path)]
        self.assertIn("main.c", sources)
        for name in (*sources, "dkms.conf"):
            want[os.path.relpath(os.path.join(module, name), self.root)] = 0o644
        for name in ("README.md", "CHANGES"):
            if os.path.exists(os.path.join(SOURCE, name)):
                want[f"usr/share/doc/taiod/{name}"] = 0o644
        got = {os.path.relpath(path, self.root): os.stat(path).st_mode & 0o7777
               for path in glob.glob(self.root + "/**", recursive=True) if os.path.isfile(path)}
        self.assertEqual(got, want)

    def test_files_are_as_in_the_tree(self):
        for path in ("usr/lib/systemd/system/taiod.socket", "etc/taiod/taiod.conf"):
            self.assertEqual(text_of(self.root, path), text_of(CONFIGS, os.path.basename(path)))

    def test_the_administrators_configuration_is_kept(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(root + "/etc/taiod")
            with open(root + "/etc/taiod/taiod.conf", "w", encoding="ascii") as file:
                file.write("# mine\n")
            install(root)
            self.assertEqual(text_of(root, "etc/taiod/taiod.conf"), "# mine\n")
            self.assertEqual(text_of(root, "usr/share/doc/taiod/examples/taiod.conf"), text_of(SHIPPED))

    def build(self, name, *arguments):
        """Has @arguments make a program of PROGRAM in a directory of its own, and runs it."""
        with tempfile.TemporaryDirectory() as work:
            with open(os.path.join(work, "ring.c"), "w", encoding="ascii") as file:
                file.write(PROGRAM)
            for command in arguments:
                got = run(*command, cwd=work)
                self.assertEqual((got.returncode, got.stderr), (0, ""), got.stdout)
            env = {**os.environ, "LD_LIBRARY_PATH": f"{self.root}/usr/{LIBDIR}"}
            got = run(os.path.join(work, name), env=env)
            self.assertEqual((got.returncode, got.stderr), (0, ""))
            self.assertRegex(got.stdout, r"^[a-z]+")
            return run("readelf", "-d", os.path.join(work, name)).stdout

    def flags(self, *options):
        env = {**os.environ, "PKG_CONFIG_LIBDIR": f"{self.root}/usr/{LIBDIR}/pkgconfig",
               "PKG_CONFIG_SYSROOT_DIR": self.root, "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
               "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}
        flags = run("pkg-config", *options, "--cflags", "--libs", "taio", env=env)
        self.assertEqual((flags.returncode, flags.stderr), (0, ""))
        return flags.stdout.split()

    def test_a_program_builds_with_pkg_config_alone(self):
        needs = self.build("ring", (os.environ["CC"], "-Wall", "-Werror", *SANITIZER, "ring.c", "-o", "ring", *self.flags()))
        self.assertIn("[libtaio.so.0]", needs)

    def test_a_program_builds_with_the_static_library(self):
        flags = ["-l:libtaio.a" if word == "-ltaio" else word for word in self.flags("--static")]
        needs = self.build("ring", (os.environ["CC"], "-Wall", "-Werror", *SANITIZER, "ring.c", "-o", "ring", *flags))
        self.assertNotIn("libtaio", needs)

    def test_a_program_builds_with_cmake(self):
        project = ("cmake_minimum_required(VERSION 3.25)\nproject(ring C)\nfind_package(taio 0.1 REQUIRED)\n"
                   "add_executable(ring ring.c)\ntarget_link_libraries(ring taio::taio)\n")
        cmake = os.environ["CMAKE"]
        needs = self.build("build/ring", ("sh", "-c", 'printf %s "$1" >CMakeLists.txt', "sh", project),
                           (cmake, "-B", "build", f"-DCMAKE_PREFIX_PATH={self.root}/usr", f"-DCMAKE_C_FLAGS={' '.join(SANITIZER)}"),
                           (cmake, "--build", "build"))
        self.assertIn("[libtaio.so.0]", needs)

    def test_the_library_exports_its_interface_and_nothing_else(self):
        with open(os.path.join(SOURCE, "aio", "taio.h"), encoding="ascii") as file:
            declared = set(re.findall(r"^(?:[a-z].*[ *])?(taio_[a-z_]+)\(", file.read(), re.M))
        symbols = run("nm", "-D", "--defined-only", f"{self.root}/usr/{LIBDIR}/libtaio.so").stdout
        exported = {name.split("@")[0] for name in re.findall(r" T (\S+)", symbols)}
        self.assertGreater(len(declared), 15)
        self.assertEqual(exported, declared)
        self.assertEqual(re.findall(r" T \S+[a-z]$", symbols, re.M), [], "symbols without a version")


class Units(Installed):
    UNITS = ("taiod.service", "taiod@one.service", "taiod.socket")

    @classmethod
    def setUpClass(cls):
        """A root in which the units and what they refer to exist: what was installed, and systemd's own."""
        super().setUpClass()
        units = cls.root + "/usr/lib/systemd/system"
        for path in glob.glob("/lib/systemd/system/*"):
            name = os.path.join(units, os.path.basename(path))
            if os.path.isfile(path) and not os.path.exists(name):
                shutil.copy(path, name)

    def verify(self, *units):
        got = run("systemd-analyze", "verify", "--man=no", "--root=" + self.root, *units)
        return got.returncode, got.stdout + got.stderr

    def test_verify_has_nothing_to_say(self):
        self.assertEqual(self.verify(*self.UNITS), (0, ""))

    def test_verify_has_nothing_to_say_with_the_examples(self):
        examples, system = self.root + "/usr/share/doc/taiod/examples/", self.root + "/etc/systemd/system/"
        os.makedirs(system + "taiod.service.d")
        try:
            shutil.copy(examples + "taiod-https.socket", system)
            shutil.copy(examples + "sockets.conf", system + "taiod.service.d")
            self.assertEqual(self.verify(*self.UNITS, "taiod-https.socket"), (0, ""))
        finally:
            shutil.rmtree(system)

    def test_verify_would_tell_of_a_missing_program(self):
        os.rename(self.root + "/usr/sbin/taiod", self.root + "/usr/sbin/away")
        try:
            status, said = self.verify("taiod.service")
        finally:
            os.rename(self.root + "/usr/sbin/away", self.root + "/usr/sbin/taiod")
        self.assertNotEqual(status, 0)
        self.assertIn("/usr/sbin/taiod is not executable", said)

    def unit(self, name="taiod.service"):
        return text_of(self.root, "usr/lib/systemd/system", name)

    def test_exposure_is_at_most_1_2(self):
        for name in ("taiod.service", "taiod@.service"):
            got = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=12",
                      os.path.join(self.root, "usr/lib/systemd/system", name))
            self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
            self.assertLessEqual(float(re.search(r"exposure level for \S+: ([0-9.]+)", got.stdout)[1]), 1.2)

    def test_a_reload_checks_the_configuration_and_asks_for_the_signal(self):
        version = int(re.search(r"systemd (\d+)", run("systemd-analyze", "--version").stdout)[1])
        kind, reload = (("notify-reload", "/usr/sbin/taiod -t") if version >= 253
                        else ("notify", "/usr/sbin/taiod --reload $MAINPID"))
        self.assertEqual(re.findall(r"^(Type|ExecStart|ExecStartPre|ExecReload)=(.*)$", self.unit(), re.M),
                         [("Type", kind), ("ExecStart", "/usr/sbin/taiod -c /etc/taiod/taiod.conf"),
                          ("ExecReload", f"{reload} -c /etc/taiod/taiod.conf")])

    def test_an_instance_has_files_and_directories_of_its_own(self):
        self.assertEqual([line for line in self.unit("taiod@.service").splitlines() if "/etc/taiod/taiod.conf" in line], [])
        one, template = self.unit(), self.unit("taiod@.service")
        self.assertIn("-c /etc/taiod/%i.conf\n", template)
        for line in re.findall(r"^\w+Directory=taiod$", one, re.M):
            self.assertIn(line + "-%i\n", template)
        self.assertEqual(re.sub(r"taiod/%i\.conf", "taiod/taiod.conf", template.replace("taiod-%i", "taiod").replace(": %i", "")),
                         one)

    def test_the_watchdog_spans_many_beats_and_the_stop_a_drain(self):
        text = text_of(CONFIGS, "taiod.service")
        drain_s = int(re.search(r'drain-timeout = "(\d+)s"', text_of(SHIPPED))[1])
        self.assertGreaterEqual(int(re.search(r"^WatchdogSec=(\d+)s$", text, re.M)[1]), 10)
        self.assertGreater(int(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.M)[1]), drain_s)


ECHO = ("--workers", "2", "--listen", "127.0.0.1:0,service=echo")
HTTP = ("--workers", "2", "--listen", "127.0.0.1:0,service=http")


class Notify(unittest.TestCase):
    def test_ready_is_said_once_connections_are_served(self):
        with Daemon(*HTTP) as taiod:
            self.assertEqual(taiod.message(), {"READY": "1"})
            self.assertEqual(health(taiod.addresses()[0]), b"HTTP/1.1 200 OK")

    def test_the_status_names_listeners_workers_and_engine(self):
        with Daemon(*HTTP, "--listen", "127.0.0.1:0,service=echo", "--engine", "threads:park") as taiod:
            taiod.messages_until("READY", "1")
            self.assertEqual(taiod.message(), {"STATUS": "2 listeners, 2 workers, engine threads:park"})

    def test_a_reload_is_announced_and_drops_no_connection(self):
        with Daemon(*ECHO) as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                self.assertEqual(echo(sock, b"before"), b"before")
                taiod.messages_waiting()
                taiod.signal(signal.SIGHUP)
                before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                reloading = taiod.message()
                self.assertEqual(reloading.pop("RELOADING"), "1")
                self.assertAlmostEqual(int(reloading.pop("MONOTONIC_USEC")), before_us, delta=WAIT_S * 1000000)
                self.assertEqual(reloading, {})
                self.assertEqual(taiod.message(), {"READY": "1"})
                self.assertEqual(echo(sock, b"after"), b"after")

    def test_a_reload_that_fails_ends_ready_and_changes_nothing(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            with Daemon("-c", config.name, *HTTP) as taiod:
                taiod.messages_until("READY", "1")
                config.write("nonsense = 1\n")
                config.flush()
                taiod.signal(signal.SIGHUP)
                taiod.messages_until("RELOADING", "1")
                self.assertIn("reload failed", taiod.messages_until("READY", "1")[-1]["STATUS"])
                taiod.log_line("reload failed")
                self.assertEqual(health(taiod.addresses()[0]), b"HTTP/1.1 200 OK")

    def test_sigterm_says_stopping_and_ends_well(self):
        with Daemon(*ECHO) as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                self.assertEqual(echo(sock, b"x"), b"x")
                self.assertEqual(taiod.terminate(), 0, "".join(taiod.log))
            stopping = taiod.messages_until("STOPPING", "1")
            self.assertEqual(stopping[-1], {"STOPPING": "1", "STATUS": "draining"})
            self.assertEqual([m for m in stopping + taiod.messages_waiting() if "WATCHDOG" in m], [])

    def test_a_failed_start_never_says_ready(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with Daemon("--listen", f"127.0.0.1:{taken.getsockname()[1]}") as taiod:
                self.assertEqual(taiod.wait(), 1)
                self.assertEqual(taiod.messages_waiting(), [])

    def test_a_port_file_that_cannot_be_written_never_says_ready(self):
        with Daemon(*ECHO, "--port-file", "/proc/none/ports") as taiod:
            self.assertEqual(taiod.wait(), 1)
            self.assertEqual([m for m in taiod.messages_waiting() if "READY" in m], [])


    def test_a_reload_while_draining_does_not_say_ready(self):
        with Daemon(*HTTP, "--drain-timeout", "20s") as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nha")
                got = b""
                while not got.endswith(b"\r\n\r\nha"):  # the request is under way then
                    piece = sock.recv(4096)
                    self.assertTrue(piece, got)
                    got += piece
                self.assertTrue(got.startswith(b"HTTP/1.1 200 OK"), got)
                taiod.signal(signal.SIGTERM)
                taiod.messages_until("STOPPING", "1")
                taiod.signal(signal.SIGHUP)
                sock.sendall(b"lf")
                self.assertEqual(sock.recv(4096), b"lf")
            self.assertEqual(taiod.wait(), 0)
            self.assertEqual(taiod.messages_waiting(), [])


class Held:
    """One thread of a process, stopped by ptrace(2) while the others go on."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)

    def __exit__(self, *exc):
        self.ptrace(self.DETACH)


class Watchdog(unittest.TestCase):
    # Half of it is two beats of a worker's loop: room for a busy machine.
    ENV = {"WATCHDOG_USEC": "4000000"}

    def test_it_is_fed_again_and_again(self):
        with Daemon(*ECHO, env=self.ENV) as taiod:
            taiod.messages_until("WATCHDOG", "1")
            taiod.messages_until("WATCHDOG", "1")
            self.assertNotIn("is stuck", "".join(taiod.log))

    def test_there_is_no_false_alarm_at_any_period(self):
        for period_us in (100000, 1000000, 3000000):
            with self.subTest(period_us=period_us), Daemon(*ECHO, env={"WATCHDOG_USEC": str(period_us)}) as taiod:
                for _ in range(6):
                    taiod.messages_until("WATCHDOG", "1")
                self.assertNotIn("is stuck", "".join(taiod.log))

    def test_it_is_not_fed_while_one_of_two_workers_stands_still(self):
        with Daemon(*ECHO, env=self.ENV) as taiod:
            taiod.messages_until("READY", "1")
            worker = max(int(tid) for tid in os.listdir(f"/proc/{taiod.process.pid}/task"))
            self.assertNotEqual(worker, taiod.process.pid)
            with Held(worker):
                taiod.log_line("is stuck: not feeding")
                taiod.messages_waiting()
                taiod.log_line("is stuck: not feeding")
                self.assertEqual(taiod.messages_waiting(), [])
            taiod.messages_until("WATCHDOG", "1")
            self.assertEqual(taiod.terminate(), 0)


    def test_it_is_not_fed_while_the_ring_carries_nothing_out(self):
        """The loop turns all the while: stuck.c swallows what is submitted."""
        with tempfile.TemporaryDirectory() as directory:
            flag = os.path.join(directory, "stuck")
            env = {**self.ENV, "LD_PRELOAD": os.environ["STUCK_SHIM"], "STUCK_FILE": flag}
            with Daemon(*ECHO, "--engine", "poll", env=env) as taiod:
                taiod.messages_until("WATCHDOG", "1")
                with open(flag, "w", encoding="ascii"):
                    pass
                taiod.log_line("is stuck: not feeding")
                taiod.messages_waiting()
                taiod.log_line("is stuck: not feeding")
                self.assertEqual(taiod.messages_waiting(), [])


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def activated(names, *args, more=()):
    """taiod behind systemd-socket-activate, one socket for each of @names; and their addresses."""
    ports = [free_port() for _ in names]
    wrap = ["systemd-socket-activate", *more, *(f"-l127.0.0.1:{port}" for port in ports), "--fdname=" + ":".join(names)]
    taiod = Daemon(*args, wrap=wrap)
    for port in ports:
        taiod.log_line(f"Listening on 127.0.0.1:{port}")
    return taiod, [("127.0.0.1", port) for port in ports]


class Replaced(Daemon):
    """A taiod from a file that can be replaced, @program or a copy of taiod at first."""

    def __init__(self, *args, **kwargs):
        self.programs = tempfile.TemporaryDirectory()
        self.program = os.path.join(self.programs.name, "taiod")
        self.replace(TAIOD)
        super().__init__(*args, program=self.program, **kwargs)

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.programs.cleanup()

    def replace(self, program):
        new = self.program + ".new"
        shutil.copy(program, new)
        os.rename(new, self.program)

    def upgrade(self):
        """Has the program at its place take over; returns its process id."""
        self.replace(TAIOD)
        os.kill(self.successors[-1] if self.successors else self.process.pid, signal.SIGHUP)
        self.messages_until("RELOADING", "1")
        told = self.message()
        assert told.get("READY") == "1" and "MAINPID" in told, told
        self.messages_until("STATUS", "1 listener, 2 workers, engine poll")
        return int(told["MAINPID"])


ON_POLL = ("--engine", "poll")


def settled(pid):
    """How many descriptors the process has, once that has stayed the same for a while: it opens one for each notification."""
    counts = []

    def same():
        counts.append(len(os.listdir(f"/proc/{pid}/fd")))
        return len(counts) > 30 and len(set(counts[-30:])) == 1

    until(same, "the number of descriptors settles")
    return counts[-1]


@unittest.skipIf(SANITIZE == "tsan", "fork(2) of a process with threads")
class Upgrade(unittest.TestCase):
    def test_a_new_program_serves_and_the_one_before_ends_with_its_connections(self):
        with Replaced(*ECHO, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            address, = taiod.addresses()
            with connect(address) as sock:
                self.assertEqual(echo(sock, b"before"), b"before")
                pid = taiod.upgrade()
                self.assertNotEqual(pid, taiod.process.pid)
                self.assertEqual(taiod.addresses(), [address])
                for _ in range(20):
                    with connect(address) as other:
                        self.assertEqual(echo(other, b"new"), b"new")
                self.assertEqual(echo(sock, b"after"), b"after")
                self.assertIsNone(taiod.process.poll())
            self.assertEqual(taiod.wait(), 0)
            with connect(address) as sock:
                self.assertEqual(echo(sock, b"still"), b"still")
            self.assertEqual([m for m in taiod.messages_waiting() if "STOPPING" in m], [])
            os.kill(pid, signal.SIGTERM)
            taiod.messages_until("STOPPING", "1")
            until(lambda: not is_there(pid), "the new program ends")

    def test_a_connection_that_is_kept_alive_gets_one_more_answer(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        with Replaced(*HTTP, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                sock.sendall(request)
                self.assertNotIn(b"Connection: close", sock.recv(4096))
                taiod.upgrade()
                sock.sendall(request)
                answer = b""
                while part := sock.recv(4096):
                    answer += part
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
                self.assertIn(b"Connection: close\r\n", answer)
            self.assertEqual(taiod.wait(), 0)

    def test_no_request_fails_ten_times_in_a_row(self):
        with Replaced(*HTTP, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            host, port = taiod.addresses()[0]
            before = settled(taiod.process.pid)
            command = [os.path.join(BIN, "taio-load"), "http", f"http://{host}:{port}/healthz", "--connections", "20", "--rate", "2000",
                       "--duration", "30s", "--max-lag", "10s"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
                until(lambda: load.poll() is not None or len(os.listdir(f"/proc/{taiod.process.pid}/fd")) >= before + 20,
                      "clients have connected")
                for _ in range(10):
                    taiod.upgrade()
                self.assertIsNone(load.poll(), "the load was over before the upgrades were")
                said, _ = load.communicate(timeout=WAIT_S + 30)
            self.assertEqual(load.returncode, 0, said)

    def assert_goes_on(self, taiod, text):
        """The upgrade that SIGHUP asks for fails with @text in the log, and the program from before serves."""
        taiod.signal(signal.SIGHUP)
        taiod.messages_until("RELOADING", "1")
        told = taiod.message()
        self.assertEqual((told["READY"], told["STATUS"]), ("1", "upgrade failed: the program from before goes on"))
        taiod.log_line(text)
        self.assertEqual(health(taiod.addresses()[0]), b"HTTP/1.1 200 OK")
        self.assertIsNone(taiod.process.poll())

    def test_a_new_program_that_does_not_serve_changes_nothing(self):
        with Replaced(*HTTP, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            taiod.replace("/bin/false")
            self.assert_goes_on(taiod, "ended with status 1 before it served")
            taiod.replace(__file__)
            os.chmod(taiod.program, 0o644)
            self.assert_goes_on(taiod, "cannot run " + taiod.program + ": Permission denied")
            before = settled(taiod.process.pid)
            self.assert_goes_on(taiod, "Permission denied")
            self.assertEqual(settled(taiod.process.pid), before)
            pid = taiod.upgrade()
            self.assertEqual(taiod.wait(), 0)
            self.assertTrue(is_there(pid))

    def test_its_reason_is_heard_when_a_socket_takes_the_place_of_the_link(self):
        """Sockets with high descriptors, as a reload may add them, go to low ones, of which the link has one."""
        def listeners(n):
            return "listen = {" + ", ".join(['"127.0.0.1:0,service=http"'] * n) + "}\n"

        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(listeners(1))
            config.flush()
            with Replaced("-c", config.name, "--workers", "2", *ON_POLL) as taiod:
                taiod.messages_until("STATUS", "1 listener, 2 workers, engine poll")
                before = settled(taiod.process.pid)
                socks = [connect(taiod.addresses()[0]) for _ in range(40)]
                until(lambda: len(os.listdir(f"/proc/{taiod.process.pid}/fd")) >= before + 40, "all are accepted")
                config.seek(0)
                config.write(listeners(12))
                config.flush()
                taiod.signal(signal.SIGHUP)
                taiod.messages_until("STATUS", "12 listeners, 2 workers, engine poll")
                for sock in socks:
                    sock.close()
                until(lambda: len(os.listdir(f"/proc/{taiod.process.pid}/fd")) < before + 40, "they are closed")
                settled(taiod.process.pid)
                taiod.replace(__file__)
                os.chmod(taiod.program, 0o644)
                self.assert_goes_on(taiod, "cannot run " + taiod.program + ": Permission denied")

    def test_a_wrong_configuration_keeps_the_program_from_before(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config, \
                Replaced("-c", config.name, *HTTP, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            config.write("nonsense = 1\n")
            config.flush()
            taiod.replace(TAIOD)
            self.assert_goes_on(taiod, "ended with status 2 before it served")

    def test_without_a_service_manager_it_only_reloads(self):
        with Replaced(*HTTP, notify=False) as taiod:
            taiod.log_line("listening on")
            taiod.replace(TAIOD)
            taiod.signal(signal.SIGHUP)
            taiod.log_line("has been replaced: a restart runs it")
            taiod.log_line("reloaded")
            self.assertIsNone(taiod.process.poll())

    def test_connections_of_the_program_before_end_at_the_timeout(self):
        with Replaced(*ECHO, *ON_POLL, "--upgrade-timeout", "300ms", "--drain-timeout", "300ms") as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                self.assertEqual(echo(sock, b"before"), b"before")
                taiod.upgrade()
                self.assertEqual(sock.recv(1), b"")
            self.assertEqual(taiod.wait(), 0)

    def test_a_signal_ends_the_program_before_as_usual(self):
        with Replaced(*ECHO, *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            with connect(taiod.addresses()[0]) as sock:
                self.assertEqual(echo(sock, b"before"), b"before")
                taiod.upgrade()
                taiod.signal(signal.SIGTERM)
                self.assertEqual(sock.recv(1), b"")
            self.assertEqual(taiod.wait(), 0)
            self.assertEqual([m for m in taiod.messages_waiting() if "STOPPING" in m], [])

    def test_a_socket_at_a_path_goes_with_it(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with Replaced("--workers", "2", "--listen", f"unix:{path},service=echo", *ON_POLL) as taiod:
                taiod.messages_until("READY", "1")
                inode = os.stat(path).st_ino
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)
                    pid = taiod.upgrade()
                    self.assertEqual(echo(sock, b"old"), b"old")
                self.assertEqual(taiod.wait(), 0)
                self.assertEqual(os.stat(path).st_ino, inode)
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)
                    self.assertEqual(echo(sock, b"new"), b"new")
                self.assertTrue(is_there(pid))

    def test_sessions_are_resumed_by_the_new_program(self):
        with Replaced("--workers", "2", "--listen", "127.0.0.1:0,service=echo,tls", *ON_POLL) as taiod:
            taiod.messages_until("READY", "1")
            address, = taiod.addresses()
            context = tls_context()
            session, resumed = handshake(context, address)
            self.assertFalse(resumed)
            taiod.upgrade()
            self.assertEqual(taiod.wait(), 0)
            self.assertTrue(handshake(context, address, session)[1])

    def test_it_has_no_descriptors_that_a_fresh_one_has_not(self):
        with Replaced(*HTTP, *ON_POLL) as taiod:
            taiod.messages_until("STATUS", "1 listener, 2 workers, engine poll")
            before = settled(taiod.process.pid)
            self.assertEqual(settled(taiod.upgrade()), before)

    def test_sockets_of_the_service_manager_go_with_it(self):
        with socket.socket() as front:
            front.bind(("127.0.0.1", 0))
            front.listen()
            address = front.getsockname()
            with Replaced("--workers", "2", "--listen", "fd:front,service=echo", *ON_POLL,
                          passed=[("front", front.fileno())]) as taiod:
                taiod.messages_until("READY", "1")
                taiod.upgrade()
                self.assertEqual(taiod.wait(), 0)
                with connect(address) as sock:
                    self.assertEqual(echo(sock, b"new"), b"new")


class Store(unittest.TestCase):
    """Listening sockets that the service manager keeps."""

    def test_each_workers_socket_is_kept_under_a_name_that_tells_where(self):
        with Daemon(*HTTP, "--listen", "[::1]:0,service=echo") as taiod:
            taiod.messages_until("READY", "1")
            self.assertEqual([name for name, _ in taiod.stored], ["listen=127.0.0.1%3A0"] * 2 + ["listen=[%3A%3A1]%3A0"] * 2)
            want = taiod.addresses()
            got = [socket.socket(fileno=os.dup(fd)) for _, fd in taiod.stored]
            self.assertEqual([sock.getsockname()[:2] for sock in got], [want[0]] * 2 + [("::1", want[1][1])] * 2)
            for sock in got:
                sock.close()

    def test_a_connection_between_two_runs_is_served(self):
        with Daemon(*ECHO) as first:
            first.messages_until("READY", "1")
            address, = first.addresses()
            self.assertEqual(first.terminate(), 0)
            socks = [connect(address) for _ in range(20)]
            with Daemon(*ECHO, passed=first.stored) as second:
                second.messages_until("READY", "1")
                self.assertEqual(second.addresses(), [address])
                for sock in socks:
                    self.assertEqual(echo(sock, b"waited"), b"waited")
                    sock.close()

    def test_a_listener_that_is_gone_is_kept_no_longer(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write('listen = {"127.0.0.1:0,service=echo", "127.0.0.2:0,service=echo"}\n')
            config.flush()
            with Daemon("-c", config.name, "--workers", "2") as taiod:
                taiod.messages_until("READY", "1")
                self.assertEqual(len(taiod.stored), 4)
                config.seek(0)
                config.write('listen = {"127.0.0.1:0,service=echo", "127.0.0.3:0,service=echo"}\n')
                config.flush()
                taiod.signal(signal.SIGHUP)
                taiod.messages_until("RELOADING", "1")
                taiod.messages_until("READY", "1")
                self.assertEqual(sorted(name for name, _ in taiod.stored),
                                 ["listen=127.0.0.1%3A0"] * 2 + ["listen=127.0.0.3%3A0"] * 2)

    def test_what_nobody_wants_any_more_is_closed(self):
        with Daemon(*ECHO) as first:
            first.messages_until("READY", "1")
            address, = first.addresses()
            first.terminate()
            with Daemon(*HTTP[:2], "--listen", "127.0.0.2:0,service=echo", passed=first.stored) as second:
                second.messages_until("READY", "1")
                for _, fd in first.stored:
                    os.close(fd)
                first.stored.clear()
                with self.assertRaises(ConnectionRefusedError):
                    connect(address)

    def test_a_listener_that_is_gone_with_an_upgrade_is_kept_no_longer(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write('listen = {"127.0.0.1:0,service=echo", "127.0.0.2:0,service=echo"}\n')
            config.flush()
            with Replaced("-c", config.name, "--workers", "2", *ON_POLL) as taiod:
                taiod.messages_until("STATUS", "2 listeners, 2 workers, engine poll")
                gone = taiod.addresses()[1]
                config.seek(0)
                config.truncate()
                config.write('listen = {"127.0.0.1:0,service=echo"}\n')
                config.flush()
                taiod.upgrade()
                self.assertEqual(taiod.wait(), 0)
                self.assertEqual([name for name, _ in taiod.stored], ["listen=127.0.0.1%3A0"] * 2)
                with self.assertRaises(ConnectionRefusedError):
                    connect(gone)
                self.assertEqual(taiod.unheard, [])

    def test_a_path_is_there_over_a_restart(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            args = ("--workers", "2", "--listen", f"unix:{path},service=echo")
            with Daemon(*args) as first:
                first.messages_until("READY", "1")
                self.assertEqual(first.terminate(), 0)
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)
                    with Daemon(*args, passed=first.stored) as second:
                        second.messages_until("READY", "1")
                        self.assertEqual(echo(sock, b"waited"), b"waited")

    def test_a_path_that_is_gone_is_made_anew(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            args = ("--workers", "2", "--listen", f"unix:{path},service=echo")
            with Daemon(*args) as first:
                first.messages_until("READY", "1")
                self.assertEqual(first.terminate(), 0)
                os.unlink(path)
                with Daemon(*args, passed=first.stored) as second:
                    second.messages_until("READY", "1")
                    with socket.socket(socket.AF_UNIX) as sock:
                        sock.connect(path)
                        self.assertEqual(echo(sock, b"new"), b"new")


class Activation(unittest.TestCase):
    def test_the_connection_that_starts_it_is_served(self):
        taiod, (address,) = activated(["front"], "--listen", "fd:front,service=echo")
        with taiod, connect(address) as sock:
            self.assertEqual(echo(sock, b"first"), b"first")
            taiod.messages_until("READY", "1")
            self.assertEqual(taiod.addresses(), [address])
            sock.close()
            self.assertEqual(taiod.terminate(), 0, "".join(taiod.log))

    def test_sockets_are_told_apart_by_their_names(self):
        taiod, (plain, secure) = activated(["plain", "secure"], "--listen", "fd:secure,service=http,tls",
                                           "--listen", "fd:plain,service=echo", "--workers", "2")
        with taiod:
            self.assertEqual(health(secure, tls=True), b"HTTP/1.1 200 OK")
            with connect(plain) as sock:
                self.assertEqual(echo(sock, b"plain"), b"plain")
            taiod.messages_until("READY", "1")
            self.assertEqual(taiod.addresses(), [secure, plain])

    def test_every_worker_serves_a_handed_over_socket(self):
        taiod, (address,) = activated(["front"], "--listen", "fd:front,service=echo", "--workers", "3")
        with taiod:
            socks = [connect(address) for _ in range(30)]
            for sock in socks:
                self.assertEqual(echo(sock, b"all"), b"all")
            for sock in socks:
                sock.close()

    def test_every_socket_of_one_name_is_served(self):
        taiod, addresses = activated(["front", "front", "back"], "--listen", "fd:front,service=echo", "--workers", "2",
                                     "--listen", "fd:back,service=http")
        with taiod:
            for address in addresses[:2]:
                with connect(address) as sock:
                    self.assertEqual(echo(sock, b"one of two"), b"one of two")
            self.assertEqual(health(addresses[2]), b"HTTP/1.1 200 OK")
            taiod.messages_until("READY", "1")
            self.assertEqual(taiod.addresses(), addresses)
            taiod.signal(signal.SIGHUP)
            taiod.messages_until("RELOADING", "1")
            self.assertNotIn("STATUS", taiod.messages_until("READY", "1")[-1])
            for address in addresses[:2]:
                with connect(address) as sock:
                    self.assertEqual(echo(sock, b"again"), b"again")

    def test_a_name_that_was_not_handed_over_is_a_clear_failure(self):
        taiod, (address,) = activated(["front"], "--listen", "fd:back,service=echo")
        with taiod:
            connect(address).close()
            self.assertEqual(taiod.wait(), 1)
            taiod.log_line("fd:back: systemd passed no socket of that name")

    def test_without_a_service_manager_it_fails_clearly(self):
        got = run(TAIOD, "--listen", "fd:http")
        self.assertEqual((got.returncode, got.stderr.count("\n")), (1, 1))
        self.assertIn("fd:http: systemd passed no socket of that name", got.stderr)

    def test_a_datagram_socket_is_refused(self):
        taiod, (address,) = activated(["front"], "--listen", "fd:front", more=["-d"])
        with taiod, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", address)
            self.assertEqual(taiod.wait(), 1)
            taiod.log_line("is not a listening stream socket")

    def test_a_configuration_with_handed_over_sockets_can_be_checked_without_them(self):
        got = run(TAIOD, "-t", "--listen", "fd:http,service=http")
        self.assertEqual((got.returncode, got.stderr), (0, ""))


def main():
    program = unittest.main(exit=False)
    skipped = program.result.skipped
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if skipped and len(skipped) == program.result.testsRun else 0)


if __name__ == "__main__":
    main()
