# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules tried by promtool: series in, alerts out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.monitoring import registry
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import Plan
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings

ENVIRONMENT = "shop"


def planned(checks: Sequence[Mapping[str, Any]], **settings: Any) -> Plan:
    return registry.plan(checks, read_settings({"environment": ENVIRONMENT, **settings}))


@pytest.fixture(scope="session")
def promtool(prometheus_bin: str) -> str:
    """Return the path of a runnable ``promtool``."""
    return str(Path(prometheus_bin).with_name("promtool"))


@pytest.fixture
def evaluated(promtool: str, tmp_path: Path) -> Callable[..., str]:
    """Return ``evaluated(plan, series, firing, at)``: "" when promtool sees exactly the alerts *firing* at *at*, else what it says.

    *series*: selector to values in promtool's notation, one every 15 s. *firing*: (alertname, check, measure, condition or "").
    """

    def run(plan: Plan, series: Mapping[str, str], firing: set[tuple[str, str, str, str, str]], at: str = "20m") -> str:
        (tmp_path / "rules.yml").write_text(registry.render(plan, ["rules"])["rules"], encoding="utf-8")
        checked = subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yml")], text=True, capture_output=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        samples = []
        for name, check, measure, condition, severity in sorted(firing):
            labels = {"alertname": name, "alertstate": "firing", "environment": ENVIRONMENT, "check": check, "measure": measure}
            labels |= {"severity": severity} | ({"condition": condition} if condition else {})
            inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
            samples.append({"labels": f"ALERTS{{{inner}}}", "value": 1})
        test = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": "15s",
            "tests": [
                {
                    "interval": "15s",
                    "input_series": [{"series": name, "values": values} for name, values in series.items()],
                    "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": samples}],
                }
            ],
        }
        (tmp_path / "test.yml").write_text(yaml.safe_dump(test, width=1000), encoding="utf-8")
        done = subprocess.run([promtool, "test", "rules", str(tmp_path / "test.yml")], text=True, capture_output=True, cwd=tmp_path)
        if done.returncode:
            print(done.stdout + done.stderr)
        return "" if done.returncode == 0 else "promtool sees other alerts"

    return run
