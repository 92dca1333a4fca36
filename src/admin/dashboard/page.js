// The page: asks every two seconds, and shows what came.

import { keepToken, read } from "./api.js";
import { confirm, wire } from "./change.js";
import { chart, element, keep, say, short, time } from "./draw.js";
import { showOverrides } from "./overrides.js";
import { Rates } from "./rates.js";
import { showRevisions } from "./revisions.js";

/** How often is asked, and how long the chart looks back. */
const EVERY_MS = 2_000;
const SPAN_S = 300;
/** Events that are shown at most, and backends of an upstream before the rest is asked for. */
const EVENTS = 100;
const BACKENDS = 50;

const at = (id) => document.getElementById(id);
const rates = new Rates();
const points = [];
const opened = new Set();
let events = [];
let lastEvent = 0;
let asking = false;

/** Bands of the chart: by class of status. */
const BANDS = [["ok", "1xx to 3xx", ["1xx", "2xx", "3xx"]], ["client", "4xx", ["4xx"]], ["server", "5xx", ["5xx"]]];

const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
const routesOf = (stats) => stats.listeners.flatMap((listener) => listener.routes.map((route) => ({ ...route, listener: listener.name })));

function figures(stats, backends) {
  const routes = routesOf(stats);
  const perClass = BANDS.map(([, , classes]) =>
    routes.reduce((sum, route) => sum + classes.reduce((of, one) => of + rates.of(`${route.listener}/${route.route}/${one}`, route.requests[one]), 0), 0));
  const requests = perClass.reduce((sum, rate) => sum + rate, 0);
  const retries = stats.upstreams.reduce((sum, one) => sum + rates.of(`retries/${one.name}`, total(one.retries)), 0);
  const serving = backends.filter((one) => one.eligible).length;
  const inFlight = stats.upstreams.reduce((sum, one) => sum + one.in_flight, 0);
  const waiting = stats.upstreams.reduce((sum, one) => sum + one.waiting, 0);
  const share = requests > 0 ? perClass[2] / requests : 0;
  return {
    perClass,
    shown: [
      ["Requests per second", short(requests), ""],
      ["5xx", requests > 0 ? `${(share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 0)} %` : "–", share > 0.01 ? "bad" : ""],
      ["In flight", short(inFlight), ""],
      ["Waiting", short(waiting), waiting > 0 ? "warn" : ""],
      ["Retries per second", short(retries), retries > 0 ? "warn" : ""],
      ["Backends that serve", `${serving} of ${backends.length}`, serving < backends.length ? "warn" : ""],
    ],
  };
}

function showFigures(shown) {
  keep(at("figures"), shown, ([name]) => name,
    ([name]) => element("div", {}, element("dt", {}, name), element("dd")),
    (tile, [, value, level]) => {
      tile.lastChild.dataset.level = level;
      say(tile.lastChild, value);
    });
}

function showTraffic(perClass) {
  const now = performance.now() / 1000;
  if (rates.known) {
    points.push({ at: now, values: perClass });
  }
  while (points.length > 0 && points[0].at < now - SPAN_S) {
    points.shift();
  }
  const words = BANDS.map(([band, name], i) => element("span", { class: `key ${band}` }, `${name}: ${short(perClass[i])} per second`));
  at("traffic").replaceChildren(
    chart(points, BANDS.map(([band]) => band), SPAN_S, now, Math.max(at("traffic").clientWidth - 24, 200)),
    element("figcaption", {}, ...words, element("span", {}, "the last five minutes")),
  );
}

function showState(status) {
  const pill = at("state").firstElementChild;
  const phase = status.phase === "ready" ? status.status : status.phase;
  pill.dataset.state = status.phase === "ready" ? status.status : "degraded";
  say(pill, phase);
  document.title = phase === "healthy" ? "Plimsoll" : `${phase} · Plimsoll`;
  const refused = status.reloads.last_successful ? "" : ", the last reload was refused";
  say(at("about"), `version ${status.version}, up ${time(status.uptime_seconds)}, revision ${status.revision ?? "none"}, generation ${status.generation}, configuration ${status.config_hash.slice(0, 8)}${refused}`);
}

