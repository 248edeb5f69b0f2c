# SPDX-License-Identifier: Apache-2.0
"""The one array type of the geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
