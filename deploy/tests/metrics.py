"""Which metrics there are (docs/telemetry.md), and which ones dashboards and alerts ask for."""

import json
import re
from pathlib import Path

import yaml

from chart import CHART, REPOSITORY

# Of the target, put there by Prometheus.
TARGET = {"job", "instance", "namespace"}
# What the labels of the program can be, where the words are few.
CLOSES = set(re.findall(r"^\| 4[0-9]{3} \| `(\w+)`", (REPOSITORY / "docs/protocol.md").read_text(), re.MULTILINE))
WORDS = {
    "code": CLOSES, "outcome": CLOSES | {"accepted", "bad_request"}, "state": {"awake", "asleep", "owned"}, "cause": {"full", "stale"},
    "by": {"account", "address"}, "account": {"known", "unknown"}, "line": {"publishing", "subscribing"},
}


def documented() -> dict[str, set[str]]:
    """Every metric with its labels."""
    text = (REPOSITORY / "docs/telemetry.md").read_text()
    rows = re.findall(r"^\| `((?:streamz|process)_\w+)` \| ([^|]*)\| ", text, re.MULTILINE)
    assert len(rows) > 20, "the table of docs/telemetry.md is not where it was"
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def exposed(text: str) -> dict[str, set[str]]:
    """The same of what a process answers at /metrics."""
    found = {name: set() for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    for sample, labels in re.findall(r"^(\w+?)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        name = sample if sample in found else re.sub("_(bucket|sum|count)$", "", sample)
        found[name] |= set(re.findall(r'(\w+)="', labels)) - {"le", "quantile"}
    return found


def dashboards() -> dict[str, dict]:
    return {path.name: json.loads(path.read_text()) for path in sorted((CHART / "files/dashboards").glob("*.json"))}


def alerts() -> list[dict]:
    groups = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[tuple[str, str]]:
    """Where each stands, and what it asks."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                if "expr" in target:
                    found.append((f"{name}: {panel['title']}", target["expr"]))
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                found.append((f"{name}: ${variable['name']}", f"group by ({query[2]}) ({query[1]})"))
    return found


def filled_in(query: str, instance: str = "127.0.0.1:9090") -> str:
    """As Grafana would send it."""
    query = query.replace("$namespace", ".*").replace("$instance", instance).replace("$__rate_interval", "1m")
    assert "$" not in query, query
    return query


def asked_for(query: str) -> dict[str, set[str]]:
    """The metrics of a query, each with all labels that the query names (which metric has which is not told apart)."""
    matchers = [label for part in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", part)]
    grouped = [label.strip() for part in re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", query) for label in part.split(",")]
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:streamz|process)_\w+", query)}
    return {name: set(matchers) | set(grouped) for name in names}


def words_asked_for(query: str) -> list[tuple[str, str]]:
    """Label and word, for labels whose words are known."""
    found = []
    for label, text in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', query):
        if label in WORDS:
            found += [(label, word) for word in text.split("|")]
    return found


def sources() -> str:
    """Every line of Rust that is shipped, tests in files of their own left out."""
    folders = ("streamz", "gateway", "signaling-node", "shared")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.rs")
             if "tests" not in path.relative_to(REPOSITORY).parts and "target" not in path.parts]
    return "\n".join(path.read_text() for path in files)


RUNBOOK = Path("docs/operations.md")
