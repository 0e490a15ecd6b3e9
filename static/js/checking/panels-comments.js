// The thread of the clip: read, write, say that a remark is dealt with. What one has begun to write stays.

import { api, ApiError } from "../api.js";
import { announce, busy, refs, settings, text } from "./page.js";
import { element } from "./panels-text.js";

export class Comments {
  constructor(claim) {
    this.claim = claim;
    this.busy = false;
    refs.commentForm.addEventListener("submit", (event) => {
      event.preventDefault();
      this.write();
    });
    refs.commentText.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
      event.preventDefault(); // here it sends the remark, not the clip
      this.write();
    });
    refs.commentText.addEventListener("input", () => this.#keep());
  }

  get key() {
    return `comment:${settings.user}:${this.claim()?.clip.id}`;
  }

  #keep() {
    try {
      if (refs.commentText.value) localStorage.setItem(this.key, refs.commentText.value);
      else localStorage.removeItem(this.key);
    } catch {
      // It still stands in the field.
    }
  }

  clear() {
    refs.thread.replaceChildren();
    refs.commentError.hidden = true;
    refs.commentText.value = "";
  }

  async load() {
    try {
      refs.commentText.value ||= localStorage.getItem(this.key) || "";
    } catch {
      // Nothing was kept.
    }
    await this.#call("GET", `/clips/${this.claim().clip.id}/comments/`);
  }

  async write() {
    if (this.busy || !refs.commentText.value.trim()) return;
    this.busy = true;
    busy(refs.commentSend, true);
    const sent = await this.#call("POST", `/clips/${this.claim().clip.id}/comments/`, { text: refs.commentText.value });
    this.busy = false;
    busy(refs.commentSend, false);
    if (!sent) return;
    refs.commentText.value = "";
    this.#keep();
    refs.thread.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  async #call(method, path, body) {
    const { id } = this.claim().clip;
    refs.commentError.hidden = true;
    try {
      const { data } = await api(method, settings.api + path, { body });
      if (this.claim()?.clip.id === id) this.#draw(data.results);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refs.commentError.textContent = error.status ? error.message : text.offline;
      refs.commentError.hidden = false;
      return false;
    }
  }

  #draw(remarks) {
    const language = document.documentElement.lang;
    refs.thread.replaceChildren(
      ...remarks.map((remark) => {
        const item = element("li", remark.resolved_at ? "remark is-resolved" : "remark");
        const head = element("div", "remark-head");
        head.append(element("strong", "", remark.mine ? text.you : remark.author));
        head.append(element("span", "", text.roles[remark.role] || remark.role));
        head.append(element("time", "", new Date(remark.created_at).toLocaleString(language)));
        if (remark.resolved_at) head.append(element("span", "badge badge--ok", text.resolved));
        if (remark.may_resolve) {
          const button = element("button", "btn btn--ghost btn--sm", remark.resolved_at ? text.reopen : text.resolve);
          button.type = "button";
          button.addEventListener("click", async () => {
            const done = await this.#call("POST", `/comments/${remark.id}/resolve/`, { resolved: !remark.resolved_at });
            if (done) announce(button.textContent);
          });
          head.append(button);
        }
        item.append(head, element("p", "pre-line", remark.text));
        return item;
      }),
    );
    if (!remarks.length) refs.thread.append(element("li", "muted", text.noComments));
  }
}
