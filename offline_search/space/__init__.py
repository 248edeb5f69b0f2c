# SPDX-License-Identifier: Apache-2.0
"""What can be built: architectures, their operators, their cost and their torch networks."""

from __future__ import annotations

# Register fabrics and cells: any architecture and any space can be read, built and priced.
import offline_search.space.fabric_network
import offline_search.space.fabric_space
import offline_search.space.temporal_space  # noqa: F401
from offline_search.space.architecture import Architecture, ArchitectureError, Head, Stage
from offline_search.space.cost import Cost, cost

__all__ = ["Architecture", "ArchitectureError", "Cost", "Head", "Stage", "cost"]
