# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The parameters of every module on the store (documented in the doc fragment ``store``), and how they open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.store.address import password_in
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

STORE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "store": {"type": "str", "required": True},
    "store_password": {"type": "str", "no_log": True},
    "environment": {"type": "str", "required": True},
}


def open_from(params: Mapping[str, Any], hide: Callable[[str], object]) -> Store:
    """The store that a module was given.

    A password in the address is refused, and first handed to ``hide``, so that the refusal itself does not show it.
    """
    password = password_in(params["store"])
    if password:
        hide(password)
    return open_store(params["store"], params["environment"], params["store_password"])
