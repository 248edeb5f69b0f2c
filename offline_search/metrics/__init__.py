# SPDX-License-Identifier: Apache-2.0
"""How good a pose is: pose errors, recalls and challenge scores, as pure functions of arrays."""
