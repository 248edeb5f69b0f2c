# SPDX-License-Identifier: Apache-2.0
"""Makes `drawn_search`, and the world that it draws, importable by tests and their processes."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "training"), str(HERE.parent)]
