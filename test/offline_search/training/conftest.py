# SPDX-License-Identifier: Apache-2.0
"""Makes `drawn_world` importable by the tests beside it; their child processes import it too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
