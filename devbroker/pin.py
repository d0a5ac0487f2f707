"""Prints a Kafka version's pins for ``jars.py``: ``python -m leverframe.devbroker.pin 4.3.1``."""

import hashlib
from pathlib import Path

import click

from leverframe.devbroker.assets import cache_root

__all__ = ["pin"]


@click.command()
@click.argument("version")
def pin(version: str) -> None:
    """Resolve Apache Kafka VERSION and print coordinate, size and SHA-256 of each of its jars."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache_root() / "maven")
    wanted = context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")
    inputs, transitive = context.resolver.resolve([wanted])
    artifacts = [each.artifact for each in inputs]
    artifacts += [each.artifact for each in transitive if each.scope in {"compile", "runtime"}]
    # Kafka ships the bridge from slf4j to log4j2, but its POM does not name it. Resolved together
    # with Kafka, its POM would choose the versions of all others (jgo 3.2): so it comes alone.
    log4j = next(each.version for each in artifacts if each.artifactId == "log4j-core")
    bridge = f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"
    artifacts.append(context.create_dependency(bridge).artifact)
    for artifact in sorted(artifacts, key=str):
        content = Path(artifact.resolve()).read_bytes()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        click.echo(f"{coordinate} {len(content)}\n  {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    pin()
