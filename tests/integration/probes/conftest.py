# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference application, for probes that look at a whole system."""

from tests.integration.demo.conftest import spark

__all__ = ["spark"]
