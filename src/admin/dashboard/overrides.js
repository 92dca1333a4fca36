// What operators said beside the configuration, and who said it.

import { element, keep, moment, say } from "./draw.js";

const at = (id) => document.getElementById(id);

/** Each as its kind, the backend, and what was said of it. */
function all(list) {
  const said = (one) => (one.state !== null ? one.state.replace("_", " ") : `weight ${one.weight}`);
  return [
    ...list.removed.map((one) => ["removed", one.backend, "removed", one]),
    ...list.added.map((one) => ["added", one.address, `added, weight ${one.weight}`, one]),
    ...list.overrides.map((one) => [one.state !== null ? "state" : "weight", one.backend, said(one), one]),
  ];
}

/** Shows what `/overrides` tells; nothing where the configuration alone holds. */
export function showOverrides(list) {
  const rows = all(list);
  at("by-hand").hidden = rows.length === 0;
  keep(at("overrides"), rows, ([kind, backend, , one]) => `${kind} ${one.upstream}/${backend}`,
    () => element("li", {}, element("time"), element("p", {}, element("strong"), element("span"), element("span", { class: "quiet" }))),
    (row, [, backend, what, one]) => {
      const [when, words] = row.children;
      when.setAttribute("datetime", one.since);
      say(when, moment(one.since));
      say(words.children[0], `${one.upstream}/${backend}`);
      say(words.children[1], `: ${what}`);
      const until = one.until ? `, until ${moment(one.until)}` : "";
      say(words.children[2], ` (${one.actor}${one.reason ? `: ${one.reason}` : ""}${until})`);
    });
}