function showListeners(status, stats) {
  const address = new Map(status.listeners.map((one) => [one.name, one]));
  keep(at("listeners"), stats.listeners, (one) => one.name,
    (one) => element("div", {}, element("h3", {}, one.name), element("p", { class: "quiet" }), element("ul")),
    (box, one) => {
      const known = address.get(one.name);
      say(box.children[1], known ? `${known.address}, ${short(known.connections_active)} connections` : "");
      const routes = one.routes.filter((route) => route.route !== "_none" || total(route.requests) > 0);
      keep(box.children[2], routes, (route) => route.route, makeRoute, (row, route) => {
        const rate = rates.of(`route/${one.name}/${route.route}`, total(route.requests));
        const failing = rates.of(`route5/${one.name}/${route.route}`, route.requests["5xx"]);
        say(row.children[2], `${short(rate)}/s`);
        say(row.children[3], failing > 0 ? `${short(failing)}/s 5xx` : "");
      });
    });
}

function makeRoute(route) {
  const name = route.route === "_none" ? "no route" : route.route;
  const links = (route.upstreams ?? []).flatMap((one, place) => {
    const link = element("a", { href: `#upstream-${encodeURIComponent(one)}` }, one);
    return place === 0 ? ["→ ", link] : [", ", link];
  });
  return element("li", {},
    element("span", {}, name), element("span", {}, ...links),
    element("span", { class: "number" }), element("span", { class: "number", "data-level": "bad" }));
}

const COLUMNS = ["Backend", "State", "Requests/s", "Response", "In flight", "Weight", "Why", "Do"];

