# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files: what is read, refused, rendered and written; and that real readers read what the models say."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils import _env_readers as readers
from ansible_collections.golive.cutover.plugins.module_utils import env_file
from ansible_collections.golive.cutover.plugins.module_utils._files import write_file
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError

AWKWARD = st.text(alphabet="ab1 '\"\\$`#\n{}()=!~*&;|<>%:/\té€", max_size=12)


def values_of(text: str, reader: str = "compose") -> dict[str, str]:
    env = env_file.parse(text)
    assert not env.problems
    values, problems = env_file.read_values(env, reader)
    assert not problems
    return values


def refused(text: str, **rules: object) -> list[str]:
    problems, _warnings = env_file.validate(env_file.parse(text), env_file.read_rules(**rules))  # type: ignore[arg-type]
    return [str(problem) for problem in problems]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_reads_what_env_files_are_made_of() -> None:
    text = (
        "\ufeff# comment\r\n"
        "\r\n"
        "PLAIN=value # why\r\n"
        "export EXPORTED=yes\r\n"
        "HASH=a#b\r\n"
        "SINGLE='it has \"quotes\", $dollar and # hash' # comment\r\n"
        'DOUBLE="line\\nbreak \\"quoted\\" \\$5"\r\n'
        "MANY='first\r\nsecond=2\r\nthird'\r\n"
        "EMPTY=\r\n"
        "COMMENT= # nothing here\r\n"
        "EQUALS=a=b=c\r\n"
        'REF="${PLAIN}/x"\r\n'
        "DEFAULT=${MISSING:-fallback}"
    )
    assert values_of(text) == {
        "PLAIN": "value",
        "EXPORTED": "yes",
        "HASH": "a#b",
        "SINGLE": 'it has "quotes", $dollar and # hash',
        "DOUBLE": 'line\nbreak "quoted" $5',
        "MANY": "first\nsecond=2\nthird",
        "EMPTY": "",
        "COMMENT": "",
        "EQUALS": "a=b=c",
        "REF": "value/x",
        "DEFAULT": "fallback",
    }
    warnings = env_file.parse(text).warnings
    assert any("byte order mark" in warning for warning in warnings)
    assert any("CRLF" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nNAME\n", "line 2: has a name but no ="),
        ("A=1\n:::\n", "line 2: is neither a comment nor an assignment"),
        ("A-B=1\n", "line 1: the name is not made of"),
        ("A='open\nB=2\n", "line 1, A: the quote at the start of the value is never closed"),
        ("A='x'y\n", "line 1, A: has text after the closing quote"),
        ("A=1\nB=2\nA=3\n", "A: is set 2 times, in lines 1, 3"),
        ("A=pa$word\n", "line 1, A: has a $ outside single quotes and refers to a name that is not set above it"),
        ('A="x $ y"\n', "line 1, A: has a $ outside single quotes"),
        ("A=pa$$word\n", "line 1, A: has a $ outside single quotes and compose, shell do not read it alike"),
        ("A=x\0y\n", "line 1: holds a NUL byte"),
    ],
)
def test_each_mistake_is_named_by_line_and_key(text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in refused(text)), refused(text)


def test_what_may_be_the_rest_of_a_secret_is_not_named() -> None:
    text = "KEY=-----BEGIN KEY-----\nMIICANARY+/a b\nCANARYAg==\n-----END KEY-----\n\nNEXT=1\n"
    shown = "\n".join(refused(text))
    assert "CANARY" not in shown
    assert "line 3: follows a line that is no assignment" in shown
    assert "NEXT" in env_file.parse(text).keys


def test_not_utf8_is_refused_by_line() -> None:
    with pytest.raises(InputError, match="line 2: is not UTF-8"):
        env_file.decode(b"A=1\nB=\xff\n")


# --- validating ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "your_telegram_bot_token_here",
        "https://hooks.example.com/x",
        "ops@example.org",
        "example.com",
        "changeme",
        "CHANGE_ME_PLEASE",
        "<token>",
        "TODO",
        "xxxxx",
        "...",
    ],
)
def test_placeholders_are_refused(value: str) -> None:
    assert refused(f"TOKEN='{value}'\n") == ["TOKEN: is still a placeholder"]


