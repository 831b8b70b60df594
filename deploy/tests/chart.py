"""The chart, rendered without a cluster by the Helm that the package helm-python-sdk brings."""

import re
from functools import cache
from pathlib import Path

import helm_python
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "helm/streamz"
EXAMPLES = ("minimal", "production", "everything")
NAMESPACE = "devices"


@cache
def load() -> helm_python.Chart:
    return helm_python.Chart.load(str(CHART))


def example(name: str) -> dict:
    return yaml.safe_load((CHART / f"examples/{name}.yaml").read_text())


def defaults() -> dict:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def merged(values: dict, changes: dict) -> dict:
    """`changes` over `values`, as Helm puts one file over another."""
    result = dict(values)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


class Rendered:
    """What an install would make."""

    def __init__(self, values: dict, release: str = "streamz", render=None):
        self.values = merged(defaults(), values)
        files = (render or load().render)(values, name=release, namespace=NAMESPACE)
        self.notes = next(text for path, text in files.items() if path.endswith("NOTES.txt"))
        self.objects = [document for path, text in files.items() if not path.endswith(".txt")
                        for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]

    def of(self, kind: str) -> list[dict]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, ending: str) -> dict:
        found = [each for each in self.of(kind) if each["metadata"]["name"].endswith(ending)]
        assert len(found) == 1, f"{kind} …{ending}: {[each['metadata']['name'] for each in found]}"
        return found[0]

    def pods(self) -> dict[str, dict]:
        """Every pod, or template of one, by its component."""
        pods = {}
        for each in self.objects:
            if each["kind"] in ("Deployment", "StatefulSet", "Job"):
                pod = each["spec"]["template"]
            elif each["kind"] == "Pod":
                pod = each
            else:
                continue
            pods[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = pod
        return pods

    def selected(self, labels: dict) -> list[str]:
        """The components of the pods that have all these labels."""
        assert labels, "an empty selector takes every pod of the namespace"
        return [component for component, pod in self.pods().items()
                if labels.items() <= pod["metadata"]["labels"].items()]

    def streamz(self) -> dict[str, dict]:
        """The containers that run the program, by their pod's component."""
        image = self.values["image"]["repository"]
        return {component: container for component, pod in self.pods().items()
                for container in pod["spec"]["containers"] if re.split("[:@]", container["image"])[0] == image}


@cache
def rendered(name: str) -> Rendered:
    return Rendered(example(name))
