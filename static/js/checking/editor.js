// What one says about a clip: clues, description in two languages, OV labels, label. Shared by checking and review.

import { Chips } from "./chips.js";
import { ClueList } from "./clues.js";
import { Proposal } from "./summary.js";
import { Extras } from "./text-extras.js";
import { Sentences } from "./text-sentences.js";
import { Descriptions, otherOf } from "./text.js";
import { Vocabulary } from "./vocabulary.js";

const NOTHING = { description: { zh: "", en: "" }, ov_labels: { zh: [], en: [] } };

export class Editor {
  constructor(refs, { text, player, language, onChange }) {
    this.language = language; // of what one adds, unless one says otherwise
    this.refs = refs;
    this.text = text;
    this.onChange = () => {
      this.#sentences();
      onChange();
    };
    this.readOnly = false;
    this.settings = document.getElementById("work").dataset;
    const changed = () => {
      this.clearErrors(false);
      this.onChange();
    };
    this.clues = new ClueList(refs.clues, refs.clueCard, {
      text,
      player,
      onChange: this.onChange,
    });
    this.descriptions = new Descriptions(refs, { text, onChange: changed });
    const vocabulary = new Vocabulary(`${this.settings.api}/corpora/${this.settings.corpus}/vocabulary/`);
    this.vocabulary = vocabulary;
    const ready = () => Promise.resolve(vocabulary.load()).then(() => this.#pairs());
    const chips = (root, side) =>
      new Chips(root, {
        text,
        scored: true,
        ready,
        search: (typed, items) => vocabulary.search(typed, side, items),
        onChange: () => {
          this.labelsTouched = true;
          this.#pairs();
          changed();
        },
      });
    this.ovZh = chips(refs.ovZh, "zh");
    this.ovEn = chips(refs.ovEn, "en");
    const search = (typed, items) => vocabulary.search(typed, this.settings.language === "zh" ? "zh" : "en", items);
    this.extras = new Extras(refs, { text, onChange: changed, search, ready });
    const strip = (box, field, side) =>
      new Sentences(box, field, side, {
        text,
        cards: () => this.clues.ordered(),
        subtitle: () => this.claim?.subtitle?.[side],
        onPick: (card) => this.clues.activate(card),
      });
    this.strips = [strip(refs.sentencesZh, refs.descriptionZh, "zh"), strip(refs.sentencesEn, refs.descriptionEn, "en")];
    this.proposal = new Proposal(refs, {
      text,
      url: (rest) => `${this.settings.api}/claims/${this.claim.id}/${rest}`,
      body: () => this.value,
      present: (side) => this.descriptions.value[side],
      accept: (proposal) => this.replaceText(proposal),
      addLabel: (side, word) => this.labels(side).add([word]),
      append: (side, sentence) => {
        this.descriptions.append(side, sentence);
        changed();
      },
    });
    refs.label.addEventListener("input", changed);
    for (const input of [this.ovZh.input, this.ovEn.input]) input.addEventListener("input", () => onChange());
    for (const button of refs.clues.querySelectorAll("[data-add]")) {
      button.addEventListener("click", () => this.addClue(button.dataset.add));
    }
    for (const box of [refs.pairsZh, refs.pairsEn]) {
      box.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) this.labels(button.dataset.language).add([button.dataset.word]);
      });
    }
    refs.summarise?.addEventListener("click", () => this.summarise());
    refs.translate?.addEventListener("click", () => this.translate());
    refs.staleTranslate.addEventListener("click", () => {
      this.#asked();
      this.translate();
    });
    refs.staleConfirm.addEventListener("click", () => this.#settle((side) => this.descriptions.confirm(side)));
    refs.staleClear.addEventListener("click", () => this.#settle((side) => this.descriptions.clear(side)));
  }

  labels(side) {
    return side === "zh" ? this.ovZh : this.ovEn;
  }

  /**
   * Show a claim with `body` (a draft, an annotation, or null for a fresh start). What was drafted for a fresh one
   * stands in its fields, marked as not checked.
   */
  load(claim, body, readOnly = false) {
    this.readOnly = readOnly;
    this.claim = claim;
    this.proposal.close();
    const { suggestion } = claim;
    const fresh = body === null && !readOnly && claim.kind !== "review" && suggestion;
    const drafted = fresh ? { ...NOTHING, description: suggestion.description, ov_labels: suggestion.ov_labels, translation: { zh: "machine", en: "machine" } } : body;
    this.labelsTouched = !fresh;
    this.clues.load(claim.clues, body, readOnly, { mode: claim.mode || "" });
    this.descriptions.put(drafted, suggestion?.source || "");
    this.descriptions.lock(readOnly);
    this.#putLabels(drafted);
    this.extras.load(claim, body, readOnly);
    this.refs.label.readOnly = readOnly;
    this.ovZh.lock(readOnly);
    this.ovEn.lock(readOnly);
    for (const button of this.refs.clues.querySelectorAll("[data-add]")) button.hidden = readOnly;
    for (const button of [this.refs.summarise, this.refs.translate]) if (button) button.hidden = readOnly;
    this.clearErrors();
    this.#pairs();
    this.#sentences();
  }

  #putLabels(body) {
    for (const side of ["zh", "en"]) {
      this.labels(side).value = body?.ov_labels?.[side] || [];
      this.labels(side).scoring = body?.ov_scores?.[side];
    }
    if (this.refs.label.value !== (body?.label ?? "")) this.refs.label.value = body?.label ?? "";
  }

  /** Show another body of this claim (undo, redo); focus and caret stay where they are. */
  restore(body) {
    this.clues.restore(body);
    this.descriptions.put(body);
    this.#putLabels(body);
    this.extras.put(body);
    this.clearErrors(false);
    this.#pairs();
    this.#sentences();
  }

  get value() {
    const scores = Object.fromEntries(
      ["zh", "en"].map((side) => [side, this.labels(side).scoring]).filter(([, given]) => Object.keys(given).length),
    );
    const { translation } = this.descriptions;
    const label = this.refs.label.value.trim();
    return {
      clues: this.clues.value,
      description: this.descriptions.value,
      ov_labels: { zh: this.ovZh.value, en: this.ovEn.value },
      ...(label ? { label } : {}),
      ...(Object.keys(scores).length ? { ov_scores: scores } : {}),
      ...(Object.keys(translation).length ? { translation } : {}),
      ...this.extras.value,
    };
  }

  get hasText() {
    const { description, ov_labels: ov } = this.value;
    return Boolean(description.zh.trim() || description.en.trim() || ov.zh.length || ov.en.length);
  }

  addClue(modality, options) {
    if (!this.readOnly) this.clues.add(modality, this.language, options);
  }

  /** Put a proposal in the fields; labels that a person chose stay beside it. Undo takes it back. */
  replaceText({ description, ov_labels: ov, source = "llm" }) {
    this.descriptions.machine({ zh: description?.zh, en: description?.en }, source);
    if (ov?.zh?.length || ov?.en?.length) {
      for (const side of ["zh", "en"]) {
        const kept = this.labelsTouched ? this.labels(side).value : [];
        this.labels(side).value = [...new Set([...kept, ...(ov[side] || [])])];
      }
      this.#pairs();
    }
    this.clearErrors(false);
    this.onChange();
  }

  /** A summary of the checked clues, proposed beside the description. */
  summarise() {
    if (this.claim && !this.readOnly) this.proposal.summarise();
  }

  /** The language that is behind (or empty), written anew from the other one. */
  translate() {
    const into = this.descriptions.wanting;
    if (!this.claim || this.readOnly || !into) return;
    const from = otherOf(into);
    this.proposal.translate(from, into, this.descriptions.value[from], (written) => {
      // What a person wrote is never replaced without asking; what is empty or a model's is.
      const before = this.descriptions.step.states[into];
      if (this.descriptions.value[into].trim() && before !== "machine") return false;
      this.descriptions.machine({ [into]: written }, "translation");
      this.descriptions.fields[into].focus({ preventScroll: true });
      this.onChange();
      return true;
    });
  }

  /** Words of the other language for labels that have no counterpart yet. */
  #pairs() {
    for (const [side, box] of [["zh", this.refs.pairsZh], ["en", this.refs.pairsEn]]) {
      const other = otherOf(side);
      const words = this.readOnly ? [] : this.vocabulary.pairs(this.labels(other).items, side, this.labels(side).items).slice(0, 4);
      const at = [...box.children].indexOf(document.activeElement);
      box.replaceChildren(
        ...words.map((word) => {
          const button = document.createElement("button");
          button.type = "button";
          button.className = "pair";
          button.textContent = `+ ${word}`;
          button.title = this.text.takePair;
          Object.assign(button.dataset, { word, language: side });
          return button;
        }),
      );
      if (at >= 0) (box.children[Math.min(at, words.length - 1)] || this.labels(side).input).focus();
    }
  }

  #sentences() {
    clearTimeout(this.drawing);
    this.drawing = setTimeout(() => this.strips.forEach((strip) => strip.draw()), 60);
  }

  #asked() {
    this.refs.staleAsk.hidden = true;
  }

  #settle(action) {
    const then = this.then;
    this.#asked();
    action(this.descriptions.stale);
    this.onChange();
    then?.();
  }

  clearErrors(cards = true) {
    if (cards) this.clues.clearErrors();
    this.#asked();
    for (const key of ["descriptionError", "ovError", "extrasError", "labelError", "formError"]) {
      this.refs[key].textContent = "";
      this.refs[key].hidden = true;
    }
    for (const field of [this.refs.descriptionZh, this.refs.descriptionEn, this.refs.label]) field.removeAttribute("aria-invalid");
  }

  #complain(key, message, field) {
    this.refs[key].textContent = message;
    this.refs[key].hidden = !message;
    field?.setAttribute("aria-invalid", "true");
    return field || this.refs[key];
  }

  /**
   * Say at each place what is missing; returns whether all is well. Where one language is behind the other it asks
   * first, and calls `then` when that was answered.
   */
  check(then = null) {
    this.clearErrors();
    let first = null;
    for (const card of this.clues.ordered()) {
      const problem = card.problem();
      card.error(problem);
      if (problem) first ??= card.element;
    }
    const { description } = this.value;
    if (!description.zh.trim() && !description.en.trim()) {
      const field = this.#complain("descriptionError", this.text.needsDescription, this.refs.descriptionZh);
      first ??= field;
    }
    const extra = this.extras.problem();
    if (extra) {
      this.refs.extras.open = true;
      first ??= this.#complain("extrasError", extra, this.extras.boxes[0]);
    }
    const behind = this.descriptions.stale;
    if (first === null && behind) {
      const { languages } = this.text;
      this.then = then;
      this.refs.staleText.textContent = this.text.behind.replace("%a", languages[behind]).replace("%b", languages[otherOf(behind)]);
      this.refs.staleAsk.hidden = false;
      first = this.refs.staleConfirm;
    }
    this.#show(first);
    return first === null;
  }

  /**
   * Show what the server found wrong. `errors` is `{place: message}`; a place names a clue by its position in
   * `sent.clues` (`clues[0].text`) or by its id (`clues[id=17].verdict`), or a field of the body.
   */
  showErrors(message, errors, sent) {
    this.clearErrors();
    let first = null;
    const rest = [];
    for (const [place, said] of flatten(errors || {})) {
      const card = this.#cardAt(place, sent);
      let shown = card?.element;
      if (card) card.error(said);
      else if (place.startsWith("description")) {
        const field = place.endsWith("en") ? "descriptionEn" : "descriptionZh";
        shown = this.#complain("descriptionError", said, this.refs[field]);
      } else if (place.startsWith("ov_")) shown = this.#complain("ovError", said);
      else if (/^(display|conflict|reply|translation)/.test(place)) {
        this.refs.extras.open = true;
        shown = this.#complain("extrasError", said);
      } else if (place.startsWith("label")) shown = this.#complain("labelError", said, this.refs.label);
      else rest.push(said);
      first ??= shown;
    }
    if (rest.length || !first) this.#complain("formError", [message, ...rest].filter(Boolean).join(" "));
    this.#show(first || this.refs.formError);
  }

  #cardAt(place, sent) {
    const match = /^clues\W*(id=)?(\d+)/.exec(place);
    if (!match) return null;
    const number = Number(match[2]);
    if (match[1]) return this.clues.cards.find((card) => card.offered?.id === number);
    const clue = sent.clues[number];
    return clue && this.clues.ordered().filter((card) => card.verdict)[number];
  }

  #show(element) {
    if (!element) return;
    element.scrollIntoView({ block: "center" });
    element.focus?.({ preventScroll: true });
  }
}

/** `{"clues": {"0": {"text": ["…"]}}}` and `{"clues.0.text": "…"}` alike become `["clues.0.text", "…"]` pairs. */
function flatten(errors, prefix = "") {
  return Object.entries(errors).flatMap(([key, value]) => {
    const place = prefix ? `${prefix}.${key}` : key;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return [[place, value.join(" ")]];
    if (value && typeof value === "object") return flatten(value, place);
    return [[place, String(value)]];
  });
}
