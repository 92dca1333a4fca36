// The configurations that were in force, and what the present one has to prove.

import { element, keep, moment, say } from "./draw.js";

/** Revisions that are shown at most. */
const SHOWN = 10;

const at = (id) => document.getElementById(id);

function proves(probation) {
  const back = `Revision ${probation.revision} goes back to ${probation.back_to}`;
  const ways = [];
  if (probation.guard_until) {
    ways.push(`if it does harm before ${moment(probation.guard_until)}`);
  }
  if (probation.confirm_until) {
    ways.push(`unless it is confirmed before ${moment(probation.confirm_until)}`);
  }
  const stuck = probation.not_reverted ? ` It should have gone back and cannot: ${probation.not_reverted}` : "";
  return `${back} ${ways.join(", and ")} (UTC).${stuck}`;
}

/** Shows what `/config/revisions` tells. */
export function showRevisions(list) {
  at("probation").hidden = !list.probation;
  say(at("probation"), list.probation ? proves(list.probation) : "");
  keep(at("revisions"), list.revisions.slice(0, SHOWN), (one) => `${one.revision} ${one.at}`,
    (one) => element("li", {}, element("time", { datetime: one.at }, moment(one.at)),
      element("p", {}, element("strong", {}, `revision ${one.revision}`), ` by ${one.author}${one.reason ? `: ${one.reason}` : ""}`,
        element("span", { class: "quiet" }, ` (${one.origin.replace("_", " ")}, ${one.hash.slice(0, 8)})`), element("span", { class: "pill" }))),
    (row, one) => {
      const pill = row.lastElementChild.lastElementChild;
      const runs = one.revision === list.running;
      pill.hidden = !runs;
      pill.dataset.state = list.probation ? "waits" : "serves";
      say(pill, runs ? (list.probation ? "on probation" : "in force") : "");
    });
}
