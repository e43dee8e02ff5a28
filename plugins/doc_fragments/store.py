# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  store:
    description:
      - Where lock, ledger and releases are kept.
      - V(sqlite:///absolute/path.db) is a file on the host that the module runs on.
      - V(redis://host:port/db) is a Redis server, V(rediss://host:port/db) one that speaks TLS. A user of Redis may be
        named (V(redis://user@host:port/db)), a password may not. After V(?) may stand V(password_file=/absolute/path),
        a file on the host that the module runs on, and for TLS V(ca_file=/absolute/path).
    type: str
    required: true
  store_password:
    description: The password of a Redis store, unless it is in a file.
    type: str
  environment:
    description: The name of the environment that is cut over. Everything in the store belongs to one.
    type: str
    required: true
requirements:
  - redis (Python library), for a Redis store only
notes:
  - A SQLite store is made readable by its owner alone, so all tasks on it need the same user.
"""
