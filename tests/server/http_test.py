# SPDX-License-Identifier: MIT
"""The service http with curl and with raw sockets, plain and TLS: what is served is what lies on the disk."""
import hashlib
import mmap
import os
import re
import signal
import socket
import tempfile
import threading
import time
import unittest

from harness import Http, Server, ServerCase, connect, curl, has_tool, pattern, read_to_end, run, until

BIG = 24 << 20
LISTENERS = ("service=http,root={root}", "service=http,root={root},tls")


def write(*path, data=b""):
    with open(os.path.join(*path), "wb") as file:
        file.write(data)


def make_tree(root):
    os.makedirs(os.path.join(root, "sub dir"))
    os.mkdir(os.path.join(root, "bare"))
    write(root, "index.html", data=b"<p>home</p>\n")
    write(root, "sub dir", "index.html", data=b"<p>sub</p>\n")
    write(root, "empty")
    write(root, "a.txt", data=b"0123456789")
    write(root, "big.bin", data=pattern(BIG))
    for i in range(300):
        write(root, f"many-{i}.txt", data=f"file {i}\n".encode())


class HttpCase(ServerCase):
    listeners = LISTENERS
    options = ("--file-cache", "64", "--metrics")
    cached_files = 2 * 64  # each listener has its cache

    @classmethod
    def make_root(cls, root):
        make_tree(root)

    def urls(self, path):
        return f"http://127.0.0.1:{self.ports[0]}{path}", f"https://127.0.0.1:{self.ports[1]}{path}"


