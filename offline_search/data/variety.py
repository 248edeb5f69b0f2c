# SPDX-License-Identifier: Apache-2.0
"""How much training pictures vary: every range that is drawn from, in one place.

A pair is (low, high) of an even draw; what is drawn on a log scale, or scaled by a sample's
difficulty (0 = clean to 1 = cluttered), says so. Light is linear: 1 is what a white surface sends
back under a light of strength 1. Geometry (views, crops) is elsewhere: it comes from object files.
"""

from __future__ import annotations

from typing import Final

Range = tuple[float, float]

# --- materials, one a render -------------------------------------------------------------------
#: Factor on a mesh's colours, log. Scanned colours hold the light that they were scanned in.
COLOR_GAIN: Final[Range] = (0.62, 1.35)
#: Exponent on a mesh's colours in linear light, log: how far apart dark and bright are.
COLOR_CONTRAST: Final[Range] = (0.75, 1.3)
#: Each channel is off by this share, and far off at times.
COLOR_CAST: Final = 0.08
FAR_CAST: Final = 0.25
FAR_CAST_CHANCE: Final = 0.2
#: Colours of meshes that have none are guessed: brightness of the main channel, log, and how far
#: the others are from it (vivid at times).
GUESSED_ALBEDO: Final[Range] = (0.04, 0.85)
GUESSED_CAST: Final = 0.15
GUESSED_VIVID: Final = 0.75
GUESSED_VIVID_CHANCE: Final = 0.4
#: Of all materials so many are matt, so many of metal; the others are plastic, paint or lacquer.
MATT_CHANCE: Final = 0.3
METAL_CHANCE: Final = 0.1
#: Share of light that a surface mirrors when it is looked at straight.
SPECULAR: Final[Range] = (0.02, 0.09)
#: Exponent of the highlight is 2 ** this; whole numbers, ends included.
SHARPNESS: Final[tuple[int, int]] = (2, 8)
METALLIC: Final[Range] = (0.4, 0.95)

# --- light, one set a render -------------------------------------------------------------------
#: What falls on a surface that faces up, lamps and all, log: cameras expose by themselves.
EXPOSED: Final[Range] = (0.55, 1.3)
#: Of it, light from all around, log, to be weighed against the lamps'.
SURROUND: Final[Range] = (0.2, 0.8)
#: Brightness of floor and walls by that of the ceiling.
FLOOR: Final[Range] = (0.08, 0.9)
WALL: Final[Range] = (0.3, 1.0)
#: Windows and panels of light: how many, half their width (rad), brightness by the ceiling's.
PANELS: Final[tuple[int, int]] = (0, 4)
PANEL_SIZE: Final[Range] = (0.1, 0.6)
PANEL_LIGHT: Final[Range] = (3.0, 14.0)
#: Lamps that cast shadows: chances of none, one, two; strength, log; half their angle, rad, log.
LAMPS: Final = (0.15, 0.55, 0.3)
LAMP: Final[Range] = (0.25, 1.1)
LAMP_RADIUS: Final[Range] = (0.03, 0.3)
#: Height of lamps over the horizon, degrees.
LAMP_ELEVATION_DEG: Final[Range] = (15.0, 85.0)
#: How far light is from white, red against blue and green against both.
WARMTH: Final = 0.16
GREENNESS: Final = 0.05

# --- what stands around ------------------------------------------------------------------------
#: Chance that an object stands on a table (which then shows its shadow).
TABLE_CHANCE: Final = 0.7
#: Height of the camera over that table, degrees, where the object's file limits no views.
TABLE_ELEVATION_DEG: Final[Range] = (8.0, 80.0)
#: Half the side of the table's texture, diameters of the object, log.
TABLE_SIZE: Final[Range] = (0.8, 5.0)
#: Chance that the table itself is shown, by difficulty 0 and 1; else the shadow lies on anything.
TABLE_SHOWN: Final[Range] = (0.5, 0.7)
#: Of the things around so many stand upright, the others lie anyhow.
STANDING_CHANCE: Final = 0.6
#: Of made-up things so many are vessels (turned on a lathe), the others solids.
VESSEL_CHANCE: Final = 0.4
#: Where a dataset brings other objects, so many of the things around are those.
OTHERS_CHANCE: Final = 0.6
#: How many things stand behind the object or beside it, on average at difficulty 1.
BEHIND: Final = 2.0
#: Chance that something stands before the object, at difficulty 1.
OCCLUDED_CHANCE: Final = 0.65
#: Objects less visible than this are not asked for.
MIN_VISIBLE: Final = 0.35

# --- the camera, one a sample; chances and reaches grow with the difficulty -----------------------
#: Chances at difficulty 0 and 1.
BLUR_CHANCE: Final[Range] = (0.15, 0.6)
NOISE_CHANCE: Final[Range] = (0.3, 0.8)
JPEG_CHANCE: Final[Range] = (0.0, 0.5)
FRINGE_CHANCE: Final[Range] = (0.0, 0.3)
MOSAIC_CHANCE: Final[Range] = (0.0, 0.25)
SHARPENED_CHANCE: Final[Range] = (0.05, 0.35)
GREYED_CHANCE: Final = 0.4
#: Of blurred pictures so many are out of focus, the others moved.
DEFOCUS_SHARE: Final = 0.6
#: Sigma of the defocus, px of the camera: low end, high end at difficulty 0 and 1.
DEFOCUS: Final = (0.3, 0.7, 1.6)
#: Way of a moving picture, px: low end, high end at difficulty 0 and 1.
MOTION: Final = (1.5, 3.0, 7.0)
#: Red and blue are off against green by up to this, px.
FRINGE: Final = 0.7
#: Noise of a mid-grey, grey levels: low end, high end at difficulty 0 and 1.
NOISE: Final = (1.0, 4.0, 12.0)
#: How much stronger noise is in the dark than in the bright, 1 = even.
DARK_NOISE: Final[Range] = (1.0, 2.0)
#: What is sharpened is moved away from its blurred self by this share of the difference.
SHARPENING: Final[Range] = (0.2, 1.0)
JPEG_QUALITY: Final[Range] = (40.0, 95.0)
#: Logs of gamma, exposure and each channel's balance; lift in grey levels; S-curve of the tones.
#: All five reach `COLOR_SPREAD` of this, by difficulty 0 and 1.
GAMMA: Final[Range] = (-0.35, 0.35)
EXPOSURE: Final[Range] = (-0.4, 0.2)
BALANCE: Final[Range] = (-0.1, 0.1)
LIFT: Final[Range] = (-18.0, 22.0)
TONE: Final[Range] = (-0.2, 0.5)
COLOR_SPREAD: Final[Range] = (0.35, 1.0)


def between(limits: Range, share: float) -> float:
    """Returns the value at a share, 0 to 1, of the way through a range."""
    return limits[0] + (limits[1] - limits[0]) * share
