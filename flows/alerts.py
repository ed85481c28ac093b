"""What the Prefect server does by itself when a run goes wrong: automations, the same however often they are set up."""

from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import urlsplit

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from anogen_core.errors import InputError

_SILENCE: Final = timedelta(minutes=10)
"""Without a heartbeat (every 3 minutes by default) until a run counts as dead."""
_ENDS: Final = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled")}
_WRONG: Final = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "Late")}
_PAGE: Final = "(flow_run | ui_url or '')"
_FIELDS: Final = {
    "text": f"flow_run.name ~ ' is ' ~ flow_run.state.name ~ '. ' ~ {_PAGE}",
    "run": "flow_run.name",
    "state": "flow_run.state.name",
    "id": "flow_run.id | string",
    "page": _PAGE,
}
_MESSAGE: Final = "{" + ", ".join(f'"{name}": {{{{ ({value}) | tojson }}}}' for name, value in _FIELDS.items()) + "}"
_BLOCK: Final = "anogen-alerts"


def bury_silent_runs(flow: str) -> None:
    """Let the server mark runs of a flow as crashed when their process is gone without a word.

    Otherwise a run that was killed stays `Running`, and the next run of its deployment waits for it.
    """
    _set_up(
        "anogen: a run that fell silent has crashed",
        "The process of the run was killed or its machine is gone; heartbeats have stopped.",
        EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *_ENDS},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_SILENCE,
            **_of_flow(flow),
        ),
        ChangeFlowRunState(
            state=StateType.CRASHED, message="No heartbeat for 10 minutes. Start it again: finished work is kept."
        ),
    )


def tell(flow: str, url: str) -> None:
    """Let the server POST a JSON object to `url` whenever a run of a flow fails, crashes or does not start in time.

    Its fields are `text` (a sentence, as Slack and its like show it), `run`, `state`, `id` and `page`, which is empty
    where the server does not know its own address (PREFECT_UI_URL).

    Raises:
        InputError: `url` is not an http(s) address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"--webhook {url}: expected an address such as https://hooks.example.com/anogen.")
    block = Webhook(url=url, headers={"Content-Type": "application/json"})
    block.save(_BLOCK, overwrite=True)
    _set_up(
        "anogen: tell when a run fails, crashes or is late",
        f"Calls the webhook block {_BLOCK}.",
        EventTrigger(
            expect=_WRONG,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
            **_of_flow(flow),
        ),
        CallWebhook(block_document_id=block._block_document_id, payload=_MESSAGE),  # noqa: SLF001 - Prefect's own way
    )


def _of_flow(flow: str) -> dict[str, Any]:
    related = {"prefect.resource.role": "flow", "prefect.resource.name": flow}
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        "match_related": ResourceSpecification(related),
    }


def _set_up(name: str, description: str, trigger: EventTrigger, action: Any) -> None:
    """Create an automation, or bring the one of this name up to date."""
    automation = Automation(name=name, description=description, trigger=trigger, actions=[action])
    try:
        # Without a running event loop Prefect's method returns the automation itself.
        automation.id = cast("Automation", Automation.read(name=name)).id
    except ValueError:
        automation.create()
    else:
        automation.update()
