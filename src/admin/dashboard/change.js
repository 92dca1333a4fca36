// Changes by hand: asked for, confirmed, made.

import { change, Refused } from "./api.js";
import { say } from "./draw.js";

const at = (id) => document.getElementById(id);

/** What can be done with a backend: the question, the effect, and what is asked of the API. */
const DEEDS = {
  drain: {
    title: (id) => `Drain ${id}?`,
    effect: (one) => `It gets no new requests; the ${one.in_flight} in flight finish.`,
    words: () => ({ state: "draining" }),
  },
  enable: {
    title: (id) => `Enable ${id}?`,
    effect: () => "It gets requests again, as far as its health allows.",
    words: () => ({ state: "enabled" }),
  },
  weight: {
    title: (id) => `Weight of ${id}`,
    effect: (one) => `Its share of the requests, relative to the others'; now ${one.weight}. With 0 it gets none.`,
    words: (form) => ({ weight: Number(form.weight.value) }),
  },
};

let wanted = null;

/** Asks whether it shall be done; `then` is called when it was. */
export function confirm(what, backend, then) {
  const deed = DEEDS[what];
  const id = `${backend.upstream}/${backend.backend}`;
  wanted = { deed, id, then };
  say(at("change-title"), deed.title(id));
  say(at("change-effect"), deed.effect(backend));
  say(at("change-trouble"), "");
  const form = at("change").querySelector("form");
  form.reset();
  const weighs = what === "weight";
  at("change-weight").hidden = !weighs;
  form.weight.disabled = !weighs;
  form.weight.value = backend.weight;
  at("change").showModal();
}

async function submit(event) {
  const form = event.target;
  if (event.submitter?.value !== "yes") {
    return;
  }
  event.preventDefault();
  const words = { ...wanted.deed.words(form), reason: form.reason.value };
  if (form.lasts.value) {
    words.expires_in_seconds = Number(form.lasts.value);
  }
  try {
    await change(wanted.id, words);
    at("change").close("yes");
    wanted.then();
  } catch (error) {
    if (!(error instanceof Refused)) {
      throw error;
    }
    say(at("change-trouble"), error.message);
    at("sign-in").hidden = ![401, 403].includes(error.status);
  }
}

/** Makes the dialogue work. */
export function wire() {
  at("change").querySelector("form").addEventListener("submit", submit);
}
