"""Wires the application: Faust for membership, agents, timers and web; partitions for work.

``build_app(settings)`` is the only way in; nothing happens at import. A module that Faust's own
command line can load is one line: ``app = build_app(load_settings(path))``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import faust

from leverframe.agents.ingest.agents import agents_of_sources, open_source
from leverframe.agents.ingest.shell import IngestShell
from leverframe.agents.ledgers import (
    AGENTS,
    AgentName,
    hop_settings,
    inputs_of,
    lanes_of,
    ledger_settings,
)
from leverframe.agents.operator.actors import require_keys
from leverframe.agents.settings import Settings
from leverframe.agents.telemetry.traces import ControlTraces, Opening, RewardTraces
from leverframe.agents.web.server import add_web
from leverframe.agents.worker.attribution import AttributionShell
from leverframe.agents.worker.endings import end_process
from leverframe.agents.worker.in_their_words import InTheirWords
from leverframe.agents.worker.inputs import Inputs
from leverframe.agents.worker.learning import LearningShell
from leverframe.agents.worker.membership import ConsumerFlow, Membership
from leverframe.agents.worker.metrics import RouteCollector, metrics_page
from leverframe.agents.worker.notifier import SECTIONS, Notifier
from leverframe.agents.worker.route_settings import SettingsFollower
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import GroupError
from leverframe.serving.patches import (
    make_light_records,
    outlive_brokers,
    shorten_transaction_wait,
)
from leverframe.streams.routes.applied import RoutesInForce
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.runtime.assignor import assignor_of
from leverframe.streams.runtime.group_watch import Charge
from leverframe.streams.runtime.kafka import BrokerSettings, client_options
from leverframe.streams.runtime.lanes import Lanes
from leverframe.streams.runtime.ledger import Ledger, LedgerSettings
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.microbatch import MicrobatchSchema, MicrobatchTransport, check_faust
from leverframe.streams.runtime.no_tables import NoTables
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.partition import Agent, Batch, WorkT
from leverframe.streams.runtime.partitions import Partitions
from leverframe.streams.runtime.refusals import Member
from leverframe.streams.runtime.store import Memory

__all__ = ["build_app"]

log = make_logger()

_BUFFERED_BATCHES: Final = 16
# A member hears of a rebalance with its next heartbeat, and whoever joins waits for it.
_HEARTBEAT_S: Final = 0.3
# A process with more partitions, or lanes, than this has its transactions wait for each other.
_UNPACED: Final = 6
_TRANSACTION_S: Final = 0.003


def build_app(
    settings: Settings,
    on_failure: Callable[[BaseException], None] = end_process,
    told: InTheirWords | None = None,
    spans: Opening | None = None,
) -> faust.App:
    """Wire a worker that is not yet running; ``on_failure`` gets the first unexpected error.

    ``told`` writes rewards and control messages in the words of others too; ``spans`` are begun
    for those with a trace.

    Raises ``LeverframeError`` if Faust's compiled parts are missing, or a route's settings are
    wrong.
    """
    check_faust()
    make_light_records()
    shorten_transaction_wait()
    outlive_brokers()
    by_agent: dict[str, tuple[str, ...]] = {one: inputs_of(settings, one) for one in AGENTS}
    sources = agents_of_sources(settings)
    by_agent |= {name: (own.topic,) for name, own in sources.items()}
    routes = compile_routes(settings.routes, settings.actors)
    require_keys(routes.authority)
    in_force = RoutesInForce(routes)
    follower = SettingsFollower(settings, in_force, on_failure)
    app: faust.App = _faust_app(settings, _charge(settings, by_agent, on_failure))
    inputs = Inputs(app, settings, by_agent, on_failure)
    of_rewards = None if spans is None else RewardTraces(spans)
    of_control = None if spans is None else ControlTraces(spans)
    attribution = AttributionShell(settings, in_force, inputs, told, of_rewards)
    learning = LearningShell(settings, in_force, inputs, told, of_control)
    ingest = IngestShell(settings, inputs)
    memory = Memory(settings.app.block_cache_mb << 20, settings.app.memtable_mb << 20)

    agents: dict[str, Partitions[Any]] = {}
    pace = partial(_pace_s, settings, agents)

    def partitions(name: AgentName, begin: Callable[[Ledger], WorkT]) -> Partitions[WorkT]:
        ledgers = ledger_settings(settings, name, memory)
        flow = ConsumerFlow(app, by_agent[name])
        opening = partial(_open, ledgers, Lanes(ledgers), inputs, follower)
        return Partitions(Agent(opening, begin, flow, pace), on_failure)

    attributing = partitions("attribution", attribution.begin)
    folding = partitions("learning", learning.begin)
    agents |= {"attribution": attributing, "learning": folding}
    for name, own_sources in sources.items():
        hop = hop_settings(settings, name)
        agents[name] = Partitions(
            Agent(
                partial(open_source, hop, own_sources, inputs),
                partial(ingest.begin, own_sources),
                ConsumerFlow(app, by_agent[name]),
                pace,
            ),
            on_failure,
        )
    for name, own in agents.items():
        _add_agent(app, name, by_agent[name], own, on_failure)
    membership = Membership(app, agents, by_agent)
    membership.connect(settings.app.tick_s)
    app.task(inputs.watch)
    app.task(follower.follow)

    def newest_heartbeats() -> list[ControlMessage]:
        works = folding.works.values()
        return [message for work in works for message in work.heartbeats.values()]

    set_aside = [shell.set_aside.counts for shell in (attribution, learning, ingest)]
    collector = RouteCollector(
        newest_heartbeats, set_aside, inputs.lost, ingest.counts, learning.moved
    )
    _push(app, settings, collector)
    if settings.app.web_port > 0:
        page = metrics_page(collector)
        add_web(app, settings, page, membership.why_not_ready, inputs.lost)
    for name in SECTIONS:
        notifier = Notifier(settings, name)
        if notifier.is_wanted:
            app.task(notifier.follow)
    return app


def _charge(
    settings: Settings,
    by_agent: Mapping[str, Sequence[str]],
    on_failure: Callable[[BaseException], None],
) -> Charge:
    topics = settings.topic_names
    return Charge(
        broker=settings.broker,
        member=Member(
            group=topics.prefix + settings.app.id,
            identity=settings.broker.identity,
            doubt=settings.broker.doubt,
            session_timeout_s=settings.app.session_timeout_s,
            instance=settings.app.instance,
        ),
        declared=settings.declared_topics(),
        reads=frozenset(name for names in by_agent.values() for name in names),
        advisory=frozenset({topics.control_acks, topics.traffic}),
        on_fatal=on_failure,
    )


async def _open(
    settings: LedgerSettings,
    lanes: Lanes,
    inputs: Inputs,
    follower: SettingsFollower,
    partition: int,
) -> Ledger:
    await follower.caught_up()
    ledger = await open_ledger(settings, partition, lanes)
    try:
        await inputs.begin(settings.agent, ledger)
    except BaseException:
        # Cancelled too: the partition left meanwhile.
        await ledger.close()
        raise
    log.info(
        "ledger_opened",
        message=f"{ledger.name}: open, {ledger.restored} entries restored "
        f"in {ledger.restore_seconds:.2f} s",
        agent=settings.agent,
        partition=partition,
        entries=ledger.restored,
        seconds=round(ledger.restore_seconds, 3),
    )
    return ledger


def _pace_s(settings: Settings, agents: Mapping[str, Partitions[Any]]) -> float:
    """How long a partition waits between two transactions that hold little; see ``Agent``."""
    streams = 0
    for name, own in agents.items():
        lanes, count = lanes_of(settings, name) if name in AGENTS else 0, len(own.works)
        streams += min(count, lanes or count)
    return max(0, streams - _UNPACED) * _TRANSACTION_S


def _push(app: Any, settings: Settings, collector: RouteCollector) -> None:
    """Send metrics to a collector of OpenTelemetry, where that is wanted."""
    if settings.telemetry.metrics:
        from leverframe.agents.telemetry.metrics import MetricsPush

        app.task(MetricsPush(collector.collect, settings.app.instance).follow)


def _add_agent(
    app: Any,
    name: str,
    topics: Sequence[str],
    partitions: Partitions[Any],
    on_failure: Callable[[BaseException], None],
) -> None:
    """One agent over all its input topics: order per partition is what everything rests on."""
    channel = app.topic(*topics, schema=MicrobatchSchema())

    async def run(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                message = event.message
                batch = Batch(message.topic, message.value, event.ack)
                partitions.handle(message.partition, batch)
        except Exception as error:  # noqa: BLE001 - Faust would begin again behind the record
            on_failure(error)
        if not app.should_stop:
            on_failure(GroupError(f"nothing is handed to {name} any more; start the worker again"))

    app.agent(channel, name=name, concurrency=1)(run)


def _faust_app(settings: Settings, charge: Charge) -> Any:
    topics = settings.topic_names
    broker = settings.broker
    web = settings.app.web_port > 0
    app = faust.App(
        topics.prefix + settings.app.id,
        broker=[f"kafka://{server.strip()}" for server in broker.servers.split(",")],
        broker_credentials=_credentials(broker),
        broker_client_id=broker.client_id or "leverframe",
        datadir=Path(settings.app.datadir).absolute() / "faust",
        store="memory://",
        TableManager=NoTables,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.topics.partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.app.instance or None,
        broker_session_timeout=settings.app.session_timeout_s,
        broker_heartbeat_interval=min(_HEARTBEAT_S, settings.app.session_timeout_s / 5),
        broker_request_timeout=max(40.0, settings.app.session_timeout_s),
        broker_rebalance_timeout=60.0,
        broker_commit_interval=1.0,
        broker_max_poll_interval=settings.app.poll_interval_s,
        stream_buffer_maxsize=_BUFFERED_BATCHES,
        # Partitions finish what they hold before they leave (membership.py). Faust would
        # wait for records that nobody acknowledges, and for ever.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
        web_enabled=web,
        web_bind=settings.app.web_bind,
        web_port=settings.app.web_port or 6066,
        loghandlers=[],
    )
    app.transport = MicrobatchTransport(app.conf.broker_consumer, app)
    app.transport.charge = charge
    app.transport.assignor = assignor_of(
        {
            topic: lanes_of(settings, agent)
            for agent in AGENTS
            for topic in inputs_of(settings, agent)
            if lanes_of(settings, agent)
        }
    )
    return app


def _credentials(broker: BrokerSettings) -> Any:
    if broker.security == "plaintext":
        return None
    options = client_options(broker)
    context = options.get("ssl_context")
    if broker.security == "ssl":
        return faust.SSLCredentials(context)
    if broker.shows_tokens:
        provider = options["sasl_oauth_token_provider"]
        return faust.OAuthCredentials(oauth_cb=provider, ssl_context=context)
    if broker.sasl_mechanism == "GSSAPI":
        return faust.GSSAPICredentials(
            kerberos_service_name=broker.kerberos_service,
            kerberos_domain_name=broker.kerberos_domain or None,
            ssl_context=context,
        )
    return faust.SASLCredentials(
        username=broker.username,
        password=broker.password,
        mechanism=broker.sasl_mechanism,
        ssl_context=context,
    )
