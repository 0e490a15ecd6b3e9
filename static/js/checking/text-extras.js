// Felt versus shown, a conflict between modalities, the answer to a reviewer: said by those who have something to say.

import { Chips } from "./chips.js";

export class Extras {
  /** `search` as in Chips; `onChange()` follows each change by the user. */
  constructor(refs, { text, onChange, search, ready }) {
    this.refs = refs;
    this.text = text;
    const chips = { text, onChange, search, ready };
    this.felt = new Chips(refs.felt, chips);
    this.shown = new Chips(refs.shown, chips);
    this.boxes = [...refs.conflict.querySelectorAll("input[type=checkbox]")];
    refs.relation.addEventListener("change", () => {
      this.#draw();
      onChange();
    });
    for (const box of this.boxes) {
      box.addEventListener("change", () => {
        this.#draw();
        onChange();
      });
    }
    for (const field of [refs.conflictNote, refs.reply]) field.addEventListener("input", onChange);
  }

  load(claim, body, readOnly) {
    this.claim = claim;
    this.put(body);
    const { refs } = this;
    refs.relation.disabled = readOnly;
    for (const field of [refs.conflictNote, refs.reply]) field.readOnly = readOnly;
    for (const box of this.boxes) box.disabled = readOnly;
    this.felt.lock(readOnly);
    this.shown.lock(readOnly);
    refs.replyRow.hidden = !(claim.returned || body?.reply);
    refs.extras.open = Boolean(body?.display || body?.conflict);
  }

  put(body) {
    const { refs } = this;
    refs.relation.value = body?.display?.relation || "";
    this.felt.value = body?.display?.felt || [];
    this.shown.value = body?.display?.shown || [];
    const named = body?.conflict?.modalities || [];
    for (const box of this.boxes) box.checked = named.includes(box.value);
    if (refs.conflictNote.value !== (body?.conflict?.note || "")) refs.conflictNote.value = body?.conflict?.note || "";
    if (refs.reply.value !== (body?.reply || "")) refs.reply.value = body?.reply || "";
    this.#draw();
  }

  get value() {
    const { refs } = this;
    const said = {};
    const relation = refs.relation.value;
    if (relation) said.display = { relation, felt: this.felt.value, shown: this.shown.value };
    const modalities = this.boxes.filter((box) => box.checked).map((box) => box.value);
    const note = refs.conflictNote.value.trim();
    if (modalities.length || note) said.conflict = { modalities, note };
    if (refs.reply.value.trim()) said.reply = refs.reply.value.trim();
    return said;
  }

  /** What is wrong, in words, or "". */
  problem() {
    const { conflict } = this.value;
    return conflict && conflict.modalities.length < 2 ? this.text.conflictNeedsTwo : "";
  }

  #draw() {
    const { refs } = this;
    refs.feltShown.hidden = !refs.relation.value || refs.relation.value === "same";
    const { display, conflict } = this.value;
    refs.extrasTold.textContent = [display && refs.relation.selectedOptions[0].textContent, conflict && this.text.conflict_]
      .filter(Boolean)
      .join(" · ");
  }
}
