# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The parameters of every module on the store (documented in the doc fragment ``store``), and how they open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.units import parse_duration
from ansible_collections.golive.cutover.plugins.module_utils.store.address import password_in
from ansible_collections.golive.cutover.plugins.module_utils.store.fencing import FencedStore
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

STORE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "store": {"type": "str", "required": True},
    "store_password": {"type": "str", "no_log": True},
    "environment": {"type": "str", "required": True},
}

#: Of modules that write while a run holds the lock (doc fragment ``fenced``).
FENCE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "token": {"type": "int", "no_log": False},
    "lease": {"type": "str"},
}


def open_from(params: Mapping[str, Any], hide: Callable[[str], object]) -> Store:
    """The store that a module was given.

    A password in the address is refused, and first handed to ``hide``, so that the refusal itself does not show it.
    """
    password = password_in(params["store"])
    if password:
        hide(password)
    return open_store(params["store"], params["environment"], params["store_password"])


def open_fenced(params: Mapping[str, Any], hide: Callable[[str], object]) -> Store:
    """The store that a module was given; with a ``token``, one that is written only while ``run`` holds the lock with it."""
    lease = 0.0
    if params["lease"] is not None:
        if params["token"] is None:
            raise InputError([Problem("lease", "has no meaning without a token")])
        try:
            lease = parse_duration(params["lease"])
        except ValueError as error:
            raise InputError([Problem("lease", str(error))]) from error
    store = open_from(params, hide)
    return store if params["token"] is None else FencedStore(store, params["token"], params["run"], lease)
