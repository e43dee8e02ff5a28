# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge of the private Docker engine has an address that nobody else on the machine has."""

from __future__ import annotations

import docker_engine
import pytest


def test_the_first_address_of_a_clone_that_is_free_is_taken() -> None:
    first, second = docker_engine.ADDRESSES[:2]
    assert docker_engine.free_address(["127.0.0.1"]) == first
    assert docker_engine.free_address([first, "127.0.0.1"]) == second
    assert len(set(docker_engine.ADDRESSES)) == 127


def test_a_machine_without_a_free_one_is_told_so() -> None:
    with pytest.raises(docker_engine.EngineError, match="taken"):
        docker_engine.free_address(docker_engine.ADDRESSES)


def test_the_addresses_of_this_machine_are_known() -> None:
    assert "127.0.0.1" in docker_engine.known_addresses()
