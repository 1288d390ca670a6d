"""What Prometheus and Grafana are told: documented metrics alone, each alert seen to fire."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.metrics_page import labels, metrics, page, series
from streaming.settings import load_settings
from streaming.telemetry import CanaryTelemetry, InstallationTelemetry, Telemetry

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARDS = sorted((OBSERVABILITY / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = sorted(Path(__file__).parent.glob("alerts*.test.yml"))
LABELS = {
    name: {*labels(metric), "le"} if name.endswith("_bucket") else set(labels(metric))
    for telemetry in (Telemetry(), InstallationTelemetry(), CanaryTelemetry())
    for metric in metrics(telemetry)
    for name in series(metric)
} | {"up": set()}
TARGET = {"job", "instance", "process"}
"""What deploy/observability/prometheus.yml says of each process."""

# A metric, the labels it is chosen by, and those that a sum is made by.
_SERIES = re.compile(r"\b(pfdo_\w+|up)\b(?:\{([^}]*)\})?")
_BY = re.compile(r"\b(?:by|ignoring|on) \(([^)]*)\)")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query stands and the query."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


def unknown(query: str) -> set[str]:
    """Return the metrics and labels of a query that are not documented."""
    found: set[str] = set()
    known = set(TARGET)
    for name, chosen in _SERIES.findall(query):
        if name not in LABELS:
            found.add(name)
            continue
        known |= LABELS[name]
        found |= set(_MATCHER.findall(chosen)) - LABELS[name] - TARGET
    for listed in _BY.findall(query):
        found |= {label.strip() for label in listed.split(",")} - known
    return found


def test_the_page_of_metrics_is_current() -> None:
    made = "python -m deploy.metrics_page > docs/metrics.md makes it"

    assert (ROOT / "docs" / "metrics.md").read_text() == page(), made


def test_every_metric_has_a_name_and_a_meaning_of_its_own() -> None:
    telemetries = (Telemetry(), InstallationTelemetry(), CanaryTelemetry())
    found = [m for t in telemetries for m in metrics(t)]

    names = [name for metric in found for name in series(metric)]
    assert len(set(names)) == len(names) > 20
    assert all(name.startswith("pfdo_") for name in names)
    assert all(metric._documentation for metric in found)


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_queries_ask_for_documented_metrics_and_labels(where: str, query: str) -> None:
    assert _SERIES.search(query)
    assert unknown(query) == set()


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("pfdo_laag", {"pfdo_laag"}),
        ('pfdo_lag{servis="billing"}', {"servis"}),
        ("sum by (payer) (pfdo_lag)", {"payer"}),
        ("sum by (service) (rate(pfdo_decisions[5m]))", {"pfdo_decisions", "service"}),
    ],
)
def test_a_wrong_query_is_noticed(query: str, missing: set[str]) -> None:
    assert unknown(query) == missing


def test_the_metrics_of_promises_flow_and_money_are_all_looked_at() -> None:
    asked = {name for _, query in queries() for name, _ in _SERIES.findall(query)}
    never = {name for name in LABELS if name not in asked and not name.endswith("_sum")}

    assert never == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_a_runbook(alert: dict[str, Any]) -> None:
    runbook = ROOT / alert["annotations"]["runbook"]
    text = runbook.read_text(encoding="utf-8")

    assert runbook.parent == RUNBOOKS
    # Alerts that end in the same way share a page; its beginning names them all.
    beginning = text.partition("\n## ")[0]
    assert text.startswith("# Pfdo")
    assert alert["alert"] in re.findall(r"\bPfdo\w+", beginning)
    assert all(part in text for part in ("\n## Look\n", "\n## Do\n", "\nIt is over when "))
    link = f"[{runbook.name}](../runbooks/{runbook.name})"
    listed = f"| `{alert['alert']}` ({alert['labels']['severity']}) | {link} |"
    assert listed in (ROOT / "docs" / "operations" / "watch.md").read_text(encoding="utf-8")
    assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_seen_firing_and_silent() -> None:
    cases = [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]
    tests = [one for case in cases for one in case["alert_rule_test"]]

    firing = {one["alertname"] for one in tests if one["exp_alerts"]}
    silent = {one["alertname"] for one in tests if not one["exp_alerts"]}
    assert firing == silent == {alert["alert"] for alert in ALERTS}


def promtool(*arguments: str | Path) -> str:
    """Let Prometheus's own tool check something; return what it says."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not there: it comes with Prometheus (Debian: prometheus)")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration() -> None:
    said = promtool("check", "config", OBSERVABILITY / "prometheus.yml")

    assert f"{len(ALERTS)} rules found" in said


def test_every_process_is_known_by_its_name() -> None:
    jobs = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())["scrape_configs"]

    for job in jobs:
        named = [each["target_label"] for each in job.get("relabel_configs", ())]
        for each in job.get("static_configs", ()):
            named += each["labels"]
        assert "process" in named, job["job_name"]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name)
def test_the_alerts_fire_on_recorded_series(file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


def test_prometheus_understands_the_queries_of_the_dashboards(tmp_path: Path) -> None:
    rules = [
        {"record": f"q:{number}", "expr": query.replace("$payer", ".*")}
        for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboards_are_whole(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    panels = dashboard["panels"]

    assert dashboard["uid"] == f"pfdo-{file.stem}"
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(places)) == len(places), "panels lie upon each other"
    assert max(x for x, _ in places) < 24


def test_watch_has_its_own_user_and_sees_every_redis() -> None:
    overlay = yaml.safe_load((ROOT / "deploy" / "observability.yaml").read_text())
    watch = overlay["services"]["watch"]
    environment = {
        name.removesuffix("_FILE"): re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in watch["environment"].items()
    }

    settings = load_settings(environment=environment)

    assert (settings.kafka_username, settings.redis_username) == ("watch", "watch")
    assert not settings.sandbox
    for name in ("enrollment", "certificates", "billing", "notifications", "cabinet"):
        assert settings.redis_url_of(name) == f"redis://{name}-redis:6379/0"
        assert f"{name}-state" in watch["networks"]


def test_what_watches_may_no_more_than_it_needs() -> None:
    overlay = yaml.safe_load((ROOT / "deploy" / "observability.yaml").read_text())
    # Of compose.yaml, and told where to look.
    del overlay["services"]["cabinet"]

    for name, container in overlay["services"].items():
        assert re.fullmatch(r"[a-z/]+:v?[\w.-]+", container["image"]), name
        assert container["read_only"] is True, name
        assert container["cap_drop"] == ["ALL"], name
        assert {"mem_limit", "cpus", "healthcheck"} < set(container), name
        assert all(port.startswith("127.0.0.1:") for port in container.get("ports", ())), name
        mounted = [v.split(":")[0] for v in container.get("volumes", ()) if v.startswith("./")]
        assert all((ROOT / "deploy" / path).exists() for path in mounted), name


def test_nobody_waits_until_all_books_are_counted() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "observability.yaml").read_text())["services"]
    del services["cabinet"]

    # Only when it has counted them once `watch` is healthy: on large journals that takes minutes.
    assert services["watch"]["healthcheck"]["start_period"] == "30m"
    for name, container in services.items():
        waited_for = container["depends_on"].get("watch", {}) if name != "watch" else {}
        assert waited_for.get("condition") != "service_healthy", name


def test_links_between_runbooks_lead_somewhere() -> None:
    links = [
        (file, link)
        for file in RUNBOOKS.glob("*.md")
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8"))
    ]

    assert links
    assert [
        f"{file.name}: {link}" for file, link in links if not (file.parent / link).exists()
    ] == []
