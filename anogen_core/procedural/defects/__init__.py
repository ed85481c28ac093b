"""The training defects, each a function of (generator, surface, spot) that returns a flawed surface.

The demo's defects are not among them: see `anogen_core.procedural.demo`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from anogen_core.procedural.defects import lines, losses, patches
from anogen_core.procedural.defects.flaw import Flawed
from anogen_core.procedural.defects.outlines import Spot
from anogen_core.procedural.surfaces.surface import Surface

FLAWS: Mapping[str, Callable[[np.random.Generator, Surface, Spot], Flawed]] = {
    "scratch": lines.scratch,
    "crack": lines.crack,
    "hole": losses.hole,
    "dent": losses.dent,
    "stain": patches.stain,
    "cut": lines.cut,
    "contamination": patches.contamination,
    "discoloration": patches.discoloration,
    "missing part": losses.missing_part,
    "print fault": patches.print_fault,
    "thread": lines.thread,
    "fold": lines.fold,
    "chip": losses.chip,
    "corrosion": patches.corrosion,
}
"""Defect word to the recipe that makes it."""
