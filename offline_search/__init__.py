# SPDX-License-Identifier: Apache-2.0
"""Makes model bundles: data, networks, training, metrics, reports. None of it runs on the robot."""
