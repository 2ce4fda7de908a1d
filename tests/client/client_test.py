#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taio as its users see it: bytes, messages, exit codes; every engine that works here.

usage: client_test.py TAIO [unittest arguments]
"""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import termios
import threading
import time
import unittest

import harness
import peers
from harness import BIG, TAIO, Case, digest, each_engine, engines, run
from peers import WAIT, echo, serve, silent

ENGINES_CMAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cmake/engines.cmake")
with open(TAIO, "rb") as binary:
    SANITIZED = b"__asan_init" in binary.read()  # a sanitizer's shadow memory is no memory of ours


def is_nonblocking(fd):
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


def names(*options):
    """What `taio engines --names` prints."""
    return run("engines", "--names", *options).stdout.decode().split()


class Engines(Case):
    def test_table_has_every_engine_and_auto_takes_one_that_works(self):
        result = run("engines")
        self.assert_ok(result)
        text = result.stdout.decode()
        for name in names():
            self.assertRegex(text, r"(?m)^%s +(yes|no) " % name)
        chosen = re.search(r"(?m)^auto takes (\S+): ", text).group(1)
        self.assertRegex(text, r"(?m)^%s +yes " % chosen)

    def test_names_are_those_of_the_tests(self):
        """cmake/engines.cmake is the list from which tests are made."""
        with open(ENGINES_CMAKE) as file:
            lists = dict(re.findall(r"(?m)^set\((\w+) ([^)]+)\)$", file.read()))
        host, kmod = (lists[name].split() for name in ("TAIO_ENGINES", "TAIO_ENGINES_KMOD"))
        self.assertEqual(sorted(names()), sorted(host + kmod))
        self.assertLessEqual(set(host), set(names("--working")))

    def test_columns_are_aligned(self):
        lines = run("engines").stdout.decode().splitlines()
        column = lines[0].index("WORKS")
        for line in lines[1:lines.index("")]:
            self.assertEqual(line[column - 1], " ")
            self.assertIn(line[column:column + 3].strip(), ("yes", "no", ""))

    @unittest.skipUnless(any(name.startswith("kmod:") for name in names("--working")), "the module is not loaded")
    def test_the_module_is_not_used_where_io_cancel_completes_operations_itself(self):
        shim = os.path.join(os.path.dirname(TAIO), "../tests/client/libcancel_completes.so")
        done = subprocess.run([TAIO, "engines"], env={**os.environ, "LD_PRELOAD": shim}, capture_output=True, text=True,
                              timeout=WAIT, check=True)
        self.assertRegex(done.stdout, r"(?m)^kmod:task +no .*\n +not here: io_cancel completes operations itself")
        self.assertRegex(done.stdout, r"(?m)^auto takes poll: ")

    def test_unknown_engine_is_an_error_that_lists_the_names(self):
        self.assert_fails(run("-e", "warp", "ping", "127.0.0.1:1"), 1, "'warp'", "epoll", "poll")


class Usage(Case):
    CASES = (
        ([], "no command", "--help"),
        (["fly"], "unknown command fly", "--help"),
        (["cat"], "HOST:PORT"),
        (["get"], "URL"),
        (["engines", "now"], "now"),
        (["cat", "a:1", "b:2"], "b:2"),
        (["--frobnicate", "cat", "a:1"], "--frobnicate"),
        (["ping", "--cuont=3", "a:1"], "did you mean --count?"),
        (["ping", "--count=many", "a:1"], "--count", "whole number"),
        (["ping", "--size=0", "a:1"], "--size", "from 1 to 16m"),
        (["cancel-read", "--after=soon", "a:1"], "--after", "250ms"),
        (["cat", "--count=3", "a:1"], "--count", "taio ping"),
        (["ping", "-I", "a:1"], "--head", "taio get"),
        (["ping", "--resume", "a:1"], "--resume needs --tls"),
        (["get", "localhost/"], "localhost/", "http://"),
        (["get", "ftp://localhost/"], "http://"),
        (["get", "http://"], "host"),
        (["get", "http://:80/"], "host"),
        (["get", "http://localhost:http/"], "host or port"),
        (["get", "http://user:secret@localhost/"], "user names"),
        (["get", "http://localhost/a b"], "blanks"),
        (["get", "http://localhost/\r\nX: y"], "control"),
        (["get", "http://localhost/" + 9000 * "x"], "too long"),
    )

    def test_wrong_command_lines_exit_2_with_one_line(self):
        for args, *needles in self.CASES:
            with self.subTest(args=args):
                self.assert_fails(run(*args), 2, *needles)

    def test_help_version_and_manual_need_no_command(self):
        for option, needle in (("--help", b"cancel-read HOST:PORT"), ("--version", b"taio "), ("--man", b".Sh NAME")):
            result = run(option)
            self.assert_ok(result)
            self.assertIn(needle, result.stdout)

    @unittest.skipUnless(shutil.which("mandoc"), "no mandoc")
    def test_manual_passes_lint(self):
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning"], input=run("--man").stdout, capture_output=True)
        self.assertEqual((lint.returncode, lint.stdout), (0, b""))


class Connect(Case):
    def test_refused_connection_exits_1_and_says_whom(self):
        with socket.socket() as bound:  # bound and not listening: refused, and nobody else's
            bound.bind(("127.0.0.1", 0))
            target = "127.0.0.1:%d" % bound.getsockname()[1]
            for engine in engines():
                for args in (["cat", target], ["ping", target], ["cancel-read", target], ["get", f"http://{target}/"]):
                    with self.subTest(engine=engine, args=args):
                        self.assert_fails(run("-e", engine, *args), 1,
                                          f"cannot connect to {target}: Connection refused")

    def test_malformed_and_unknown_addresses_exit_1(self):
        self.assert_fails(run("cat", "nonsense"), 1, "nonsense", "HOST:PORT")
        self.assert_fails(run("cat", "no-such-host.invalid:1"), 1, "no-such-host.invalid")

    @each_engine
    def test_connect_gives_up_at_the_timeout(self, engine):
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for filler in (first, second):  # the backlog is full: a further SYN stays unanswered
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            target = "127.0.0.1:%d" % full.getsockname()[1]
            self.assert_fails(run("-e", engine, "-t", "200ms", "ping", target), 1, target, "--timeout")


class Cat(Case):
    @each_engine
    def test_large_file_both_ways_is_byte_exact(self, engine):
        source = self.path("in", BIG)
        with serve(echo) as target, open(source) as stdin, open(self.path("out"), "wb") as stdout:
            self.assert_ok(run("-e", engine, "cat", target, stdin=stdin, stdout=stdout))
        with open(self.path("out"), "rb") as file:
            self.assertEqual(digest(file.read()), digest(BIG))

    @each_engine
    def test_large_pipes_both_ways_are_byte_exact(self, engine):
        with serve(echo) as target:
            result = run("-e", engine, "cat", target, data=BIG)
        self.assert_ok(result)
        self.assertEqual(digest(result.stdout), digest(BIG))

    @each_engine
    def test_nc_talks_both_ways_and_sees_the_half_close(self, engine):
        """nc -l ends at the end of what it is sent, and so ends taio."""
        got = self.path("got", b"")
        script = f"exec nc -v -l -N 127.0.0.1 0 >{got}"
        with peers.program(["sh", "-c", script], r"(\d+)$", stream="stderr", stdin=subprocess.PIPE) as (nc, target), \
                subprocess.Popen([TAIO, "-e", engine, "cat", target], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE) as taio:
            taio.stdin.write(BIG[:500000])
            nc.stdin.write(BIG[-300000:])
            nc.stdin.flush()
            self.assertEqual(digest(taio.stdout.read(300000)), digest(BIG[-300000:]))
            taio.stdin.close()
            self.assertEqual((nc.wait(WAIT), taio.wait(WAIT)), (0, 0))
        with open(got, "rb") as file:
            self.assertEqual(digest(file.read()), digest(BIG[:500000]))

    @each_engine
    def test_ends_when_the_peer_closes_though_input_is_open(self, engine):
        keep_r, keep_w = os.pipe()
        try:
            with serve(lambda conn: conn.sendall(b"bye\n")) as target:
                result = run("-e", engine, "cat", target, stdin=keep_r)
        finally:
            os.close(keep_r)
            os.close(keep_w)
        self.assert_ok(result)
        self.assertEqual(result.stdout, b"bye\n")

    @each_engine
    def test_devices_that_cannot_be_polled_serve_as_ends(self, engine):
        with serve(echo) as target, open("/dev/null", "r+b") as null:
            self.assert_ok(run("-e", engine, "cat", target, stdin=null, stdout=null))
            self.assert_ok(run("-e", engine, "cat", target, data=b"x", stdout=null))
            with open("/dev/full", "wb") as full:
                self.assert_fails(run("-e", engine, "cat", target, data=b"x", stdout=full), 1,
                                  "standard output", "No space left")

    @each_engine
    def test_redirections_shared_with_other_commands_keep_their_place(self, engine):
        self.path("in", b"skipped\ntaken\n")
        with serve(echo) as target:
            for redirect, head in ((">", b""), (">>", b"old\n")):
                self.path("out", b"old\n")
                script = (f"cd {self.dir}; {{ read x; echo one; {TAIO} -e {engine} cat {target}; read y || echo end; "
                          f"echo two; }} < in {redirect} out")
                subprocess.run(["bash", "-c", script], check=True, timeout=WAIT)
                with open(self.path("out"), "rb") as file:
                    self.assertEqual(file.read(), head + b"one\ntaken\nend\ntwo\n")

    @each_engine
    def test_a_peer_that_does_not_read_stops_the_input(self, engine):
        """Back-pressure: what has no room in the sockets stays with whoever writes to us."""
        release = threading.Event()
        with serve(lambda conn: release.wait(WAIT)) as target, \
                subprocess.Popen([TAIO, "-e", engine, "cat", target], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as taio:
            fd = taio.stdin.fileno()
            os.set_blocking(fd, False)
            taken = refused = 0
            end = time.monotonic() + WAIT
            while refused < 25 and time.monotonic() < end:
                try:
                    taken += os.write(fd, bytes(65536))
                    refused = 0
                except BlockingIOError:
                    refused += 1
                    time.sleep(0.02)
            with open(f"/proc/{taio.pid}/status") as file:
                rss_kib = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
            release.set()
            taio.kill()
        self.assertEqual(refused, 25)
        self.assertLess(taken, 32 << 20)
        if not SANITIZED:
            self.assertLess(rss_kib, 24 << 10)

    @each_engine
    def test_reset_by_the_peer_is_a_failure(self, engine):
        def reset(conn):
            conn.recv(1)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        with serve(reset) as target:
            self.assert_fails(run("-e", engine, "cat", target, data=b"x"), 1, "reset by peer")

    def read_line(self, terminal):
        line = b""
        while not line.endswith(b"\n"):
            self.assertTrue(select.select([terminal], [], [], WAIT)[0], f"no echo after {line}")
            line += os.read(terminal, 100)
        return line

    def talk_on_terminal(self, engine, target, act):
        ours, theirs = pty.openpty()
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        with subprocess.Popen([TAIO, "-e", engine, "cat", target], stdin=theirs, stdout=theirs,
                              stderr=subprocess.PIPE, start_new_session=True) as taio:
            try:
                os.write(ours, b"hello\n")
                self.assertEqual(self.read_line(ours), b"hello\r\n")
                act(taio, ours)
                taio.wait(WAIT)
                self.assertFalse(is_nonblocking(theirs))
            finally:
                taio.kill()
                os.close(ours)
                os.close(theirs)
        return taio.returncode

    @each_engine
    def test_terminal_serves_both_ends_until_its_end_of_file(self, engine):
        with serve(echo) as target:
            code = self.talk_on_terminal(engine, target, lambda taio, tty: os.write(tty, b"\4"))
        self.assertEqual(code, 0)

    @each_engine
    def test_signal_leaves_the_terminal_blocking_and_kills(self, engine):
        for number in (signal.SIGINT, signal.SIGTERM):
            with serve(echo) as target:
                code = self.talk_on_terminal(engine, target, lambda taio, tty: taio.send_signal(number))
            self.assertEqual(code, -number)


class Tls(Case):
    @each_engine
    def test_cat_with_s_server_is_byte_exact_both_ways(self, engine):
        def echo_tls(conn):
            echo(conn)
            conn.unwrap()

        with serve(echo_tls, self.certificate.context()) as target:
            result = run("-e", engine, "cat", "--tls", "--ca", self.certificate.cert, target, data=BIG)
        self.assertEqual(result.stderr, b"")
        self.assertEqual(digest(result.stdout), digest(BIG))

    @each_engine
    def test_s_server_gets_what_cat_sends(self, engine):
        text = b"".join(b"line %d\n" % i for i in range(2000))
        with peers.s_server(self.certificate, "-rev") as (_, target):
            keep = text + b"CLOSE\n"  # what ends a session of -rev
            result = run("-e", engine, "cat", "--tls", "--insecure", target, data=keep)
        want = b"".join(line[::-1] + b"\n" for line in text.splitlines())
        self.assertEqual(digest(result.stdout), digest(want))

    def test_unknown_certificate_is_refused_with_its_reason(self):
        with serve(echo, self.certificate.context()) as target:
            self.assert_fails(run("ping", "--tls", target), 1, target, "certificate")
            self.assert_ok(run("ping", "--tls", "-k", "-c1", target))
            self.assert_ok(run("ping", "--tls", "--ca", self.certificate.cert, "-c1", target))

    def test_certificate_of_another_name_is_refused(self):
        with serve(echo, self.certificate.context()) as target:
            port = target.split(":")[1]
            self.assert_fails(run("ping", "--tls", "--ca", self.certificate.cert, "127.0.0.2:" + port), 1)

    def test_missing_ca_file_is_named(self):
        with serve(echo) as target:
            self.assert_fails(run("ping", "--tls", "--ca", "/no/such.pem", target), 1, "/no/such.pem")

    def test_plain_server_and_closing_server_are_told_apart_from_tls(self):
        with serve(echo) as target:
            self.assert_fails(run("ping", "--tls", target), 1, "TLS handshake", target)
        with serve(lambda conn: conn.recv(1000)) as target:
            self.assert_fails(run("ping", "--tls", target), 1, "TLS handshake", target)

    @each_engine
    def test_silent_server_ends_the_handshake_at_the_timeout(self, engine):
        with serve(silent) as target:
            self.assert_fails(run("-e", engine, "-t", "100ms", "ping", "--tls", target), 1, "--timeout")

    @each_engine
    def test_end_without_close_notify_is_a_failure(self, engine):
        def cut(conn):
            conn.sendall(b"half")
            conn.shutdown(socket.SHUT_WR)  # of TCP: TLS has no part in it
            silent(conn)

        with serve(cut, self.certificate.context()) as target:
            result = run("-e", engine, "-k", "--tls", "cat", target, data=b"")
        self.assert_fails(result, 1, "close_notify")
        self.assertEqual(result.stdout, b"half")


class Ping(Case):
    @each_engine
    def test_percentiles_are_ordered_and_the_count_is_kept(self, engine):
        with serve(echo) as target:
            result = run("-e", engine, "ping", "-c", 25, "-i", "1ms", "-s", 1000, target)
        self.assert_ok(result)
        text = result.stdout.decode()
        self.assertIn(f"25 round trips of 1000 bytes with {target}, engine {engine}\n", text)
        values = [float(v) for v in re.search(r"min (\S+)  p50 (\S+)  p90 (\S+)  p99 (\S+)  max (\S+) ms", text).groups()]
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)

    @each_engine
    def test_message_larger_than_the_sockets_hold(self, engine):
        with serve(echo) as target:
            self.assert_ok(run("-e", engine, "ping", "-c2", "-i0s", "-s16m", target))

    @each_engine
    def test_over_tls(self, engine):
        with serve(echo, self.certificate.context()) as target:
            result = run("-e", engine, "ping", "--tls", "--ca", self.certificate.cert, "-c3", "-i0s", "-s100k", target)
        self.assert_ok(result)
        self.assertIn(b"over TLS", result.stdout)

    def resume(self, context, *args, engine="auto"):
        with serve(echo, context) as target:
            return target, run("-e", engine, "ping", "--tls", "--resume", "--ca", self.certificate.cert, *args, target)

    @each_engine
    def test_full_and_resumed_handshakes_are_told_apart(self, engine):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.certificate.context()
            context.minimum_version = context.maximum_version = version
            target, result = self.resume(context, "-c", 7, "-i1ms", "-v", engine=engine)
            self.assert_ok(result)
            text = result.stdout.decode()
            self.assertEqual(re.findall(rf"(?m)^(\w+) handshake with {target}: trip=(\d) ", text),
                             [("resumed" if trip % 2 == 0 else "full", str(trip)) for trip in range(1, 8)])
            tail = re.search(r"(?ms)^7 round trips .* over TLS, .*\n(min.*)\n4 full handshakes\n(min.*)\n3 resumed handshakes\n"
                             r"(min.*)\n\Z", text)
            for line in tail.groups():
                values = [float(v) for v in re.findall(r"[\d.]{5,}", line)]
                self.assertEqual((len(values), values), (5, sorted(values)))
                self.assertGreater(values[0], 0)

    def test_server_that_resumes_nothing_is_a_failure(self):
        context = self.certificate.context()
        context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0
        target, result = self.resume(context, "-c4", "-i0s")
        self.assert_fails(result, 1, f"{target} has resumed none of 2 sessions")
        self.assertIn(b"4 full handshakes", result.stdout)
        self.assert_ok(self.resume(context, "-c1")[1])  # none was asked for

    def test_server_that_has_gone_before_a_resumption_is_named(self):
        listener = socket.create_server(("127.0.0.1", 0))
        target = "127.0.0.1:%d" % listener.getsockname()[1]

        def once():
            conn = listener.accept()[0]
            listener.close()
            with self.certificate.context().wrap_socket(conn, server_side=True) as secure:
                echo(secure)

        thread = threading.Thread(target=once)
        thread.start()
        result = run("ping", "--tls", "--resume", "-k", "-i0s", target)
        thread.join(WAIT)
        self.assert_fails(result, 1, target)
        self.assertIn(b"1 full handshake\n", result.stdout)

    def test_each_round_trip_is_printed_on_demand(self):
        with serve(echo) as target:
            quiet = run("ping", "-c3", "-i0s", target).stdout.decode()
            verbose = run("ping", "-c3", "-i0s", "-v", target).stdout.decode()
        self.assertEqual(len(re.findall("trip=", quiet)), 0)
        self.assertEqual(re.findall(r"trip=(\d)", verbose), ["1", "2", "3"])

    def test_wrong_byte_is_found_and_named(self):
        def corrupt(conn):
            data = b""
            while len(data) < 64:
                data += conn.recv(64 - len(data))
            conn.sendall(data[:10] + bytes([data[10] ^ 1]) + data[11:])
            silent(conn)

        with serve(corrupt) as target:
            self.assert_fails(run("ping", target), 1, "round trip 1: byte 11 of 64")

    def test_peer_that_closes_and_peer_that_is_silent_are_failures(self):
        with serve(lambda conn: conn.recv(64)) as target:
            self.assert_fails(run("ping", target), 1, "round trip 1")
        with serve(silent) as target:
            self.assert_fails(run("-t", "100ms", "ping", target), 1, "round trip 1", "--timeout")

    def test_unasked_byte_is_found(self):
        def chatty(conn):
            conn.sendall(conn.recv(65536) + b"!")
            silent(conn)

        with serve(chatty) as target:
            self.assert_fails(run("ping", target), 1)

    @each_engine
    def test_interrupt_prints_what_was_measured(self, engine):
        with serve(echo) as target:
            with subprocess.Popen([TAIO, "-e", engine, "ping", "-v", "-c0", "-i10ms", target],
                                  stdout=subprocess.PIPE) as taio:
                while b"trip=3 " not in taio.stdout.readline():
                    pass
                taio.send_signal(signal.SIGINT)
                rest = taio.stdout.read().decode()
                self.assertEqual(taio.wait(WAIT), 0)
        self.assertRegex(rest, r"(?m)^\d+ round trips")
        self.assertIn("p99", rest)


class CancelRead(Case):
    RESULT = (r"read: -ECANCELED \(Operation canceled\) after (\d+\.\d{3}) ms\n"
              r"cancel: event (\d+\.\d) us after taio_cancel\(\), engine (\S+)\n")

    def check(self, result, engine, after_ms):
        self.assert_ok(result)
        read_ms, cancel_us, name = re.fullmatch(self.RESULT, result.stdout.decode()).groups()
        self.assertGreaterEqual(float(read_ms), after_ms)
        self.assertGreater(float(cancel_us), 0)
        self.assertEqual(name, engine)

    @each_engine
    def test_read_that_nothing_answers_is_cancelled(self, engine):
        with serve(silent) as target:
            self.check(run("-e", engine, "cancel-read", target, "--after", "50ms"), engine, 50)
            self.check(run("-e", engine, "cancel-read", target, "--after", "0s"), engine, 0)

    @each_engine
    def test_tls_tickets_do_not_count_as_data(self, engine):
        with serve(silent, self.certificate.context()) as target:
            self.check(run("-e", engine, "--tls", "-k", "cancel-read", target, "--after", "50ms"), engine, 0)

    @each_engine
    def test_data_or_end_that_come_first_are_reported(self, engine):
        def greet(conn):
            conn.sendall(b"220 hello\r\n")
            silent(conn)

        with serve(greet) as target:
            self.assert_fails(run("-e", engine, "cancel-read", target, "--after", "20s"), 1, "data arrived after")
        with serve(lambda conn: None) as target:
            self.assert_fails(run("-e", engine, "cancel-read", target, "--after", "20s"), 1, "the peer closed")


if __name__ == "__main__":
    harness.main()
