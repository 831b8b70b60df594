"""Alerts and dashboards: well-formed, over metrics that there are, and each alert with its test and its runbook entry."""

import re
import subprocess
import unittest

import yaml

from chart import CHART, REPOSITORY
from fleet import program
from metrics import RUNBOOK, TARGET, WORDS, alerts, asked_for, dashboards, documented, filled_in, queries, sources, words_asked_for

TESTS = REPOSITORY / "deploy/prometheus/alerts_test.yaml"


class Alerts(unittest.TestCase):
    def promtool(self, *arguments: str):
        ran = subprocess.run([program("promtool", "prometheus"), *arguments], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_rules_are_well_formed(self):
        self.promtool("check", "rules", str(CHART / "files/alerts.yaml"))

    def test_they_fire_when_they_should(self):
        self.promtool("test", "rules", str(TESTS))

    def test_each_is_seen_firing_and_silent(self):
        fired, silent = set(), set()
        for case in yaml.safe_load(TESTS.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fired if check.get("exp_alerts") else silent).add(check["alertname"])
        names = {rule["alert"] for rule in alerts()}
        self.assertEqual(fired, names)
        self.assertEqual(silent, names)

    def test_each_has_a_runbook_entry(self):
        text = (REPOSITORY / RUNBOOK).read_text()
        section = re.search(r"^## Alerts$(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
        self.assertEqual(re.findall(r"^\| `(Streamz\w+)` \|", section, re.MULTILINE), [rule["alert"] for rule in alerts()])
        for rule in alerts():
            self.assertEqual(rule["annotations"]["runbook"], f"{RUNBOOK}#alerts")
            self.assertIn(rule["labels"]["severity"], {"warning", "critical"})
            self.assertTrue(rule["annotations"]["summary"])


class Queries(unittest.TestCase):
    def test_every_documented_metric_is_in_the_program(self):
        text = sources()
        # Those of the process are a library's; that they are exposed is seen in test_fleet.
        missing = [name for name in documented() if not name.startswith("process_") and f'"{name}"' not in text]
        self.assertEqual(missing, [])

    def test_metrics_and_labels_are_there(self):
        known = documented()
        for where, query in queries():
            with self.subTest(query=where):
                asked = asked_for(query)
                self.assertLessEqual(asked.keys(), known.keys())
                labels = TARGET | {"le"}.union(*(known[name] for name in asked))
                self.assertLessEqual(set().union(*asked.values()), labels)
                for label, word in words_asked_for(query):
                    self.assertIn(word, WORDS[label])
                # A query of no metric of ours asks whether a process is there.
                self.assertTrue(asked or "up{" in query, query)

    def test_queries_are_well_formed(self):
        rules = [{"record": f"streamz:query:{number}", "expr": filled_in(query)} for number, (_, query) in enumerate(queries())]
        text = yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]})
        ran = subprocess.run([program("promtool", "prometheus"), "check", "rules", "/dev/stdin"], input=text, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_routes_are_those_of_the_program(self):
        routes = set(re.findall(r"`(?:GET|POST|PUT|DELETE) (/[^`]*)`", (REPOSITORY / "docs/http.md").read_text()))
        for where, query in queries():
            for text in re.findall(r'route(?:=~|!~|!=|=)"([^"]*)"', query):
                for route in text.split("|"):
                    self.assertTrue(any(re.fullmatch(route, each) for each in routes), f"{where}: {route}")


class Dashboards(unittest.TestCase):
    def test_panels_do_not_overlap_and_have_a_source(self):
        found = dashboards()
        self.assertEqual(set(found), {"fleet.json", "calls.json", "node.json"})
        self.assertEqual(len({each["uid"] for each in found.values()}), len(found))
        for dashboard in found.values():
            sources = {f"${{{each['name']}}}" for each in dashboard["templating"]["list"] if each["type"] == "datasource"}
            taken = set()
            self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, panel["title"])
                self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells
                for target in panel.get("targets", []):
                    self.assertIn(target["datasource"]["uid"], sources)


if __name__ == "__main__":
    unittest.main()
