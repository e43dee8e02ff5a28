#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_dir
short_description: Put the content of a release into a directory of its own
version_added: 0.1.0
description:
  - Copies a directory or a tar archive, from the controller or from the host itself, into C(<path>/<release>).
  - The digest of the content is known before anything is written. A release that is already there with another digest
    is refused, one that is there with the same digest is left alone, and one whose files were altered on the host is
    put right.
  - The copy is made in C(<release>.partial) and renamed when it is whole, so a half copy is never a release.
  - A C(.env) that already stands in the directory is kept, and one in the source is never copied.
options:
  path:
    description: Directory that holds the releases.
    type: path
    required: true
  release:
    description: Id of the release. It becomes the name of a directory.
    type: str
    required: true
  state:
    description:
      - V(present) stages the release.
      - V(possible) only looks, and returns everything that would prevent V(present) in RV(problems).
      - V(whole) only looks whether a release that was staged is as it was staged, and returns what is not in
        RV(problems).
      - V(absent) removes the release.
    type: str
    choices: [present, possible, whole, absent]
    default: present
  source:
    description:
      - Directory or tar archive with the content. On the controller, unless O(remote_source) is set.
      - Without it, the release consists of O(files) alone.
    type: path
  remote_source:
    description: Whether O(source) is on the host.
    type: bool
    default: false
  files:
    description: Rendered files, path in the release to content. They replace files of the source. Not a place for
      secrets.
    type: dict
    default: {}
  exclude:
    description: Patterns of what is left out, matched against the whole path and each part of it.
    type: list
    elements: str
    default: [.git, __pycache__, "*.pyc"]
  digest:
    description:
      - The digest that the content must have, such as one that was recorded earlier.
      - With O(state=whole), the digest that the release on the host must have been staged with.
    type: str
  manifest:
    description: Internal. What the action plugin of this module has read on the controller.
    type: list
    elements: list
  archive:
    description: Internal. Where the action plugin of this module has put the content on the host.
    type: path
attributes:
  check_mode:
    support: full
    description: Says what would be staged, and refuses what would be refused.
  diff_mode:
    support: none
    description: The content of a release is not shown.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Stage a release from a directory of the controller
  golive.cutover.release_dir:
    path: /var/lib/golive/releases
    release: 1.0.0
    source: builds/1.0.0

- name: Is the release before it still what it was
  golive.cutover.release_dir:
    path: /var/lib/golive/releases
    release: 0.9.0
    state: whole
    digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  register: previous_release
"""

RETURN = r"""
path:
  description: The directory of the release.
  returned: always
  type: str
digest:
  description: Digest of the content, or null where there is none.
  returned: always
  type: str
files:
  description: Number of files and links of the content.
  returned: always
  type: int
size:
  description: Bytes of the content.
  returned: always
  type: int
needed:
  description: Whether the release is not yet on the host as it should be.
  returned: always
  type: bool
problems:
  description: What stands in the way, all of it. Only the states V(possible) and V(whole) return problems; the others
    fail.
  returned: always
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import tree
from ansible_collections.golive.cutover.plugins.module_utils.core.tree import Entry
from ansible_collections.golive.cutover.plugins.module_utils.release_files import (
    ReleaseError,
    Releases,
    scan,
    with_files,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _entries(params: dict[str, Any]) -> list[Entry]:
    if params["manifest"] is not None:
        return [Entry(str(p), str(k), bool(x), str(d), int(s)) for p, k, x, d, s in params["manifest"]]
    read = scan(params["source"], params["exclude"]) if params["source"] else []
    return with_files(read, params["files"])


def _whole(releases: Releases, params: dict[str, Any]) -> dict[str, Any]:
    release = params["release"]
    seen = releases.look(release)
    problems: list[str] = []
    if not seen["complete"]:
        problems.append(f"release {release} is not in {releases.root}")
    elif params["digest"] and seen["digest"] != params["digest"]:
        problems.append(f"release {release} was staged with the digest {seen['digest']}, and {params['digest']} is recorded")
    problems += [f"release {release}: {line}" for line in seen["altered"]]
    return {"digest": seen["digest"], "problems": problems, "needed": bool(problems), "files": 0, "size": 0}


def release_dir(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    releases, release, state = Releases(params["path"]), params["release"], params["state"]
    base: dict[str, Any] = {"changed": False, "path": str(releases.path(release)), "problems": []}
    if state == "whole":
        return {**base, **_whole(releases, params)}
    if state == "absent":
        there = releases.path(release).exists()
        changed = there if module.check_mode else releases.remove(release)
        return {**base, "changed": changed, "digest": None, "files": 0, "size": 0, "needed": False}

    problems: list[str] = []
    entries: list[Entry] = []
    try:
        entries = _entries(params)
        if not entries:
            problems.append("the release has no content: neither source nor files hold anything")
    except ReleaseError as error:
        problems.append(str(error))
    digest, size = (tree.tree_digest(entries) if entries else None), sum(entry.size for entry in entries)
    if digest and params["digest"] and digest != params["digest"]:
        problems.append(f"release {release} is recorded with other content: {params['digest']}, and the source has {digest}")
    seen = releases.look(release)
    if digest and seen["complete"] and seen["digest"] != digest:
        problems.append(
            f"release {release} is already here with other content: {seen['digest']}, and the source has {digest}; "
            f"give a new content a new release id"
        )
    needed = not seen["complete"] or bool(seen["altered"])
    if needed:
        problems += releases.room(size)
    result = {
        **base,
        "digest": digest,
        "files": len(entries),
        "size": size,
        "needed": needed,
        "altered": seen["altered"],
    }
    if state == "possible":
        return {**result, "problems": problems}
    if problems:
        raise ReleaseError("; ".join(problems))
    if not needed or module.check_mode:
        return {**result, "changed": needed}
    source = params["archive"] if params["manifest"] is not None else params["source"]
    if params["manifest"] is not None and source is None and any(e.path not in params["files"] for e in entries):
        # The controller has read the content and asks whether it must send it.
        return result
    releases.stage(release, source, entries, params["files"], params["exclude"])
    return {**result, "changed": True, "needed": False}


def main() -> None:
    run_module(
        {
            "path": {"type": "path", "required": True},
            "release": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "possible", "whole", "absent"], "default": "present"},
            "source": {"type": "path"},
            "remote_source": {"type": "bool", "default": False},
            "files": {"type": "dict", "default": {}},
            "exclude": {"type": "list", "elements": "str", "default": [".git", "__pycache__", "*.pyc"]},
            "digest": {"type": "str"},
            "manifest": {"type": "list", "elements": "list"},
            "archive": {"type": "path"},
        },
        release_dir,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
