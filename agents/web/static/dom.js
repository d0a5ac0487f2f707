// Builds elements; text is always text, so no name that a producer chose can become markup.

export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

export const replace = (element, ...children) => element.replaceChildren(...children.flat(Infinity));

// Whoever is on a control in there stays on the one with the same label, if it is still there.
export function redraw(element, ...children) {
  const label = element.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  replace(element, ...children);
  if (label === null) return;
  [...element.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === label)?.focus();
}

export const percent = (share) => (share === null || share === undefined ? "" : `${(share * 100).toFixed(1)} %`);

export const whole = (count) => (count === null || count === undefined ? "" : Math.round(count).toLocaleString("en"));

export const fixed = (value) => (value === null || value === undefined ? "" : value.toFixed(4));

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

export const day = (ms) => new Date(ms).toLocaleString([], { hour12: false });

export function ago(ms, nowMs) {
  const seconds = Math.max(0, Math.round((nowMs - ms) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

// Okabe and Ito's colours first: told apart also by those who see red and green alike. As in agents/web/palette.py.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#7a5cc0", "#8c564b", "#708090"];
export const colour = (at) => COLOURS[at % COLOURS.length];
export const swatch = (at) => h("span", { class: "swatch", "aria-hidden": "true", style: { background: colour(at) } });

export const badge = (level, text) => h("span", { class: `badge ${level}` }, text ?? level);
