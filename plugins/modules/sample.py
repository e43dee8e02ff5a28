#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sample
short_description: Look once at metrics pages and checks, and keep what they show as samples
version_added: 0.1.0
description:
  - Writes one look into the samples of an environment, which checks with the probe C(window) are asked of.
  - Of a page every series is kept, or those that are named. Of a check its numbers are kept, and whether it passed, on the page
    C(golive_checks).
  - Between the checkpoints of a watch the program of M(golive.cutover.sampler) does the same, every 30 seconds and without Ansible.
extends_documentation_fragment:
  - golive.cutover.store
options:
  pages:
    description:
      - Metrics pages, each with C(url), and C(name) (what it is called in the store; otherwise its address), C(series) (names of
        series to keep, each exact or C(~) and a regular expression; otherwise all), C(timeout) (10s) and C(max_page) (64MB).
      - Further C(headers), C(username), C(password), C(bearer), C(verify) and C(proxy), as the probe C(metrics) has them.
    type: list
    elements: dict
    default: []
  checks:
    description: Checks whose measures are kept, as M(golive.cutover.check) takes them.
    type: list
    elements: dict
    default: []
  secrets:
    description: "Values for C({secret: NAME}) in O(pages) and O(checks)."
    type: dict
    default: {}
  host:
    description:
      - Whose samples they are, in a store that hosts share.
      - Needed there (C(redis:), C(rediss:)), because the same address is another page on each host.
      - A store of one host (C(sqlite:)) needs none.
    type: str
    default: ""
  keep:
    description: How long samples are kept from now on, with its unit; 15 minutes to 31 days. Otherwise that stays as it is.
    type: str
attributes:
  check_mode:
    support: full
    description: Looks, and writes nothing.
  diff_mode:
    support: none
    description: The result says what was seen.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.sampler
  - module: golive.cutover.check
"""

EXAMPLES = r"""
- name: Keep what the executor shows now
  golive.cutover.sample:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    pages:
      - name: executor-1
        url: http://127.0.0.1:4001/metrics
        series: [alerts_active, "~notifications_.*"]
    checks:
      - id: AV-1
        title: The page answers
        http:
          url: http://127.0.0.1:4001/metrics
        expect:
          status: "== 200"
  register: seen
"""

RETURN = r"""
looks:
  description: How many pages were written, that of the sampler itself included.
  returned: success
  type: int
refused:
  description: Looks that were not newer than what the store has.
  returned: success
  type: int
left_out:
  description: Series that were too many for their page.
  returned: success
  type: int
series:
  description: How many series were on each page.
  returned: success
  type: dict
failed_pages:
  description: The pages that could not be read, with the reason. They have no look, so that a window over this time shows a gap.
  returned: always
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import whose
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def sample(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    try:
        keep = units.parse_duration(params["keep"]) if params["keep"] else None
    except ValueError as error:
        raise InputError([Problem("keep", str(error))]) from error
    try:
        host = whose(params["store"], params["host"])
    except ValueError as error:
        raise InputError([Problem("host", str(error))]) from error
    asked = sampler.read_asked(params["pages"], params["checks"], PROBES, params["secrets"])
    with open_from(params, module.no_log_values.add) as store:
        seen = sampler.look(asked, PROBES)
        series = {one.page: len(one.values) for one in seen.looks}
        result: dict[str, Any] = {"changed": True, "series": series, "failed_pages": seen.failed}
        if module.check_mode:
            result.update(looks=len(seen.looks), refused=0, left_out=0)
        else:
            result.update(sampler.write(store, seen, keep, host)._asdict())
    if asked.pages and len(seen.failed) == len(asked.pages) and not asked.checks:
        result["failed_message"] = "no page could be read: " + "; ".join(f"{page}: {why}" for page, why in seen.failed.items())
    return result


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "pages": {"type": "list", "elements": "dict", "default": []},
            "checks": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "host": {"type": "str", "default": ""},
            "keep": {"type": "str"},
        },
        sample,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
