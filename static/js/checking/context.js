// The clips before and after this one in the same source, shown in the picture's place and named as what they are.

import { api, ApiError } from "../api.js";

export class Context {
  /** `address()` is the claim's REST address, or null. `seen` says which of the two were looked at; `onSeen(which)`. */
  constructor(refs, { player, address }) {
    Object.assign(this, { refs, player, address, found: null, at: null });
    this.seen = { previous: false, next: false };
    this.onSeen = () => {};
    this.words = JSON.parse(document.getElementById("work-text").textContent);
    refs.contextPrevious.addEventListener("click", () => this.toggle("previous"));
    refs.contextNext.addEventListener("click", () => this.toggle("next"));
    refs.contextClose.addEventListener("click", () => this.close());
    player.on("load", (clip) => this.#forget(clip));
  }

  #forget(clip) {
    this.close();
    this.found = null;
    this.seen = { previous: false, next: false };
    this.refs.contextBar.hidden = Boolean(this.player.mode) || !clip.source;
    for (const button of this.#buttons()) button.disabled = false;
  }

  #buttons() {
    return [this.refs.contextPrevious, this.refs.contextNext];
  }

  /** Show one of the two, or the clip again. */
  async toggle(which) {
    if (this.at === which) return this.close();
    const { clip } = this.player;
    const address = this.address();
    if (!clip || !address || this.refs.contextBar.hidden) return;
    this.player.pause();
    if (!this.found) {
      try {
        this.found = (await api("GET", `${address}context/`)).data;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return this.#say(error.message || this.words.contextFailed);
      }
    }
    if (clip !== this.player.clip) return;
    for (const [name, button] of [["previous", this.refs.contextPrevious], ["next", this.refs.contextNext]]) {
      button.disabled = !this.found[name];
      button.title = this.found[name] ? "" : this.words.contextNone;
    }
    const other = this.found[which];
    if (other) this.#show(which, other);
    else this.#say(this.words.contextNone);
  }

  #say(message) {
    this.close();
    this.refs.contextNote.textContent = message;
  }

  #show(which, other) {
    const { refs, words, player } = this;
    this.close();
    this.at = which;
    refs.contextTitle.textContent = which === "previous" ? words.contextPrevious : words.contextNext;
    refs.contextName.textContent = other.name;
    refs.contextWords.textContent = [other.subtitle.zh, other.subtitle.en].filter(Boolean).join(" · ");
    const url = other.media.video || other.media.audio;
    if (url) {
      const media = document.createElement(other.media.video ? "video" : "audio");
      Object.assign(media, { controls: true, playsInline: true, preload: "auto", src: url });
      if (other.media.poster && other.media.video) media.poster = other.media.poster;
      media.addEventListener("playing", () => this.#saw(which));
      refs.contextMedia.replaceChildren(media);
      player.instead = media;
    } else {
      const note = document.createElement("p");
      note.textContent = words.contextNoMedia;
      refs.contextMedia.replaceChildren(note);
      this.#saw(which); // its words are all there is
    }
    refs.context.hidden = false;
    this.#press();
    refs.announce.textContent = `${refs.contextTitle.textContent} ${other.name}`;
    if (url) player.toggle();
  }

  #saw(which) {
    this.seen[which] = true;
    this.onSeen(which);
  }

  close() {
    const { refs, player } = this;
    player.instead?.pause();
    player.instead = null;
    this.at = null;
    refs.contextNote.textContent = "";
    refs.contextMedia.replaceChildren();
    refs.context.hidden = true;
    this.#press();
  }

  #press() {
    this.refs.contextPrevious.setAttribute("aria-pressed", String(this.at === "previous"));
    this.refs.contextNext.setAttribute("aria-pressed", String(this.at === "next"));
  }
}
