// How fast counters grow.

/** Rates between the last two times that counters were read. */
export class Rates {
  #before = new Map();
  #now = new Map();
  #beforeAt = null;
  #nowAt = null;

  /** The counters that follow were read now, in seconds. */
  begin(now) {
    this.#before = this.#now;
    this.#now = new Map();
    this.#beforeAt = this.#nowAt;
    this.#nowAt = now;
  }

  /** Whether there is a time before to compare with. */
  get known() {
    return this.#beforeAt !== null;
  }

  /** Growth per second of the counter of that name; 0 for one that is new or began anew. */
  of(name, count) {
    this.#now.set(name, count);
    const before = this.#before.get(name);
    const passed = this.#nowAt - this.#beforeAt;
    if (before === undefined || this.#beforeAt === null || passed <= 0) {
      return 0;
    }
    return Math.max(0, count - before) / passed;
  }
}