@unittest.skipUnless(has_tool("curl"), "curl")
class Curl(HttpCase):
    def test_get_index_and_file(self):
        for path, body in (("/", b"<p>home</p>\n"), ("/sub%20dir/", b"<p>sub</p>\n"), ("/a.txt", b"0123456789"),
                           ("/empty", b""), ("/healthz", b"ok\n"), ("/./sub%20dir/../a.txt", b"0123456789")):
            for url in self.urls(path):
                with self.subTest(url=url):
                    self.assertEqual(curl("--path-as-is", url), body)

    def test_head_has_the_length_and_no_body(self):
        for url in self.urls("/big.bin"):
            head = curl("-I", url).decode()
            self.assertIn(f"Content-Length: {BIG}\r\n", head)

    def test_directory_without_slash_is_redirected(self):
        for url in self.urls("/sub%20dir?q=1"):
            head = curl("-i", url).decode()
            self.assertRegex(head, r"\AHTTP/1.1 301 ")
            self.assertIn("Location: /sub%20dir/?q=1\r\n", head)
            self.assertEqual(curl("-L", url), b"<p>sub</p>\n")

    def test_directory_without_index_is_not_listed(self):
        for url in self.urls("/bare/"):
            self.assertEqual(curl("-o", "/dev/null", "-w", "%{http_code}", url), b"403")

    def test_ranges(self):
        for spec, body in (("0-0", b"0"), ("2-5", b"2345"), ("7-", b"789"), ("-3", b"789"), ("5-99", b"56789")):
            for url in self.urls("/a.txt"):
                with self.subTest(spec=spec, url=url):
                    self.assertEqual(curl("-r", spec, "-w", " %{http_code}", url), body + b" 206")
        for url in self.urls("/a.txt"):
            self.assertEqual(curl("-r", "10-", "-o", "/dev/null", "-w", "%{http_code}", url), b"416")

    def test_a_range_deep_in_a_big_file(self):
        for url in self.urls("/big.bin"):
            self.assertEqual(curl("-r", "20000003-20100002", url), pattern(BIG)[20000003:20100003])

    def test_conditions(self):
        for url in self.urls("/a.txt"):
            head = curl("-I", url).decode()
            etag = re.search(r"ETag: (\"[^\r]+\")\r", head)[1]
            date = re.search(r"Last-Modified: ([^\r]+)\r", head)[1]
            for header, status in ((f"If-None-Match: {etag}", b"304"), ('If-None-Match: "other"', b"200"),
                                   (f"If-Modified-Since: {date}", b"304"),
                                   ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", b"200"),
                                   (f"If-Match: {etag}", b"200"), ('If-Match: "other"', b"412")):
                with self.subTest(header=header, url=url):
                    self.assertEqual(curl("-H", header, "-o", "/dev/null", "-w", "%{http_code}", url), status)

    def test_keep_alive_is_used(self):
        for url in self.urls("/a.txt"):
            out = curl("-w", "%{num_connects} ", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", url, url,
                       url)
            self.assertEqual(out, b"1 0 0 ")

    def test_echo_with_a_length(self):
        data = pattern(3 << 20)
        for url in self.urls("/echo"):
            self.assertEqual(curl("--data-binary", "@-", url, stdin=data), data)

    def test_echo_chunked(self):
        data = pattern(1 << 20, 5)
        for url in self.urls("/echo"):
            out = curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@-", url, stdin=data)
            self.assertEqual(hashlib.sha256(out).digest(), hashlib.sha256(data).digest())

    def test_echo_after_100_continue(self):
        data = pattern(100000)
        for url in self.urls("/echo"):
            done = run("curl", "-sSkv", "-H", "Expect: 100-continue", "--data-binary", "@-", url, stdin=data)
            self.assertEqual(done.stdout, data)
            self.assertIn(b"HTTP/1.1 100 Continue", done.stderr)

    def test_big_file_is_byte_exact(self):
        want = hashlib.sha256(pattern(BIG)).digest()
        for url in self.urls("/big.bin"):
            self.assertEqual(hashlib.sha256(curl(url)).digest(), want)

    def test_many_files_on_one_connection(self):
        for url in self.urls("/many-[0-299].txt"):
            self.assertEqual(curl(url), b"".join(b"file %d\n" % i for i in range(300)))

    def test_metrics_are_prometheus_text(self):
        for url in self.urls("/metrics"):
            rows = parse_prometheus(curl(url).decode())
            self.assertEqual(rows["taiod_active"][0], "gauge")
            self.assertGreaterEqual(rows["taiod_accepted_total"][1], 1)
            self.assertEqual(rows["taiod_accepted_total"][0], "counter")
        self.assertRegex(curl("-I", self.urls("/metrics")[0]).decode(),
                         r"Content-Type: text/plain; version=0\.0\.4; charset=utf-8\r\n")


def parse_prometheus(text):
    """
    The text format 0.0.4, strictly: HELP, TYPE and the samples of each name, in this order, none twice. The kind and the
    sum of the samples of each; of a histogram, how many values it has, whose buckets rise to that.
    """
    assert text.endswith("\n")
    parts = re.split(r"^# HELP ", text[:-1], flags=re.M)
    assert parts[0] == ""
    rows = {}
    for part in parts[1:]:
        helping, typing, *samples = part.rstrip("\n").split("\n")
        name = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*) [^\n\\]+", helping)[1]
        kind = re.fullmatch(rf"# TYPE {name} (counter|gauge|histogram)", typing)[1]
        assert name not in rows and (kind == "counter") == name.endswith("_total"), name
        values, last, total = {}, 0, 0
        for sample in samples:
            end, labels, value = re.fullmatch(rf"{name}(_bucket|_sum|_count)?((?:\{{[^{{}}]+\}})?) ([0-9.]+)", sample).groups("")
            assert (end, labels) not in values and bool(end) == (kind == "histogram"), sample
            values[end, labels] = float(value)
            if end == "_bucket":
                assert last <= float(value), sample
                last = float(value)
            elif end == "_count":
                assert last == float(value), sample
                last = 0
            total += float(value) if end in ("", "_count") else 0
        assert samples, name
        rows[name] = kind, total
    return rows


