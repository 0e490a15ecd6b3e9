// Skip and flag: a reason from the short list, by a digit or the pointer, or one's own words.

import { api, ApiError } from "../api.js";
import { ask, banner, refs, settings, text } from "./page.js";

export function wireDialogs() {
  const buttons = [...refs.skipChoices.querySelectorAll("[data-reason]")];
  const choose = (button) => {
    refs.skipReason.value = button.dataset.reason;
    refs.skipDialog.close("skip");
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button));
  refs.skipDialog.addEventListener("keydown", (event) => {
    if (event.target === refs.skipReason || event.isComposing) return;
    const button = buttons[Number(event.key) - 1];
    if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(button);
  });
}

/** Why the clip is skipped; null when it is not. */
export async function askSkip() {
  refs.skipReason.value = "";
  if ((await ask(refs.skipDialog)) !== "skip") return null;
  return refs.skipReason.value.trim();
}

/** Flag the clip; what was written outlives a refusal. */
export async function flag(clip) {
  refs.flagError.hidden = true;
  for (;;) {
    if ((await ask(refs.flagDialog)) !== "flag") return;
    const reason = refs.flagDialog.querySelector("[name=flag-reason]:checked").value;
    try {
      await api("POST", `${settings.api}/clips/${clip.id}/flags/`, { body: { reason, note: refs.flagNote.value } });
      refs.flagNote.value = "";
      refs.flagDialog.querySelector("form").reset();
      banner("flagged", text.flagged, { level: "info" });
      setTimeout(() => banner("flagged", null), 4000);
      return;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refs.flagError.textContent = error.status ? error.message : text.offline;
      refs.flagError.hidden = false;
    }
  }
}
