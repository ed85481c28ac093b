"""`anogen embeddings ls`, `export` and `import`: the defect library."""

import json
import sys
from pathlib import Path

from anogen_core.config import load_config
from anogen_core.stages.library import export_embedding, import_embedding
from anogen_core.stages.library_entries import find_embedding, list_embeddings
from flows.cli.arguments import output_of


def show(source: str, *, as_json: bool) -> None:
    """Print every embedding of a run's output."""
    entries = list_embeddings(output_of(source))
    if as_json:
        sys.stdout.write(json.dumps([e.model_dump(mode="json") for e in entries], indent=1) + "\n")
        return
    sys.stdout.write("".join(f"{entry.describe()}\n" for entry in entries))
    if not entries:
        sys.stderr.write(f"{output_of(source)}: holds no embeddings; `anogen run` learns them.\n")


def export(source: str, name: str, dest: Path) -> None:
    """Write one embedding and print where it is, and which it is where the name leaves a choice."""
    output = output_of(source)
    entry = find_embedding(output, name)
    if name == entry.defect and entry.versions > 1:
        reason = "which the last run used" if entry.used_by_last_run else "the newest"
        sys.stderr.write(
            f"{name}: takes v{entry.version} of {entry.versions}, {reason} ({entry.key}); "
            f"`{name}@vN` or a key takes another.\n"
        )
    sys.stdout.write(f"{export_embedding(output, entry, dest)}\n")


def add(run_file: Path, file: Path, defect: str | None, token: str | None, licence: str | None) -> None:
    """Store an embedding in the output of a run file and print the line that names it there."""
    config = load_config(run_file)
    entry = import_embedding(config, file, name=defect, token=token, licence=licence)
    sys.stderr.write(f"{entry.describe()}\nTo generate with it, write into {run_file}:\n")
    sys.stdout.write(f"embeddings: {{{entry.defect}: {entry.key}}}\n")
