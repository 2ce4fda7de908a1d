# SPDX-License-Identifier: MIT
"""Files that change under the server: each response is whole, or visibly cut after its head was sent.

A process rewrites, truncates, appends to, replaces, deletes and re-links files at random while threads read them.
A file's content tells which version it is: words of eight bytes with the number of the rewrite that began it."""
import collections
import contextlib
import email.utils
import multiprocessing
import os
import random
import threading
import time
import unittest

from harness import Http, PATIENCE, ServerCase, connect

SECONDS = 10
WORD = 8
SMALL, LARGE = 12 << 10, 400 << 10
NAMES = {"small0.txt": SMALL, "small1.txt": SMALL, "small2.txt": SMALL, "large0.bin": LARGE, "large1.bin": LARGE}
LINKS = {"link": ("one.txt", "two.txt"), "current": ("release1", "release2")}
OPERATIONS = ("rewrite", "append", "truncate", "replace", "delete", "link")


def words(number, length):
    return (b"%07d\n" % number * (length // WORD + 1))[:length]


class Writer:
    """Changes the files of @root until told to stop; every content that a file has had is in contents[number]."""

    def __init__(self, root):
        self.root, self.contents, self.now = root, collections.defaultdict(list), {}
        self.number, self.counts = 0, collections.Counter()
        self.random = random.Random(1)
        for name in ("one.txt", "two.txt"):
            self.fresh(name, 3000)
        for directory in LINKS["current"]:
            os.mkdir(self.path(directory))
            self.fresh(f"{directory}/page.txt", 5000)
        for link, (target, _) in LINKS.items():
            os.symlink(target, self.path(link))
        for name, most in NAMES.items():
            self.rewrite(name, most)

    def path(self, name):
        return os.path.join(self.root, name)

    def note(self, name, content):
        self.contents[int(content[:WORD - 1])].append(content)
        self.now[name] = content

    def fresh(self, name, length):
        self.number += 1
        content = words(self.number, length)
        self.note(name, content)
        with open(self.path(name), "wb", buffering=0) as file:
            file.write(content)

    def length(self, most):
        return WORD * self.random.randrange(1, most // WORD)

    def rewrite(self, name, most):
        self.fresh(name, self.length(most))

    def append(self, name, most):
        content = self.now.get(name)
        if not content or len(content) >= most:
            return
        self.number += 1
        more = words(self.number, self.length(most - len(content) + WORD * 2))
        self.note(name, content + more)
        with open(self.path(name), "ab", buffering=0) as file:
            file.write(more)

    def truncate(self, name, most):
        content = self.now.get(name)
        if content and len(content) > WORD:
            content = content[:self.length(len(content))]
            self.note(name, content)
            os.truncate(self.path(name), len(content))

    def replace(self, name, most):
        self.fresh(name + ".new", self.length(most))
        self.now[name] = self.now.pop(name + ".new")
        os.rename(self.path(name + ".new"), self.path(name))

    def delete(self, name, most):
        self.now[name] = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def link(self, name, most):
        link, targets = self.random.choice(list(LINKS.items()))
        os.symlink(self.random.choice(targets), self.path("link.new"))
        os.rename(self.path("link.new"), self.path(link))

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            operation = self.random.choice(OPERATIONS)
            name, most = self.random.choice(list(NAMES.items()))
            getattr(self, operation)(name, most)
            self.counts[operation] += 1
            time.sleep(self.random.choice((0.0005, 0.002, 0.02)))


def write_files(root, seconds, ready, results):
    writer = Writer(root)
    ready.set()
    writer.run(seconds)
    results.send((dict(writer.contents), writer.counts))


class Reader:
    """Requests at random, and what came of them."""

    PATHS = (*NAMES, "link", "current/page.txt")

    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(seed)
        self.got, self.faults, self.statuses, self.cuts = [], [], collections.Counter(), collections.Counter()
        self.etags = {}

    def request(self, path):
        fields = {}
        kind = self.random.randrange(8)
        if kind == 0:
            first = WORD * self.random.randrange(2000)
            fields["Range"] = f"bytes={first}-{first + WORD * self.random.randrange(1, 2000) - 1}"
        elif kind in (1, 2) and path in self.etags:
            fields["If-None-Match"] = self.etags[path]
        elif kind == 3 and path in self.etags:
            fields["If-Range"], fields["Range"] = self.etags[path], "bytes=8-"
        return fields

    def response(self, http, path, fields):
        """False: the connection has ended."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        http.send(f"GET /{path} HTTP/1.1\r\nHost: t\r\n{lines}\r\n".encode())
        try:
            status, headers = http.head()
        except (AssertionError, OSError) as error:
            self.faults.append(f"{path}: no head: {error}")
            return False
        self.statuses[status] += 1
        length = 0 if status == 304 else int(headers["content-length"])
        try:
            body = http.take(length)
        except (AssertionError, OSError):
            self.cuts[path] += 1
            return False
        if "etag" in headers:
            self.etags[path] = headers["etag"]
        self.got.append((path, status, headers, body, fields))
        return True

    def run(self, stop):
        http = None
        while not stop.is_set():
            http = http or Http(connect(self.port))
            path = self.random.choice(self.PATHS)
            if not self.response(http, path, self.request(path)):
                http.close()
                http = None
        if http:
            http.close()


class Changes(ServerCase):
    listeners = ("service=http,root={root}",)
    options = ("--file-valid", "1s")
    cached_files = 20
    READERS = 4

    @classmethod
    def make_root(cls, root):
        cls.root = root

    def start_writer(self):
        ready = multiprocessing.Event()
        results, theirs = multiprocessing.Pipe(duplex=False)
        writer = multiprocessing.Process(target=write_files, args=(self.root, SECONDS, ready, theirs))
        writer.start()
        theirs.close()
        self.addCleanup(writer.join)
        self.addCleanup(writer.kill)
        self.assertTrue(ready.wait(PATIENCE))
        return results

    def check_body(self, contents, path, status, headers, body, fields):
        """@body is what some version of the file was, from its start or from where the range begins."""
        first = 0
        if status == 206:
            first = int(headers["content-range"].split()[1].split("-")[0])
            total = int(headers["content-range"].split("/")[1])
            self.assertLessEqual(first + len(body), total)
        if not body:
            return
        for content in contents.get(int(body[:WORD - 1]), ()) if first == 0 else sum(contents.values(), []):
            if content[first:first + len(body)] == body:
                return
        numbers = collections.Counter(body[at:at + WORD] for at in range(0, len(body), WORD))
        self.fail(f"{path}: {status}, {fields}, {len(body)} bytes of no version: {numbers}")

    def check(self, contents, readers):
        bodies, dates = {}, {}
        for reader in readers:
            for path, status, headers, body, fields in reader.got:
                self.assertIn(status, (200, 206, 304, 404, 416, 503))
                if status not in (200, 206):
                    continue
                self.check_body(contents, path, status, headers, body, fields)
                etag = headers["etag"]
                # Within one tick of the file system's clock a tag is weak, as several versions may have it.
                if etag.startswith("W/"):
                    continue
                self.assertEqual(dates.setdefault(etag, headers["last-modified"]), headers["last-modified"])
                self.assertLessEqual(email.utils.parsedate_to_datetime(headers["last-modified"]),
                                     email.utils.parsedate_to_datetime(headers["date"]))
                if status == 200:
                    self.assertEqual(bodies.setdefault(etag, body), body, f"{path}: two bodies with the tag {etag}")

    def test_every_response_is_of_one_version(self):
        results = self.start_writer()
        stop = threading.Event()
        readers = [Reader(self.server.port, seed) for seed in range(self.READERS)]
        threads = [threading.Thread(target=reader.run, args=(stop,)) for reader in readers]
        for thread in threads:
            thread.start()
        try:
            self.assertTrue(results.poll(SECONDS + PATIENCE))
            contents, counts = results.recv()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        statuses = sum((reader.statuses for reader in readers), collections.Counter())
        cuts = sum((reader.cuts for reader in readers), collections.Counter())
        print(f"changes: {dict(counts)}; responses: {dict(statuses)}; cut: {dict(cuts)}", flush=True)
        self.assertEqual([fault for reader in readers for fault in reader.faults], [])
        self.check(contents, readers)
        for operation in OPERATIONS:
            self.assertGreater(counts[operation], 20)
        for status in (200, 206, 304, 404):
            self.assertGreater(statuses[status], 20)
        self.assertEqual([path for path in cuts if NAMES.get(path) != LARGE], [], "small responses are made anew, not cut")
        self.assertLess(statuses[503], sum(statuses.values()) / 100)


if __name__ == "__main__":
    unittest.main()
