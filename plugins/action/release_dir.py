# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a release on the controller, and sends it only to hosts that do not have it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.release_files import pack, scan, with_files


class ActionModule(ActionBase):  # type: ignore[misc]
    """Action of M(golive.cutover.release_dir)."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        args.pop("manifest", None)
        args.pop("archive", None)
        source = args.get("source")
        reads = args.get("state", "present") in ("present", "possible")
        if not source or not reads or self._is_true(args.get("remote_source")):
            return dict(self._execute_module(module_args=args, task_vars=task_vars))

        path = self._loader.path_dwim(os.path.expanduser(str(source)))
        exclude = args.get("exclude") or [".git", "__pycache__", "*.pyc"]
        files = args.get("files") or {}
        args["source"] = path
        try:
            read = scan(path, exclude)
            entries = with_files(read, files)
        except CutoverError as error:
            if args.get("state") != "possible":
                return {"failed": True, "changed": False, "msg": f"{error} (on the controller)"}
            return {
                "changed": False,
                "problems": [f"{error} (on the controller)"],
                "digest": None,
                "path": f"{args.get('path')}/{args.get('release')}",
                "files": 0,
                "size": 0,
                "needed": True,
            }
        args["manifest"] = [[one.path, one.kind, one.executable, one.digest, one.size] for one in entries]
        result = self._without_manifest(self._execute_module(module_args=args, task_vars=task_vars))
        if result.get("failed") or not result.get("needed") or self._task.check_mode or args.get("state") == "possible":
            return result
        handle, packed = tempfile.mkstemp(suffix=".tar.gz")
        os.close(handle)
        try:
            if Path(path).is_dir():
                wanted = [one for one in read if one.path not in files]
                pack(path, wanted, packed)
                sent = packed
            else:
                sent = path
            if self._connection._shell.tmpdir is None:  # with pipelining a module makes none
                self._make_tmp_path()
            remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "release.tar")
            self._transfer_file(sent, remote)
            self._fixup_perms2((self._connection._shell.tmpdir, remote))
            args["archive"] = remote
            return self._without_manifest(self._execute_module(module_args=args, task_vars=task_vars))
        finally:
            os.unlink(packed)
            self._remove_tmp_path(self._connection._shell.tmpdir)

    @staticmethod
    def _without_manifest(result: dict[str, Any]) -> dict[str, Any]:
        """A list of every file belongs into the release, not into every log."""
        invocation = result.get("invocation")
        if isinstance(invocation, dict) and isinstance(invocation.get("module_args"), dict):
            invocation["module_args"].pop("manifest", None)
            invocation["module_args"].pop("files", None)
        return result

    @staticmethod
    def _is_true(value: Any) -> bool:
        if isinstance(value, str):
            if value.lower() not in ("true", "yes", "1", "on", "false", "no", "0", "off"):
                raise AnsibleError(f"remote_source: expected true or false, got {value!r}")
            return value.lower() in ("true", "yes", "1", "on")
        return bool(value)
