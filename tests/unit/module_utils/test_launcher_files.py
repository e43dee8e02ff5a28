# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied beside the services is whole: it runs without the collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.golive.cutover.plugins.module_utils.supervisor import launcher_files


def test_the_launcher_imports_nothing_that_is_not_copied_with_it(tmp_path: Path) -> None:
    for name, content in launcher_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import launch, ansible_collections as a; print(a.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "ansible_collections/__init__.py")
