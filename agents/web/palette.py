"""The colours of arms, on the page and in the demo's picture alike: one for each place in a route.

``static/dom.js`` has the same list; a test compares them.
"""

from typing import Final

__all__ = ["COLOURS", "colour"]

# Okabe and Ito's first: told apart with any kind of colour vision.
COLOURS: Final = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#b8a800",
    "#7a5cc0",
    "#8c564b",
    "#708090",
)


def colour(place: int) -> str:
    """Return the colour of an arm by its place among those of its route, in order of registration.

    Examples
    --------
    >>> colour(0), colour(11)
    ('#0072b2', '#e69f00')
    """
    return COLOURS[place % len(COLOURS)]
