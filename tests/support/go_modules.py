"""What others publish as Go modules, of which we read files and build nothing."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["fetched"]


@functools.cache
def fetched(module: str) -> Path:
    """Return the folder of a module, ``path@version``, fetched by Go once and kept by it.

    Raises ``FileNotFoundError`` where there is no Go.
    """
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("Go is not installed, and its module proxy serves the schemas")
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(done.stdout)["Dir"])
