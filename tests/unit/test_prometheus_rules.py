"""The rules under deploy/prometheus name metrics, labels and label values that there are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.sources import ROOT
from vault.telemetry import names
from vault.telemetry.kinds import Code, Vocabulary
from vault.telemetry.metric import Metric

RULES = ROOT / "deploy" / "prometheus" / "pdvault.rules.yaml"
COLLECTOR = ROOT / "deploy" / "otel" / "collector.example.yaml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALL = [(group["name"], rule) for group in GROUPS for rule in group["rules"]]
RECORDED = {rule["record"] for _, rule in ALL if "record" in rule}
UNITS = {"s": "_seconds", "1": "_ratio"}
SERIES = re.compile(r"(?<![\w:])((?:[a-z_]+:)?pdvault(?:_[a-z0-9_]+|:[a-z0-9_:]+)(?::[a-z0-9_]+)?)")
MATCHER = re.compile(r"([a-z_]+)(=~|!~|!=|=)\"([^\"]*)\"")
GROUPING = re.compile(r"\bby \(([^)]*)\)")
RESOURCE = {"service_instance_id"}


def prometheus_names(metric: Metric) -> set[str]:
    """What the translation from OTLP makes of a metric (OpenTelemetry, "Prometheus and
    OpenMetrics compatibility"): unit, then _total; a ratio for gauges only; {…} is left out.
    """
    unit = UNITS.get(metric.unit, "")
    if unit == "_ratio" and metric.form != "gauge":
        unit = ""
    base = metric.name.replace(".", "_") + unit
    if metric.form == "counter":
        return {f"{base}_total"}
    if metric.form == "histogram":
        return {f"{base}_{part}" for part in ("bucket", "sum", "count")}
    return {base}


KNOWN = {name: metric for metric in names.METRICS for name in prometheus_names(metric)}


def series(expression: str) -> set[str]:
    return set(SERIES.findall(MATCHER.sub("", expression)))


def test_the_translation() -> None:
    assert {"pdvault_calls_total"} == prometheus_names(names.CALLS)
    assert {"pdvault_stage_duration_seconds_total"} == prometheus_names(names.STAGE_DURATION)
    assert {"pdvault_transit_state_ratio"} == prometheus_names(names.TRANSIT_STATE)
    assert {"pdvault_log_pending"} == prometheus_names(names.LOG_PENDING)


@pytest.mark.parametrize("rule", [rule for _, rule in ALL], ids=lambda r: next(iter(r.values())))
def test_a_rule_names_what_there_is(rule: dict[str, object]) -> None:
    expression = str(rule["expr"])
    used = series(expression)
    assert used
    assert set() == used - KNOWN.keys() - RECORDED
    metrics = [KNOWN[name] for name in used & KNOWN.keys()]
    labels = {label: kind for metric in metrics for label, kind in metric.labels}
    labels |= {label: Code(names.RPCS) for label in ("rpc",) if used & RECORDED}
    for label, operator, value in MATCHER.findall(expression):
        kind = labels[label]
        if not isinstance(kind, Code):
            assert re.fullmatch(r"[0-9|]+", value)
        elif operator in ("=", "!="):
            assert kind.admits(value, Vocabulary())
        else:
            assert any(re.fullmatch(value, each) for each in kind.values)
            assert all(
                any(re.fullmatch(part, each) for each in kind.values) for part in value.split("|")
            )
    for group in GROUPING.findall(expression):
        wanted = {label.strip() for label in group.split(",")}
        assert wanted <= labels.keys() | RESOURCE | {"le"}


def test_the_form_of_the_rules() -> None:
    titles = [rule.get("record") or rule.get("alert") for _, rule in ALL]
    assert len(titles) == len(set(titles))
    for _, rule in ALL:
        if "record" in rule:
            assert {"record", "expr"} == set(rule)
            assert re.fullmatch(r"[a-z_]*(:[a-z0-9_]+)+", rule["record"])
        else:
            assert {"alert", "expr", "labels", "annotations"} <= set(rule)
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"]


def test_what_must_raise_an_alarm_does() -> None:
    alarmed = {
        name for _, rule in ALL if "alert" in rule for name in series(rule["expr"]) & KNOWN.keys()
    }
    assert alarmed >= {
        name
        for metric in (
            names.AUDIT_FAILURES,
            names.LOG_ALARM,
            names.LOG_LAG,
            names.CHECKPOINT_AGE,
            names.SPANS_DROPPED,
            names.ATTRIBUTES_DROPPED,
            names.TRANSIT_STATE,
            names.CERTIFICATE_EXPIRY,
            names.LOOP_LAG,
            names.VERDICTS,
        )
        for name in prometheus_names(metric)
    }


def test_every_alarm_of_the_log_is_in_one_rule_and_one_only() -> None:
    patterns = [
        re.search(r'pdvault_log_alarm_ratio\{cause([!=]~)"([^"]+)"', str(rule["expr"]))
        for _, rule in ALL
    ]
    found = [(match[1], match[2]) for match in patterns if match]
    for cause in names.LOG_ALARMS:
        assert 1 == sum(
            (re.fullmatch(text, cause) is not None) == (sign == "=~") for sign, text in found
        )


def test_the_collector_passes_on_what_it_takes_in() -> None:
    document = yaml.safe_load(COLLECTOR.read_text())
    for pipeline in document["service"]["pipelines"].values():
        assert ["otlp"] == pipeline["receivers"]
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= document[part].keys()
    assert {"metrics", "traces"} == document["service"]["pipelines"].keys()
    assert not any("sampl" in name for name in document["processors"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], cwd=tmp_path, capture_output=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
