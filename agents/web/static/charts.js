// Two charts over time: weights stacked to one, rewards with their confidence sequences.
import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { colour } from "./dom.js";

const HEIGHT = 260;
const MARK_COLOURS = { rollback: "--critical", promotion: "--fine", command: "--notice", registered: "--muted", drift: "--warning", probation: "--warning", ramp: "--notice", proposal: "--warning", alarm: "--critical" };

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const toSecond = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const toMinute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

function times(_, ticks, __, ___, step) {
  const one = step < 60 ? toSecond : toMinute;
  return ticks.map((tick) => one.format(tick * 1000));
}

function axes() {
  const one = { stroke: style("--muted"), grid: { stroke: style("--grid"), width: 1 }, ticks: { stroke: style("--grid") } };
  return [
    { ...one, values: times, space: 70 },
    { ...one, size: 48, values: (_, ticks) => ticks.map((tick) => tick.toFixed(2)) },
  ];
}

// Marks of the route as vertical lines; a mere shift shows in the weights themselves.
function drawMarks(marks) {
  return (chart) => {
    const { ctx, bbox } = chart;
    ctx.save();
    for (const mark of marks().filter((one) => one.kind !== "shift")) {
      const x = chart.valToPos(mark.at_ms / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = style(MARK_COLOURS[mark.kind] ?? "--muted");
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
}

// `columns` makes the data from history: later points need no new chart.
function fitted(holder, options, columns, history) {
  const chart = new uPlot({ ...options, width: Math.max(200, holder.clientWidth), height: HEIGHT }, columns(history), holder);
  const resized = new ResizeObserver(() => {
    if (holder.clientWidth) chart.setSize({ width: holder.clientWidth, height: HEIGHT });
  });
  resized.observe(holder);
  return { show: (later) => chart.setData(columns(later)), end: () => (resized.disconnect(), chart.destroy()) };
}

const seconds = (history) => history.at_ms.map((ms) => ms / 1000);

// Later arms lie below, so that each sum is drawn behind the ones it contains.
function stacked(history, shown) {
  const sums = new Array(history.at_ms.length).fill(0);
  const layers = history.arms.map((_, arm) =>
    history.weight[arm].map((weight, at) => {
      if (shown[arm]) sums[at] += weight ?? 0;
      return shown[arm] ? sums[at] : null;
    }),
  );
  return [seconds(history), ...layers];
}

export function weightsChart(holder, history, marks, shown) {
  const arms = history.arms.length;
  const series = history.arms.map((arm, at) => ({
    label: arm,
    stroke: colour(at),
    fill: `${colour(at)}b0`,
    width: 1,
    points: { show: false },
    spanGaps: false,
    paths: uPlot.paths.stepped({ align: 1 }),
  }));
  // Between a layer and the one beneath: the band of series k and k + 1 is what arm k + 1 has.
  const bands = [];
  let below = null;
  for (let at = 0; at < arms; at += 1) {
    if (!shown[at]) continue;
    if (below !== null) bands.push({ series: [at + 1, below + 1] });
    below = at;
  }
  return fitted(
    holder,
    {
      scales: { y: { range: [0, 1] } },
      axes: axes(),
      series: [{}, ...series],
      bands,
      cursor: { points: { show: false }, sync: { key: "route" } },
      hooks: { draw: [drawMarks(marks)] },
    },
    (now) => stacked(now, shown),
    history,
  );
}

export function rewardsChart(holder, history, marks, shown) {
  const series = [{}];
  const bands = [];
  history.arms.forEach((arm, at) => {
    if (!shown[at]) return;
    const first = series.length;
    series.push({ label: `${arm} high`, stroke: "transparent", width: 0, points: { show: false } });
    series.push({ label: `${arm} low`, stroke: "transparent", width: 0, points: { show: false } });
    series.push({ label: `${arm}, its life`, stroke: colour(at), width: 1, dash: [4, 4], points: { show: false } });
    // A break shows in the newest labels at once; in the mean of a long life hardly ever.
    series.push({ label: `${arm}, of late`, stroke: colour(at), width: 2, points: { show: false } });
    bands.push({ series: [first, first + 1], fill: `${colour(at)}2e` });
  });
  const columns = (now) => [
    seconds(now),
    ...now.arms.flatMap((_, at) => (shown[at] ? [now.high[at], now.low[at], now.mean[at], now.recent[at]] : [])),
  ];
  return fitted(
    holder,
    {
      scales: { y: { range: (_, low, high) => (low === null ? [0, 1] : [Math.max(0, low - 0.03), Math.min(1, high + 0.03)]) } },
      axes: axes(),
      series,
      bands,
      cursor: { points: { show: false }, sync: { key: "route" } },
      hooks: { draw: [drawMarks(marks)] },
    },
    columns,
    history,
  );
}

// What live updates append; a point of the same time as the last takes its place.
export function append(history, fresh) {
  const fields = ["weight", "mean", "low", "high", "labels", "recent"];
  for (const arm of fresh.arms) {
    if (history.arms.includes(arm)) continue;
    history.arms.push(arm);
    for (const field of fields) history[field].push(new Array(history.at_ms.length).fill(null));
  }
  fresh.at_ms.forEach((ms, at) => {
    const last = history.at_ms.at(-1);
    if (ms < last) return;
    if (ms !== last) history.at_ms.push(ms);
    const place = history.at_ms.length - 1;
    history.arms.forEach((arm, to) => {
      const from = fresh.arms.indexOf(arm);
      for (const field of fields) history[field][to][place] = from < 0 ? null : fresh[field][from][at];
    });
  });
  const oldest = history.at_ms.at(-1) - 86_400_000;
  while (history.at_ms[0] < oldest || history.at_ms.length > 4000) {
    history.at_ms.shift();
    for (const field of fields) history[field].forEach((values) => values.shift());
  }
}
