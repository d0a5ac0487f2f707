"""What others named is shown so that it cannot steer the terminal it is shown on."""

__all__ = ["escaped", "printable"]


def printable(text: str) -> str:
    r"""Return a text with everything escaped that a terminal could obey.

    Routes, arms and actors come from producers. Line breaks are ours and stay.

    Examples
    --------
    >>> printable("a\x1b[2Jb\x9b31m c\u202e")
    'a\\u001b[2Jb\\u009b31m c\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else escaped(each) for each in text)


def escaped(character: str) -> str:
    r"""Return JSON's escape of a character.

    Examples
    --------
    >>> escaped("\u00e9")
    '\\u00e9'
    """
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
