"""Puts the pages on Faust's web server, and the feed beside the agents."""

from collections.abc import Callable, Mapping
from typing import Any

from leverframe.agents.settings import Settings
from leverframe.agents.web.feed import Feed
from leverframe.agents.web.pages import add_dashboard, add_health, protect

__all__ = ["add_web"]


def add_web(
    app: Any,
    settings: Settings,
    render_metrics: Callable[[], bytes],
    why_not_ready: Callable[[], str | None],
    lost: Mapping[str, int],
) -> None:
    """Add metrics, health and, where it is wanted, the dashboard to a ``faust.App``.

    Each request of the metrics renders them anew; ``why_not_ready`` says None once a worker is;
    ``lost`` counts records, by topic, that were removed before the worker read them.
    """

    @app.page("/metrics")  # type: ignore[untyped-decorator]
    async def metrics(web: Any, request: Any) -> Any:
        del request
        return web.bytes(render_metrics(), content_type="text/plain")

    web_app = app.web.web_app
    protect(web_app, settings)
    add_health(web_app, why_not_ready)
    if settings.app.dashboard:
        feed = Feed(settings, lost=lost)
        add_dashboard(web_app, feed, settings)
        app.task(feed.follow)
