#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finds a pose network within a budget, trains it from scratch, reports: `fpg-pose search`."""

import sys

from offline_search.cli import app

if __name__ == "__main__":
    app(["search", *sys.argv[1:]])
