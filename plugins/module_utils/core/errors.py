# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The errors of the collection: each says what was being done, to what, and what came back.

Core code raises them; `ansible_glue.run_module` turns them into a failed task, in one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class CutoverError(Exception):
    """Anything that this collection reports as an error of its own."""


class Problem(NamedTuple):
    """One mistake in an input: where it stands and what was expected there."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InputError(CutoverError):
    """An input was refused. Carries every mistake that was found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} mistakes in the input, nothing was done:\n{lines}"


class ProbeError(CutoverError):
    """A probe could not look. The check becomes inconclusive with this text as its reason."""


class LibraryMissing(ProbeError):
    """A Python library that a probe or a store needs is not installed for this interpreter."""

    def __init__(self, library: str) -> None:
        self.library = library
        super().__init__(
            f"the Python library {library} is not installed for this interpreter; "
            f"the role golive.cutover.toolbox puts it into a private virtual environment"
        )


class CannotCompare(CutoverError):
    """An observed value cannot be compared with a condition: other type, NaN, infinite."""
