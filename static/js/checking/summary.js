// A proposal for the description: a summary that streams in while the model writes it, or a translation. It stands
// beside what is there and takes its place only when somebody says so: whole, or sentence by sentence.

import { api, ApiError } from "../api.js";
import { diffNodes } from "./diff.js";
import { split } from "./text-sentences.js";

const LANGUAGES = ["zh", "en"];
const REACHED_MS = 5000; // a stream that has not opened by then is not to be reached
const BROKEN = 5; // connections lost one after the other, without a word in between

/**
 * Read a stream. `on.text(language, piece)` for what comes, then `on.result(summary)`, or `on.failed(detail)`;
 * `on.unreachable()` where nobody answered at all. Returns a function that ends it.
 */
export function readStream(url, on) {
  const source = new EventSource(url, { withCredentials: true });
  let opened = false;
  let broken = 0;
  const end = () => {
    clearTimeout(timer);
    source.close();
  };
  const timer = setTimeout(() => {
    end();
    on.unreachable();
  }, REACHED_MS);
  source.addEventListener("open", () => {
    opened = true;
    clearTimeout(timer);
  });
  const hear = (name, action) =>
    source.addEventListener(name, (event) => {
      broken = 0;
      action(JSON.parse(event.data));
    });
  hear("text", ({ language, text }) => on.text(language, text));
  hear("result", (summary) => {
    end();
    on.result(summary);
  });
  hear("failed", ({ detail, code }) => {
    end();
    on.failed(detail, code);
  });
  source.addEventListener("error", () => {
    broken += 1;
    if (!opened) {
      end();
      on.unreachable();
    } else if (source.readyState === EventSource.CLOSED || broken > BROKEN) {
      end();
      on.failed("");
    }
  });
  return end;
}

export class Proposal {
  /**
   * `refs` are the page's; `url(rest)` an address below the claim's, `body()` what is said so far. `present(language)`
   * is the text that stands there, `accept(proposal)` puts one in its place, `addLabel(language, word)` adds a label,
   * `append(language, sentence)` a sentence.
   */
  constructor(refs, { text, url, body, present, accept, addLabel, append }) {
    Object.assign(this, { refs, text, url, body, present, accept, addLabel, append });
    this.end = null;
    refs.proposalAccept.addEventListener("click", () => this.#take());
    refs.proposalDismiss.addEventListener("click", () => this.close());
    refs.proposal.addEventListener("click", (event) => {
      const sentence = event.target.closest("[data-append]");
      const label = event.target.closest("[data-add-label]");
      if (sentence) this.append(sentence.dataset.language, sentence.dataset.append);
      if (label) this.addLabel(label.dataset.language, label.dataset.addLabel);
      if (sentence || label) this.#draw();
    });
  }

  get open() {
    return !this.refs.proposal.hidden;
  }

  /** Close it; a call under way ends with it. */
  close() {
    this.end?.();
    this.end = null;
    const inside = this.refs.proposal.contains(document.activeElement);
    this.refs.proposal.hidden = true;
    this.#busy(false);
    if (inside) (this.refs.summarise || this.refs.descriptionEn).focus();
  }

  /** Ask for a summary of the clues as they are checked now. */
  async summarise() {
    if (this.end) return;
    const asked = (this.asked = Symbol("summary"));
    const mine = () => this.asked === asked && this.open;
    this.#begin(this.text.summaryWriting);
    this.end = () => (this.asked = null);
    try {
      const { data } = await api("POST", this.url("summaries/"), { body: this.body() });
      if (!mine()) return;
      if (data.result) return this.#done(data.result);
      const address = `${this.refs.proposal.dataset.streams}/stream/summaries/${data.id}/`;
      this.end = readStream(address, {
        text: (language, piece) => mine() && this.#piece(language, piece),
        result: (summary) => mine() && this.#done(summary),
        failed: (detail) => mine() && this.#failed(detail || this.text.streamLost),
        unreachable: () => mine() && this.#plainly(mine),
      });
    } catch (error) {
      this.#error(error, mine);
    }
  }

  /** Without streams: the whole answer at once. */
  async #plainly(mine) {
    this.end = () => (this.asked = null);
    try {
      const { data } = await api("POST", this.url("summarise/"), { body: this.body() });
      if (mine()) this.#done(data);
    } catch (error) {
      this.#error(error, mine);
    }
  }

