// Handing in, once: a submission has one key for one content, and both lie in localStorage until the server has
// answered, so that neither a lost answer, nor an impatient finger, nor a reload in between makes two of it.

import { api, ApiError, newKey, untilAnswered } from "../api.js";
import { local } from "../store.js";
import { canonical } from "./saver.js";

const PREFIX = "submit:";
const ANSWER_S = 30; // a line that is dead without saying so is a lost one

function store(name, value) {
  if (value === null) local.removeItem(name);
  else local.setItem(name, JSON.stringify(value));
}

export class Submission {
  /** `base` is the API's address; `user` and `corpus` say whose it is and where. */
  constructor({ base, user, corpus }) {
    Object.assign(this, { base, user, corpus });
    this.intention = null; // {claim, key, said, body}
  }

  #name(claim) {
    return `${PREFIX}${this.user}:${this.corpus}:${claim}`;
  }

  /** What an earlier visit handed in without hearing of it: `[{claim, key, body}]`. */
  left() {
    const start = `${PREFIX}${this.user}:${this.corpus}:`;
    const found = [];
    for (const name of local.keys().filter((key) => key.startsWith(start))) {
      try {
        const { claim, key, body } = JSON.parse(local.getItem(name));
        if (claim && key && body) found.push({ claim, key, body });
      } catch {
        store(name, null);
      }
    }
    return found;
  }

  /** Hand in `body` for `claim`; the same content again is the same act, with the bytes of the first time. */
  async send(claim, body, onWait) {
    const said = canonical(body);
    if (this.intention?.claim !== claim || this.intention.said !== said) {
      this.intention = { claim, key: newKey(), said, body };
    }
    store(this.#name(claim), this.intention);
    return this.deliver(this.intention, onWait);
  }

  /** Until it is answered. A refusal is an answer: what was refused is no longer under way. */
  async deliver({ claim, key, body }, onWait) {
    const url = `${this.base}/claims/${claim}/submit/`;
    try {
      const { data } = await untilAnswered(
        () => api("POST", url, { body, headers: { "Idempotency-Key": key }, within: ANSWER_S }),
        onWait,
      );
      store(this.#name(claim), null);
      return data;
    } catch (error) {
      if (error instanceof ApiError && !error.signedOut) store(this.#name(claim), null);
      throw error;
    }
  }
}
