"""The program's variables, as docs/configuration.md has them (it is written by the program itself), in the chart's schema.

`python3 configuration.py` writes them into values.schema.json; `make update-docs` does so, too.
"""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = REPOSITORY / "helm/streamz/values.schema.json"

# The chart has values of their own for these, or a pod has nothing to choose.
OF_THE_CHART = {
    "ENV", "HOST", "PORT", "ADMIN_PORT", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "JWT_SECRET", "ALLOWED_ORIGINS",
    "TRUSTED_PROXIES", "TURN_URLS", "TURN_SECRET", "DRAIN_TIMEOUT", "OTEL_EXPORTER_OTLP_ENDPOINT",
}


def variables() -> dict[str, str]:
    """Every variable of the program with its meaning."""
    text = (REPOSITORY / "docs/configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|[^|]*\| (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 20, "the table of docs/configuration.md is not where it was"
    return dict(rows)


def schema_of_config() -> dict:
    """What may stand in the chart's value `config`. OpenTelemetry's own variables may, too."""
    known = {name: {"type": ["string", "integer"], "description": meaning}
             for name, meaning in variables().items() if name not in OF_THE_CHART}
    # Twice would be one too many.
    known["OTEL_EXPORTER_OTLP_ENDPOINT"] = False
    return {"type": "object", "additionalProperties": False, "properties": known,
            "patternProperties": {"^OTEL_[A-Z_]+$": {"type": ["string", "integer"]}}}


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["config"] = schema_of_config()
    SCHEMA.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
