# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for people: a self-contained page, an overlay video, a table of poses."""
