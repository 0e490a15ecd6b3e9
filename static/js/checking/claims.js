// Claims: the one at work, the one ahead of it, and the lease that keeps them.

import { api, ApiError, untilAnswered } from "../api.js";
import { banner, refs, settings, show, text } from "./page.js";

const LEASE_MS = Number(settings.lease || 1800) * 1000;
const SETTLED_MS = 800; // the present clip loads first

const ask = (kind, ahead) =>
  api("POST", `${settings.api}/corpora/${settings.corpus}/claims/`, { body: ahead ? { kind, ahead } : { kind }, within: 20 });

/** The claim that I hold or the next one; null when nothing is left. Waits out a server that is away. */
export async function claimNext(kind) {
  if (refs.empty.hidden) show("loading");
  const { status, data, etag } = await untilAnswered(
    () => ask(kind, false),
    () => banner("offline", text.offline),
  );
  banner("offline", null);
  return status === 204 || !data ? null : { claim: data, etag };
}

/** Why no claim was given, with what one can do about it. */
export function claimRefused(error) {
  if (!(error instanceof ApiError)) throw error;
  const title = { "terms-not-accepted": text.termsFirst, "not-qualified": text.notQualified }[error.code];
  refs.failedTitle.textContent = title || text.notFetched;
  refs.failedText.textContent = error.status === 401 ? error.away(text.signedOut) : error.message;
  refs.terms.hidden = error.code !== "terms-not-accepted";
  refs.retry.classList.toggle("btn--primary", refs.terms.hidden);
  show("failed");
}

/** While nothing is left, look again every half minute, as long as somebody looks at the page. */
export function watchEmpty(next) {
  setInterval(() => {
    if (!refs.empty.hidden && !document.hidden) next();
  }, 30000);
}

/** The claim after this one, asked for while one works, so that the switch needs no request. Nobody renews it: who is
 * away for long leaves it to the others. */
export class Ahead {
  /** `media(clip)` loads the next clip's media ahead of its being shown. */
  constructor(kind, { media }) {
    Object.assign(this, { kind, media });
    this.held = null;
    this.timer = null;
    this.round = 0;
  }

  /** Look ahead of `claim` once the page has settled. */
  start(claim) {
    clearTimeout(this.timer);
    const round = ++this.round;
    this.timer = setTimeout(async () => {
      try {
        const { status, data, etag } = await ask(this.kind, true);
        if (round !== this.round || status === 204 || !data || data.id === claim.id) return;
        this.held = { claim: data, etag, at: Date.now() };
        this.media(data.clip);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error; // the next clip is asked for again when it is wanted
      }
    }, SETTLED_MS);
  }

  /** `{claim, etag, at}` that is held, if its lease has a while to go; null otherwise. */
  take() {
    clearTimeout(this.timer);
    this.round += 1;
    const { held } = this;
    this.held = null;
    return held && Date.now() - held.at < LEASE_MS * 0.8 ? held : null;
  }
}

/** Renews the lease when nothing else has for half of its length, `at` the time of the claim; `onLost` is told once
 * when it cannot be, `onKept` each time that it was. */
export class Lease {
  constructor(claim, { at = Date.now(), onLost, onKept = () => {} }) {
    Object.assign(this, { claim, at, onLost, onKept }); // Date.now() goes on while the computer sleeps
    this.timer = setInterval(() => this.look(), Math.min(LEASE_MS / 8, 30000));
    this.awake = () => document.hidden || this.look();
    document.addEventListener("visibilitychange", this.awake);
  }

  /** The server has just extended it, as with a saved draft. */
  signed() {
    this.at = Date.now();
  }

  async look() {
    if (Date.now() - this.at < LEASE_MS / 2) return;
    await this.renew();
  }

  async renew() {
    try {
      const { data } = await api("POST", `${settings.api}/claims/${this.claim.id}/renew/`);
      if (data?.lease_end) this.claim.lease_end = data.lease_end;
      this.signed();
      this.onKept();
      banner("lease", null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if ([403, 404, 409, 410].includes(error.status) && !error.signedOut) {
        this.end();
        this.onLost(error);
      }
    }
  }

  end() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.awake);
  }
}