@pytest.mark.parametrize("value", ["counterexample.com.au", "here", "your-own-value", "todo-list", "a<b>c", "exchangemeta"])
def test_what_only_looks_like_a_placeholder_is_not_one(value: str) -> None:
    assert refused(f"TOKEN='{value}'\n") == []


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        ("url", ["https://a/b?c", "redis://h:6379/0"], ["a b", "//x", "http://", "http://h:port"]),
        ({"url": ["redis", "rediss"]}, ["redis://h"], ["http://h"]),
        ("integer", ["0", "-4", "007"], ["1.5", "a", "1e3"]),
        ({"integer": {"min": 1, "max": 5}}, ["1", "5"], ["0", "6"]),
        ({"integer": {"min": 1}}, ["1"], ["0"]),
        ("boolean", ["true", "False", "on", "0"], ["ja", "2"]),
        ({"one_of": ["a", 1, True]}, ["a", "1", "true"], ["b"]),
        ({"regex": "[0-9]+:[A-Za-z]+"}, ["1:a"], ["x1:a", "1:a\n"]),
        ("host_list", ["a.b.c", "hooks.slack.com, discord.com:443", "localhost"], ["a,,b", "http://a", "-a", "a b"]),
    ],
)
def test_formats(spec: object, good: list[str], bad: list[str]) -> None:
    check = env_file.read_formats({"K": spec})["K"]
    assert [value for value in good if check(value) is not None] == []
    assert [value for value in bad if check(value) is None] == []


def test_every_mistake_of_the_rules_is_in_one_message() -> None:
    with pytest.raises(InputError) as caught:
        env_file.read_rules(
            formats={"A": "strin", "B": {"regex": "("}, "C": "one_of", "D": {"integer": {"mini": 1}}, "E": 3},
            placeholders=["["],
            readers=["fish"],
        )
    where = [problem.where for problem in caught.value.problems]
    assert where == ["formats.A", "formats.B", "formats.C", "formats.D", "formats.E", "placeholders[0]", "readers"]


def test_validation_names_keys_and_never_values(canary: str) -> None:
    text = "".join(f"{key}='{canary}'\n" for key in ["URL", "N", "B", "O", "R"])
    text += f"H='{canary} x'\nT='<{canary}>'\nD=${canary}\n"
    found = refused(
        text,
        required=["MISSING"],
        formats={
            "URL": "url", "N": "integer", "B": "boolean", "O": {"one_of": ["a"]}, "R": {"regex": "x"}, "H": "host_list",
        },
    )  # fmt: skip
    assert len(found) == 9
    assert canary not in "\n".join(found)


def test_a_required_key_is_set_and_not_blank() -> None:
    assert refused("A=' '\nB=x\n", required=["A", "B", "C"]) == [
        "A: is required and empty",
        "C: is required and not set",
    ]


# --- rendering -------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), AWKWARD, max_size=5))
@settings(max_examples=400, deadline=None)
def test_what_is_rendered_is_read_back_alike_by_all_readers(values: dict[str, str]) -> None:
    try:
        text = env_file.render(values).text
    except InputError as error:
        named = {problem.where for problem in error.problems}
        # compose cannot escape a backtick in double quotes, and a shell has no quote in single quotes.
        assert all("`" in values[key] and ("'" in values[key] or values[key].endswith("\\")) for key in named)
        return
    assert values_of(text, "compose") == values
    assert values_of(text, "shell") == values
    assert not env_file.disagreements(env_file.parse(text), ["compose", "shell"])[0]


@given(AWKWARD)
@settings(max_examples=300, deadline=None)
def test_python_dotenv_reads_what_its_model_says(value: str) -> None:
    dotenv = pytest.importorskip("dotenv")
    for notation in readers.notations(value):
        expected = readers.python_dotenv(notation, lambda _name: None)
        assert dotenv.dotenv_values(stream=io.StringIO(f"KEY={notation}\nNEXT=1\n")) == {"KEY": expected, "NEXT": "1"}


