// Annotations side by side: a row a clue, a description, the labels, a field; a column an annotator, the last one the
// record as it would be accepted. Every cell can be taken into the record. On a phone one column shows at a time.

import { clueCell, clueHead, fieldCell, labelCell, make, textCell } from "./review-cells.js";
import { labelCounts, partFrom, partOf, rowsOf, samePart } from "./review-merge.js";

const SWIPE = 50; // CSS pixels

export class Compare {
  /**
   * `root` gets the table. `on.take(row, annotation)` follows a choice, `on.gather(least)` and `on.label(language,
   * label, score)` one of labels, `on.edit(row)` a wish to edit, `on.active(row)` a move; `play(span)` plays seconds.
   */
  constructor(root, { text, play, on }) {
    Object.assign(this, { root, text, play, on });
    this.active = null;
    let from = null;
    root.addEventListener("touchstart", (event) => (from = event.touches[0]), { passive: true });
    root.addEventListener("touchend", (event) => {
      const to = event.changedTouches[0];
      const [x, y] = from ? [to.clientX - from.clientX, to.clientY - from.clientY] : [0, 0];
      if (Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(y)) this.show(this.shown + (x < 0 ? 1 : -1));
    });
  }

  load(claim) {
    this.claim = claim;
    this.rows = rowsOf(claim);
    this.groups = claim.label_groups || {};
    this.counts = labelCounts(claim.annotations, this.groups);
    this.cells = new Map(); // row key -> {row, head, cells: [{annotation, cell, content, take}], result}
    const table = make("table", "compare");
    table.setAttribute("role", "table"); // stays one where the phone's style turns rows into blocks
    table.setAttribute("aria-label", this.text.comparison);
    const body = make("tbody");
    body.setAttribute("role", "rowgroup");
    let modality = null;
    for (const row of this.rows) {
      if (row.modality && row.modality !== modality) body.append(this.#divider((modality = row.modality)));
      if (row.kind === "description" && modality !== "text-head") body.append(this.#divider((modality = "text-head")));
      body.append(this.#row(row));
    }
    table.append(body);
    this.root.replaceChildren(table, this.#tabs());
    this.split = this.rows.filter((row) => this.#differs(row));
    for (const row of this.split) this.cells.get(row.key).element.classList.add("is-split");
    this.active = null;
    this.activate(this.rows[0], { focus: false });
    this.show(0);
  }

  #tabs() {
    const tabs = make("div", "segmented compare-tabs");
    tabs.setAttribute("role", "group");
    tabs.setAttribute("aria-label", this.text.columns);
    const names = [...this.claim.annotations.map((each) => each.annotator), this.text.record];
    this.tabs = names.map((name, index) => {
      const tab = make("button", "", name);
      tab.type = "button";
      tab.addEventListener("click", () => this.show(index));
      tabs.append(tab);
      return tab;
    });
    return tabs;
  }

  /** The column that a narrow screen shows. */
  show(index) {
    this.shown = Math.min(Math.max(index, 0), this.tabs.length - 1);
    this.tabs.forEach((tab, at) => tab.setAttribute("aria-pressed", String(at === this.shown)));
    for (const { cells, result } of this.cells.values()) {
      cells.forEach(({ cell }, at) => cell.classList.toggle("is-shown", at === this.shown));
      result.classList.toggle("is-shown", this.shown === this.tabs.length - 1);
    }
  }

  #divider(name) {
    const row = make("tr", "compare-divider");
    row.setAttribute("role", "row");
    const head = make("th", "", this.text.sections[name]);
    head.colSpan = this.claim.annotations.length + 2;
    head.scope = "rowgroup";
    head.setAttribute("role", "rowheader");
    row.append(head);
    return row;
  }

  #row(row) {
    const element = make("tr", `compare-row compare-row--${row.kind}`);
    element.dataset.row = row.key;
    element.tabIndex = -1;
    element.setAttribute("role", "row");
    const head = make("th");
    head.scope = "row";
    head.setAttribute("role", "rowheader");
    head.append(this.#head(row));
    element.append(head);
    const cells = this.claim.annotations.map((annotation) => {
      const cell = make("td");
      cell.setAttribute("role", "cell");
      const content = make("div", "compare-content");
      const part = partFrom(annotation, row, this.rows);
      const take = this.#takeButton(row, annotation, part);
      cell.append(...(take ? [take] : []), content, ...this.#before(row, annotation, part));
      element.append(cell);
      return { annotation, cell, content, take, part };
    });
    const result = make("td", "compare-result");
    result.setAttribute("role", "cell");
    element.append(result);
    element.addEventListener("focusin", () => this.activate(row, { focus: false }));
    element.addEventListener("pointerdown", () => this.activate(row, { focus: false }));
    this.cells.set(row.key, { row, element, cells, result });
    return element;
  }

  #name(row) {
    const { text } = this;
    if (row.kind === "whole") return text.everything;
    if (row.kind === "clue" || row.kind === "added") return text.clueName.replace("%s", row.number);
    if (row.kind === "description") return text.descriptionIn[row.language];
    return row.kind === "ov_labels" ? text.ovLabels : text.fields[row.field];
  }

  #head(row) {
    if (row.kind === "clue" || row.kind === "added") return clueHead(row, this.text, this.play);
    const box = document.createDocumentFragment();
    box.append(make("strong", "", this.#name(row)));
    if (row.kind === "ov_labels" && this.claim.annotations.length > 1) {
      const buttons = make("div", "row-line");
      for (const [name, least] of [["union", 1], ["majority", 0]]) {
        const button = make("button", "btn btn--sm", this.text[name]);
        button.type = "button";
        const kbd = make("kbd");
        kbd.dataset.key = name;
        button.append(" ", kbd);
        button.addEventListener("click", () => this.on.gather(least));
        buttons.append(button);
      }
      box.append(buttons);
    }
    return box;
  }

  #takeButton(row, annotation, part) {
    if (row.kind === "clue" && !part) return null;
    const button = make("button", "btn btn--sm take");
    button.type = "button";
    const label = this.text.takeFrom.replace("%1", this.#name(row)).replace("%2", annotation.annotator);
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => this.on.take(row, annotation));
    return button;
  }

  /** What this part said in the revision that was returned, where it said something else. */
  #before(row, annotation, part) {
    if (!annotation.previous || row.kind === "whole") return [];
    const old = { ...annotation, body: annotation.previous };
    const before = row.kind === "added" ? partOf(annotation.previous, row, this.rows) : partFrom(old, row, this.rows);
    if (samePart(row, before, part)) return [];
    const box = make("details", "before");
    box.append(make("summary", "small", this.text.changedSince), this.#content(row, before, null));
    return [box];
  }

  /** A cell's content; descriptions are held against `beside`. */
  #content(row, part, beside, taken = () => false) {
    const { text } = this;
    if (row.kind === "clue" || row.kind === "added") {
      if (!part) return make("p", "muted small", row.kind === "clue" ? text.notOffered : text.notAdded);
      const first = row.kind === "added" ? [...row.versions.values()][0] : null;
      return clueCell(part, row, text, this.play, first);
    }
    if (row.kind === "description") return textCell(part, row.language, text, beside);
    if (row.kind !== "ov_labels") return fieldCell(part, row, text);
    return labelCell(part, {
      text, groups: this.groups, counts: this.counts, all: this.claim.annotations.length, taken, toggle: this.on.label,
    });
  }

  /** Draw the record as it is now: what was taken from whom, what is nobody's. */
  draw(result) {
    const taken = (language, label) => (result.ov_labels?.[language] || []).includes(label);
    for (const { row, element, cells, result: last } of this.cells.values()) {
      const part = partOf(result, row, this.rows);
      let known = false;
      for (const { annotation, cell, content, take, part: own } of cells) {
        const same = samePart(row, own, part);
        known ||= same;
        cell.classList.toggle("is-taken", same);
        if (row.kind === "whole") content.replaceChildren(...this.#who(annotation));
        else if (!content.contains(document.activeElement)) content.replaceChildren(this.#content(row, own, part || null, taken));
        else for (const tag of content.querySelectorAll(".tag")) tag.setAttribute("aria-pressed", String(taken(tag.lang === "en" ? "en" : "zh", tag.firstChild.data)));
        if (!take) continue;
        take.setAttribute("aria-pressed", String(same));
        take.textContent = same ? "✓" : this.text.take;
        take.title = same ? this.text.taken : this.text.take;
      }
      known ||= this.#gathered(row, part, cells).length > 0;
      element.classList.toggle("is-own", !known);
      last.classList.toggle("is-taken", !known);
      if (row.kind === "whole") last.replaceChildren(make("strong", "", this.text.record));
      else last.replaceChildren(this.#content(row, part, null, taken), ...(known ? [] : [make("p", "own small", this.text.own)]));
    }
  }

  /** Whose words the record is made of: `{names, own}`, `own` where some are nobody's. */
  authors(result) {
    const names = new Set();
    let own = false;
    for (const { row, cells } of this.cells.values()) {
      if (row.kind === "whole") continue;
      const part = partOf(result, row, this.rows);
      const who = cells.filter(({ part: said }) => samePart(row, said, part));
      const gathered = who.length ? [] : this.#gathered(row, part, cells);
      for (const { annotation } of gathered) names.add(annotation.annotator);
      if (!who.length) own ||= !gathered.length;
      else if (!who.some(({ annotation }) => names.has(annotation.annotator))) names.add(who[0].annotation.annotator);
    }
    return { names: [...names], own };
  }

  /** Labels that all are somebody's, though no one's set: whose they are. */
  #gathered(row, part, cells) {
    if (row.kind !== "ov_labels") return [];
    const all = [...part.zh, ...part.en];
    const from = cells.filter(({ part: said }) => all.some((label) => said.zh.includes(label) || said.en.includes(label)));
    return all.every((label) => from.some(({ part: said }) => said.zh.includes(label) || said.en.includes(label))) ? from : [];
  }

  #who(annotation) {
    const { text } = this;
    const found = [make("strong", "", text.annotationOf.replace("%s", annotation.annotator))];
    if (annotation.mode) found.push(make("span", "badge", text.modes?.[annotation.mode] || annotation.mode));
    if (annotation.revision > 1) found.push(make("span", "badge badge--info", text.revision.replace("%s", annotation.revision)));
    if (annotation.reply) {
      const quote = make("blockquote", "reply pre-line", annotation.reply);
      quote.setAttribute("aria-label", text.reply);
      found.push(quote);
    }
    return found;
  }

  #differs(row) {
    if (row.kind === "whole") return false;
    const [first, ...others] = this.claim.annotations.map((each) => partFrom(each, row, this.rows));
    return others.some((other) => !samePart(row, first, other));
  }

  activate(row, { focus = true } = {}) {
    if (this.active !== row) {
      for (const { row: each, element } of this.cells.values()) element.classList.toggle("is-active", each === row);
      this.active = row;
      this.on.active(row);
    }
    if (!focus) return;
    const { element } = this.cells.get(row.key);
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  }

  /** The row of a span that was picked on the timeline. */
  pick(key) {
    const row = this.rows.find((each) => key.startsWith(`${each.key} `));
    if (row) this.activate(row);
  }

  /** The next row; while only differences show, the next of those. */
  step(direction) {
    const open = this.rows.filter((row) => this.cells.get(row.key).element.offsetParent !== null);
    const index = open.indexOf(this.active) + direction;
    this.activate(open[Math.min(Math.max(index, 0), open.length - 1)]);
  }

  /** Spans of all annotators for the timeline: `[{key, span, modality, active, editable, label}]`, seconds. */
  spans() {
    return this.rows.filter((row) => row.kind === "clue" || row.kind === "added").flatMap((row) => {
      const said = this.claim.annotations.map((each) => [each.annotator, partFrom(each, row, this.rows)?.span]);
      const distinct = new Map();
      for (const [name, span] of said) if (span) distinct.set(JSON.stringify(span), [...(distinct.get(JSON.stringify(span)) || []), name]);
      return [...distinct].map(([span, names]) => ({
        key: `${row.key} ${span}`,
        span: JSON.parse(span),
        modality: row.modality,
        active: row === this.active,
        editable: false,
        label: distinct.size > 1 ? `${row.number} ${names.join("+")}` : String(row.number),
      }));
    });
  }
}
