// What is asked of the admin API, with the token of who asks.

const API = "/api/v1/ha";
const KEPT = "plimsoll-token";

/** An answer that is not what was asked for; `status` is 0 where there was none at all. */
export class Refused extends Error {
  constructor(status, told) {
    super(told);
    this.status = status;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

function fields(more) {
  const token = sessionStorage.getItem(KEPT);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(API + path, { ...options, signal: AbortSignal.timeout(10_000) });
  } catch (error) {
    throw new Refused(0, "Plimsoll does not answer");
  }
  const text = await answer.text();
  let said = null;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Refused(answer.status, `an answer that is no JSON (status ${answer.status})`);
  }
  if (!answer.ok) {
    throw new Refused(answer.status, said.detail ?? said.title ?? `status ${answer.status}`);
  }
  return said;
}

/** Reads a path below the API. */
export function read(path) {
  return ask(path, { headers: fields({}) });
}

/** Changes a backend, named `UPSTREAM/BACKEND`: its weight or its state. */
export function change(id, words) {
  return ask(`/load-balancer/backends/${encodeURIComponent(id)}`, {
    method: "PATCH",
    headers: fields({ "Content-Type": "application/json" }),
    body: JSON.stringify(words),
  });
}
