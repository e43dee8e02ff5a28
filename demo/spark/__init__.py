# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Spark TA: a small, honest trading platform that the demo, the tests and the benchmarks cut over."""
