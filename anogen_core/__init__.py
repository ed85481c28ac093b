"""Everything about AnoGen that is true without a workflow engine.

Never imports prefect, dask, `tasks` or `flows`; reads no environment variable; prints nothing; seeds no global
generator.
"""

from importlib.metadata import version

__version__ = version("anogen")
