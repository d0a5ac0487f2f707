"""What a terminal may do to us: show ASCII alone, or go away while we write."""

import codecs
import logging
import os
import sys
from typing import Final, NoReturn

from leverframe.agents.cli.printable import escaped
from leverframe.schemas.errors import SettingsError

__all__ = ["CLOSED_PIPE", "as_typed", "leave_quietly", "prepare"]

# What a shell reports of a program that SIGPIPE ended.
CLOSED_PIPE: Final = 141
_ESCAPE: Final = "leverframe-escape"
# click takes ASCII for a mistake of the locale, and writes UTF-8 there.
_OWN_ASCII: Final = "leverframe_ascii"


def prepare() -> None:
    """Escape what the terminal cannot show, and keep aiokafka's log to itself.

    A command says in one line what aiokafka would say in a hundred; the worker's log has them.
    """
    codecs.register_error(_ESCAPE, _replaced)
    codecs.register(_own_ascii)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            reconfigure(encoding=_OWN_ASCII if is_ascii else stream.encoding, errors=_ESCAPE)
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def as_typed(argument: str) -> str:
    r"""Return an argument as UTF-8, whatever the locale says that it is.

    Examples
    --------
    >>> as_typed("caf\udcc3\udca9")
    'caf\xe9'
    """
    if argument.isascii():
        return argument
    try:
        return argument.encode("utf-8", "surrogateescape").decode()
    except UnicodeError as error:
        raise SettingsError(f"the argument {argument!r} is not UTF-8") from error


def leave_quietly() -> NoReturn:
    """End because nobody reads any more."""
    # What is still in the buffers goes nowhere, without an error at the interpreter's end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):  # a stream without a file
            continue
    sys.exit(CLOSED_PIPE)


def _own_ascii(name: str) -> codecs.CodecInfo | None:
    if name != _OWN_ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_.encode,
        ascii_.decode,
        incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder,
        name=_OWN_ASCII,
    )


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escaped, error.object[error.start : error.end])), error.end
