// What stands beside the work: guideline, examples, comments, versions of the draft, in one drawer with tabs.

import { api, ApiError } from "../api.js";
import { Comments } from "./panels-comments.js";
import { Versions } from "./panels-versions.js";
import { element, recordNodes } from "./panels-text.js";
import { refs, settings, text } from "./page.js";

export class Panels {
  /** `claim()` is the one on the page; `take(version, body)` puts an earlier version there. */
  constructor({ claim, take }) {
    this.claim = claim;
    this.tabs = [...refs.drawerTabs.querySelectorAll("[role=tab]")];
    this.comments = new Comments(claim);
    this.versions = refs.drafts ? new Versions({ claim, take }) : null;
    this.examplesLoaded = false;
    this.opener = null;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.open(tab.id.slice(4)));
    refs.drawerTabs.addEventListener("keydown", (event) => this.#arrows(event));
    refs.drawerClose.addEventListener("click", () => this.close());
    this.buttons = { guideline: refs.guidelineButton, comments: refs.commentsButton, drafts: refs.versionsButton };
    for (const [name, button] of Object.entries(this.buttons)) button?.addEventListener("click", () => this.toggle(name));
    refs.guidelineSearch.addEventListener("input", () => this.#search());
    refs.guidelineSearch.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.#nextHit();
    });
  }

  get shown() {
    if (refs.drawer.hidden) return "";
    return this.tabs.find((tab) => tab.getAttribute("aria-selected") === "true")?.id.slice(4) || "";
  }

  toggle(name) {
    if (this.shown === name) this.close();
    else this.open(name, true);
  }

  open(name, focus = false) {
    if (refs.drawer.hidden) this.opener = document.activeElement;
    refs.drawer.hidden = false;
    for (const tab of this.tabs) {
      const on = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
    for (const [key, button] of Object.entries(this.buttons)) button?.setAttribute("aria-expanded", String(key === name));
    if (name === "comments") this.comments.load();
    if (name === "drafts") this.versions?.load();
    if (name === "examples") this.#examples();
    if (focus) (name === "guideline" ? refs.guidelineSearch : name === "comments" ? refs.commentText : this.#tab(name)).focus();
  }

  #tab(name) {
    return this.tabs.find((tab) => tab.id === `tab-${name}`);
  }

  close() {
    if (refs.drawer.hidden) return false;
    const inside = refs.drawer.contains(document.activeElement);
    refs.drawer.hidden = true;
    for (const button of Object.values(this.buttons)) button?.setAttribute("aria-expanded", "false");
    if (inside) this.opener?.focus?.({ preventScroll: true });
    return true;
  }

  /** Another clip: what belongs to the one before goes. */
  cleared() {
    this.comments.clear();
    this.versions?.clear();
    if (["comments", "drafts"].includes(this.shown)) this.close();
  }

  #arrows(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.tabs[(this.tabs.indexOf(document.activeElement) + step + this.tabs.length) % this.tabs.length];
    this.open(next.id.slice(4));
    next.focus();
  }

  /** Mark what was searched for; Enter goes from one place to the next. */
  #search() {
    for (const mark of refs.guideline.querySelectorAll("mark")) mark.replaceWith(mark.textContent);
    refs.guideline.normalize();
    const wanted = refs.guidelineSearch.value.trim().toLowerCase();
    const hits = [];
    const walker = document.createTreeWalker(refs.guideline, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (wanted && walker.nextNode()) texts.push(walker.currentNode);
    for (let node of texts) {
      for (let at = node.data.toLowerCase().indexOf(wanted); at >= 0; at = node.data.toLowerCase().indexOf(wanted)) {
        const found = node.splitText(at);
        node = found.splitText(wanted.length);
        const mark = document.createElement("mark");
        found.replaceWith(mark);
        mark.append(found);
        hits.push(mark);
      }
    }
    this.hits = hits;
    this.hit = 0;
    refs.guidelineFound.textContent = wanted ? text.found.replace("%s", hits.length) : "";
    hits[0]?.scrollIntoView({ block: "center" });
  }

  #nextHit() {
    if (!this.hits?.length) return;
    this.hit = (this.hit + 1) % this.hits.length;
    this.hits[this.hit].scrollIntoView({ block: "center" });
  }

  async #examples() {
    if (this.examplesLoaded) return;
    try {
      const { data } = await api("GET", `${settings.api}/corpora/${settings.corpus}/examples/`);
      this.examplesLoaded = true;
      const found = data.results.map(({ clip, note, record }) => {
        const box = element("article", "example");
        box.append(element("h3", "", clip));
        if (note) box.append(element("p", "notice notice--info small", note));
        box.append(...recordNodes(record));
        return box;
      });
      refs.examples.replaceChildren(...(found.length ? found : [element("p", "muted", text.noExamples)]));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refs.examples.replaceChildren(element("p", "field-error", error.message || text.offline));
    }
  }
}
