"""The training materials, each a function of (generator, frame shape) that returns a Surface.

The demo's materials are not among them: see `anogen_core.procedural.demo`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from anogen_core.procedural.fields import Shape
from anogen_core.procedural.surfaces import grown, metal, mineral, moulded, printed, woven
from anogen_core.procedural.surfaces.surface import Surface

SURFACES: Mapping[str, tuple[Callable[[np.random.Generator, Shape], Surface], ...]] = {
    "brushed metal": (metal.brushed_metal,),
    "ribbed metal": (metal.ribbed_metal,),
    "cast metal": (metal.cast_metal,),
    "painted metal": (metal.painted_metal,),
    "rolled metal": (metal.hot_rolled_metal,),
    "wood": (grown.wood,),
    "fabric": (woven.fabric, woven.knit),
    "carpet": (woven.carpet,),
    "grid": (woven.grid,),
    "tile": (mineral.tile,),
    "ceramic": (mineral.ceramic,),
    "stone": (mineral.stone,),
    "concrete": (mineral.concrete,),
    "glass": (mineral.glass,),
    "plastic": (moulded.plastic,),
    "rubber": (moulded.rubber,),
    "foam": (moulded.foam,),
    "paper": (moulded.paper, moulded.cardboard),
    "film": (moulded.film,),
    "printed circuit": (printed.printed_circuit,),
    "printed label": (printed.printed_label,),
    "granular food": (grown.granular_food,),
    "baked food": (grown.baked_food,),
    "pill": (grown.pressed_powder,),
}
"""Material word to the recipes that draw it."""
