"""`anogen review`: the review page, until the person ends it."""

import getpass
import signal
import sys
from threading import Thread


def review(uri: str, *, port: int, who: str | None) -> None:
    """Serve the review page of a dataset until Ctrl+C, then print the counts."""
    from anogen_core.review import Review, ReviewServer  # noqa: PLC0415
    from anogen_core.storage import Dataset  # noqa: PLC0415

    session = Review(Dataset(uri), who or _user())
    with ReviewServer(session, port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stderr.write(
            "Open this address in your browser. Ctrl+C ends the review; every verdict is already stored.\n"
        )

        def end(*_: object) -> None:
            # Not in this thread: it would wait for itself.
            Thread(target=server.shutdown, daemon=True).start()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        server.serve_forever()
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stderr.write("\n")
    counts = session.counts()
    sys.stdout.write(
        f"{counts['accept']} accepted, {counts['reject']} rejected, {counts['fix']} fixed, {counts['none']} undecided\n"
    )


def _user() -> str:
    """Return the name of the person at this machine; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
