# SPDX-License-Identifier: Apache-2.0
"""Strategies judged on a space of which every network was trained beforehand."""
