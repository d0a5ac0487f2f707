// The worker's JSON interface (docs/dashboard.md).

async function answer(response) {
  const told = await response.json().catch(() => ({ error: `the worker answered ${response.status}` }));
  if (!response.ok) throw new Error(told.error ?? `the worker answered ${response.status}`);
  return told;
}

export const get = async (path) => answer(await fetch(path, { cache: "no-store" }));

export const routes = () => get("/api/routes");

export const route = (name) => get(`/api/route?name=${encodeURIComponent(name)}`);

export const explain = (name, atMs, last = 3) =>
  get(`/api/explain?name=${encodeURIComponent(name)}&last=${last}${atMs === undefined ? "" : `&at_ms=${atMs}`}`);

export const command = async (asked, token) =>
  answer(
    await fetch("/api/command", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify(asked),
    }),
  );

// Follows changes; the browser itself connects again after an outage, and all is fetched anew then.
export function follow(name, { changed, opened, lost }) {
  const source = new EventSource(`/api/changes${name === null ? "" : `?name=${encodeURIComponent(name)}`}`);
  let isSecond = false;
  source.addEventListener("open", () => {
    opened(isSecond);
    isSecond = true;
  });
  source.addEventListener("error", () => lost("no connection to the worker"));
  source.addEventListener("routes", (event) => changed(JSON.parse(event.data)));
  source.addEventListener("refused", (event) => {
    lost(JSON.parse(event.data).error);
    source.close();
  });
  return () => source.close();
}
