# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that drifts from what it documents is found."""

from __future__ import annotations

from typing import Any

import docs

OPTIONS: dict[str, dict[str, Any]] = {
    "web_port": {"type": "int", "default": 80, "description": ["The port.", "A | in text."]},
    "web_names": {"type": "list", "elements": "str", "required": True, "description": "Names."},
    "web_tls": {"type": "bool", "default": False, "description": "TLS."},
}


def test_the_table_has_required_variables_first_and_escapes_what_would_break_it() -> None:
    lines = docs.table(OPTIONS).splitlines()
    assert lines[2] == "| `web_names` | list of str | **required** | Names. |"
    assert lines[3] == "| `web_port` | int | `80` | The port. A \\| in text. |"
    assert lines[4] == "| `web_tls` | bool | `false` | TLS. |"


def test_only_what_is_between_the_markers_is_written() -> None:
    text = "# web\n<!-- variables -->\nold\n<!-- /variables -->\nend\n"
    once = docs.rendered(text, OPTIONS)
    assert once.startswith("# web\n") and once.endswith("end\n") and "old" not in once
    assert docs.rendered(once, OPTIONS) == once
    assert docs.rendered("no markers", OPTIONS) == "no markers"


def test_drift_is_named_in_both_directions() -> None:
    readme = "| `web_port` | int |\n| `web_gone` | int |\nand `web_tls` in prose\n"
    assert list(docs.role_problems("web", readme, OPTIONS)) == [
        "roles/web/README.md does not name the variable web_names",
        "roles/web/README.md names web_gone, which meta/argument_specs.yml does not know",
    ]


def test_markup_of_ansible_becomes_markdown() -> None:
    assert docs.markdown("V(up) or O(state=up); O(ignore:there), see P(a.b.c#role) and RV(a.b.c#module:verdicts[].id)") == (
        "`up` or `state=up`; `there`, see `a.b.c` and `verdicts[].id` of `a.b.c`"
    )
    assert docs.markdown("a (b), TV(c)") == "a (b), TV(c)"
