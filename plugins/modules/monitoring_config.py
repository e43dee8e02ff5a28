#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: monitoring_config
short_description: Place a rule file of Prometheus or the configuration of Alertmanager, tested and taken, or nothing has changed
version_added: 0.1.0
description:
  - Has the content tested by the server's own tool before it stands in its place, places it, has the whole configuration tested
    where O(config) is given, and has the running server take it.
  - When anything is refused, what was there is back, and the error is that of the tool or the server.
  - The file is replaced as a whole. A run that dies half way leaves a file that was tested; the next one sees that the server is
    older than the file and reloads it.
  - Nothing is restarted.
options:
  kind:
    description: What the file is, and so which tool tests it and how the server is asked.
    type: str
    choices: [prometheus, alertmanager]
    required: true
  path:
    description: The file. Its directory must exist.
    type: path
    required: true
  content:
    description: Its content. Required with O(state=present). It may hold secrets, and is never shown; of V(alertmanager) no
      difference is shown either.
    type: str
  state:
    description: Whether the file is there. The configuration of Alertmanager always is.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description: Its mode.
    type: str
    default: "0640"
  owner:
    description: Name or number of its owner. Without it, an existing file keeps its owner.
    type: str
  group:
    description: Name or number of its group. Without it, an existing file keeps its group.
    type: str
  tool:
    description: The program that tests the file. The default is C(promtool) or C(amtool).
    type: str
  config:
    description: The main configuration file of Prometheus, to be tested as a whole with the file in place.
    type: path
  groups:
    description: Rule groups that Prometheus must evaluate afterwards. A file that no C(rule_files) names is refused by that.
    type: list
    elements: str
    default: []
  rules:
    description:
      - The rules that Prometheus must evaluate afterwards, all of each group, in their order. A group of the same name that holds
        something else, such as what an earlier file has left, is refused by that.
    type: list
    elements: dict
    default: []
    suboptions:
      group:
        description: The name of its group.
        type: str
        required: true
      name:
        description: The name of the alert, or of the series that is recorded.
        type: str
        required: true
      expr:
        description: Its expression. It may be written otherwise than Prometheus prints it.
        type: str
        required: true
      labels:
        description: The labels that it adds, all of them. Without it they are not compared.
        type: dict
      for:
        description: The time for which its condition must hold before it fires, as in the rule file, such as V(5m). V(0s) for an
          alert that has none. Without it that is not compared.
        type: str
  url:
    description: Address of the running server, with its path prefix where it has one. Required unless O(reload=none).
    type: str
  reload:
    description:
      - How the server is told. V(http) needs C(--web.enable-lifecycle) of Prometheus. V(signal) sends SIGHUP.
      - With V(none) the file is placed and tested, and counts when the server is started.
    type: str
    choices: [http, signal, none]
    default: http
  pid_file:
    description: File with the number of the server's process. Required with O(reload=signal).
    type: path
  url_username:
    description: Name for basic authentication at O(url).
    type: str
  url_password:
    description: Password for basic authentication at O(url).
    type: str
  ca_path:
    description: File with the certificates that O(url) is verified with.
    type: path
  secrets:
    description: Secret values in O(content). They are taken out of what the tool and the server complain of.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that the server may take until it has taken the file.
    type: int
    default: 15
attributes:
  check_mode:
    support: full
    description: The content is tested; nothing is placed.
  diff_mode:
    support: partial
    description: Shows the difference of rule files. The configuration of Alertmanager may hold secrets and is not shown.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Place rules that Prometheus takes
  golive.cutover.monitoring_config:
    kind: prometheus
    path: /etc/prometheus/rules/golive-shop.yml
    config: /etc/prometheus/prometheus.yml
    url: http://127.0.0.1:9090
    groups: ["golive:shop"]
    rules:
      - {group: "golive:shop", name: ShopDown, expr: "up{job='shop'} == 0"}
    content: |
      groups:
        - name: golive:shop
          rules:
            - {alert: ShopDown, expr: "up{job='shop'} == 0"}

- name: Place the configuration of Alertmanager
  golive.cutover.monitoring_config:
    kind: alertmanager
    path: /etc/prometheus/alertmanager.yml
    url: http://127.0.0.1:9093
    content: |
      route: {receiver: nobody}
      receivers: [{name: nobody}]
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
reloaded:
  description: Whether the running server was reloaded. It is too when it is older than the file.
  returned: success
  type: bool
