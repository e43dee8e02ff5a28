#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the documentation of roles and modules in step with what they accept.

    tools/docs.py            # writes the variable tables, then reports what only a person can put right
    tools/docs.py --check    # writes nothing

The README of a role may hold a pair of markers, ``<!-- variables -->`` and ``<!-- /variables -->``: the table between
them is written from ``meta/argument_specs.yml``. A table that was written by hand has to name every variable of the
specification, and no other one of that role. A module has to document itself, with examples and return values.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MARKERS = re.compile(r"(<!-- variables -->\n).*?(<!-- /variables -->)", re.DOTALL)


def options_of(specification: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points of an argument specification, by name."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (specification.get("argument_specs") or {}).values():
        found.update(entry.get("options") or {})
    return found


def table(options: dict[str, dict[str, Any]]) -> str:
    """Return the variables as a Markdown table: required ones first, then by name."""
    lines = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name in sorted(options, key=lambda n: (not options[n].get("required", False), n)):
        option = options[name]
        kind = str(option.get("type", "str"))
        if option.get("elements"):
            kind += f" of {option['elements']}"
        if option.get("no_log"):
            kind += ", no_log"
        default = "**required**" if option.get("required") else _value(option.get("default"))
        meaning = option.get("description", "")
        text = " ".join(meaning) if isinstance(meaning, list) else str(meaning)
        if option.get("choices"):
            text += f" One of {', '.join(_value(choice) for choice in option['choices'])}."
        lines.append(f"| `{name}` | {kind} | {default} | {_cell(markdown(text))} |")
    return "\n".join(lines) + "\n"


def markdown(text: str) -> str:
    """Return *text* with the markup of Ansible's documentation as Markdown.

    >>> markdown("As O(golive.cutover.env_file#module:formats), or V(none) of M(golive.cutover.lock)")
    'As `formats` of `golive.cutover.env_file`, or `none` of `golive.cutover.lock`'
    """
    text = re.sub(r"\b(?:O|RV)\(([\w.]+)#\w+:(?:\w+:)?([^)]*)\)", r"`\2` of `\1`", text)
    text = re.sub(r"\bP\(([\w.]+)#\w+\)", r"`\1`", text)
    return re.sub(r"\b(?:O|RV|V|C|E|M)\((?:ignore:)?((?:[^()\\]|\\.)*)\)", lambda found: f"`{found[1]}`", text)


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def rendered(readme: str, options: dict[str, dict[str, Any]]) -> str:
    """Return *readme* with the table between its markers made anew, or as it is when it has none."""
    return MARKERS.sub(lambda found: f"{found[1]}\n{table(options)}\n{found[2]}", readme)


def role_problems(role: str, readme: str, options: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what the README of *role* leaves out, and what it names that does not exist."""
    named = set(re.findall(r"`([a-z][a-z0-9_]*)`", readme))
    first_column = {
        name
        for cell in re.findall(r"^\| ([^|]*) \|", readme, re.MULTILINE)
        for name in re.findall(rf"`({role}_[a-z0-9_]+)`", cell)
    }
    for name in sorted(set(options) - named):
        yield f"roles/{role}/README.md does not name the variable {name}"
    for name in sorted(first_column - set(options)):
        yield f"roles/{role}/README.md names {name}, which meta/argument_specs.yml does not know"


def module_problems(path: Path) -> Iterator[str]:
    """Yield what the documentation of a module lacks."""
    assigned: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                assigned[node.targets[0].id] = value.value
    for name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        if not assigned.get(name, "").strip():
            yield f"{path.relative_to(ROOT)} has no {name}"
        elif not isinstance(yaml.safe_load(assigned[name]), (dict, list)):
            yield f"{path.relative_to(ROOT)}: {name} is empty"


def run(write: bool) -> list[str]:
    """Go through all roles and modules; return the problems."""
    problems: list[str] = []
    for role in sorted(path.parent for path in (ROOT / "roles").glob("*/meta")):
        specification, readme = role / "meta/argument_specs.yml", role / "README.md"
        missing = [path for path in (specification, readme) if not path.exists()]
        problems += [f"{path.relative_to(ROOT)} is missing" for path in missing]
        if missing:
            continue
        options = options_of(yaml.safe_load(specification.read_text(encoding="utf-8")) or {})
        text = readme.read_text(encoding="utf-8")
        wanted = rendered(text, options)
        if wanted != text:
            if write:
                readme.write_text(wanted, encoding="utf-8")
                print(f"wrote {readme.relative_to(ROOT)}")
            else:
                problems.append(f"{readme.relative_to(ROOT)}: the table is not that of argument_specs.yml: run make docs")
        problems += role_problems(role.name, wanted, options)
    for module in sorted((ROOT / "plugins/modules").glob("*.py")):
        problems += module_problems(module)
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep documentation in step with what it documents.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    problems = run(write=not options.check)
    for problem in problems:
        print(f"docs: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
