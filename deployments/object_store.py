"""Set up an object store of one's own: its keys, each with one policy of `deployments/policies`, and its bucket.

Example: python -m deployments.object_store keys /etc/seaweedfs/s3.json s3://anogen/factory
"""

import json
import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import botocore.session
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from anogen_core.errors import AnogenError, InputError, StorageError
from anogen_core.storage import open_store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Place = Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where runs write.")]


def policy(name: str, place: str) -> dict[str, Any]:
    """Return the policy document `name` (reader or writer) for one place.

    Raises:
        InputError: the place is not s3://bucket/prefix.
    """
    bucket, prefix = _split(place)
    text = (resources.files("deployments") / "policies" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text.replace("BUCKET", bucket).replace("PREFIX", prefix))
    return document


def identities(place: str, secrets: dict[str, str]) -> dict[str, Any]:
    """Return SeaweedFS's key file: an administrator, a writer and a reader of one place.

    Args:
        place: s3://bucket/prefix.
        secrets: S3_<ADMIN|WRITER|READER>_<KEY|SECRET>.

    Raises:
        InputError: a key or a secret is missing or empty.
    """
    missing = [
        name
        for who in ("ADMIN", "WRITER", "READER")
        for name in (f"S3_{who}_KEY", f"S3_{who}_SECRET")
        if not secrets.get(name)
    ]
    if missing:
        raise InputError(f"{', '.join(missing)}: not set in the environment. There are no default passwords.")

    def identity(name: str, **rights: list[str]) -> dict[str, Any]:
        key, secret = (secrets[f"S3_{name.upper()}_{part}"] for part in ("KEY", "SECRET"))
        return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], **rights}

    return {
        "identities": [
            identity("admin", actions=["Admin"]),
            identity("writer", actions=[], policyNames=["writer"]),
            identity("reader", actions=[], policyNames=["reader"]),
        ],
        "policies": [{"name": name, "content": json.dumps(policy(name, place))} for name in ("writer", "reader")],
    }


def make_bucket(place: str) -> None:
    """Create the bucket of a place unless it exists, and make sure that the server never overwrites on create.

    Raises:
        StorageError: the server refuses or does not answer, or cannot create an object without overwriting one.
    """
    bucket, _ = _split(place)
    client = botocore.session.get_session().create_client(
        "s3", config=Config(connect_timeout=3, retries={"mode": "standard", "max_attempts": 10})
    )
    try:
        client.create_bucket(Bucket=bucket)
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        pass
    except (ClientError, BotoCoreError) as error:
        raise StorageError(
            f"{place}: the bucket cannot be created ({error}). Check the address and the key."
        ) from error
    store = open_store(place)
    try:
        if not store.create("probe/create-only", b"first") or store.create("probe/create-only", b"second"):
            raise StorageError(
                f"{place}: this server overwrites an object that should be created only once, so two writers could"
                " undo each other's work. Use a server that honours `If-None-Match: *`."
            )
    finally:
        store.delete("probe")


@app.command("keys")
def _keys(file: Annotated[Path, typer.Argument(metavar="FILE", help="Key file to write.")], place: Place) -> None:
    """Write SeaweedFS's key file from S3_ADMIN_KEY, S3_ADMIN_SECRET and so on."""
    content = json.dumps(identities(place, dict(os.environ)), indent=1)
    # The server may run as another user, and nothing but this file is on its volume.
    file.write_text(content, encoding="utf-8")


@app.command("bucket")
def _bucket(place: Place) -> None:
    """Create the bucket; address and administrator's key come from the AWS environment."""
    make_bucket(place)
    typer.echo(place)


def _split(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix("s3://").strip("/").partition("/")
    if not place.startswith("s3://") or not bucket or not prefix:
        raise InputError(f"{place}: expected s3://bucket/prefix.")
    return bucket, prefix


if __name__ == "__main__":
    try:
        app()
    except AnogenError as error:
        raise SystemExit(f"object_store: {error}") from error
