# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for the tests of whole playbooks. See stage.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage, port_block, quick


@contextlib.contextmanager
def _stages(collections: Path, directories: pytest.TempPathFactory) -> Iterator[Callable[[], Stage]]:
    with contextlib.ExitStack() as stack:

        def make() -> Stage:
            base = stack.enter_context(port_block())
            stage = Stage(directories.mktemp("e"), base, collections)
            stack.callback(stage.close)
            return stage

        yield make


@pytest.fixture
def new_stage(
    collection_path: Path, tmp_path_factory: pytest.TempPathFactory, nginx_bin: str, redis_server_bin: str
) -> Iterator[Callable[[], Stage]]:
    """Return a function that makes a machine on which nothing runs; it is ended with the test."""
    with _stages(collection_path, tmp_path_factory) as make:
        yield make


@pytest.fixture
def stage(new_stage: Callable[[], Stage]) -> Stage:
    """Return a machine with its nginx and its Redis, before any cutover."""
    made = new_stage()
    made.machine.start()
    return made


@pytest.fixture(scope="module")
def module_stage(
    collection_path: Path, tmp_path_factory: pytest.TempPathFactory, nginx_bin: str, redis_server_bin: str
) -> Iterator[Callable[[], Stage]]:
    """As new_stage, for all tests of a module."""
    with _stages(collection_path, tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def accepted(module_stage: Callable[[], Stage]) -> Stage:
    """Return a machine on which 1.0.0 was accepted."""
    made = module_stage()
    made.machine.start()
    made.go("1.0.0", **quick("redis", "proxy"))
    return made


@pytest.fixture
def live(accepted: Stage) -> Iterator[Stage]:
    """Return a machine on which 1.0.0 was accepted, shared by the tests of a module: each leaves it on 1.0.0."""
    variables = dict(accepted.variables)
    yield accepted
    accepted.variables = variables
