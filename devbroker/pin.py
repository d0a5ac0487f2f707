"""Finds the jars of a version of Kafka: ``python -m leverframe.devbroker.pin 4.3.1``.

It prints their pins for ``jars.py``, or puts them into a folder for ``LEVERFRAME_KAFKA_JARS``.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import click

from leverframe.devbroker.assets import cache_root

__all__ = ["pin", "resolve"]

_LOG4J2: Final = ("log4j-core", "org.apache.logging.log4j:log4j-slf4j-impl")
_RELOAD4J: Final = ("slf4j-api", "org.slf4j:slf4j-reload4j")


def resolve(version: str) -> list[tuple[str, Path]]:
    """Return coordinate and file of each jar of Apache Kafka's broker, in order of coordinates."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache_root() / "maven")
    wanted = context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")
    inputs, transitive = context.resolver.resolve([wanted])
    artifacts = [each.artifact for each in inputs]
    artifacts += [each.artifact for each in transitive if each.scope in {"compile", "runtime"}]
    # Kafka ships the bridge from slf4j to its log, but its POM does not name it. Resolved together
    # with Kafka, its POM would choose the versions of all others (jgo 3.2): so it comes alone.
    has_log4j2 = any(each.artifactId == _LOG4J2[0] for each in artifacts)
    beside, bridge = _LOG4J2 if has_log4j2 else _RELOAD4J
    same = next(each.version for each in artifacts if each.artifactId == beside)
    artifacts.append(context.create_dependency(f"{bridge}:{same}").artifact)
    if not has_log4j2:
        artifacts.append(context.create_dependency("ch.qos.reload4j:reload4j:1.2.25").artifact)
    return [
        (f"{each.groupId}:{each.artifactId}:{each.version}", Path(each.resolve()))
        for each in sorted(artifacts, key=str)
    ]


@click.command()
@click.argument("version")
@click.option("--into", type=click.Path(path_type=Path), help="Copy them there, print nothing.")
def pin(version: str, into: Path | None) -> None:
    """Resolve Apache Kafka VERSION and print coordinate, size and SHA-256 of each of its jars."""
    jars = resolve(version)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for _, path in jars:
            shutil.copyfile(path, into / path.name)
        return
    for coordinate, path in jars:
        content = path.read_bytes()
        click.echo(f"{coordinate} {len(content)}\n  {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    pin()
