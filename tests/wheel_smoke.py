"""Builds the wheel, installs it in an empty environment and runs it outside the checkout.

Called by ``make wheel``. The environment sees the packages of the one that builds, so that nothing
is downloaded again, but no file of the checkout.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECK = """
import agents, experiments, policies, schemas, serving, streams, pathlib, sys
folders = {pathlib.Path(m.__file__).parent.parent for m in
           (agents, experiments, policies, schemas, serving, streams)}
assert len(folders) == 1, folders
assert pathlib.Path(sys.argv[1]) not in [*folders, *list(folders)[0].parents], folders
assert (pathlib.Path(serving.__file__).parent / "vectors.json").is_file()
assert (pathlib.Path(schemas.__file__).parent / "py.typed").is_file()
pages = pathlib.Path(agents.__file__).parent / "web" / "static"
for name in ("index.html", "app.js", "vendor/uplot/uPlot.esm.js", "vendor/uplot/LICENSE"):
    assert (pages / name).is_file(), name
from agents.app import build_app
from agents.settings import load_settings
build_app(load_settings(None, {}))
from importlib.metadata import entry_points
(point,) = entry_points(group="faust.transports", name="microbatch")
assert point.load().__name__ == "MicrobatchTransport"
"""

AS_INSTALLED = """
from pathlib import Path
import agents
from agents.cli.packages import is_ours_alone
home = Path(agents.__file__).parents[1]
# The environment of the one that builds may hold the checkout too, by a path file.
assert is_ours_alone(home, [str(home)]), "what the installer wrote is not what RECORD says"
"""


def intrude(site: Path) -> None:
    """Install another distribution that brings a package ``agents``, as pip would."""
    (site / "agents" / "tool.py").write_text("", encoding="utf-8")
    told = site / "openai_agents-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: openai-agents\nVersion: 1.0\n", encoding="utf-8"
    )
    (told / "RECORD").write_text(
        "agents/tool.py,,0\nopenai_agents-1.0.dist-info/METADATA,,\n", encoding="utf-8"
    )


def run(*command: str, cwd: Path) -> str:
    """Run a command outside the checkout; stop with its output if it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Build, install, check."""
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder).resolve()
        run(
            sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder,
            cwd=ROOT,
        )  # fmt: skip
        (wheel,) = outside.glob("*.whl")
        target = outside / "env"
        venv.create(target, with_pip=False)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(target)}))
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site),
            str(wheel), cwd=outside)  # fmt: skip
        # The builder's third-party packages, without its editable install of this project.
        ours = Path(sysconfig.get_path("purelib"))
        (site / "third_party.pth").write_text(f"{ours}\n", encoding="utf-8")
        python = str(target / "bin" / "python")
        run(python, "-c", CHECK, str(ROOT), cwd=outside)
        helped = run(python, "-m", "agents.cli.main", "--help", cwd=outside)
        for word in ("worker", "demo", "rollback", "broker"):
            if word not in helped:
                sys.exit(f"--help does not name {word}:\n{helped}")
        run(python, "-c", AS_INSTALLED, cwd=outside)
        intrude(site)
        refused = subprocess.run(
            [python, "-m", "agents.cli.main", "--help"],
            cwd=outside, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if refused.returncode != 2 or "pip uninstall openai-agents" not in refused.stderr:
            sys.exit(f"an intruder in our packages was not refused:\n{refused.stderr}")
        print(f"{wheel.name}: installs, imports and answers outside the checkout")


if __name__ == "__main__":
    main()
