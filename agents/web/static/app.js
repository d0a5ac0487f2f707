// Which page is shown, and the one connection that keeps it live.
import { follow } from "./api.js";
import { detail } from "./detail.js";
import { h, replace } from "./dom.js";
import { overview } from "./overview.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
const reading = document.getElementById("reading");
let page = null;
let stop = () => {};
let opening = 0;
let again;

const status = {
  now(told) {
    document.getElementById("app-id").textContent = told.app;
    reading.hidden = told.share_read >= 1;
    reading.textContent = `Reading what happened in the last 24 hours: ${Math.round(told.share_read * 100)} %`;
    clearTimeout(again);
    if (told.share_read < 1) again = setTimeout(show, 1500);
  },
  say(text) {
    live.textContent = text;
    setTimeout(() => live.classList.contains("on") && (live.textContent = "live"), 6000);
  },
};

function connected(isOn, text) {
  live.className = `live ${isOn ? "on" : "off"}`;
  live.textContent = text;
}

async function show(keepsFocus = true) {
  const mine = (opening += 1);
  const match = location.hash.match(/^#\/route\/(.+)$/);
  let name = null;
  stop();
  page?.end();
  page = null;
  try {
    if (match) name = decodeURIComponent(match[1]);
    const next = await (name === null ? overview(main, status) : detail(main, status, name));
    if (mine !== opening) return next.end();
    page = next;
    document.title = name === null ? "Leverframe" : `${name} - Leverframe`;
  } catch (error) {
    if (mine !== opening) return;
    const text = error instanceof TypeError ? "The worker does not answer." : error.message;
    replace(main, h("div", { class: "card empty" }, h("p", { class: "problem" }, text), h("p", {}, h("a", { href: "#/" }, "All routes"))));
    connected(false, "not connected");
    setTimeout(() => mine === opening && show(), 3000);
    return;
  }
  if (!keepsFocus) main.focus();
  stop = follow(name, {
    opened(isSecond) {
      connected(true, "live");
      if (isSecond) show();
    },
    changed(update) {
      connected(true, "live");
      status.now(update);
      page?.changed(update);
    },
    lost: (text) => connected(false, text),
  });
}

const theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.theme = theme;
document.getElementById("theme").addEventListener("click", () => {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = other;
  localStorage.setItem("theme", other);
  page?.restyled?.();
});
addEventListener("hashchange", () => show(false));
show();
