# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of the tests of the role deploy, and the role rollback on them."""

from tests.integration.deploy.conftest import short_tmp, world

__all__ = ["short_tmp", "world"]
