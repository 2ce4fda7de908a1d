# SPDX-License-Identifier: MIT
"""What the plugin insns.c has counted, by function. For scripts/bench-kmod."""
import base64
import bisect
import collections
import statistics
import zlib

SERVER, LOAD = 0, 1
USER, MODULE, KERNEL = "user space", "taio.ko", "the kernel's own"
MOST = 16  # functions told of


def symbols_pack():
    """In the guest: the addresses of its kernel's functions, in one word."""
    with open("/proc/kallsyms", encoding="ascii", errors="replace") as lines:
        text = "".join(line for line in lines if line.split()[1] in "tTwW")
    return base64.b64encode(zlib.compress(text.encode())).decode()


class Symbols:
    def __init__(self, packed):
        rows = [line.split() for line in zlib.decompress(base64.b64decode(packed)).decode().splitlines()]
        self.rows = sorted((int(row[0], 16), row[2], "[taio]" in row) for row in rows)
        self.addresses = [row[0] for row in self.rows]

    def at(self, address):
        """(function, whose it is, whether it begins here)."""
        if address < 1 << 63:
            return USER, USER, False
        begin, name, is_ours = self.rows[bisect.bisect_right(self.addresses, address) - 1]
        return name, MODULE if is_ours else KERNEL, begin == address


class Window:
    """Instructions of a request in one window, by function and by whose they are, on each processor."""

    def __init__(self, lines, symbols):
        self.functions = (collections.Counter(), collections.Counter())
        self.owners = (collections.Counter(), collections.Counter())
        requests = 0
        for line in lines:
            address, ninsns, *times = line.split()
            name, owner, is_begin = symbols.at(int(address, 16))
            for cpu in (SERVER, LOAD):
                self.functions[cpu][name] += int(ninsns) * int(times[cpu])
                self.owners[cpu][owner] += int(ninsns) * int(times[cpu])
            # Each request is one call of the load's.
            if is_begin and name == "tcp_sendmsg":
                requests += int(times[LOAD])
        for counts in (*self.functions, *self.owners):
            for name in counts:
                counts[name] /= requests

    def total(self, *cpus):
        return sum(self.owners[cpu].total() for cpu in cpus)


def windows_read(path, symbols):
    with open(path, encoding="ascii") as text:
        parts = text.read().split("window\n")[1:]
    return [Window(part.splitlines(), symbols) for part in parts]


def tell(windows, base):
    """@windows: {engine: [Window]} of one number of connections. A row for each engine, then what it does otherwise."""
    def middle(engine, of):
        return statistics.median(of(window) for window in windows[engine])

    print("  %-20s %9s %9s %9s %9s %9s   %s's to its: %-6s %-6s" % ("", "server's", USER, "kernel", MODULE, "load's", base,
                                                                  "server", "both"))
    for engine in windows:
        print("  %-20s %9.0f %9.0f %9.0f %9.0f %9.0f   %s %-6.3f %-6.3f" % (
            engine, middle(engine, lambda window: window.total(SERVER)),
            *(middle(engine, lambda window, owner=owner: window.owners[SERVER][owner]) for owner in (USER, KERNEL, MODULE)),
            middle(engine, lambda window: window.total(LOAD)), " " * len(base + "'s to its:"),
            *(middle(base, lambda window: window.total(*cpus)) / middle(engine, lambda window: window.total(*cpus))
              for cpus in ((SERVER,), (SERVER, LOAD)))), flush=True)
    names = {name for each in windows.values() for window in each for name in window.functions[SERVER]}
    usual = {name: middle(base, lambda window: window.functions[SERVER][name]) for name in names}
    for engine in windows:
        more = {name: middle(engine, lambda window: window.functions[SERVER][name]) - usual[name] for name in names}
        order = sorted(names, key=more.get)
        if engine != base:
            for word, some in (("more", order[:-MOST - 1:-1]), ("less", order[:MOST])):
                print("  %s, %s than %s: %s" % (engine, word, base, ", ".join("%s %.0f" % (name, abs(more[name])) for name in some)))
