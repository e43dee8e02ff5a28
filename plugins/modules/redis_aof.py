#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: redis_aof
short_description: Switch on the append-only file of a running Redis, as a transaction
version_added: 0.1.0
description:
  - C(appendonly yes) in the configuration file and a restart loses the data set, because Redis then starts from an empty
    append-only file (AOF). This module asks the running server instead and never restarts it.
  - It takes a snapshot, switches the AOF on, waits until the first AOF is complete, compares the number of keys, proves that
    a write reaches the AOF, and only then makes the setting last.
  - When a step fails, C(appendonly) and C(appendfsync) are put back to what they were, and the error holds what Redis said.
  - A run that was killed is finished by the next one.
requirements:
  - the Python library redis
options:
  host:
    description: Where the server listens.
    type: str
    default: 127.0.0.1
  port:
    description: Its port.
    type: int
    default: 6379
  unix_socket:
    description: Its socket, instead of O(host) and O(port).
    type: path
  username:
    description: User of an access control list.
    type: str
  password:
    description: Password of the user.
    type: str
  tls:
    description: Whether the server speaks TLS. Its certificate is verified.
    type: bool
    default: false
  ca_file:
    description: Certificates to verify that of the server with. Without it, those of the system.
    type: path
  appendfsync:
    description: How often the AOF is brought to the disk. With V(everysec), a power failure loses at most about a second.
    type: str
    choices: [always, everysec, 'no']
    default: everysec
  timeout:
    description: Seconds that the whole may take.
    type: int
    default: 300
  backup:
    description:
      - Whether a snapshot is taken before anything is changed.
      - It is also copied, where the data directory can be seen from this host. Otherwise the new snapshot is all there is, and
        RV(notes) says so.
    type: bool
    default: true
  min_free:
    description: Free space to leave in the data directory, with its unit, beyond the backup and the first AOF.
    type: str
    default: 64MiB
  config_file:
    description:
      - The configuration file that Redis is started with, as this host sees it.
      - Without it, it is what Redis itself says, if Redis runs in this file system.
      - The file is made to say it by C(CONFIG REWRITE). Where that fails (a bind-mounted file, say), it is edited in place.
    type: path
  data_dir:
    description:
      - The data directory, as this host sees it. Without it, what Redis itself says, if Redis runs in this file system.
    type: path
  persisted_elsewhere:
    description:
      - Whether what starts Redis already asks for the AOF, as C(--appendonly yes) in the command of a container does.
      - The setting is then made live and not written anywhere.
    type: bool
    default: false
  marker:
    description: Name of the key that is written for a moment, to prove that writes reach the AOF.
    type: str
    default: golive:redis_aof:marker
attributes:
  check_mode:
    support: full
    description: Looks at the server and at the disk, and returns what would be done as RV(planned).
  diff_mode:
    support: none
    description: The steps say what was changed.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Switch on the append-only file
  golive.cutover.redis_aof:
    password: "{{ vault_redis_password }}"

- name: Switch it on in a container with a bind-mounted configuration
  golive.cutover.redis_aof:
    port: 6380
    config_file: /srv/app/redis/redis.conf
    data_dir: /srv/app/redis/data
"""

RETURN = r"""
steps:
  description: What was done, in order, each with C(name), C(seconds) and C(detail).
  returned: always
  type: list
  elements: dict
notes:
  description: What could not be looked at, and why.
  returned: success
  type: list
  elements: str
planned:
  description: What would be done.
  returned: in check mode, when something would be done
  type: list
  elements: str
backup_file:
  description: Copy of the snapshot that was taken before anything was changed; null when there is none.
  returned: success
  type: str
persisted:
  description:
    - V(yes) when the configuration file was seen to ask for it, V(unseen) when it cannot be seen from this host, V(elsewhere)
      with O(persisted_elsewhere), V(no) in check mode when it does not ask for it yet.
  returned: success
  type: str
config_file:
  description: The configuration file that was looked at; null when it cannot be seen.
  returned: success
  type: str
before:
  description: C(appendonly), C(appendfsync) and the number of C(keys) before anything was done.
  returned: success
  type: dict
state:
  description: The state in which things are after a failure.
  returned: failure
  type: str
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils._redis_link import Link
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.units import parse_size
from ansible_collections.golive.cutover.plugins.module_utils.redis_aof import APPENDFSYNC, Switch, Wish

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def redis_aof(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    try:
        min_free = parse_size(params["min_free"])
    except ValueError as error:
        raise InputError([Problem("min_free", str(error))]) from None
    connection = ("host", "port", "unix_socket", "username", "password", "tls", "ca_file")
    wish = Wish(
        min_free=min_free,
        timeout=float(params["timeout"]),
        **{name: params[name] for name in ("appendfsync", "backup", "config_file", "data_dir", "persisted_elsewhere", "marker")},
    )
    link = Link(**{name: params[name] for name in connection})
    try:
        return Switch(link, wish, clock=time.monotonic, sleep=time.sleep).run(check=module.check_mode)
    finally:
        link.close()


def main() -> None:
    run_module(
        {
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6379},
            "unix_socket": {"type": "path"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "tls": {"type": "bool", "default": False},
            "ca_file": {"type": "path"},
            "appendfsync": {"type": "str", "choices": list(APPENDFSYNC), "default": "everysec"},
            "timeout": {"type": "int", "default": 300},
            "backup": {"type": "bool", "default": True},
            "min_free": {"type": "str", "default": "64MiB"},
            "config_file": {"type": "path"},
            "data_dir": {"type": "path"},
            "persisted_elsewhere": {"type": "bool", "default": False},
            "marker": {"type": "str", "default": "golive:redis_aof:marker", "no_log": False},
        },
        redis_aof,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