class Raw(HttpCase):
    def test_pipelined_requests_are_answered_in_order(self):
        for index, tls in ((0, False), (1, True)):
            with self.subTest(tls=tls):
                http = self.http(index, tls=tls)
                http.send(b"".join(b"GET /many-%d.txt HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(100)))
                for i in range(100):
                    response = http.response()
                    self.assertEqual((response.status, response.body), (200, b"file %d\n" % i))

    def test_pipelined_big_files_and_errors_are_answered_in_order(self):
        http = self.http()
        http.send(b"".join(b"GET /%s HTTP/1.1\r\nHost: t\r\n\r\n" % name
                           for name in (b"big.bin", b"nothing", b"a.txt", b"big.bin", b"empty")))
        bodies = [http.response() for _ in range(5)]
        self.assertEqual([a.status for a in bodies], [200, 404, 200, 200, 200])
        self.assertEqual(bodies[0].body, pattern(BIG))
        self.assertEqual(bodies[2].body, b"0123456789")
        self.assertEqual(bodies[3].body, bodies[0].body)

    def test_one_byte_at_a_time(self):
        for index, tls in ((0, False), (1, True)):
            http = self.http(index, tls=tls)
            for byte in b"GET /a.txt HTTP/1.1\r\nHost: t\r\n\r\n":
                http.send(bytes([byte]))
            self.assertEqual(http.response().body, b"0123456789")

    def test_http_1_0_is_closed_unless_asked_otherwise(self):
        http = self.http()
        http.send(b"GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(http.response().body, b"0123456789")
        http.send(b"GET /a.txt HTTP/1.0\r\n\r\n")
        response = http.response()
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(read_to_end(http.sock), (b"", True))

    def test_connection_close_is_obeyed_and_counted(self):
        before = self.server.stats()
        for index, tls in ((0, False), (1, True)):
            http = self.http(index, tls=tls)
            self.assertEqual(http.get("/a.txt", Connection="close").body, b"0123456789")
            self.assertEqual(read_to_end(http.sock), (b"", True))
            http.close()
        self.assert_counts(before, closed_done=2, requests=2, responses_2xx=2)

    def test_a_half_closed_peer_gets_its_answer(self):
        http = self.http()
        http.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(http.response().body, pattern(BIG))
        self.assertEqual(read_to_end(http.sock), (b"", True))

    def test_a_file_cut_short_while_sent_ends_the_connection(self):
        write(self.root, "cut.bin", data=pattern(BIG))
        before = self.server.stats()
        other = self.http()
        http = self.http(rcvbuf=8192)
        http.send(b"GET /cut.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        status, headers = http.head()
        self.assertEqual((status, int(headers["content-length"])), (200, BIG))
        http.take(1 << 20)
        os.truncate(os.path.join(self.root, "cut.bin"), 2 << 20)
        rest, _ = read_to_end(http.sock)
        self.assertLess(len(rest), BIG - (1 << 20))
        self.assert_counts(before, closed_error=1)
        self.assertRegex(self.server.log(), r"cannot send the rest of cut\.bin: the file has changed")
        self.assertEqual(other.get("/a.txt").status, 200)

    def fail_while_sent(self, name, count):
        """@count responses of a file that is truncated while they are sent."""
        write(self.root, name, data=pattern(BIG))
        before = self.server.stats()
        https = [self.http(rcvbuf=8192) for _ in range(count)]
        for http in https:
            http.send(f"GET /{name} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            http.head()
        os.truncate(os.path.join(self.root, name), 1 << 20)
        for http in https:
            read_to_end(http.sock)
        self.assert_counts(before, closed_error=count)

    def test_files_that_fail_in_a_flood_are_told_of_once_a_second(self):
        time.sleep(1.1)
        self.fail_while_sent("first.bin", 1)  # tells what was held back before, too
        time.sleep(1.1)
        mark, begin = len(self.server.log()), time.monotonic()
        self.fail_while_sent("flood.bin", 40)
        time.sleep(1.1)
        self.fail_while_sent("last.bin", 1)
        told = re.findall(r"cannot send the rest of \w+\.bin: [^(\n]*(?:\(and (\d+) more before\))?", self.server.log()[mark:])
        self.assertLessEqual(len(told), time.monotonic() - begin + 1)
        self.assertEqual(sum(1 + int(more or 0) for more in told), 41, "each is told of, or counted")

    def test_a_file_replaced_while_sent_is_sent_as_it_was(self):
        write(self.root, "swap.bin", data=pattern(BIG, 1))
        http = self.http(rcvbuf=8192)
        http.send(b"GET /swap.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.head()
        got = http.take(1 << 20)
        write(self.root, "swap.new", data=pattern(BIG, 2))
        os.rename(os.path.join(self.root, "swap.new"), os.path.join(self.root, "swap.bin"))
        self.assertEqual(got + http.take(BIG - len(got)), pattern(BIG, 1))

    def test_a_file_that_grows_while_sent_is_sent_as_it_was(self):
        """A log that is appended to."""
        write(self.root, "log.bin", data=pattern(BIG))
        http = self.http(rcvbuf=8192)
        http.send(b"GET /log.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.head()
        got = http.take(1 << 20)
        with open(os.path.join(self.root, "log.bin"), "ab") as log:
            log.write(b"more" * 1000)
        self.assertEqual(got + http.take(BIG - len(got)), pattern(BIG))
        self.assertEqual(http.get("/log.bin").headers["content-length"], str(BIG + 4000))

    def append_slowly(self, path, stop):
        """From a page that has to be read from the disk first: a write(2) sets the mtime, waits for it, and sets the size."""
        write(self.root, "more.bin", data=pattern(mmap.PAGESIZE))
        with open(os.path.join(self.root, "more.bin"), "rb") as cold, open(path, "ab", buffering=0) as log:
            os.fsync(cold.fileno())
            while not stop.is_set():
                os.posix_fadvise(cold.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                with mmap.mmap(cold.fileno(), 0, prot=mmap.PROT_READ) as page, memoryview(page) as memory:
                    log.write(memory[:100])

    def test_a_file_that_grows_all_the_time_is_never_cut(self):
        start, stop, lengths = pattern(4 << 20), threading.Event(), set()
        write(self.root, "grows.bin", data=start)
        writer = threading.Thread(target=self.append_slowly, args=(os.path.join(self.root, "grows.bin"), stop))
        writer.start()
        try:
            http, end = self.http(rcvbuf=65536), time.monotonic() + 5
            while time.monotonic() < end:
                body = http.get("/grows.bin").body
                self.assertEqual(body[:len(start)], start)
                lengths.add(len(body))
        finally:
            stop.set()
            writer.join()
        self.assertGreater(len(lengths), 3)

    def test_a_file_written_anew_and_longer_while_sent_is_cut(self):
        write(self.root, "anew.bin", data=pattern(BIG, 1))
        http = self.http(rcvbuf=8192)
        http.send(b"GET /anew.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        http.head()
        http.take(1 << 20)
        write(self.root, "anew.bin", data=pattern(BIG + 4000, 2))
        rest, _ = read_to_end(http.sock)
        self.assertLess(len(rest), BIG - (1 << 20))

    def test_a_file_rewritten_in_place_is_served_as_it_is_at_once(self):
        """Whatever file-valid says: length, tag and bytes are those of the open file."""
        http = self.http()
        seen = {}
        for size in (100, 2, 3000, 0, 20000, 1, 150000, 99):
            write(self.root, "inplace.bin", data=pattern(size, size + 1))
            answer = http.get("/inplace.bin")
            self.assertEqual((answer.status, answer.body), (200, pattern(size, size + 1)))
            self.assertNotIn(answer.headers["etag"], seen)
            seen[answer.headers["etag"]] = size
            self.assertEqual(http.get("/inplace.bin", "HEAD").headers["content-length"], str(size))

    def test_a_changed_file_is_noticed(self):
        http = self.http()
        write(self.root, "change.txt", data=b"old")
        old = http.get("/change.txt")
        self.assertEqual(old.body, b"old")
        write(self.root, "change.txt", data=b"newer")
        new = until(lambda: (a := http.get("/change.txt")).body == b"newer" and a, "the new contents")
        self.assertNotEqual(old.headers["etag"], new.headers["etag"])
        os.unlink(os.path.join(self.root, "change.txt"))
        until(lambda: http.get("/change.txt").status == 404, "404")

    def test_a_stalled_download_does_not_stop_others(self):
        stalled = self.http(rcvbuf=4096)
        stalled.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        stalled.head()
        http = self.http()
        for _ in range(20):
            self.assertEqual(http.get("/a.txt").status, 200)
        self.assertEqual(stalled.take(BIG), pattern(BIG))


class NoFileStaysOpen(HttpCase):
    """Without a cache the class's own check proves that every file is closed after its last byte."""

    options = ("--file-cache", "0")
    cached_files = 0

    def test_files_are_served_without_a_cache(self):
        for index, tls in ((0, False), (1, True)):
            http = self.http(index, tls=tls)
            for i in range(100):
                self.assertEqual(http.get(f"/many-{i}.txt").body, b"file %d\n" % i)
            self.assertEqual(http.get("/big.bin").body, pattern(BIG))

    def test_a_download_that_is_broken_off_closes_its_file(self):
        for index, tls in ((0, False), (1, True)):
            http = self.http(index, tls=tls, rcvbuf=8192)
            http.send(b"GET /big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            http.head()
            http.close()
        self.server.until_idle()

    def test_metrics_are_off_unless_asked_for(self):
        self.assertEqual(self.http().get("/metrics").status, 404)


class KernelFiles(ServerCase):
    """Files whose size is not the length of what they hold."""
    listeners = ("service=http,root=/proc/sys/kernel", "service=http,root=/sys/kernel")
    cached_files = 4

    def check(self, http, directory, name):
        with open(os.path.join(directory, name), "rb") as file:
            want = file.read()
        self.assertNotEqual(os.stat(os.path.join(directory, name)).st_size, len(want))
        for fields in ({}, {"Range": "bytes=0-0"}, {"If_None_Match": '"x"'}):
            answer = http.get(f"/{name}", **fields)
            self.assertEqual((answer.status, answer.body), (200, want))
            self.assertNotIn("etag", answer.headers)
            self.assertNotIn("accept-ranges", answer.headers)
        self.assertEqual(http.get(f"/{name}", "HEAD").headers["content-length"], str(len(want)))

    def test_procfs(self):
        self.check(self.http(), "/proc/sys/kernel", "ostype")

    def test_sysfs(self):
        self.check(self.http(1), "/sys/kernel", "uevent_seqnum")


class Root(unittest.TestCase):
    def test_sighup_opens_the_root_anew(self):
        """A symbolic link to a release, switched to the next."""
        with tempfile.TemporaryDirectory(prefix="taiod-root-") as parent:
            for release in ("one", "two"):
                os.mkdir(os.path.join(parent, release))
                write(parent, release, "a.txt", data=release.encode())
            link = os.path.join(parent, "current")
            os.symlink("one", link)
            with Server(f"service=http,root={link}") as server:
                http = Http(connect(server.port))
                self.assertEqual(http.get("/a.txt").body, b"one")
                os.symlink("two", link + ".new")
                os.rename(link + ".new", link)
                self.assertEqual(http.get("/a.txt").body, b"one")
                before = len(server.log())
                server.signal(signal.SIGHUP)
                until(lambda: "reloaded" in server.log()[before:], "the reload")
                until(lambda: http.get("/a.txt").body == b"two", "the new release")
                http.close()


if __name__ == "__main__":
    unittest.main()
