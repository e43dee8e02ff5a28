# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference application, whose leader dies and whose lock stays."""

from tests.integration.demo.conftest import spark

__all__ = ["spark"]
