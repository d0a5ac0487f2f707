// One route: what is in force, how it came about, what to press.
import * as api from "./api.js";
import { askFor } from "./actions.js";
import { append, rewardsChart, weightsChart } from "./charts.js";
import { badge, clock, day, fixed, h, percent, redraw, replace, swatch, whole } from "./dom.js";

const SPANS = { "15 min": 900, "1 h": 3600, "6 h": 21600, "24 h": 86400 };
const VERDICTS = { harmful: "critical", no_data: "warning", inconclusive: "notice", healthy: "fine" };
const KINDS = { rollback: "critical", promotion: "fine", command: "notice", registered: "notice", drift: "warning", probation: "warning", ramp: "notice", proposal: "warning", alarm: "critical", shift: "notice" };
const ACTIONS_ON_ARM = { rollback: "Roll back", promote: "Promote", pin: "Pin", release: "Release" };

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const number = (title, text) => h("td", { class: "number", "data-title": title }, text);

function seconds(ms) {
  return ms === null || ms === undefined ? "" : `${Number((ms / 1000).toPrecision(3))} s`;
}

export async function detail(main, status, name) {
  const told = await api.route(name);
  status.now(told);
  const history = told.history;
  const marks = told.marks;
  let now = told.detail;
  let span = "1 h";
  let charts = [];
  let isDrawn = false;
  let isFollowing = true;
  const shown = history.arms.map(() => true);

  const head = h("div", { class: "row" });
  const arms = h("tbody");
  const legend = h("div", { class: "legend", role: "group", "aria-label": "Arms in the charts" });
  const weights = h("div", { class: "chart", role: "img" });
  const rewards = h("div", { class: "chart", role: "img" });
  const spans = h("div", { class: "row", role: "group", "aria-label": "Time shown" });
  const timeline = h("tbody");
  const why = h("div", { "aria-live": "polite" });
  const join = h("div", {});
  const follow = h("div", {});

  const actor = (action, arm) => () => askFor(name, action, arm, status);

  function drawHead() {
    replace(
      head,
      h("h1", {}, name),
      badge(now.level),
      now.pinned ? badge("notice", `pinned to ${now.pinned}`) : "",
      now.frozen ? badge("notice", "frozen") : "",
      now.probation ? badge("warning", `${now.probation.arm} on probation`) : "",
      now.ramp ? badge(now.ramp.is_held ? "warning" : "notice", now.ramp.text) : "",
      now.proposal ? badge("warning", now.proposal.text) : "",
      ...(now.proposal && told.actions
        ? [
            h("button", { type: "button", onclick: actor("approve", now.proposal.arm) }, `Approve ${now.proposal.arm}`),
            h("button", { type: "button", onclick: actor("reject", now.proposal.arm) }, `Reject ${now.proposal.arm}`),
          ]
        : []),
      h("span", { class: "muted" }, `champion ${now.champion ?? "none"}, version ${now.epoch}.${now.seq}`),
      h("span", { class: "grow" }),
      ...(told.actions
        ? [
            h("button", { type: "button", onclick: actor(now.frozen ? "unfreeze" : "freeze", null) }, now.frozen ? "Unfreeze" : "Freeze"),
            now.pinned ? h("button", { type: "button", onclick: actor("unpin", null) }, "Unpin") : "",
          ]
        : []),
    );
  }

  function buttons(arm) {
    if (!told.actions) return null;
    const isQuarantined = now.quarantined.includes(arm);
    const isInShadow = now.arms[arm]?.phase === "shadow";
    const offered = Object.entries(ACTIONS_ON_ARM).filter(([action]) =>
      isInShadow ? action === "promote" || action === "release" : action === "release" ? isQuarantined : action === "promote" ? arm !== now.champion && !isQuarantined : action === "rollback" ? !isQuarantined : true,
    );
    return h(
      "td",
      {},
      h(
        "div",
        { class: "row" },
        offered.map(([action, text]) =>
          h("button", { type: "button", class: action === "rollback" ? "danger" : null, "aria-label": `${text} ${arm}`, onclick: actor(action, arm) }, text),
        ),
      ),
    );
  }

  function drawArms() {
    redraw(
      arms,
      Object.entries(now.arms)
        .sort((one, two) => two[1].weight - one[1].weight)
        .map(([arm, known]) => {
          const [low, high] = known.bounds ?? [null, null];
          const state = now.quarantined.includes(arm) ? "quarantined" : arm === now.champion ? "champion" : (known.phase ?? "");
          const delays = known.label_delay_ms ?? [];
          return h(
            "tr",
            {},
            h("td", { class: "name" }, swatch(history.arms.indexOf(arm)), arm, known.in_shadow ? h("div", { class: "muted in-shadow" }, known.in_shadow) : "", ...(known.metrics ?? []).map((text) => h("div", { class: "muted metric" }, text))),
            number("weight", percent(known.weight)),
            h("td", { "data-title": "state" }, state),
            h("td", { "data-title": "verdict" }, known.verdict ? badge(VERDICTS[known.verdict] ?? "notice", known.verdict) : ""),
            number("labels", whole(known.labels)),
            number("mean reward", known.mean === null ? "" : fixed(known.mean)),
            number("of late", known.recent ? `${fixed(known.recent.mean)} of ${whole(known.recent.labels)}` : ""),
            number("between", known.mean === null || low === null ? "" : `${fixed(low)} to ${fixed(high)}`),
            number("with label", percent(known.join?.coverage)),
            number("delay", [seconds(delays[0]), seconds(delays[2])].filter(Boolean).join(" / ")),
            buttons(arm),
          );
        }),
    );
  }

  function visible() {
    const since = (history.at_ms.at(-1) ?? 0) - SPANS[span] * 1000;
    const from = Math.max(0, history.at_ms.findIndex((ms) => ms >= since));
    const cut = { at_ms: history.at_ms.slice(from), arms: history.arms };
    for (const field of ["weight", "mean", "low", "high", "recent"]) cut[field] = history[field].map((values) => values.slice(from));
    return cut;
  }

  function drawCharts() {
    charts.forEach((one) => one.end());
    while (shown.length < history.arms.length) shown.push(true);
    const cut = visible();
    charts = [weightsChart(weights, cut, () => marks, shown), rewardsChart(rewards, cut, () => marks, shown)];
    describeCharts();
    isDrawn = true;
  }

  function describeCharts() {
    const spoken = Object.entries(now.weights).map(([arm, weight]) => `${arm} ${percent(weight)}`).join(", ");
    weights.setAttribute("aria-label", `Weights over time, stacked. Now: ${spoken}`);
    rewards.setAttribute("aria-label", "Mean reward of each arm over time: of its newest labels, and of its life with its confidence sequence; the values of now are in the table of arms");
  }

  function drawLegend() {
    replace(
      legend,
      history.arms.map((arm, at) =>
        h(
          "button",
          {
            type: "button",
            "aria-pressed": String(shown[at] ?? true),
            onclick: (event) => {
              shown[at] = !shown[at];
              event.currentTarget.setAttribute("aria-pressed", String(shown[at]));
              drawCharts();
            },
          },
          swatch(at),
          arm,
        ),
      ),
    );
  }

  function drawSpans() {
    replace(
      spans,
      Object.keys(SPANS).map((one) =>
        h("button", { type: "button", "aria-pressed": String(one === span), onclick: () => ((span = one), drawSpans(), drawCharts()) }, one === span ? h("strong", {}, one) : one),
      ),
    );
  }

  function drawTimeline() {
    redraw(
      timeline,
      [...marks]
        .reverse()
        .map((mark) => {
          const many = mark.times > 1 ? ` (${mark.times} times since ${clock(mark.since_ms)})` : "";
          return h(
            "tr",
            {},
            h("td", {}, h("time", { datetime: new Date(mark.at_ms).toISOString(), title: day(mark.at_ms) }, clock(mark.at_ms))),
            h("td", {}, badge(KINDS[mark.kind] ?? "notice", mark.kind)),
            h("td", { class: "text" }, mark.kind === "shift" ? `${mark.text}${many}` : mark.text),
            h("td", {}, h("button", { type: "button", "aria-label": `Why, at ${clock(mark.at_ms)}`, onclick: () => ((isFollowing = false), explainInSight(mark.at_ms)) }, "Why?")),
          );
        }),
    );
  }

  async function explain(atMs, last) {
    try {
      const { changes } = await api.explain(name, atMs, last);
      replace(
        why,
        changes.length
          ? changes.reverse().map((change) => h("div", { class: "told" }, change.sentences.map((line) => h("p", {}, line))))
          : h("p", { class: "muted" }, `No change up to then is kept here. To recompute: leverframe replay ${name} --until ${atMs ?? now.heard_ms}`),
      );
    } catch (error) {
      replace(why, h("p", { class: "problem" }, error.message));
    }
  }

  // Whoever asks far below sees the answer, on a phone too.
  async function explainInSight(atMs) {
    await explain(atMs, 1);
    why.scrollIntoView({ block: "nearest" });
  }

  function drawSide() {
    const joins = now.joins;
    replace(
      join,
      facts([
        ["Predictions", whole(joins.prediction)],
        ["With a label", percent(joins.coverage)],
        ["Waiting", whole(joins.waiting)],
        ["Oldest waiting", seconds(joins.oldest_waiting_ms)],
        ["Repeated labels", whole(joins.duplicate_label)],
        ["Late labels", whole(joins.late_label)],
        ["Revisions", whole(joins.revision)],
        ["Labels that met no prediction nearby", whole(joins.nearby_orphan_label)],
      ]),
    );
    const behind = now.following.behind ?? [];
    const alarms = Object.entries(now.following.alarms ?? {});
    replace(
      follow,
      facts([
        ["Replicas that acknowledge", whole(now.following.replicas ?? 0)],
        ["Up to date", whole((now.following.replicas ?? 0) - behind.length)],
        ["Behind", behind.join(", ")],
        ["Served under these weights", Object.entries(now.following.served ?? {}).map(([arm, count]) => `${arm} ${whole(count)}`).join(", ")],
        ["Safe weights", Object.entries(now.safe_weights).map(([arm, weight]) => `${arm} ${percent(weight)}`).join(", ")],
        ["Last known good", now.last_known_good.map((reign) => reign.arm).join(", ")],
      ]),
      ...alarms.map(([alarm, since]) => h("p", {}, badge("warning", alarm), ` since ${day(since.since_ms)}`)),
      ...now.reasons.map((one) => h("p", {}, badge(one.level), ` ${one.text}`)),
    );
  }

  const titles = ["arm", "weight", "state", "verdict", "labels", "mean reward", "of late", "between", "with label", "delay p50 / p99"];
  replace(
    main,
    h("p", {}, h("a", { href: "#/" }, "← All routes")),
    head,
    h("section", { class: "card", "aria-label": "Arms" }, h("div", { class: "scroll" }, h("table", { class: "stack" }, h("thead", {}, h("tr", {}, [...titles, told.actions ? "press" : ""].map((title, at) => h("th", { scope: "col", class: at === 1 || at > 3 && at < 10 ? "number" : null }, title)))), arms))),
    h("div", { class: "row" }, spans, legend),
    h("div", { class: "grid" }, h("section", { class: "card" }, h("h2", {}, "Weights"), weights), h("section", { class: "card" }, h("h2", {}, "Mean reward of late"), rewards, h("p", { class: "muted" }, "Dashed: of the arm's life, with its confidence sequence."))),
    h("p", {}),
    h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Why are the weights what they are?"), h("button", { type: "button", onclick: () => ((isFollowing = true), explain(undefined, 3)) }, "The last three changes")), why),
    h("div", { class: "grid" }, h("section", { class: "card" }, h("h2", {}, "What happened"), h("div", { class: "tall", tabindex: 0, role: "region", "aria-label": "What happened" }, h("table", { class: "timeline" }, timeline))), h("div", {}, h("section", { class: "card" }, h("h2", {}, "Those who follow"), follow), h("section", { class: "card" }, h("h2", {}, "Join of predictions and labels"), join))),
  );
  const drawAll = () => (drawHead(), drawArms(), drawTimeline(), drawSide());
  drawSpans();
  drawLegend();
  drawAll();
  drawCharts();
  explain(undefined, 1);

  return {
    name,
    changed(update) {
      if (!update.detail) return;
      now = update.detail;
      const known = history.arms.length;
      append(history, update.history);
      const before = marks.at(-1);
      for (const mark of update.marks) {
        const last = marks.at(-1);
        if (last && mark.epoch === last.epoch && mark.seq <= last.seq) continue;
        if (last && mark.epoch < last.epoch) continue;
        // Several shifts in a row are one mark, which grows.
        if (last && mark.kind === "shift" && mark.since_ms === last.since_ms && last.kind === "shift") marks.pop();
        marks.push(mark);
        if (marks.length > 300) marks.shift();
      }
      if (marks.at(-1) !== before && isFollowing) explain(undefined, 1);
      drawAll();
      if (history.arms.length > known) {
        drawLegend();
        drawCharts();
      } else if (isDrawn) {
        charts.forEach((one) => one.show(visible()));
        describeCharts();
      }
    },
    restyled: () => drawCharts(),
    end() {
      charts.forEach((one) => one.end());
    },
  };
}
