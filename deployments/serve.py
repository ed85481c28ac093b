"""Serve the fleet flow of one run file on this machine, on a schedule or on demand from the flow page.

Example: PREFECT_API_URL=http://127.0.0.1:4200/api python -m deployments.serve RUN.yaml --cron "0 3 * * *"
"""

from pathlib import Path
from typing import Annotated

import typer

from anogen_core.config import load_config
from flows.fleet import run_fleet


def main(
    run_file: Annotated[Path, typer.Argument(metavar="RUN.yaml")],
    cron: Annotated[str | None, typer.Option(help="When to run, as a cron line; default: on demand only.")] = None,
) -> None:
    """Register the run with the Prefect server named by PREFECT_API_URL and execute its runs here."""
    config = load_config(run_file)
    run_fleet.serve(name=config.name, cron=cron, parameters={"config": config.model_dump(mode="json")}, limit=1)


if __name__ == "__main__":
    typer.run(main)