@given(st.lists(AWKWARD, min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_real_shell_reads_what_its_model_says(values: list[str]) -> None:
    lines, expected = [], []
    for index, value in enumerate(values):
        for number, notation in enumerate(readers.notations(value)):
            try:
                expected.append(readers.shell(notation, lambda _name: None))
            except readers.Unreadable:
                continue
            lines.append(f"K{index}_{number}={notation}\nprintf '%s\\0' \"$K{index}_{number}\"\n")
    script = "unset a b ab\n" + "".join(lines)
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
    assert done.stdout.decode().split("\0")[:-1] == expected


@pytest.mark.parametrize(
    "value", ["it's", "$HOME", "a b", "two\nlines", "#x", " x ", "", 'say "hi"', "it's $5", "back\\slash", "\\"]
)
def test_what_secrets_are_made_of_can_be_written(value: str) -> None:
    text = env_file.render({"KEY": value, "LAST": "1"}).text
    for reader in ("compose", "shell"):
        assert values_of(text, reader) == {"KEY": value, "LAST": "1"}


@pytest.mark.parametrize(("value", "why"), [("a\rb", "a carriage return"), ("it's `x`", "a single quote and a backtick")])
def test_what_cannot_be_written_alike_is_refused_by_kind_of_character(value: str, why: str) -> None:
    with pytest.raises(InputError, match=f"KEY: cannot be written so that compose, shell read the same value .it has {why}."):
        env_file.render({"KEY": value})


def test_a_reader_that_was_not_asked_for_and_would_err_is_a_warning() -> None:
    assert env_file.render({"K": "it's $5"}).warnings == [
        "K: python_dotenv would read another value (it has a single quote and a $)"
    ]
    assert env_file.render({"K": "it's $5"}, readers=["compose", "python_dotenv"]).warnings == [
        "K: shell would read another value (it has a single quote and a $)"
    ]


def test_a_base_keeps_order_comments_and_what_is_not_overridden() -> None:
    base = env_file.parse(
        "# the application\r\nexport NAME=Spark TA\r\nTOKEN=your_token_here # get one\n\n"
        "HOST=redis\nURL=redis://${HOST}\nTOKEN=again\nPORT = 1\n"
    )
    text = env_file.render({"TOKEN": "secret", "NEW": "x y"}, base).text
    assert text == (
        "# the application\nexport NAME='Spark TA'\nTOKEN=secret\n\nHOST=redis\nURL=redis://${HOST}\nPORT=1\nNEW='x y'\n"
    )
    assert env_file.render({"TOKEN": "secret", "NEW": "x y"}, env_file.parse(text)).text == text


def test_a_mistake_of_the_base_is_refused_unless_it_is_overridden() -> None:
    base = env_file.parse("A=pa$word\nB=1\nB=2\n")
    with pytest.raises(InputError) as caught:
        env_file.render({}, base)
    assert [problem.where for problem in caught.value.problems] == ["line 1, A", "B"]
    assert env_file.render({"A": "pa$word", "B": "3"}, base).text == "A='pa$word'\nB=3\n"


def test_given_values_are_texts_numbers_and_flags() -> None:
    assert env_file.read_given({"A": True, "B": 1, "C": 1.5, "D": "x"}) == {"A": "true", "B": "1", "C": "1.5", "D": "x"}
    with pytest.raises(InputError) as caught:
        env_file.read_given({"A": None, "B": {"x": "CANARY"}, "C-D": "CANARY", "E": ["CANARY"]})
    assert [problem.where for problem in caught.value.problems] == ["A", "B", "C-D", "E"]
    assert "CANARY" not in str(caught.value)


def test_changes_are_names() -> None:
    changes = env_file.changes({"A": "1", "B": "2", "C": "3"}, {"B": "2", "C": "4", "D": "5"})
    assert changes == (["D"], ["C"], ["A"])
    assert changes.keys == ["A", "C", "D"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole_and_only_its_owner_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD=1\n")
    path.chmod(0o644)
    seen: list[tuple[int, str]] = []
    rename = os.rename

    def watched(source: str, target: str) -> None:
        seen.append((Path(source).stat().st_mode & 0o777, path.read_text()))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    write_file(str(path), b"NEW=1\n", 0o600)
    assert seen == [(0o600, "OLD=1\n")]
    assert path.read_text() == "NEW=1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [".env"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD=1\n")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CutoverError, match="No space left on device; what was there is as it was"):
        write_file(str(path), b"NEW=1\n", 0o600)
    assert path.read_text() == "OLD=1\n"
    assert os.listdir(tmp_path) == [".env"]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "env").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("real/env")
    write_file(str(tmp_path / ".env"), b"A=2\n", 0o600)
    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "real" / "env").read_text() == "A=2\n"


@pytest.mark.parametrize("mode", ["0644", "0660", "0700", "rw", "8", "0604"])
def test_a_mode_that_does_not_keep_a_secret_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=r"0600"):
        env_file.read_mode(mode)
