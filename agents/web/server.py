"""Puts the pages on Faust's web server, and the feed beside the agents."""

from collections.abc import Mapping
from typing import Any

from faust.exceptions import ConsumerNotStarted

from leverframe.agents.settings import Settings
from leverframe.agents.web.feed import Feed
from leverframe.agents.web.pages import add_dashboard, add_health, protect
from leverframe.agents.worker.attribution import AttributionShell
from leverframe.agents.worker.learning import LearningShell
from leverframe.agents.worker.metrics import metrics_page
from leverframe.streams.runtime.lanes import Lanes

__all__ = ["add_web"]


def add_web(
    app: Any,
    settings: Settings,
    attribution: AttributionShell,
    learning: LearningShell,
    lanes: Mapping[str, Lanes],
    inputs: Mapping[str, tuple[str, ...]],
) -> None:
    """Add metrics, health and, where it is wanted, the dashboard.

    Parameters
    ----------
    app : faust.App
        With its web server switched on.
    settings : Settings
        Of the application.
    attribution : AttributionShell
        Counts its dead letters.
    learning : LearningShell
        As attribution, and it knows the newest heartbeats.
    lanes : mapping of str to Lanes
        By agent.
    inputs : mapping of str to tuple of str
        Input topics by agent.
    """
    set_aside = [shell.set_aside.counts for shell in (attribution, learning)]
    render = metrics_page(learning.heartbeats, set_aside)

    @app.page("/metrics")  # type: ignore[untyped-decorator]
    async def metrics(web: Any, request: Any) -> Any:
        del request
        return web.bytes(render(), content_type="text/plain")

    def why_not_ready() -> str | None:
        try:
            assignment = app.consumer.assignment()
        except ConsumerNotStarted:
            return "the consumer has not started"
        if app.rebalancing:
            return "the group is rebalancing"
        for name, topics in inputs.items():
            partitions = {tp.partition for tp in assignment if tp.topic in topics}
            opening = sorted(partitions - lanes[name].ledgers.keys())
            if opening:
                return f"{name}: partitions {opening} are being opened"
        return None

    web_app = app.web.web_app
    protect(web_app, settings)
    add_health(web_app, why_not_ready)
    if settings.app.dashboard:
        feed = Feed(settings)
        add_dashboard(web_app, feed, settings)
        app.task(feed.follow)
