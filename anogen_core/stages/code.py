"""Which code is at work: all processes that work on a run must make the same of the same input."""

import os
import socket
from collections.abc import Mapping

from anogen_core.baselines.cut_paste import CUT_PASTE_VERSION
from anogen_core.diffusion.inversion import INVERSION_VERSION
from anogen_core.errors import InputError
from anogen_core.masks.box_outline import OUTLINE_VERSION
from anogen_core.resizing import MIXED_VERSION
from anogen_core.stages.detection import DETECTOR_VERSION
from anogen_core.stages.recipe import code_versions


def versions_at_work() -> dict[str, int]:
    """Return the versions of all code in this process that may decide what a worker makes."""
    return {
        **code_versions(),
        "inversion": INVERSION_VERSION,
        "outlines": OUTLINE_VERSION,
        "resizing": MIXED_VERSION,
        "cut and paste": CUT_PASTE_VERSION,
        "detector": DETECTOR_VERSION,
    }


def require_versions(planned: Mapping[str, int]) -> None:
    """Refuse to work on a run that was planned by other code.

    Raises:
        InputError: a version of this process is not the planned one; names this machine, the process and both versions.
    """
    here = versions_at_work()
    differing = [
        f"{name} {here.get(name, 'unknown')} instead of {planned.get(name, 'unknown')}"
        for name in {**planned, **here}
        if here.get(name) != planned.get(name)
    ]
    if differing:
        raise InputError(
            f"worker on {socket.gethostname()}, process {os.getpid()}: it runs other code than the run was planned with"
            f" ({', '.join(differing)}). Stop that worker or install the run's version of AnoGen there, and run again."
        )
