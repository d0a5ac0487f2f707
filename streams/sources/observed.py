"""What samples of a topic hold: each plain path, how often, in which types, with which values."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct, field

__all__ = ["Observed", "observe"]

_MOST_NESTED: Final = 8
_MOST_VALUES: Final = 200
_MOST_PATHS: Final = 500


class Observed(Struct):
    """One path.

    Attributes
    ----------
    path : str
        As JMESPath has it.
    count : int
        Documents that have a value there.
    types : Counter of str
        ``text``, ``number``, ``bool``, ``numbers`` (an object of numbers) or ``other``.
    values : Counter
        Different values, up to a number of them.
    """

    path: str
    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """Its last member, in lower case, without separators."""
        last = self.path.rpartition(".")[2].partition("[")[0]
        return last.strip('"').replace("_", "").replace("-", "").lower()

    @property
    def type(self) -> str:
        """The type that is seen most."""
        return self.types.most_common(1)[0][0] if self.types else "other"

    @property
    def is_distinct(self) -> bool:
        """Whether nearly every document has a value of its own."""
        return len(self.values) >= min(0.9 * self.count, _MOST_VALUES)

    @property
    def example(self) -> Any:
        """The value that is seen most."""
        return self.values.most_common(1)[0][0] if self.values else None


def observe(documents: Iterable[Any]) -> dict[str, Observed]:
    """Collect what documents hold, by path, in the order of appearance."""
    seen: dict[str, Observed] = {}
    for document in documents:
        for path, value in _leaves(document, "", _MOST_NESTED):
            if path not in seen and len(seen) >= _MOST_PATHS:
                continue
            one = seen.setdefault(path, Observed(path))
            one.count += 1
            one.types[_type(value)] += 1
            if isinstance(value, str | int | float) and len(one.values) < _MOST_VALUES:
                one.values[value] += 1
    return seen


def _leaves(value: Any, path: str, most: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and most:
        if path and value and all(_is_number(one) for one in value.values()):
            yield path, value
        for name, one in value.items():
            own = name if str(name).isidentifier() else f'"{name}"'
            yield from _leaves(one, f"{path}.{own}" if path else own, most - 1)
    elif isinstance(value, list) and most:
        if value:
            yield from _leaves(value[0], f"{path}[0]", most - 1)
    elif value is not None and path:
        yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if _is_number(value):
        return "number"
    if isinstance(value, str):
        return "text"
    return "numbers" if isinstance(value, dict) else "other"
