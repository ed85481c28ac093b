"""A person looks at the images of a dataset, on a page of their own machine, and says which to keep.

`session.py` knows the samples and the verdicts, `pictures.py` draws, `server.py` speaks HTTP, `page.*` is the page.
"""

from anogen_core.review.server import ReviewServer
from anogen_core.review.session import Review

__all__ = ["Review", "ReviewServer"]
