# SPDX-License-Identifier: MIT
"""taiod's service proxy beside the proxies that people use to end TLS. For scripts/bench.

The proxy has one processor; taio-load and the backend, the same for all, share the other. All proxies run all
the time, and take turns under load: a figure is the median of the rounds, a ratio that of the rounds' ratios.
"""
import contextlib
import grp
import os
import pwd
import signal
import socket
import statistics

from rig import LOAD_CPU, Server, Taiod, hold, settle, spread

PAIRS = 2000
IDLE_S = 4  # after which pairs are ended whose end is measured
HELD_S = 300
CONNECTIONS = "64"
CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy")
MODULES = "/usr/lib/nginx/modules"

# Name, configuration (tests/bench/proxy), command.
PEERS = (
    ("hitch", "hitch.conf", ["hitch", "--config="]),
    ("haproxy", "haproxy.cfg", ["haproxy", "-f", ""]),
    ("nginx stream", "nginx.conf", ["nginx", "-c", ""]),
    ("stunnel", "stunnel.conf", ["stunnel", ""]),
)


def port_free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Peer(Server):
    """Another proxy, configured by a file of the tree."""

    def __init__(self, env, backend, config, command, idle_s=HELD_S):
        port = port_free()
        words = {"DIR": env.dir, "CERT": env.cert, "KEY": env.key, "PEM": env.pem(), "PORT": port,
                 "BACKEND": backend.rsplit(":", 1)[1], "MODULES": MODULES, "IDLE_S": idle_s,
                 "USER": pwd.getpwuid(os.getuid()).pw_name, "GROUP": grp.getgrgid(os.getgid()).gr_name}
        with open(os.path.join(CONFIGS, config), encoding="ascii") as template:
            text = template.read()
        for word, value in words.items():
            text = text.replace("@%s@" % word, str(value))
        path = os.path.join(env.dir, "proxy-" + config)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        self.targets = ["127.0.0.1:%d" % port]
        super().__init__(command[:-1] + [command[-1] + path], lambda: listens(port))


def proxy(env, engine, backend, idle_s=HELD_S):
    return Taiod(env, engine, ["service=proxy,tls,to=" + backend], "--tls-min-version", "1.3",
                 "--idle-timeout", "%ds" % idle_s, "--max-connections", "8000")


def start(env, stack, backend, idle_s=HELD_S, but=()):
    """The proxies by name; taiod's engine poll comes first."""
    servers = {"taiod, " + engine: stack.enter_context(proxy(env, engine, backend, idle_s)) for engine in ("poll", "epoll")}
    for name, config, command in PEERS:
        if name not in but:
            servers[name] = stack.enter_context(Peer(env, backend, config, command, idle_s))
    return servers


def start_backend(env, stack):
    return stack.enter_context(Taiod(env, "epoll", ["service=http,root=" + env.root], "--idle-timeout", "%ds" % HELD_S,
                                     "--max-connections", "8000", cpu=LOAD_CPU)).targets[0]


# Proxies that do not end an idle pair in order: hitch has no timeout for it, stunnel resets it.
UNTIMELY = ("hitch", "stunnel")


# --- one run ---

def load(env, server, mode, path, *words):
    pids = [word for pid in server.pids() for word in ("--server-pid", str(pid))]
    return env.load(mode, "https://%s%s" % (server.targets[0], path), "--insecure", "--engine", "epoll",
                    "--duration", "%gs" % env.args.duration, *pids, *words)


def per_cpu_second(report):
    return 1e6 / report["server_cpu_us_per_request"]


def run_requests(path, connections):
    def run(env, server):
        report = load(env, server, "http", path, "--connections", connections, "--warmup", "200ms")
        return per_cpu_second(report), report["requests_per_second"]
    return run


def run_handshakes(resumed):
    def run(env, server):
        report = load(env, server, "churn", "/1k.html", "--connections", "16", *(["--resume"] if resumed else []))
        counts = {name: (report["tls_%s_us" % name] or {"count": 0})["count"] for name in ("full", "resumed")}
        if counts["resumed"] < 0.95 * sum(counts.values()) and resumed:
            print("  of these handshakes only %d of %d were resumed:" % (counts["resumed"], sum(counts.values())))
        return per_cpu_second(report), report["requests_per_second"]
    return run


def run_pairs(env, server):
    """Connections that come, complete the handshake and go."""
    report = load(env, server, "churn", "/", "--connections", "16", "--request", "none")
    return per_cpu_second(report), report["requests_per_second"]


def run_idle(env, server):
    """How late pairs end that nothing passes over, and how many."""
    report = env.load("idle", "https://%s/1k.html" % server.targets[0], "--insecure", "--engine", "epoll", "--connections", str(PAIRS),
                      "--deadline", "%ds" % IDLE_S, "--duration", "%ds" % (10 * IDLE_S))
    if report["closed"] != PAIRS or report["early"]:
        print("  of these %d pairs %d were ended, %d of them early:" % (PAIRS, report["closed"], report["early"]))
    return report["lateness_ms"]["p99"] * 1e3, report["closed"]


