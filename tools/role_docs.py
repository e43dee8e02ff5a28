# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variable tables in the READMEs of roles, made from `meta/argument_specs.yml`.

    tools/role_docs.py            # write the tables
    tools/role_docs.py --check    # fail when a table is not what it should be

A table stands between two comment lines. A README without them is left alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- variables: made from meta/argument_specs.yml -->", "<!-- end of variables -->"


def plain(text: Any) -> str:
    """Documentation markup as Markdown: V(x), C(x) and O(x) become code."""
    lines = text if isinstance(text, list) else [text]
    joined = " ".join(str(line) for line in lines)
    joined = re.sub(r"\b[VCO]\((?:\w+--)?(.+?)\)(?!\))", r"`\1`", joined)
    return joined.replace("|", "\\|").strip()


def default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None:
        return ""
    shown = str(value).lower() if isinstance(value, bool) else str(value).strip()
    return f"`{shown}`".replace("|", "\\|") if shown else '`""`'


def table(specs: dict[str, Any]) -> str:
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for entry in specs["argument_specs"].values():
        for name, option in (entry.get("options") or {}).items():
            kind = option.get("type", "str")
            kind += f" of {option['elements']}" if option.get("elements") else ""
            kind += ", no_log" if option.get("no_log") else ""
            meaning = plain(option["description"])
            if option.get("choices"):
                meaning += f" One of {', '.join(f'`{one}`' for one in option['choices'])}."
            rows.append(f"| `{name}` | {kind} | {default(option)} | {meaning} |")
    return "\n".join(rows)


def main() -> int:
    stale = []
    for specs in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        readme = specs.parents[1] / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        if BEGIN not in text:
            continue
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        made = f"{before}{BEGIN}\n{table(yaml.safe_load(specs.read_text(encoding='utf-8')))}\n{END}{after}"
        if made != text:
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(made, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"not what meta/argument_specs.yml says: {', '.join(stale)}; run tools/role_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
