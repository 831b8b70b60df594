"""What the chart has from elsewhere: the program's variables, as docs/configuration.md has them (it is written by the program
itself), in its schema; and the configuration of coturn, for a chart has no files but its own.

`python3 configuration.py` brings both up to date; `make update-docs` does so, too.
"""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = REPOSITORY / "helm/streamz/values.schema.json"
TURNSERVER = REPOSITORY / "deploy/coturn/turnserver.conf"
TURNSERVER_OF_THE_CHART = REPOSITORY / "helm/streamz/files/turnserver.conf"

# The chart has values of their own for these, or a pod has nothing to choose.
OF_THE_CHART = {
    "ENV", "HOST", "PORT", "ADMIN_PORT", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "JWT_SECRET",
    "JWT_KEYS_DIR", "JWT_SIGNING_KEY", "BUS_SECRET", "ALLOWED_ORIGINS",
    "TRUSTED_PROXIES", "TURN_URLS", "TURN_SECRET", "DRAIN_TIMEOUT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES",
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
    known["OTEL_EXPORTER_OTLP_ENDPOINT"] = known["OTEL_RESOURCE_ATTRIBUTES"] = False
    return {"type": "object", "additionalProperties": False, "properties": known,
            "patternProperties": {"^OTEL_[A-Z_]+$": {"type": ["string", "integer"]}}}


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["config"] = schema_of_config()
    SCHEMA.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    TURNSERVER_OF_THE_CHART.write_text(TURNSERVER.read_text())
