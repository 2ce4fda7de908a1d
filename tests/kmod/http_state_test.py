#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""taiod over the module: what of the submitters' state its operations took along, by the module's own counters.

A network operation needs no io_context, block cgroup or file size limit: over a whole run of HTTP and TLS on
sockets (curl, taio-load) not one is taken. That the counters work is shown after it, by requests whose answers
are read from files: those take all of them, and give all of them back.

usage: http_state_test.py [ENGINE...], in the guest: TAIOD and TAIO_LOAD are set, taio.ko is loaded.
"""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from harness import TAIO_LOAD, Server, connect, curl, exchange, pattern, run, until  # noqa: E402

ENGINES = ("kmod:block-noinline", "kmod:block", "kmod:park", "kmod:task")
FILE_STATE = ("iocontext", "blkcg", "fsize")
LISTENERS = ("service=http,root={root}", "service=http,root={root},tls", "service=echo", "service=echo,tls")


def counters():
    with open("/sys/kernel/debug/taio/counters", encoding="ascii") as file:
        return {name: int(value) for name, value in (line.split() for line in file)}


def grown(before, name):
    return counters()[name] - before[name]


def taio_load(*words):
    done = run(TAIO_LOAD, *words, "-c", "16", "-d", "1s")
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def use_sockets_alone(ports):
    """Requests that are answered without a file, and echoes; each plain and by TLS."""
    for port, scheme in ((ports[0], "http"), (ports[1], "https")):
        url = f"{scheme}://127.0.0.1:{port}"
        tls = ("--tls", "--insecure") if scheme == "https" else ()
        assert curl(f"{url}/healthz") == b"ok\n"
        assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{url}/nothing-here") == b"404"
        assert b"taio" in curl(f"{url}/metrics")
        taio_load("http", f"127.0.0.1:{port}", "--path", "/healthz", *tls)
    for port, tls in ((ports[2], False), (ports[3], True)):
        with connect(port, tls=tls) as sock:
            data = pattern(1 << 20)
            assert exchange(sock, data) == data
        taio_load("echo", f"127.0.0.1:{port}", *(("--tls", "--insecure") if tls else ()))


def use_files(ports):
    for port, scheme in ((ports[0], "http"), (ports[1], "https")):
        assert curl(f"{scheme}://127.0.0.1:{port}/file") == pattern(1 << 20)


def check_engine(engine, root):
    before = counters()
    with Server(*(l.replace("{root}", root) for l in LISTENERS), options=("--metrics",), engine=engine) as server:
        use_sockets_alone(server.ports)
        for name in FILE_STATE:
            assert grown(before, f"state_{name}_taken") == 0, f"{engine}: sockets took {name}"
        sockets = grown(before, "state_cred_taken")
        assert sockets > 0, f"{engine}: no operation was kept: nothing is tested"
        use_files(server.ports)
        for name in FILE_STATE:
            assert grown(before, f"state_{name}_taken") > 0, f"{engine}: files did not take {name}"
    until(lambda: counters()["inflight"] == 0, "nothing is in flight")
    now = counters()
    for name in ("mm", "cred", *FILE_STATE):
        assert now[f"state_{name}_taken"] == now[f"state_{name}_put"], f"{engine}: {name} was not given back"
    print(f"{engine}: {sockets} operations on sockets took credentials, none an io_context; then files took "
          f"{now['state_iocontext_taken'] - before['state_iocontext_taken']}; all given back", flush=True)


def main():
    root = tempfile.mkdtemp(prefix="taiod-root-")
    try:
        with open(os.path.join(root, "file"), "wb") as file:
            file.write(pattern(1 << 20))
        for engine in sys.argv[1:] or ENGINES:
            check_engine(engine, root)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
