# SPDX-License-Identifier: Apache-2.0
"""Objects, rendering, and the datasets made of them: synthetic (rendered), BOP and SPEED.

Knows no network: samples are NumPy arrays with exact labels, and sample i is a pure
function of the configuration, the seed and i.
"""
