// The clues of a clip, by modality: the list, which clue one is at, and what the keys do to it. A card is in cards.js.

import { Card } from "./cards.js";

export { clueActions } from "./cards-actions.js";

const LEVELS = ["usual", "other", "off"];

export class ClueList {
  /**
   * `root` has one `[data-modality]` section per modality with a `[data-list]`; `template` is a card.
   * `text` holds the words; `onChange()` follows each change, `onFocus(card)` each change of the active card.
   * `onSpans()` may be set: it follows whatever may change `spans()`.
   */
  constructor(root, template, { text, player, onChange, onFocus }) {
    Object.assign(this, { root, template, text, player, onChange });
    this.onFocus = onFocus || (() => {});
    this.onSpans = () => {};
    this.groupTemplate = root.parentElement?.querySelector("template[data-ref=clueGroup]");
    this.said = root.querySelector("[data-said]");
    this.cards = [];
    this.active = null;
    this.readOnly = false;
    this.mode = "";
    this.level = LEVELS[0];
    this.looping = null;
    this.added = 0;
    this.byElement = new WeakMap();
    root.addEventListener("focusin", (event) => this.#entered(event));
  }

  /**
   * Show the offered clues with what `body` (a draft or an annotation) says about them. `mode` is the claim's: with
   * one, only that modality is asked for. The first clue without a verdict becomes the active one. The same list of
   * clues once more is another state of the same work: see `restore`.
   */
  load(offered, body, readOnly = false, { mode = "" } = {}) {
    if (offered && offered === this.offered && readOnly === this.readOnly && mode === this.mode) {
      this.restore(body);
      return;
    }
    const inside = this.root.contains(document.activeElement);
    Object.assign(this, { offered, readOnly, mode, active: null, looping: null });
    for (const list of this.root.querySelectorAll("[data-list]")) list.replaceChildren();
    this.cards = [];
    const said = saidById(body);
    for (const clue of offered || []) this.#place(new Card(this, clue, said.get(clue.id)));
    this.#besideEachOther();
    for (const clue of body?.clues || []) if (clue.id == null) this.#place(new Card(this, null, clue));
    for (const section of this.root.querySelectorAll("[data-modality]")) {
      const other = mode && section.dataset.modality !== mode;
      section.hidden = Boolean(other) && !this.cards.some((card) => card.modality === section.dataset.modality);
    }
    this.#draw();
    const first = this.undecided[0] || this.ordered()[0];
    if (first) this.activate(first, { scroll: false });
    if (first && inside) first.element.focus({ preventScroll: true });
    (this.root.closest(".work-area") || this.root).scrollTop = 0;
    this.onSpans();
  }

  /** Take another state of the same claim (undo, redo): cards, focus and caret stay where they are. */
  restore(body) {
    const inside = this.root.contains(document.activeElement);
    const focused = this.active;
    const index = focused ? this.ordered().indexOf(focused) : 0;
    const said = saidById(body);
    for (const card of this.cards) if (card.offered) card.take(said.get(card.offered.id) || null);
    const wanted = (body?.clues || []).filter((clue) => clue.id == null);
    const own = this.ordered().filter((card) => !card.offered);
    own.slice(wanted.length).forEach((card) => this.#drop(card));
    wanted.forEach((clue, at) => {
      if (!own[at]) return this.#place(new Card(this, null, clue));
      const moved = own[at].modality !== clue.modality;
      own[at].take(clue);
      return moved && this.#place(own[at]);
    });
    this.#draw();
    if (focused && !this.cards.includes(focused)) {
      const next = this.ordered()[Math.min(index, this.cards.length - 1)];
      if (next && inside) this.#goTo(next);
      else if (next) this.activate(next);
    } else if (focused) this.onFocus(focused);
    if (inside && !(this.root.contains(document.activeElement) && document.activeElement.checkVisibility())) {
      this.active?.element.focus({ preventScroll: true }); // the field that had it is folded away
    }
    this.onSpans();
  }

  #place(card) {
    if (!this.cards.includes(card)) this.cards.push(card);
    this.byElement.set(card.element, card);
    this.root.querySelector(`[data-modality="${card.modality}"] [data-list]`).append(card.element);
  }

  #drop(card) {
    this.cards = this.cards.filter((other) => other !== card);
    card.element.remove();
    if (this.active === card) this.active = null;
  }

