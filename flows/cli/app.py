"""Every command of `anogen`: arguments in, a few lines or JSON out. The work is elsewhere and imported when needed."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import (
    Amounts,
    Arm,
    AsJson,
    Category,
    Cron,
    FalseAlarms,
    Images,
    Interval,
    Name,
    Output,
    Overrides,
    Picture,
    Pool,
    Redraw,
    RunFile,
    Version,
    Webhook,
)
from flows.cli.dataset_commands import commands as dataset_commands
from flows.cli.embedding_commands import embeddings

app = typer.Typer(
    name="anogen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(dataset_commands)
app.add_typer(embeddings, name="embeddings")


@app.callback()
def options(version: Version = False) -> None:  # noqa: FBT002
    """Give it three photos of a defect; get a labelled dataset and a detector trained on it."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; a demo that was interrupted there goes on.")] = Path(
        "demo"
    ),
    overrides: Overrides = None,
) -> None:
    """Run the whole pipeline on made-up photos: offline, on a CPU, in minutes."""
    from flows.cli import running  # noqa: PLC0415

    running.demo(out, overrides or [])


@app.command()
def init(
    run_file: RunFile,
    data: Annotated[str, typer.Option(metavar="ROOT", help="Directory with your photos.", show_default=False)],
    force: Annotated[bool, typer.Option(help="Replace the file if it exists.")] = False,  # noqa: FBT002
) -> None:
    """Look at a directory of photos and write a commented run file that runs as it stands."""
    from flows.cli import starting  # noqa: PLC0415

    starting.init(run_file, data, force=force)


@app.command()
def check(
    run_file: RunFile,
    overrides: Overrides = None,
    as_json: AsJson = False,  # noqa: FBT002
    picture: Picture = None,
) -> None:
    """Validate the run file and every photo, and show what would be made; computes nothing."""
    from flows.cli import starting  # noqa: PLC0415

    raise typer.Exit(starting.check(run_file, overrides or [], as_json=as_json, picture=picture))


@app.command()
def run(
    run_file: RunFile,
    overrides: Overrides = None,
    submit: Annotated[bool, typer.Option("--submit", help="Let a worker of PREFECT_API_URL run it.")] = False,  # noqa: FBT002
    name: Name = None,
    pool: Pool = None,
) -> None:
    """Learn the defects, make the datasets, train and compare detectors. Run again to resume."""
    if submit:
        from flows.cli import serving  # noqa: PLC0415

        serving.submit(run_file, overrides or [], name=name, pool=pool)
        return
    from flows.cli import running  # noqa: PLC0415

    running.run(run_file, overrides or [])


@app.command()
def evaluate(
    run_file: RunFile,
    seeds: Annotated[int, typer.Option(min=1, help="Detectors trained for each arm.")] = 3,
    redraw: Redraw = False,  # noqa: FBT002
    amounts: Amounts = None,
    overrides: Overrides = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Compare all arms over several seeds, with 95 % intervals; reuses what a run has done. Run again to resume."""
    from flows.cli import evaluating  # noqa: PLC0415

    evaluating.evaluate(run_file, overrides or [], seeds=seeds, redraw=redraw, amounts=amounts, as_json=as_json)


@app.command()
def predict(
    output: Output,
    images: Images,
    category: Category = None,
    arm: Arm = None,
    false_alarms: FalseAlarms = None,
    heat: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a heat map of every photo there.")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Score photos with a detector that a run trained, against a threshold calibrated on generated defects."""
    from flows.cli import predicting  # noqa: PLC0415

    raise typer.Exit(
        predicting.predict(
            output, images, category=category, arm=arm, false_alarms=false_alarms, heat=heat, as_json=as_json
        )
    )


@app.command()
def onnx(
    output: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Where to write.", show_default=False)],
    category: Category = None,
    arm: Arm = None,
    false_alarms: FalseAlarms = None,
) -> None:
    """Write a detector that a run trained as ONNX, with its threshold, checked against PyTorch on the run's images."""
    from flows.cli import predicting  # noqa: PLC0415

    predicting.write_onnx(output, file, category=category, arm=arm, false_alarms=false_alarms)


@app.command()
def deploy(
    run_file: RunFile,
    overrides: Overrides = None,
    cron: Cron = None,
    interval: Interval = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Remove its schedule.")] = False,  # noqa: FBT002
    name: Name = None,
    pool: Pool = None,
    webhook: Webhook = None,
) -> None:
    """Register the run with the Prefect server of PREFECT_API_URL; again to change its settings or its schedule."""
    from flows.cli import serving  # noqa: PLC0415

    serving.deploy(
        run_file,
        overrides or [],
        name=name,
        pool=pool,
        cron=cron,
        interval=interval,
        no_schedule=no_schedule,
        webhook=webhook,
    )


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many runs.")] = 10,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show the newest runs on the Prefect server of PREFECT_API_URL and how far they have come."""
    from flows.cli import serving  # noqa: PLC0415

    serving.status(limit, as_json=as_json)


@app.command()
def report(output: Output) -> None:
    """Write the report of a finished run again: one self-contained HTML file."""
    from flows.cli import reading  # noqa: PLC0415

    reading.report(output)


@app.command()
def pretrain(
    work: Annotated[Path, typer.Option(help="Where scenes and checkpoints go; an interrupted training there goes on.")],
    out: Annotated[Path, typer.Option(help="Directory of the trained pipeline.")],
    photos: Annotated[Path | None, typer.Option(help="Your own photos of good parts, to learn from as well.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Pipeline to start from; 'bundled' is the one that ships.", show_default=False)
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML with settings that differ from the defaults.")] = None,
    minutes: Annotated[float, typer.Option(help="Stop after this time.", show_default="no limit")] = float("inf"),
    device: Annotated[str, typer.Option(help="PyTorch device, e.g. cuda.")] = "auto",
) -> None:
    """Train a base model of your own: rendered scenes with defects, and your photos of good parts if you have some."""
    from flows.cli import training  # noqa: PLC0415

    training.pretrain(work, out, photos=photos, start=start, settings=settings, minutes=minutes, device=device)
