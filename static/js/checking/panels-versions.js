// Earlier versions of the draft: look at one, take it back. Taking one is a step that undo takes back in turn.

import { api, ApiError } from "../api.js";
import { announce, refs, settings, text } from "./page.js";
import { element, recordNodes } from "./panels-text.js";

export class Versions {
  constructor({ claim, take }) {
    Object.assign(this, { claim, take });
    refs.draftsMore.addEventListener("click", () => this.#rows(refs.draftsMore.dataset.next));
  }

  clear() {
    refs.drafts.replaceChildren();
    refs.draftShown.hidden = true;
    refs.draftsMore.hidden = true;
  }

  async load() {
    this.clear();
    await this.#rows(`${settings.api}/claims/${this.claim().id}/drafts/`);
  }

  async #rows(url) {
    const data = await this.#get(url);
    if (!data) return;
    const language = document.documentElement.lang;
    for (const row of data.results) {
      const item = element("li", "");
      const button = element("button", "btn btn--ghost btn--sm");
      button.type = "button";
      const when = new Date(row.saved_at).toLocaleTimeString(language);
      button.append(element("span", "", text.versionAt.replace("%1", row.version).replace("%2", when)));
      button.append(element("span", "muted", text.draftFacts.replace("%1", row.clues).replace("%2", row.characters)));
      button.addEventListener("click", () => this.#show(row.version));
      item.append(button);
      refs.drafts.append(item);
    }
    if (!refs.drafts.children.length) refs.drafts.append(element("li", "muted", text.noDrafts));
    refs.draftsMore.hidden = !data.next;
    // The address as this page reaches it, whatever name the server knows itself by.
    if (data.next) refs.draftsMore.dataset.next = new URL(data.next).pathname + new URL(data.next).search;
  }

  async #show(version) {
    const data = await this.#get(`${settings.api}/claims/${this.claim().id}/drafts/${version}/`);
    if (!data) return;
    const button = element("button", "btn btn--primary btn--sm", text.takeVersion);
    button.type = "button";
    button.addEventListener("click", () => {
      this.take(data.body);
      announce(text.versionTaken.replace("%s", version));
    });
    refs.draftShown.replaceChildren(...recordNodes(data.body), button);
    refs.draftShown.hidden = false;
    button.focus();
  }

  async #get(url) {
    const { id } = this.claim();
    try {
      const { data } = await api("GET", url);
      return this.claim()?.id === id ? data : null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refs.draftShown.replaceChildren(element("p", "field-error", error.status ? error.message : text.offline));
      refs.draftShown.hidden = false;
      return null;
    }
  }
}