  #error(error, mine) {
    if (!(error instanceof ApiError)) throw error;
    if (mine()) this.#failed(error.message || this.text.offline, error.code === "not-configured");
  }

  /** Show a translation into `language` beside what stands there. */
  async translate(from, to, text, onPlain) {
    if (this.end) return;
    const asked = (this.asked = Symbol("translation"));
    const mine = () => this.asked === asked && this.open;
    this.#begin(this.text.translating.replace("%s", this.text.languages[to]));
    this.end = () => (this.asked = null);
    try {
      const { data } = await api("POST", this.url("translate/"), { body: { from, to, text } });
      if (!mine()) return;
      const proposal = { description: { [from]: "", [to]: data.text }, source: "translation", note: data.model };
      if (onPlain(data.text)) this.close();
      else this.#done(proposal);
    } catch (error) {
      this.#error(error, mine);
    }
  }

  #begin(status) {
    const { refs } = this;
    this.proposal = { description: { zh: "", en: "" }, ov_labels: { zh: [], en: [] } };
    this.finished = false;
    refs.proposal.hidden = false;
    refs.proposalNote.hidden = true;
    refs.proposalStatus.textContent = status;
    refs.proposalAccept.hidden = true;
    refs.proposalDismiss.textContent = this.text.stop;
    this.#busy(true);
    this.#draw();
    refs.proposal.scrollIntoView({ block: "nearest" });
  }

  #busy(on) {
    this.refs.proposal.setAttribute("aria-busy", String(on));
    for (const button of [this.refs.summarise, this.refs.translate]) if (button) button.disabled = on;
  }

  #piece(language, piece) {
    this.proposal.description[language] += piece;
    this.#draw();
  }

  #done(proposal) {
    const { refs, text } = this;
    this.end = null;
    this.proposal = proposal;
    this.finished = true;
    this.#busy(false);
    refs.proposalStatus.textContent = text.sources[proposal.source] || proposal.source || "";
    refs.proposalNote.textContent = (proposal.source !== "translation" && proposal.note) || "";
    refs.proposalNote.hidden = !refs.proposalNote.textContent;
    refs.proposalAccept.hidden = false;
    refs.proposalDismiss.textContent = text.dismiss;
    this.#draw();
    const focus = document.activeElement;
    if (!focus || focus === document.body || focus === refs.summarise || focus === refs.translate || focus.matches(".clue")) {
      refs.proposalAccept.focus({ preventScroll: true });
    }
    refs.proposal.scrollIntoView({ block: "nearest" });
  }

  #failed(detail, isHint = false) {
    const { refs } = this;
    this.end = null;
    this.asked = null;
    this.#busy(false);
    refs.proposalStatus.textContent = isHint ? "" : this.text.summaryFailed;
    refs.proposalNote.textContent = detail;
    refs.proposalNote.hidden = false;
    refs.proposalDismiss.textContent = this.text.dismiss;
    this.proposal = { description: {}, ov_labels: {} };
    this.#draw();
    const focus = document.activeElement;
    if (!focus || focus === document.body) refs.proposalDismiss.focus({ preventScroll: true });
  }

  #take() {
    const { proposal } = this;
    this.close();
    this.accept(proposal);
  }

  #draw() {
    const { refs, proposal, finished } = this;
    const blocks = [];
    for (const language of LANGUAGES) {
      const written = proposal.description?.[language] || "";
      if (!written) continue;
      const block = document.createElement("div");
      block.className = "proposed";
      block.lang = language === "zh" ? "zh-Hans" : "en";
      const here = this.present(language);
      if (!finished || !here.trim()) block.textContent = written;
      else block.append(diffNodes(here, written, language));
      blocks.push(block);
      if (finished && here.trim()) blocks.push(this.#sentences(language, written, here));
    }
    for (const language of LANGUAGES) {
      const words = proposal.ov_labels?.[language] || [];
      if (finished && words.length) blocks.push(this.#labels(language, words));
    }
    const buttons = () => [...refs.proposalBody.querySelectorAll("button")];
    const at = buttons().indexOf(document.activeElement);
    refs.proposalBody.replaceChildren(...blocks);
    if (at >= 0) (buttons().slice(at).find((button) => !button.disabled) || refs.proposalAccept).focus({ preventScroll: true });
    if (!finished) refs.proposalBody.scrollTop = refs.proposalBody.scrollHeight;
  }

  #button(label, title, data, language) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--sm";
    button.textContent = label;
    button.title = title;
    Object.assign(button.dataset, data, { language });
    return button;
  }

  /** Sentences that are not there yet, each to be taken alone. */
  #sentences(language, written, here) {
    const list = document.createElement("div");
    list.className = "proposed-parts";
    for (const sentence of split(written, language)) {
      if (!here.includes(sentence)) list.append(this.#button(`+ ${sentence}`, this.text.takeSentence, { append: sentence }, language));
    }
    return list;
  }

  #labels(language, words) {
    const list = document.createElement("div");
    list.className = "proposed-parts";
    const there = new Set(this.body().ov_labels[language]);
    for (const word of words) {
      const button = this.#button(`+ ${word}`, this.text.takeLabel, { addLabel: word }, language);
      button.disabled = there.has(word);
      list.append(button);
    }
    return list;
  }
}
