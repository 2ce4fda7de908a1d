# SPDX-License-Identifier: MIT
"""The Grafana dashboard and the alerts for Prometheus: what they ask for exists, and is asked for as PromQL wants it."""
import itertools
import json
import os
import re
import tempfile
import unittest

from harness import has_tool, run
from metrics_test import scrape
from proxy_test import Case, free_port

CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "configs")
RULES = os.path.join(CONFIGS, "examples", "prometheus-rules.yml")
SCRAPED = {"instance", "job"}  # labels that Prometheus adds

SELECTOR = re.compile(r"\b(taiod_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def dashboard():
    with open(os.path.join(CONFIGS, "grafana-dashboard.json"), encoding="utf-8") as file:
        return json.load(file)


def alerts():
    """[(name, expression)] of the rules; they are in one line each."""
    with open(RULES, encoding="utf-8") as file:
        return re.findall(r"- alert: (\w+)\n\s+expr: (.*)\n", file.read())


class Asked(Case):
    """Against the answer of a server with everything that there is to be counted."""

    @classmethod
    def setUpClass(cls):
        cls.board = dashboard()
        cls.panels = [panel for panel in cls.board["panels"] if panel["type"] != "row"]

    def expressions(self):
        return [(panel["title"], target["expr"]) for panel in self.panels for target in panel["targets"]]

    def everything(self):
        good, = self.backends(1)
        server = self.serve(f"to={good.where},to=127.0.0.1:{free_port()},check=50ms", options=("--listen", "127.0.0.1:0,service=http",
                                                                                              "--listen", "127.0.0.1:0,service=admin"))
        return scrape(server.ports[1])

    def test_what_they_name_exists(self):
        seen = self.everything()
        labels = {}
        for sample in seen.samples:
            labels.setdefault(sample.name, set()).update(name for name, _ in sample.labels)
        asked = self.expressions() + alerts() + [(var["name"], var["definition"]) for var in self.board["templating"]["list"]]
        self.assertGreater(len(asked), 40)
        for title, text in asked:
            known = set(SCRAPED)
            for name, selection in SELECTOR.findall(text):
                with self.subTest(where=title, name=name):
                    self.assertIn(name, labels)
                    chosen = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selection))
                    self.assertLessEqual(chosen, labels[name] | SCRAPED)
                    known |= labels[name]
            for group in GROUPED.findall(text):
                self.assertLessEqual(set(group.split(", ")), known, f"{title}: {text}")

    def test_legends_name_labels_that_are_left(self):
        for panel in self.panels:
            for target in panel["targets"]:
                left = {label for group in GROUPED.findall(target["expr"]) for label in group.split(", ")}
                used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                self.assertTrue(target["legendFormat"] and used <= left, f"{panel['title']}: {target['legendFormat']}")

    @unittest.skipUnless(has_tool("promtool"), "no promtool")
    def test_promtool_reads_the_expressions(self):
        rules = [{"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", text)}
                 for number, (_, text) in enumerate(self.expressions())]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # which is YAML, too
            file.flush()
            done = run("promtool", "check", "rules", file.name)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + done.stdout.decode())
        self.assertIn(f"{len(rules)} rules found".encode(), done.stdout)

    def test_it_can_be_imported_anywhere(self):
        """No data source but the one that the import asks for."""
        self.assertEqual([ask["name"] for ask in self.board["__inputs"]], ["DS_PROMETHEUS"])
        found = re.findall(r'"uid": "([^"]*)"', json.dumps(self.board))
        self.assertEqual(set(found), {"taiod", "${DS_PROMETHEUS}"})
        self.assertEqual(found.count("taiod"), 1)
        for panel in self.panels:
            self.assertEqual(panel["datasource"]["uid"], "${DS_PROMETHEUS}", panel["title"])

    def test_panels_are_complete(self):
        ids = [panel["id"] for panel in self.board["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        for panel in self.panels:
            self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            self.assertTrue(panel["description"], panel["title"])
            for target in panel["targets"]:
                self.assertIn('instance=~"$instance"', target["expr"])
        for one, other in itertools.combinations([panel["gridPos"] for panel in self.board["panels"]], 2):
            apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                     or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])
            self.assertTrue(apart, f"{one} and {other}")

    def test_each_variable_is_used(self):
        texts = " ".join(text for _, text in self.expressions())
        names = {var["name"] for var in self.board["templating"]["list"]}
        self.assertEqual(names, {"instance", "listener", "backend"})
        for name in names:
            self.assertIn(f"${name}", texts)


class Alerts(unittest.TestCase):
    @unittest.skipUnless(has_tool("promtool"), "no promtool")
    def test_promtool_reads_them(self):
        done = run("promtool", "check", "rules", RULES)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + done.stdout.decode())
        self.assertIn(f"{len(alerts())} rules found".encode(), done.stdout)

    @unittest.skipUnless(has_tool("promtool"), "no promtool")
    def test_each_comes_when_it_should_and_only_then(self):
        """promtool runs them over series of one minute each: the first half is as it should be."""
        cases = {
            "TaiodDown": ('up{job="taiod"}', "1x20 0x20"),
            "TaiodRestarted": ("taiod_submits_total", "0+100x20 0+100x20"),
            "TaiodLate": ('taiod_deadline_lateness_seconds_bucket{le="%s"}', None),
            "AioSlotsNearlyGone": ("taiod_aio_slots_free", "7000x20 6000x20"),
            "TaiodBackendDown": ('taiod_backend_state{listener="l",backend="b",state="down"}', "0x20 2x20"),
            "TaiodNoBackendLeft": ("taiod_backend_none_total", "5x20 5+1x20"),
            "TaiodMaxMemory": ("taiod_memory_full_total", "5x20 5+1x20"),
            "TaiodRefuses": ('taiod_listener_refused_total{listener="l",reason="full"}', "0+30x20 600+120x20"),
        }
        self.assertEqual(set(cases), {name for name, _ in alerts()})
        for name, (series, values) in cases.items():
            rows = [{"series": series, "values": values}] if values else [
                {"series": series % bound, "values": f"0+{good}x20 {20 * good}+{late}x20"}
                for bound, good, late in (("0.016384", 600, 0), ("2.097152", 600, 600), ("+Inf", 600, 600))]
            if name == "AioSlotsNearlyGone":
                rows.append({"series": "taiod_aio_slots_max", "values": "65536x40"})
            with self.subTest(name):
                self.assertEqual((self.fires(name, rows, "20m"), self.fires(name, rows, "32m")), (False, True))

    def fires(self, name, rows, when):
        """Whether promtool finds the alert firing at @when: it says what it has got where none is expected."""
        test = {"rule_files": [os.path.abspath(RULES)], "evaluation_interval": "1m",
                "tests": [{"interval": "1m", "input_series": rows, "alert_rule_test": [{"eval_time": when, "alertname": name, "exp_alerts": []}]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(test, file)
            file.flush()
            done = run("promtool", "test", "rules", file.name)
        text = done.stdout.decode() + done.stderr.decode()
        self.assertTrue(done.returncode == 0 or f'alertname: {name}' in text or f'alertname="{name}"' in text, text)
        return done.returncode != 0