function makeCard(upstream) {
  const head = COLUMNS.map((name, i) => element("th", { scope: "col", ...(i > 1 && i < 6 ? { class: "number" } : {}) }, name));
  const more = element("button", { type: "button" });
  more.addEventListener("click", () => {
    opened.add(upstream.name);
    tick();
  });
  return element("article", { class: "card", id: `upstream-${encodeURIComponent(upstream.name)}` },
    element("div", {}, element("h3", {}, upstream.name), element("span", { class: "pill" }), element("span", { class: "quiet" })),
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody")), more);
}

function showUpstreams(status, stats, backends) {
  const health = new Map(status.upstreams.map((one) => [one.upstream, one]));
  const wanted = at("filter").value.trim().toLowerCase();
  const of = Map.groupBy ? Map.groupBy(backends, (one) => one.upstream) : grouped(backends);
  keep(at("cards"), stats.upstreams, (one) => one.name, makeCard, (card, upstream) => {
    const [, pill, words] = card.firstElementChild.children;
    const known = health.get(upstream.name);
    pill.dataset.state = known?.status ?? "unknown";
    say(pill, known?.status ?? "unknown");
    say(words, about(upstream, known));
    const fits = (one) => `${one.backend} ${stateOf(one)[1]} ${one.why}`.toLowerCase().includes(wanted);
    const rows = (of.get(upstream.name) ?? []).filter(fits);
    // Those with trouble first.
    rows.sort((a, b) => a.eligible - b.eligible);
    const shown = opened.has(upstream.name) ? rows : rows.slice(0, BACKENDS);
    keep(card.children[1].tBodies[0], shown, (one) => one.backend, makeRow, updateRow);
    card.lastElementChild.hidden = shown.length === rows.length;
    say(card.lastElementChild, `Show all ${rows.length}`);
    card.hidden = wanted !== "" && rows.length === 0;
  });
}

function grouped(backends) {
  const of = new Map();
  for (const one of backends) {
    of.set(one.upstream, [...(of.get(one.upstream) ?? []), one]);
  }
  return of;
}

function about(upstream, known) {
  const facts = [upstream.strategy.replaceAll("_", " "), `${upstream.eligible} of ${upstream.backends} serve`];
  if (upstream.fail_open) {
    facts.push("no backend is known to work, so all are tried");
  }
  if (known?.panic) {
    facts.push("panic: health is disregarded");
  }
  if (known?.breaker) {
    facts.push(`circuit breaker ${typeof known.breaker === "string" ? known.breaker : known.breaker.state}`);
  }
  if (upstream.waiting > 0) {
    facts.push(`${upstream.waiting} requests wait`);
  }
  return facts.join(", ");
}

/** What a backend is, as a colour and in a word. */
function stateOf(one) {
  if (one.admin_state !== "enabled") {
    return [one.eligible ? "waits" : "out", one.admin_state.replace("_", " ")];
  }
  if (one.passive_state !== "ok") {
    return [one.eligible ? "waits" : "out", one.passive_state];
  }
  const word = one.probed_state === "unprobed" ? "in use" : one.probed_state;
  return [one.eligible ? (one.probed_state === "degraded" ? "waits" : "serves") : "out", word];
}

function makeRow(one) {
  const button = (word, what) => {
    const made = element("button", { type: "button", "aria-label": `${word} ${one.backend} of ${one.upstream}` }, word);
    made.addEventListener("click", () => confirm(what(), made.closest("tr").shown, tick));
    return made;
  };
  const drain = button("Drain", () => (row.shown.admin_state === "enabled" ? "drain" : "enable"));
  const weight = button("Weight", () => "weight");
  const number = (label) => element("td", { class: "number", "data-label": label });
  const row = element("tr", {},
    element("td", { class: "name" }, one.backend), element("td", { "data-label": "State" }, element("span", { class: "pill" })),
    number("Requests/s"), number("Response"), number("In flight"), number("Weight"),
    element("td", { class: "why" }), element("td", {}, element("span", { class: "actions" }, drain, weight)));
  return row;
}

function updateRow(row, one) {
  row.shown = one;
  const cells = row.children;
  const [colour, word] = stateOf(one);
  const pill = cells[1].firstElementChild;
  pill.dataset.state = colour;
  say(pill, word);
  say(cells[2], short(rates.of(`backend/${one.upstream}/${one.backend}`, total(one.attempts))));
  say(cells[3], total(one.attempts) > 0 ? time(one.response_time_seconds) : "–");
  say(cells[4], short(one.in_flight));
  say(cells[5], one.share < 1 ? `${one.weight} × ${Math.round(one.share * 100)} %` : `${one.weight}`);
  say(cells[6], one.why);
  const [drain] = cells[7].firstElementChild.children;
  const turn = one.admin_state === "enabled" ? "Drain" : "Enable";
  say(drain, turn);
  drain.setAttribute("aria-label", `${turn} ${one.backend} of ${one.upstream}`);
}

function showEvents() {
  at("no-events").hidden = events.length > 0;
  keep(at("events"), events, (one) => `${one.number} ${one.at}`,
    (one) => {
      const of = one.backend ? `${one.upstream}/${one.backend}` : (one.upstream ?? "");
      const next = one.next ? `; then: ${one.next}` : "";
      return element("li", {}, element("time", { datetime: one.at, title: one.at }, one.at.slice(11, 19)),
        element("p", {}, element("strong", {}, one.kind), `${of && ` ${of}`}: ${one.cause}`, element("span", { class: "quiet" }, ` (${one.actor}${next})`)));
    },
    () => {});
}

async function askEvents() {
  const news = (await read(`/events?since=${lastEvent}`)).events;
  if (news.length > 0) {
    // The clock of a process before may have been ahead.
    const before = news[0].number > lastEvent ? events : [];
    lastEvent = news[news.length - 1].number;
    events = [...news.reverse(), ...before].slice(0, EVENTS);
  }
}

async function tick() {
  if (asking || document.hidden) {
    return;
  }
  asking = true;
  try {
    const [status, stats, list, overrides, revisions] = await Promise.all(
      [read("/status"), read("/load-balancer/stats"), read("/load-balancer/backends"), read("/overrides"), read("/config/revisions"), askEvents()]);
    rates.begin(performance.now() / 1000);
    const { perClass, shown } = figures(stats, list.backends);
    showState(status);
    showFigures(shown);
    showListeners(status, stats);
    showUpstreams(status, stats, list.backends);
    showTraffic(perClass);
    showOverrides(overrides);
    showRevisions(revisions);
    showEvents();
    at("trouble").hidden = true;
  } catch (error) {
    const needed = error.status === 401;
    at("sign-in").hidden = !needed;
    at("trouble").hidden = false;
    say(at("trouble"), `${error.message}. What is shown is from before.`);
    at("state").firstElementChild.dataset.state = "unknown";
  }
  asking = false;
}

wire();
at("sign-in").addEventListener("click", () => at("token").showModal());
at("token").addEventListener("close", () => {
  const field = at("token").querySelector("input");
  if (at("token").returnValue === "yes") {
    keepToken(field.value);
    at("sign-in").hidden = true;
    tick();
  }
  field.value = "";
});
at("filter").addEventListener("input", () => tick());
document.addEventListener("visibilitychange", tick);
setInterval(tick, EVERY_MS);
tick();
