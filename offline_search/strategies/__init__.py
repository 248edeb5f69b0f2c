# SPDX-License-Identifier: Apache-2.0
"""How a space is searched: one file a method, all behind `registry.Strategy`."""
