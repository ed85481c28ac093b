"""`anogen prune`: what of an output no result needs any more."""

import sys
from itertools import groupby

from flows.cli.arguments import output_of


def prune(source: str, *, keep_last: int, yes: bool, as_json: bool) -> None:
    """Print what may go by kind, with its size, and delete it when told to.

    Raises:
        InputError: no run has finished there.
        AnogenError: it is to be deleted while a run goes on.
    """
    from anogen_core.stages.pruning import find_removable  # noqa: PLC0415
    from anogen_core.stages.pruning import prune as delete  # noqa: PLC0415

    found = find_removable(output_of(source), keep_last=keep_last)
    size, lines = sum(one.bytes for one in found.removable), []
    for kind, group in groupby(found.removable, key=lambda one: one.kind):
        own = list(group)
        lines.append(f"{kind}: {len(own)}, {sum(one.bytes for one in own) / 1e6:.1f} MB")
        lines += [f"  {one.describe()}" for one in own]
    if not as_json:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stderr.write("".join(f"stays: {one.name}  {one.bytes / 1e6:.1f} MB  {one.why}\n" for one in found.spared))
    if yes:
        delete(found)
    if as_json:
        sys.stdout.write(found.model_copy(update={"deleted": yes}).model_dump_json(indent=1) + "\n")
    which = f"{size / 1e6:.1f} of {found.bytes / 1e6:.1f} MB"
    if not found.removable:
        said = f"{found.output}: nothing of its {found.bytes / 1e6:.1f} MB is left over."
    elif yes:
        said = f"{which} were deleted."
    else:
        said = f"{which} would go; nothing was deleted. `--yes` deletes it."
    running = [] if yes else [f"A run goes on there, so nothing can be deleted now: {run}." for run in found.running]
    sys.stderr.write("".join(f"{line}\n" for line in [said, *running]))