def run_latency(rates):
    def run(env, server):
        report = load(env, server, "http", "/1k.html", "--connections", CONNECTIONS, "--warmup", "200ms", "--rate",
                      str(rates[server]), "--max-lag", "1s")
        return report["latency_us"]["p99"], report["requests_per_second"]
    return run


def memory(server):
    """User memory in bytes; pages that its processes share count once."""
    total = 0
    for pid in server.pids():
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as rollup:
            total += sum(int(line.split()[1]) for line in rollup if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total * 1024


def run_memory(env, server):
    """Of an idle pair that has had one request. Once in each process: memory that was used is not given back."""
    before = memory(server)
    held, _ = hold(env, server, "https://%s/1k.html" % server.targets[0], PAIRS, "--duration", "60s", "--insecure", each=2)
    settle(server)
    each = (memory(server) - before) / PAIRS
    held.send_signal(signal.SIGINT)
    held.wait(30)
    return each, PAIRS


# --- rounds and rows ---

def rounds(env, servers, run, count):
    """Runs all in turn, each round beginning with another and every second one backwards."""
    names = list(servers)
    values = {name: [] for name in names}
    for i in range(count):
        order = names[i % len(names):] + names[:i % len(names)]
        for name in order[::-1] if i % 2 else order:
            values[name].append(run(env, servers[name]))
    return values


def print_rows(title, values, goals, less_is_better=False):
    """@goals: the ratio to a peer, or to the "best" of them, that the first of @values should reach."""
    ours, *others = values
    peers = [name for name in others if not name.startswith("taiod")]
    middle = {name: statistics.median(value for value, _ in runs) for name, runs in values.items()}
    best = (min if less_is_better else max)(peers, key=middle.get)
    print(title)
    for name, runs in values.items():
        ratios = [a / b for (a, _), (b, _) in zip(values[ours], runs)]
        row = "  %-14s %12.0f %10.0f" % (name, middle[name], statistics.median(rate for _, rate in runs))
        if name != ours:
            row += "   %.3f  (%.3f .. %.3f)" % spread(ratios)
        for word in (name, "best") if name == best else (name,):
            if word in goals:
                ratio = statistics.median(ratios)
                is_met = ratio <= goals[word] if less_is_better else ratio >= goals[word]
                row += "  goal %.2f%s: %s" % (goals[word], " (the best)" if word == "best" else "", "met" if is_met else "MISSED")
        print(row, flush=True)


ROWS = (
    ("1 KiB, %s kept-alive connections: requests per proxy-CPU-second, requests/s, ratio" % CONNECTIONS,
     run_requests("/1k.html", CONNECTIONS), {"haproxy": 1.2, "hitch": 1.5}),
    ("1 MiB, 16 kept-alive connections: bodies per proxy-CPU-second, bodies/s, ratio",
     run_requests("/1m.bin", "16"), {"best": 1.1}),
    ("full handshakes, one request on each: per proxy-CPU-second, per second, ratio", run_handshakes(False), {"best": 1.0}),
    ("resumed handshakes, the same", run_handshakes(True), {"best": 1.0}),
    ("full handshakes without a request: per proxy-CPU-second, per second, ratio", run_pairs, {}),
)


def bench_proxy(env):
    env.page("1m.bin", 1 << 20)
    count = env.args.pairs
    with contextlib.ExitStack() as stack:
        backend = start_backend(env, stack)
        servers = start(env, stack, backend)
        print_rows("memory of an idle TLS pair, %d held: bytes, pairs, ratio" % PAIRS,
                   rounds(env, servers, run_memory, 1), {"best": 0.5}, less_is_better=True)
        peaks = None
        for title, run, goals in ROWS:
            values = rounds(env, servers, run, count + 1)
            values = {name: runs[1:] for name, runs in values.items()}
            print_rows(title, values, goals)
            peaks = peaks or {servers[name]: statistics.median(rate for _, rate in runs) for name, runs in values.items()}
        run = run_latency({server: round(peak / 2) for server, peak in peaks.items()})
        print_rows("1 KiB at half of its own peak rate: p99 us from the planned time, requests/s, ratio",
                   rounds(env, servers, run, count), {"best": 1.0}, less_is_better=True)
    with contextlib.ExitStack() as stack:
        servers = start(env, stack, start_backend(env, stack), IDLE_S, but=UNTIMELY)
        print_rows("idle for %d s, %d pairs with one request each: p99 us that their end is late, pairs ended, ratio" % (IDLE_S, PAIRS),
                   rounds(env, servers, run_idle, 1), {}, less_is_better=True)
