# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  token:
    description:
      - Write only while O(run) holds the lock with this token, as M(golive.cutover.lock) returned it. When the lock was
        lost to another run, the task fails and nothing is written. It is looked at in the same atomic step.
      - Without it, nobody's lock is looked at. It has no meaning to read.
    type: int
    version_added: 0.1.0
  lease:
    description: With O(token), also make the lock last this long from now, such as V(15m). It is never shortened.
    type: str
    version_added: 0.1.0
"""
