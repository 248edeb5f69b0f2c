# SPDX-License-Identifier: Apache-2.0
"""Losses, the training loop, checkpoints and validation."""
