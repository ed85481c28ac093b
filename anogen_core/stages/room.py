"""Whether there is room for what a run asks for: told before anything is learned, as blocked requests make no image."""

from collections.abc import Iterator, Mapping, Sequence

from anogen_core.config import RunConfig
from anogen_core.data.problems import Problem, error, warning
from anogen_core.errors import AnogenError
from anogen_core.records import GenerationRequest, Record
from anogen_core.report.tables import kind_of
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.generation import plan_category, product_of

_TRIED = 20
"""Requests of each defect that are planned to see whether there is room."""


class Room(Record):
    """How many requests of a defect have a place."""

    planned: int
    blocked: int
    reasons: dict[str, int]
    """Why requests are blocked, with counts, the most frequent first; those that differ in numbers alone are counted
    together under the first of them."""


def room_of(requests: Sequence[GenerationRequest]) -> Room:
    """Return how many requests have a place, and why others have none."""
    groups: dict[str, list[str]] = {}
    for request in requests:
        if request.blocked is not None:
            groups.setdefault(kind_of(request.blocked), []).append(request.blocked)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return Room(
        planned=len(requests), blocked=sum(map(len, ordered)), reasons={group[0]: len(group) for group in ordered}
    )


def room_problems(rooms: Mapping[str, Room]) -> list[Problem]:
    """Return a warning for each defect of which more than half is blocked; errors when nothing at all has a place.

    Args:
        rooms: By `<category>/<defect>`.
    """
    nothing = all(room.blocked == room.planned for room in rooms.values())
    say = error if nothing else warning
    found = []
    for name, room in rooms.items():
        if 2 * room.blocked <= room.planned:
            continue
        reason, count = next(iter(room.reasons.items()))
        whole = room.blocked == room.planned
        what = (
            f"all of {room.planned} requests are blocked, so no image of it would be made"
            if whole
            else f"{room.blocked} of {room.planned} requests are blocked"
        )
        often = "" if count == room.blocked else f" ({count} of them)"
        found.append(
            say(
                name,
                f"{what}{often}: {reason}.",
                fix="`anogen check RUN.yaml --picture plan.png` shows where defects may lie.",
            )
        )
    return found


def require_room(config: RunConfig) -> list[Problem]:
    """Return what `room_problems` tells of the first requests of each defect, and of all where none of these fits.

    Raises:
        AnogenError: nothing at all has a place, so a run would make no image.
    """
    rooms: dict[str, Room] = {}
    for category in read_catalogue(config):
        rooms |= _rooms(config, category)
    problems = room_problems(rooms)
    if any(problem.severity == "error" for problem in problems):
        raise AnogenError("no image would be made:\n" + "\n".join(map(str, problems)))
    return problems


def _rooms(config: RunConfig, category: Category) -> dict[str, Room]:
    product = product_of(config, category)
    asked = config.generation.images_per_defect
    for count in (min(_TRIED, asked), asked):
        changed = {"images_per_defect": count}
        tried = config.model_copy(update={"generation": config.generation.model_copy(update=changed)})
        rooms = dict(_by_defect(category, plan_category(tried, category, product)))
        if count == asked or all(room.blocked < room.planned for room in rooms.values()):
            break
    return rooms


def _by_defect(category: Category, requests: Sequence[GenerationRequest]) -> Iterator[tuple[str, Room]]:
    for support in category.supports:
        own = [request for request in requests if request.defect == support.defect]
        yield f"{category.name}/{support.defect}", room_of(own)
