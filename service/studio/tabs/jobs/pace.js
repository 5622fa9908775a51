/** How fast a job goes, from what was seen of it lately. */

import { doneOf, ended } from "./words.js";

const WINDOW_SECONDS = 60;

export class Pace {
  #seen = []; // [seconds, items done], the oldest first
  #moved = now(); // when something was last done or begun
  #last = "";

  /** Notes how far a job is. */
  note(job) {
    const { queued, running } = job.counts;
    const known = `${doneOf(job)} ${queued} ${running} ${job.round}`;
    if (known !== this.#last) this.#moved = now();
    this.#last = known;
    const done = doneOf(job);
    if (this.#seen.length && done < this.#seen.at(-1)[1]) this.#seen = []; // it was retried
    this.#seen.push([now(), done]);
    while (this.#seen.length > 2 && this.#seen[0][0] < now() - WINDOW_SECONDS) this.#seen.shift();
  }

  /** Seconds for which nothing of it has moved, as far as anybody here has seen. */
  still(job) {
    return ended(job) ? 0 : now() - this.#moved;
  }

  /** Seconds until it has ended if it goes on like this; null if nobody can say yet. */
  left(job) {
    if (!job.listed || this.#seen.length < 2) return null;
    const [since, before] = this.#seen[0];
    const done = doneOf(job) - before;
    const seconds = now() - since;
    if (done < 3 || seconds < 2) return null;
    return ((job.counts.total - doneOf(job)) * seconds) / done;
  }
}

const now = () => performance.now() / 1000;
