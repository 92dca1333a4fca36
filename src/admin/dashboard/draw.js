// Elements: made, kept in step with lists, and the chart.

/** An element with these attributes and children; texts are put in as text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** Sets a text, where it is another one: what did not change is not announced again. */
export function say(at, text) {
  if (at.textContent !== text) {
    at.textContent = text;
  }
}

/**
 * Has one child of `parent` for each of `items`, in their order. A child stays the same element as long
 * as its key is there, so that what has the keyboard's focus keeps it.
 */
export function keep(parent, items, keyOf, make, update) {
  const known = new Map();
  for (const child of parent.children) {
    known.set(child.dataset.key, child);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = known.get(key);
    if (child) {
      known.delete(key);
    } else {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(child, place);
    }
    update(child, item);
  }
  for (const gone of known.values()) {
    gone.remove();
  }
}

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

/** A round number at or above `most`: 1, 2 or 5 times a power of ten. */
export function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 5, 10].map((times) => times * power).find((round) => round >= most);
}

/**
 * Bands, one upon the other, over the last `span` seconds. `points` are `{at, values}`, the oldest
 * first, `at` in seconds; `bands` name the class of each value; `width` is that of the place for it, in
 * pixels.
 */
export function chart(points, bands, span, now, width) {
  const [height, left] = [140, 44];
  const sums = points.map((point) => point.values.reduce((sum, value) => sum + value, 0));
  const top = roundUp(Math.max(...sums, 1));
  const x = (at) => left + ((at - now + span) / span) * (width - left);
  const y = (value) => height - 8 - (value / top) * (height - 20);
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const line of [0, top / 2, top]) {
    drawn.append(shape("line", { class: "grid", x1: left, x2: width, y1: y(line), y2: y(line) }));
    drawn.append(shape("text", { x: 2, y: y(line) + 4 }, short(line)));
  }
  const below = points.map(() => 0);
  bands.forEach((band, place) => {
    const lower = points.map((point, i) => `${x(point.at).toFixed(1)},${y(below[i]).toFixed(1)}`);
    points.forEach((point, i) => {
      below[i] += point.values[place];
    });
    const upper = points.map((point, i) => `${x(point.at).toFixed(1)},${y(below[i]).toFixed(1)}`);
    if (points.length > 1) {
      drawn.append(shape("polygon", { class: `band ${band}`, points: [...lower, ...upper.reverse()].join(" ") }));
    }
  });
  return drawn;
}

/** A number in three digits or so. */
export function short(number) {
  if (number >= 999_500) {
    return `${(number / 1e6).toFixed(1)} M`;
  }
  if (number >= 9_950) {
    return `${(number / 1e3).toFixed(0)} k`;
  }
  return number >= 10 || Number.isInteger(number) ? number.toFixed(0) : number.toFixed(1);
}

/** A time in the unit that suits it. */
export function time(seconds) {
  if (seconds < 0.9995) {
    return `${short(seconds * 1000)} ms`;
  }
  const units = [["d", 86_400], ["h", 3_600], ["min", 60]];
  const [unit, long] = units.find(([, long]) => seconds >= 2 * long) ?? ["s", 1];
  return `${short(seconds / long)} ${unit}`;
}

/** A moment (RFC 3339) without what nobody reads of it. */
export function moment(text) {
  return text.slice(0, 19).replace("T", " ");
}
