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
import unittest

from daemon import BIN, TAIOD, WAIT_S, Daemon, connect, echo, health

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
            "usr/share/doc/taio/copyright": 0o644,
            "usr/share/doc/taio/examples/kmod.conf": 0o644,
            "usr/share/doc/taio/examples/proxy.conf": 0o644,
            "usr/share/doc/taio/examples/sockets.conf": 0o644,
            "usr/share/doc/taio/examples/taio-modprobe.conf": 0o644,
            "usr/share/doc/taio/examples/taio-modules-load.conf": 0o644,
            "usr/share/doc/taio/examples/taiod-https.socket": 0o644,
            "usr/share/doc/taio/examples/taiod.conf": 0o644,
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
                want[f"usr/share/doc/taio/{name}"] = 0o644
        got = {os.path.relpath(path, self.root): os.stat(path).st_mode & 0o7777
               for path in glob.glob(self.root + "/**", recursive=True) if os.path.isfile(path)}
        self.assertEqual(got, want)

    def test_files_are_as_in_the_tree(self):
        for path in ("usr/lib/systemd/system/taiod.service", "usr/lib/systemd/system/taiod.socket",
                     "etc/taiod/taiod.conf"):
            self.assertEqual(text_of(self.root, path), text_of(CONFIGS, os.path.basename(path)))

    def test_the_administrators_configuration_is_kept(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(root + "/etc/taiod")
            with open(root + "/etc/taiod/taiod.conf", "w", encoding="ascii") as file:
                file.write("# mine\n")
            install(root)
            self.assertEqual(text_of(root, "etc/taiod/taiod.conf"), "# mine\n")
            self.assertEqual(text_of(root, "usr/share/doc/taio/examples/taiod.conf"), text_of(SHIPPED))

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
    UNITS = ("taiod.service", "taiod.socket")

    @classmethod
    def setUpClass(cls):
        """A root in which the units and what they refer to exist: what was installed, systemd's own, a shell."""
        super().setUpClass()
        units = cls.root + "/usr/lib/systemd/system"
        for path in glob.glob("/lib/systemd/system/*"):
            name = os.path.join(units, os.path.basename(path))
            if os.path.isfile(path) and not os.path.exists(name):
                shutil.copy(path, name)
        os.mkdir(cls.root + "/bin")
        shutil.copy("/bin/sh", cls.root + "/bin/sh")

    def verify(self, *units):
        got = run("systemd-analyze", "verify", "--man=no", "--root=" + self.root, *units)
        return got.returncode, got.stdout + got.stderr

    def test_verify_has_nothing_to_say(self):
        self.assertEqual(self.verify(*self.UNITS), (0, ""))

    def test_verify_has_nothing_to_say_with_the_examples(self):
        examples, system = self.root + "/usr/share/doc/taio/examples/", self.root + "/etc/systemd/system/"
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

    def test_exposure_is_below_two(self):
        got = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=19",
                  os.path.join(CONFIGS, "taiod.service"))
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        self.assertLess(float(re.search(r"exposure level for taiod.service: ([0-9.]+)", got.stdout)[1]), 2.0)

    def test_the_check_comes_before_start_and_reload(self):
        text = text_of(CONFIGS, "taiod.service")
        check = "/bin/sh -c '/usr/sbin/taiod -t -c /etc/taiod/taiod.conf || [ $? = 3 ]'"
        self.assertEqual(re.findall(r"^ExecStartPre=(.*)$", text, re.M), [check])
        self.assertEqual(re.findall(r"^ExecReload=(.*)$", text, re.M), [check, "/bin/sh -c 'kill -HUP $MAINPID'"])

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
                self.assertEqual(taiod.message(), {"RELOADING": "1"})
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
            self.assertNotIn("loop is stuck", "".join(taiod.log))

    def test_there_is_no_false_alarm_at_any_period(self):
        for period_us in (100000, 1000000, 3000000):
            with self.subTest(period_us=period_us), Daemon(*ECHO, env={"WATCHDOG_USEC": str(period_us)}) as taiod:
                for _ in range(6):
                    taiod.messages_until("WATCHDOG", "1")
                self.assertNotIn("loop is stuck", "".join(taiod.log))

    def test_it_is_not_fed_while_one_of_two_workers_stands_still(self):
        with Daemon(*ECHO, env=self.ENV) as taiod:
            taiod.messages_until("READY", "1")
            worker = max(int(tid) for tid in os.listdir(f"/proc/{taiod.process.pid}/task"))
            self.assertNotEqual(worker, taiod.process.pid)
            with Held(worker):
                taiod.log_line("a worker's loop is stuck")
                taiod.messages_waiting()
                taiod.log_line("a worker's loop is stuck")
                self.assertEqual(taiod.messages_waiting(), [])
            taiod.messages_until("WATCHDOG", "1")
            self.assertEqual(taiod.terminate(), 0)


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
