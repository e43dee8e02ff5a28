# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that turns checks into the files of a monitoring system."""

from __future__ import annotations

DOCUMENTATION = r"""
name: monitoring
short_description: Checks as Prometheus rules, an Alertmanager route and a Grafana dashboard
version_added: 0.1.0
description:
  - Makes of every threshold of checks with the probes C(metrics), C(window) and C(promql) an alerting rule that says the same.
  - What cannot be translated is returned with the reason, and named in the rule file and on the dashboard.
positional: settings, outputs, tags
options:
  _input:
    description: The checks, as in O(golive.cutover.check#module:checks).
    type: list
    elements: dict
    required: true
  settings:
    description:
      - How the system looks from Prometheus. C(environment) is required.
      - C(matchers), C(targets), C(baseline), C(hold), C(no_data_hold), C(interval), C(scrape_interval), C(labels), C(receivers),
        C(base) (also as text), C(dashboard_uid), C(dashboard_title), C(refresh) and C(span) are those of the variables of the role
        C(golive.cutover.monitoring).
    type: dict
    required: true
  outputs:
    description: What to make, of V(rules), V(alertmanager) and V(dashboard).
    type: list
    elements: str
    default: [rules, alertmanager, dashboard]
  tags:
    description: Only checks with any of these tags; all of them when there is none.
    type: list
    elements: str
    default: []
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: One threshold becomes an alert
  ansible.builtin.assert:
    that:
      - made.groups == ['golive:shop']
      - made.untranslated | map(attribute='check') | list == ['H-001']
      - (made.files.rules | from_yaml).groups[0].rules[1].labels.severity == 'critical'
  vars:
    made: "{{ checks | golive.cutover.monitoring({'environment': 'shop'}, ['rules']) }}"
    checks:
      - id: M-004
        metrics: {url: "http://127.0.0.1:4001/metrics", name: streams_errors_total, as: increase, over: 5m}
        critical: {value: "> 20"}
      - id: H-001
        http: {url: "http://127.0.0.1:3000/health"}
        expect: {status: "== 200"}
"""

RETURN = r"""
_value:
  description:
    - C(files), each output with its text.
    - C(groups), the names of the rule groups in C(files.rules).
    - C(rules), the C(group), C(name), C(expr) and C(labels) of each rule there, and C(for) of an alert.
    - C(watched), the checks and measures that have rules.
    - C(untranslated), a list of C(check), C(measure), C(condition) and C(reason).
    - C(dashboard_uid), the uid of the dashboard.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# Every task that uses any filter of the collection imports this file: what only this filter needs is imported by it.

DEFAULT_OUTPUTS = ("rules", "alertmanager", "dashboard")


def monitoring(
    checks: Any, settings: Mapping[str, Any], outputs: Sequence[str] = DEFAULT_OUTPUTS, tags: Sequence[str] = ()
) -> dict[str, Any]:
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
    from ansible_collections.golive.cutover.plugins.module_utils.monitoring import dashboard, registry, rules
    from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings

    strange = [str(one) for one in outputs if one not in registry.OUTPUTS]
    if strange:
        raise AnsibleFilterError(f"{strange[0]!r} is no output; expected {', '.join(registry.OUTPUTS)}")
    if not isinstance(checks, (list, tuple)):
        raise AnsibleFilterError(f"monitoring expects a list of checks, got {type(checks).__name__}")
    try:
        plan = registry.plan(checks, read_settings(settings), tags)
        files = registry.render(plan, outputs)
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error
    return {
        "files": files,
        "groups": [rules.group_name(plan.settings.environment)] if plan.signals else [],
        "rules": rules.evaluated(plan),
        "watched": [{"check": one.check, "measure": one.measure} for one in plan.signals],
        "untranslated": [one._asdict() for one in plan.untranslated],
        "dashboard_uid": dashboard.uid(plan.settings),
    }


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"monitoring": monitoring}
