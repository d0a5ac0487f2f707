"""Learning: folds rewards and commands into the routes' states and says what to publish.

Pure, and a fold over single records: the outcome does not depend on how they were cut into
micro-batches. Statistics move by exactly the difference that a reward record states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import UnsetType

from leverframe.schemas.causes import Alarm, Coordinates, Known, RegisteredCause
from leverframe.schemas.codec import DECODE_ERRORS, decode_error, decoder
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlAck, ControlKind, ControlMessage
from leverframe.schemas.errors import RecordError
from leverframe.schemas.measurements import Measurements, route_of_metrics
from leverframe.schemas.reward import Reward
from leverframe.schemas.traffic import Traffic
from leverframe.streams.envelope import (
    InputRecord,
    check_envelope,
    check_key,
    check_partition,
    dead_letter,
)
from leverframe.streams.learning.alarms import arm_alarms, label_alarms, metric_alarms
from leverframe.streams.learning.audit import AuditTrail
from leverframe.streams.learning.change import Change, RegisterArm
from leverframe.streams.learning.commands import propose_command, remember_command
from leverframe.streams.learning.configure import apply_settings
from leverframe.streams.learning.counts import count_in_shadow, count_reward
from leverframe.streams.learning.decision import (
    burst_end_ms,
    decide,
    is_burst_over,
    is_informed,
    is_late,
)
from leverframe.streams.learning.drift import note_label
from leverframe.streams.learning.guard import note_first_label
from leverframe.streams.learning.linear import RECENT_CONTEXTS
from leverframe.streams.learning.measured import measurements_of
from leverframe.streams.learning.messages import burst_place, complete_cause, control_message
from leverframe.streams.learning.metric_guard import judge_measured
from leverframe.streams.learning.outcome import LearningOutcome
from leverframe.streams.learning.pairs import count_pairs, rewards_beside
from leverframe.streams.learning.ramping import newcomer_ramp
from leverframe.streams.learning.restart import is_restart
from leverframe.streams.learning.rollout import carry_out, check_move
from leverframe.streams.learning.state import RouteState, new_route
from leverframe.streams.learning.units import note_label_of_unit
from leverframe.streams.learning.weights import reweigh
from leverframe.streams.routes.applied import require_route
from leverframe.streams.routes.route import Route, Routes

__all__ = ["InputKind", "learn"]


InputKind: TypeAlias = Literal["rewards", "commands", "control-acks", "traffic"]

_decode_reward = decoder(Reward)
_decode_command = decoder(Command)
_decode_ack = decoder(ControlAck)
_decode_traffic = decoder(Traffic)


def learn(
    batches: Iterable[tuple[InputKind, Sequence[InputRecord]]],
    states: Mapping[str, RouteState],
    routes: Routes,
    *,
    max_value_bytes: int,
    partition_of: Callable[[bytes], int] | None = None,
    new_routes_left: int | None = None,
) -> LearningOutcome:
    """Fold one micro-batch: runs of records in the order in which they were read.

    The states are changed in place: they are decoded afresh for each micro-batch. Records that lie
    elsewhere than ``partition_of`` puts their route are dead letters, if it is given. Only
    ``new_routes_left`` routes may begin that the settings do not name; any number where it is None.
    """
    step = _Step(states, routes, new_routes_left)
    for kind, records in batches:
        step.kind = kind
        decode, take = step.kinds[kind]
        for record in records:
            step.record = record
            try:
                value = check_envelope(record, max_value_bytes)
                if partition_of is not None:
                    check_partition(record, partition_of)
                decoded = decode(value)
                check_key(record.key, decoded.route, "route")
                take(decoded, record.timestamp)
            except RecordError as error:
                step.set_aside(record, error)
            except DECODE_ERRORS as error:
                step.set_aside(record, decode_error(error))
    return step.out


class _Step:
    """One micro-batch under way."""

    record: InputRecord
    kind: InputKind

    def __init__(
        self, states: Mapping[str, RouteState], routes: Routes, new_routes_left: int | None
    ) -> None:
        self.before = states
        self.new_routes_left = new_routes_left
        self.begun: set[str] = set()
        self._place: Coordinates | UnsetType | None = None
        self.routes = routes
        self.out = LearningOutcome()
        self.trail = AuditTrail(self.out.audit)
        self.kinds: dict[InputKind, tuple[Callable[[bytes], Any], Callable[[Any, int], None]]] = {
            "rewards": (_decode_reward, self.reward),
            "commands": (_decode_command, self.command),
            "control-acks": (_decode_ack, self.ack),
            "traffic": (_decode_traffic, self.traffic),
        }

    @property
    def place(self) -> Coordinates | UnsetType:
        """Where the deciding record lies, for causes: the one in hand, if nothing else is said."""
        if self._place is not None:
            return self._place
        return Coordinates(self.record.partition, self.record.offset)

    def set_aside(self, record: InputRecord, error: RecordError) -> None:
        """Set a record aside, unless it is one that lies among rewards by right, and is none."""
        # Looked at here alone, so that rewards pay nothing for it.
        if not (is_restart(record) or self._has_measured(record)):
            self._letter(record, error)

    def _letter(self, record: InputRecord, error: RecordError) -> None:
        self.out.dead_letters.append(dead_letter(record, error))
        self.out.counts["dead_letter:" + error.reason, ""] += 1
        if self.kind == "commands":
            self.trail.refuse(record, error, self._known)

    def _known(self, name: str) -> RouteState | None:
        return self.out.states.get(name) or self.before.get(name)

    def _state(self, name: str) -> RouteState:
        """The state of a route, which may begin now."""
        known = self._known(name)
        if known is not None:
            return known
        if not self._has_room(name):
            raise RecordError(
                "limit",
                f"route {name!r} is not named in the settings, and this partition has as many such "
                "routes as [app] max_routes allows",
            )
        if not self.routes.is_named(name):
            self.begun.add(name)
        return new_route(name)

    def _has_room(self, name: str) -> bool:
        """Whether a route that is not known yet may begin."""
        left = self.new_routes_left
        return left is None or self.routes.is_named(name) or len(self.begun | {name}) <= left

    def _route(self, name: str) -> Route:
        known = self._known(name)
        return require_route(self.routes, name, b"" if known is None else known.applied)

    def reward(self, reward: Reward, _: int) -> None:
        route = self._route(reward.route)
        state = self._state(reward.route)
        now_ms = reward.attributed_at_ms
        arm = state.arms.get(reward.arm)
        if arm is None:
            self._first_reward(state, route, reward)
            return
        self.out.states[reward.route] = state
        if not (reward.served or self._count_in_shadow(state, reward, route)):
            return
        late = is_late(state, route, now_ms)
        if late and is_burst_over(state, route, now_ms):
            self._decide_before(state, route)
            late = is_late(state, route, now_ms)
        nano = self._count(state, reward, route)
        if reward.unit_id is None and reward.others is None:
            note_first_label(state, arm, nano, now_ms)
        else:
            note_label_of_unit(state, arm, reward, route, nano, rewards_beside(reward, route))
        if reward.context is not None and len(reward.context) == route.settings.context_dimension:
            state.contexts.append(reward.context)
            del state.contexts[:-RECENT_CONTEXTS]
        self.out.counts["counted", reward.route] += 1
        state.labels_since_decision += 1
        self._apply(state, route, note_label(state, reward.arm, reward, route), now_ms)
        late = late and is_informed(state, route, now_ms)
        if late or state.labels_since_decision >= route.settings.decision_labels:
            self._decide(state, route, now_ms)

    def _decide(self, state: RouteState, route: Route, now_ms: int) -> None:
        verdicts = self.trail.verdicts(state)
        change = decide(state, route, now_ms)
        verdicts.compare(state, self.place)
        self._apply(state, route, change, now_ms)
        verdicts.tell(state, route, now_ms)
        self._raise(state, route, arm_alarms(state, route, now_ms), now_ms)

    def _count(self, state: RouteState, reward: Reward, route: Route) -> int | None:
        """Count a reward; return it in 1e-9 where the guard is to see it by itself."""
        nano = count_reward(state.arms[reward.arm], reward, route)
        if reward.others is not None and not route.settings.label_depends_on_answer:
            count_pairs(state.pairs, state.registrations, state.champion, reward, route)
        if reward.served:
            return nano
        arm = state.arms[reward.arm]
        arm.last_label_ms = max(arm.last_label_ms, reward.attributed_at_ms)
        return None

    def _count_in_shadow(self, state: RouteState, reward: Reward, route: Route) -> bool:
        """Keep what an answer in shadow earned; return whether it counts in the statistics too."""
        count_in_shadow(state.arms[reward.arm], reward, route)
        self.out.counts["counted_in_shadow", state.route] += 1
        return not route.settings.label_depends_on_answer

    def _first_reward(self, state: RouteState, route: Route, reward: Reward) -> None:
        """Register an arm by its first reward, which counts before the weights are set."""
        if route.settings.register_arms == "command":
            raise RecordError(
                "unknown_arm",
                f"arm {reward.arm!r} is not registered on {reward.route!r}; register it with: "
                f"leverframe arm register {reward.route} {reward.arm}",
            )
        now_ms = reward.attributed_at_ms
        move = RegisterArm(reward.arm, in_shadow=not reward.served)
        check_move(state, route, move)
        moves = [move] if move.in_shadow else [move, *newcomer_ramp(state, route, move.arm, now_ms)]
        self.out.states[reward.route] = state
        carry_out(state, route, moves, now_ms)
        arm = state.arms[reward.arm]
        if reward.served or self._count_in_shadow(state, reward, route):
            note_label_of_unit(state, arm, reward, route, self._count(state, reward, route))
            self.out.counts["counted", reward.route] += 1
        cause = RegisteredCause(arm=reward.arm, how="first_reward")
        newcomer = reward.arm if reward.served else None
        change = Change(kind="routing", cause=cause, reweighs=True, newcomer=newcomer)
        self._apply(state, route, change, now_ms)

    def _has_measured(self, record: InputRecord) -> bool:
        """Take a record of measurements; False for any other one."""
        if self.kind != "rewards" or route_of_metrics(record.key) is None:
            return False
        try:
            self._measured(measurements_of(record))
        except RecordError as error:
            self._letter(record, error)
        return True

    def _measured(self, told: Measurements) -> None:
        route, state = self._route(told.route), self._known(told.route)
        if state is None or not route.metrics:
            # No arm is registered yet, or the settings changed.
            self.out.counts["measured_for_nobody", told.route] += len(told.measured)
            return
        self.out.states[told.route] = state
        self.out.counts["measured", told.route] += len(told.measured)
        change, now_ms = judge_measured(state, route, told)
        self._apply(state, route, change, now_ms)
        self._raise(state, route, metric_alarms(state, route, now_ms), now_ms)

    def command(self, command: Command, now_ms: int) -> None:
        if command.action == "decide":
            self._decide_on_burst(self._state(command.route), self._route(command.route), command)
            return
        name, known = command.route, self._known(command.route)
        # The settings of a route that nobody knows yet may come by command.
        is_written = self.routes.get(name) is not None
        is_new = command.action == "configure" and not is_written and known is None
        promote = None if is_new else self._route(name).settings.promote
        is_signed = self.routes.authority.check(self.record, command, known, promote)
        self.trail.signed = self.record if is_signed else None
        state = self._state(name)
        if command.command_id in state.commands:
            self.out.counts["duplicate_command", name] += 1
            return
        if command.action == "configure":
            self.out.applied.append(apply_settings(state, command, now_ms, is_written=is_written))
            self.out.states[name] = state
        route = self._route(name)
        change = propose_command(state, command, route, now_ms)
        self.out.states[name] = state
        self._apply(state, route, change, now_ms)
        self.trail.done(command, self.record, state, route)
        remember_command(state, command, is_signed=is_signed)

    def _decide_before(self, state: RouteState, route: Route) -> None:
        """Decide on a burst that was over before the reward in hand, which is not counted yet."""
        self._place = Coordinates(self.record.partition, max(0, self.record.offset - 1), burst=True)
        self._decide(state, route, burst_end_ms(state, route))
        self._place = None

    def _decide_on_burst(self, state: RouteState, route: Route, command: Command) -> None:
        """Decide on the labels that are meant; others came since, or a decision was made on them.

        The next reward would decide the same before it counts: when this comes changes nothing.
        """
        asked_ms = (command.params or {}).get("due_ms")
        if state.labels_since_decision and asked_ms == burst_end_ms(state, route):
            self.out.states[command.route] = state
            self._place = burst_place(command, self.record.partition)
            self._decide(state, route, burst_end_ms(state, route))
            self._place = None

    def ack(self, ack: ControlAck, now_ms: int) -> None:
        state = self._known(ack.route)
        if state is not None and state.arms:
            self.out.states[ack.route] = state
            state.loop.hear(ack, (state.epoch, state.seq), now_ms)
            self.out.counts["ack", ack.route] += 1

    def traffic(self, traffic: Traffic, _: int) -> None:
        route = self._route(traffic.route)
        if self._known(traffic.route) is None and not self._has_room(traffic.route):
            return
        # Also where no arm is known: the join's news may be here before the first reward.
        state = self._state(traffic.route)
        self.out.states[traffic.route] = state
        arms = state.registrations
        orphans = state.join.hear(
            traffic, arms, route.window_ms, has_default=route.default_reward is not None
        )
        if not arms:
            # Nobody to judge yet.
            return
        self._raise(state, route, state.loop.see(traffic, route, arms, orphans), traffic.until_ms)
        self._raise(state, route, label_alarms(state, route, traffic), traffic.until_ms)

    def _raise(
        self, state: RouteState, route: Route, alarms: Mapping[str, Alarm], now_ms: int
    ) -> None:
        for name, alarm in alarms.items():
            self.out.counts["alarm:" + name, state.route] += 1
            self._publish(state, route, "routing", alarm, now_ms)

    def _apply(self, state: RouteState, route: Route, change: Change | None, now_ms: int) -> None:
        """The one place where a change is carried out, weighed and published."""
        if change is None:
            return
        carry_out(state, route, change.moves, now_ms)
        if change.reweighs and state.eligible:
            step = reweigh(state, route, now_ms, newcomer=change.newcomer)
            if step < change.least_step:
                return
        state.weights = dict(state.target)
        self.out.counts["control:" + change.kind, state.route] += 1
        state.cause = self._publish(state, route, change.kind, change.cause, now_ms).cause

    def _publish(
        self, state: RouteState, route: Route, kind: ControlKind, cause: Known, now_ms: int
    ) -> ControlMessage:
        """Say what is in force, and why."""
        cause = complete_cause(cause, state, route, now_ms, self.place)
        message = control_message(state, route, kind, cause, now_ms)
        self.out.control.append(message)
        self.trail.note(message)
        return message
