// All routes, those that need a look first.
import * as api from "./api.js";
import { ago, badge, colour, h, percent, replace, whole } from "./dom.js";

const ORDER = { critical: 0, warning: 1, notice: 2, fine: 3 };

function shares(line) {
  const arms = Object.entries(line.weights);
  const spoken = arms.map(([arm, weight]) => `${arm} ${percent(weight)}`).join(", ");
  return h(
    "div",
    { class: "share", role: "img", "aria-label": `Weights: ${spoken}`, title: spoken },
    arms.map(([, weight], at) => h("span", { style: { width: `${weight * 100}%`, background: colour(line.places[at]) } })),
  );
}

function row(line, nowMs) {
  return h(
    "tr",
    {},
    h("td", {}, badge(line.level)),
    h("td", { class: "name" }, h("a", { href: `#/route/${encodeURIComponent(line.route)}` }, line.route)),
    h("td", { class: "text", "data-title": line.reasons.length ? "why" : null }, h("ul", { class: "reasons" }, line.reasons.slice(0, 3).map((one) => h("li", {}, one.text)))),
    h("td", { "data-title": "weights" }, shares(line)),
    h("td", { class: "name", "data-title": "champion" }, line.champion ?? "none"),
    h("td", { class: "number wide" }, whole(line.labels)),
    h("td", { class: "number wide" }, line.coverage === null ? "" : percent(line.coverage)),
    h("td", { class: "number wide" }, ago(line.heard_ms, nowMs)),
  );
}

export async function overview(main, status) {
  const told = await api.routes();
  status.now(told);
  const lines = new Map(told.routes.map((line) => [line.route, line]));
  const rows = new Map();
  const body = h("tbody");
  const find = h("input", { type: "search", placeholder: "Find a route", "aria-label": "Find a route" });
  const count = h("span", { class: "muted" });
  let nowMs = told.now_ms;

  function draw() {
    const wanted = find.value.toLowerCase();
    const sorted = [...lines.values()]
      .filter((line) => line.route.toLowerCase().includes(wanted))
      .sort((one, two) => ORDER[one.level] - ORDER[two.level] || (one.route < two.route ? -1 : 1));
    // Where the order stays, only lines that changed are made anew: focus and selection survive.
    const wantedRows = sorted.map((line) => {
      const known = rows.get(line.route);
      if (known && known.line === line) {
        known.element.lastChild.textContent = ago(line.heard_ms, nowMs);
        return known.element;
      }
      const element = row(line, nowMs);
      rows.set(line.route, { line, element });
      return element;
    });
    wantedRows.forEach((element, at) => {
      if (body.children[at] !== element) body.insertBefore(element, body.children[at] ?? null);
    });
    while (body.children.length > wantedRows.length) body.lastChild.remove();
    const look = sorted.filter((line) => ORDER[line.level] < 2).length;
    count.textContent = `${sorted.length} of ${lines.size} routes, ${look} to look at`;
    nothing.hidden = lines.size > 0;
    table.hidden = lines.size === 0;
  }

  const titles = ["", "route", "why", "weights", "champion", "labels", "with label", "heard"];
  const table = h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { "aria-label": "Routes", class: "stack" },
      h("thead", {}, h("tr", {}, titles.map((title, at) => h("th", { scope: "col", class: at > 4 ? "number wide" : null }, title || h("span", { "aria-label": "attention" }))))),
      body,
    ),
  );
  const nothing = h("p", { class: "empty muted" }, "No route yet: nothing was rewarded or registered. Register an arm: leverframe arm register ROUTE ARM");
  find.addEventListener("input", draw);
  replace(main, h("h1", {}, "Routes"), h("div", { class: "card" }, h("div", { class: "row" }, find, count), table, nothing));
  draw();

  return {
    name: null,
    changed(update) {
      nowMs = update.now_ms;
      for (const line of update.routes) lines.set(line.route, line);
      if (update.routes.length) draw();
    },
    end() {},
  };
}