"""

import os
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url

from ansible_collections.golive.cutover.plugins.module_utils._files import FileState, read_file, read_owner, same_file
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.loaded import Rule, seconds
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.placing import TOOLS, Placing, Refused, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule


def _wanted(params: dict[str, Any], lenient: bool) -> FileState | None:
    """The file as it shall be. In check mode an owner may be one that the run would make."""
    problems = []
    if not os.path.isabs(params["path"]):
        problems.append(Problem("path", "is not an absolute path"))
    elif not lenient and not os.path.isdir(os.path.dirname(params["path"])):
        problems.append(Problem("path", "its directory does not exist"))
    if params["kind"] == "alertmanager":
        problems += [Problem(name, "goes with kind: prometheus") for name in ("config", "groups", "rules") if params[name]]
        if params["state"] == "absent":
            problems.append(Problem("state", "Alertmanager does not run without its configuration"))
    if not re.fullmatch(r"0?[0-7]{3}", params["mode"]):
        problems.append(Problem("mode", f"{params['mode']!r} is not an octal mode such as '0640'"))
    uid, gid = read_owner(params, lenient, problems)
    if problems:
        raise InputError(problems)
    if params["state"] == "absent":
        return None
    return FileState(params["content"].encode("utf-8"), int(params["mode"], 8), uid, gid)


def _rule(one: dict[str, Any]) -> Rule:
    labels = None if one["labels"] is None else {str(name): str(value) for name, value in one["labels"].items()}
    try:
        return Rule(one["name"], one["expr"], labels, None if one["for"] is None else seconds(one["for"]))
    except ValueError as error:
        raise InputError([Problem(f"rules[{one['name']}].for", str(error))]) from None


def _fetch(params: dict[str, Any]) -> Callable[[str, str], tuple[int, str]]:
    def fetch(method: str, url: str) -> tuple[int, str]:
        try:
            with open_url(
                url,
                method=method,
                timeout=params["timeout"],
                url_username=params["url_username"],
                url_password=params["url_password"],
                force_basic_auth=params["url_username"] is not None,
                ca_path=params["ca_path"],
                use_proxy=False,
                follow_redirects="none",
            ) as reply:
                return int(reply.getcode()), reply.read().decode("utf-8", "replace")
        except HTTPError as error:
            return int(error.code), error.read().decode("utf-8", "replace")
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise Refused(f"{url}: {reason}") from error

    return fetch


def _difference(params: dict[str, Any], there: FileState | None, wanted: FileState | None) -> dict[str, str]:
    def text(state: FileState | None) -> str:
        if state is None:
            return ""
        return state.data.decode("utf-8", "replace") if params["kind"] == "prometheus" else "not shown: it may hold secrets\n"

    return {
        "before_header": params["path"] if there is not None else os.devnull,
        "after_header": params["path"] if wanted is not None else os.devnull,
        "before": text(there),
        "after": text(wanted),
    }


def monitoring_config(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    wanted = _wanted(params, module.check_mode)

    def run_command(line: list[str]) -> tuple[int, str, str]:
        code, output, errors = module.run_command(line, environ_update={"LC_ALL": "C"}, handle_exceptions=False)
        return code, output, errors

    server = Server(
        kind=params["kind"],
        run=run_command,
        fetch=_fetch(params),
        kill=os.kill,
        tool=params["tool"] or TOOLS[params["kind"]],
        config=params["config"],
        url=params["url"].rstrip("/") if params["url"] else None,
        reload=params["reload"],
        pid_file=params["pid_file"],
    )
    groups = params["groups"] if wanted is not None else []
    rules: dict[str, list[Rule]] = {}
    for one in params["rules"] if wanted is not None else []:
        rules.setdefault(one["group"], []).append(_rule(one))
    placing = Placing(server, time.monotonic, time.sleep, float(params["timeout"]), groups, rules)
    there = read_file(params["path"])
    if module.check_mode:
        changed = not same_file(there, wanted)
        if changed and wanted is not None:
            placing.test(params["path"], wanted)
        result: dict[str, Any] = {"changed": changed, "reloaded": changed and params["reload"] != "none"}
    else:
        placed, reloaded = placing.apply(params["path"], wanted)
        result = {"changed": placed or reloaded, "reloaded": reloaded}
    result["path"] = params["path"]
    if module._diff:
        result["diff"] = _difference(params, there, wanted)
    return result


def main() -> None:
    run_module(
        {
            "kind": {"type": "str", "choices": ["prometheus", "alertmanager"], "required": True},
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mode": {"type": "str", "default": "0640"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "tool": {"type": "str"},
            "config": {"type": "path"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "rules": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **{name: {"type": "str", "required": True} for name in ("group", "name", "expr")},
                    "labels": {"type": "dict"},
                    "for": {"type": "str"},
                },
            },
            "url": {"type": "str"},
            "reload": {"type": "str", "choices": ["http", "signal", "none"], "default": "http"},
            "pid_file": {"type": "path"},
            "url_username": {"type": "str"},
            "url_password": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "timeout": {"type": "int", "default": 15},
        },
        monitoring_config,
        unshown=("content",),
        supports_check_mode=True,
        required_if=[
            ("state", "present", ("content",)),
            ("reload", "http", ("url",)),
            ("reload", "signal", ("url", "pid_file")),
        ],
    )


if __name__ == "__main__":
    main()
