"""The group `anogen embeddings`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import AsJson, Output, RunFile

embeddings = typer.Typer(
    help="The defect library: learned defects, in and out of a run's output.", no_args_is_help=True
)


@embeddings.command("ls")
def list_embeddings(source: Output, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List the learned and imported defects of a run's output with their versions, the newest of each last."""
    from flows.cli import library  # noqa: PLC0415

    library.show(source, as_json=as_json)


@embeddings.command("export")
def export_embedding(
    source: Output,
    name: Annotated[
        str,
        typer.Argument(
            metavar="CATEGORY/DEFECT[@vN]|KEY",
            help="As `ls` shows it; without @vN the one that the last run used, else the newest.",
            show_default=False,
        ),
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Directory to write to.", show_default=False)],
) -> None:
    """Write one defect as learned_embeds.safetensors (diffusers reads it), embedding.json and a preview."""
    from flows.cli import library  # noqa: PLC0415

    library.export(source, name, dest)


@embeddings.command("import")
def import_embedding(
    run_file: RunFile,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An export, a learned_embeds.safetensors or .bin, or embeddings.pt.",
            show_default=False,
        ),
    ],
    defect: Annotated[
        str | None, typer.Option(metavar="CATEGORY/DEFECT", help="Which defect it is; an export says so itself.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Which concept of a file with several.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the embedding; import again to change it.")] = None,
) -> None:
    """Add a defect that was learned elsewhere to a run's output; no code in the file is ever run."""
    from flows.cli import library  # noqa: PLC0415

    library.add(run_file, file, defect, token, licence)
