"""Decides, live, which deployed model version answers; ``docs/index.md`` is the map.

The packages lie at the top of the repository, ``schemas/`` and so on; here each has a link, so that
their import names are ``leverframe.schemas`` and so on.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