  /** Clues of several pre-labellers about one modality and aspect stand beside each other. */
  #besideEachOther() {
    const kinds = new Map();
    for (const card of this.cards) {
      const kind = `${card.modality}.${card.offered.aspect || ""}`;
      kinds.set(kind, [...(kinds.get(kind) || []), card]);
    }
    for (const cards of kinds.values()) {
      const sources = new Set(cards.map((card) => card.source));
      if (cards.length < 2 || (sources.size < 2 && !sources.has(""))) continue;
      const box = this.groupTemplate.content.firstElementChild.cloneNode(true);
      box.querySelector("[data-versions]").textContent = this.text.prelabellers.replace("%s", cards.length);
      cards[0].element.before(box);
      for (const card of cards) {
        box.querySelector("ul").append(card.element);
        card.rivals = cards.filter((other) => other !== card);
      }
    }
  }

  /** The clues of a body; undecided ones are left out, so that a draft may be half done. */
  get value() {
    return this.ordered().filter((card) => card.verdict).map((card) => card.value);
  }

  get undecided() {
    return this.ordered().filter((card) => !card.verdict);
  }

  /** Cards as they stand on the page. */
  ordered() {
    return Array.from(this.root.querySelectorAll(".clue"), (element) => this.byElement.get(element));
  }

  /** The number on the card of an offered clue's id, or of a card's key; null when there is none. */
  numberOf(id) {
    const index = this.ordered().findIndex((card) => card.key === id || (card.offered && card.offered.id === id));
    return index < 0 ? null : index + 1;
  }

  byKey(key) {
    return this.cards.find((card) => card.key === key) || null;
  }

  /** What the timeline shows: `[{key, span, modality, active, editable, label}]`, seconds. */
  spans() {
    return this.ordered().filter((card) => card.shownSpan).map((card) => ({
      key: card.key,
      span: card.shownSpan,
      modality: card.modality,
      active: card === this.active,
      editable: !this.readOnly && card.verdict !== "rejected",
      label: `${this.numberOf(card.key)} ${this.text.aspects[card.aspect] || ""}`.trim(),
      verdict: card.verdict,
    }));
  }

  /** A span was drawn, dragged or resized; without a key it is the active clue's. */
  setSpan(key, span) {
    const card = key == null ? this.active : this.byKey(key);
    card?.changeSpan(span);
  }

  /** A span was picked on the timeline. */
  pick(key) {
    const card = this.byKey(key);
    if (card) this.#goTo(card);
  }

  /** A new clue; with `ask` a digit first says of which kind it is, else one writes at once (an input method too). */
  add(modality, language, { ask = false } = {}) {
    const draft = { modality: this.mode || modality, aspect: "", language, text: "", span: null, verdict: "added" };
    const card = new Card(this, null, draft);
    this.#place(card);
    card.render();
    this.activate(card);
    (ask ? card.refs.kinds : card.refs.edit).focus({ preventScroll: true });
    this.changed();
    return card;
  }

  /** An added clue became another kind of clue: its card moves to its modality. */
  move(card) {
    const focused = document.activeElement;
    this.#place(card);
    card.render();
    if (card.element.contains(focused)) focused.focus({ preventScroll: true });
    card.element.scrollIntoView({ block: "nearest" });
    this.changed();
  }

  removeAdded(card) {
    const at = this.ordered().indexOf(card);
    this.#drop(card);
    const next = this.ordered()[Math.min(at, this.cards.length - 1)];
    if (next) this.#goTo(next);
    else this.root.querySelector(`[data-add="${card.modality}"]`)?.focus();
    this.say(this.text.removed);
    this.changed();
  }

  activate(card, { scroll = true } = {}) {
    const before = this.active;
    this.active = card;
    if (before !== card) {
      before?.render();
      card.render();
      if (this.looping) this.loop(card, true);
    }
    if (scroll) card.element.scrollIntoView({ block: "nearest" });
    this.onFocus(card);
    if (before !== card) this.onSpans();
  }

  #goTo(card) {
    this.activate(card);
    card.element.focus({ preventScroll: true });
  }

  #entered(event) {
    const card = this.byElement.get(event.target.closest(".clue"));
    // A click on a folded card's button must find the button where it was.
    if (card && !event.target.closest(".verdicts, .span-chip")) this.activate(card, { scroll: false });
  }

  /** The next card in the given direction; wraps nowhere. */
  step(direction) {
    const cards = this.ordered();
    const index = this.active ? cards.indexOf(this.active) + direction : 0;
    const card = cards[Math.min(Math.max(index, 0), cards.length - 1)];
    if (card) this.#goTo(card);
  }

  /** Go on to the next card without a verdict; after the last one the cursor leaves the fields and it is said. */
  advance() {
    const cards = this.ordered();
    const from = cards.indexOf(this.active);
    const next = cards.slice(from + 1).find((card) => !card.verdict) || cards.find((card) => !card.verdict);
    if (next) this.#goTo(next);
    else if (this.active) {
      this.active.element.focus({ preventScroll: true });
      this.say(this.text.everyClueChecked);
    }
  }

  /** Play a card's span over and over, or stop doing so; `follow`: go over from another card's. */
  loop(card, follow = false) {
    const { player } = this;
    const span = card.shownSpan;
    const stop = !span || (!follow && this.looping === card.key);
    this.looping = stop ? null : card.key;
    if (stop) player.stopLoop();
    else player.loop(span);
  }

  /** Once: what was measured, in the place of a clue's own span. */
  playSpan(span) {
    this.looping = null;
    this.player.playSpan(span);
  }

  /** By word, by character, hidden; per language the usual level comes first. */
  nextLevel() {
    this.level = LEVELS[(LEVELS.indexOf(this.level) + 1) % LEVELS.length];
    for (const card of this.cards) card.render();
  }

  /** Say something to those who do not see the page. */
  say(message) {
    if (!this.said) return;
    this.said.textContent = "";
    requestAnimationFrame(() => {
      this.said.textContent = message;
    });
  }

  changed() {
    this.#count();
    this.onChange();
    this.onSpans();
  }

  #draw() {
    for (const card of this.cards) card.render();
    this.#count();
  }

  #count() {
    this.ordered().forEach((card, index) => card.numbered(index + 1));
    for (const section of this.root.querySelectorAll("[data-modality]")) {
      const cards = this.cards.filter((card) => card.modality === section.dataset.modality);
      const open = cards.filter((card) => !card.verdict).length;
      const count = section.querySelector("[data-count]");
      count.textContent = open ? this.text.open.replace("%s", open) : cards.length ? `✓ ${this.text.checked}` : "";
      count.className = open ? "badge badge--info" : cards.length ? "badge badge--ok" : "badge";
      count.hidden = !cards.length;
      section.querySelector("[data-none]").hidden = cards.length > 0;
    }
  }

  clearErrors() {
    for (const card of this.cards) card.error("");
  }
}

function saidById(body) {
  return new Map((body?.clues || []).filter((clue) => clue.id != null).map((clue) => [clue.id, clue]));
}
