# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The sampler as one file: a zip that Python runs, with the very code that this process was made of.

On a host Ansible has unpacked what a module imports, and nothing else of the collection is there. So the program takes the sources
from the import system: from an archive as well as from a directory.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from typing import Optional

PACKAGE = "ansible_collections.golive.cutover.plugins.module_utils"
PROGRAM = f"{PACKAGE}.hypercare.program"
_MAIN = f"""# The sampler of golive.cutover. Written by the module golive.cutover.sampler.
import sys

from {PROGRAM} import main

if __name__ == "__main__":
    sys.exit(main())
"""
_WHEN = (1980, 1, 1, 0, 0, 0)
"""The same code gives the same file, whenever it is written."""


def _source(name: str) -> Optional[str]:
    """The source of a module of ours; None when there is no such module, or it is a package."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.loader is None or spec.submodule_search_locations is not None:
        return None
    source: Optional[str] = spec.loader.get_source(name)  # type: ignore[attr-defined]
    return source


def _imported(source: str) -> Iterator[str]:
    """What may be modules of ours among the names that a source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and node.module.startswith(PACKAGE):
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith(PACKAGE))


def sources(start: str = PROGRAM) -> dict[str, str]:
    """Every module that one needs, with its source, by name."""
    found: dict[str, str] = {}
    asked: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in asked:
            continue
        asked.add(name)
        source = _source(name)
        if source is not None:
            found[name] = source
            waiting += _imported(source)
    if start not in found:
        raise ImportError(f"{start} is not here")
    return found


def build() -> bytes:
    """The program as the bytes of one file."""
    files = {"__main__.py": _MAIN}
    for name, source in sources().items():
        path = name.replace(".", "/")
        files[f"{path}.py"] = source
        parents = path.split("/")[:-1]
        files.update({"/".join([*parents[: depth + 1], "__init__.py"]): "" for depth in range(len(parents))})
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for place in sorted(files):
            entry = zipfile.ZipInfo(place, _WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[place])
    return target.getvalue()
