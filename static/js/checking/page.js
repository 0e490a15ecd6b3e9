// What the checking and the review page share: finding elements, banners, asking, the parts wired to each other.

import { api, ApiError } from "../api.js";
import { Context } from "./context.js";
import { Editor } from "./editor.js";
import { bindActions, fieldOf, Keymap } from "./keys.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";

export { prefetch } from "./player.js";

export const root = document.getElementById("work");
const inert = (id) => JSON.parse(document.getElementById(id).textContent);
export const text = inert("work-text");
export const preferences = inert("work-preferences");
export const settings = { ...root.dataset };
export const keymap = new Keymap(inert("work-keys"), preferences.keys, text.keyNames);

/** Elements by data-ref below the page's root (templates' contents are their own). */
export const refs = {};
for (const element of root.querySelectorAll("[data-ref]")) refs[element.dataset.ref] = element;

export const nonce = document.querySelector("script[nonce]")?.nonce || undefined;

/** Show one of the page's states: loading, task, empty, failed. */
export function show(state) {
  for (const name of ["loading", "task", "empty", "failed"]) refs[name].hidden = name !== state;
}

/** A banner by name: `text` null takes it away; `actions` are `[label, function]` buttons. */
export function banner(name, message, { level = "warn", actions = [] } = {}) {
  const old = refs.banners.querySelector(`[data-banner="${name}"]`);
  if (message === null) return old?.remove();
  if (old && !actions.length && old.querySelector("span").textContent === message) return; // said already
  old?.remove();
  const box = document.createElement("div");
  box.className = `notice notice--${level}`;
  box.dataset.banner = name;
  box.setAttribute("role", level === "danger" ? "alert" : "status");
  const words = document.createElement("span");
  words.textContent = message;
  box.append(words);
  const group = document.createElement("span");
  group.className = "actions";
  for (const [label, action] of actions) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--sm";
    button.textContent = label;
    button.addEventListener("click", action);
    group.append(button);
  }
  if (actions.length) box.append(group);
  refs.banners.append(box);
}

export function clearBanners() {
  refs.banners.replaceChildren();
}

/** Tell it to who cannot see the page. */
export function announce(message) {
  refs.announce.textContent = "";
  requestAnimationFrame(() => (refs.announce.textContent = message));
}

/** A dialog of the page that resolves to its return value ("" when it was dismissed). */
export function ask(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

export function busy(button, on) {
  button.setAttribute("aria-busy", String(on));
  button.disabled = on;
}

/** While a decision travels, the page takes no other: `busy` for the button, the rest stands still. */
export function handingIn(button, on) {
  busy(button, on);
  refs.task.inert = on;
}

/** Player, timeline and editor wired to each other. `claimUrl()` names the claim now shown. */
export function workplace({ claimUrl, onChange }) {
  const player = new Player(refs, {
    refresh: async () => {
      const url = claimUrl();
      if (!url) return null;
      try {
        return (await api("POST", `${url}renew/`)).data.clip; // the media live as long as the lease
      } catch (error) {
        if (error instanceof ApiError) return null;
        throw error;
      }
    },
  });
  const timeline = new Timeline(refs, { player, nonce });
  const context = new Context(refs, { player, address: claimUrl });
  const editor = new Editor(refs, { text, player, language: settings.language, onChange });
  timeline.follow(editor.clues);
  return { player, timeline, context, editor };
}

/** The head of the page and the subtitle. */
export function showClip(claim) {
  const { clip } = claim;
  refs.clipName.textContent = clip.name;
  refs.clipName.title = clip.name;
  refs.clipFacts.textContent = [clip.duration ? `${clip.duration.toFixed(1)} s` : "", clip.speaker, clip.source]
    .filter(Boolean)
    .join(" · ");
  refs.person.hidden = !(claim.people > 1);
  refs.person.href = refs.person.dataset.address.replace("/0/", `/${clip.id}/`);
  refs.synthetic.hidden = !(clip.synthetic ?? settings.synthetic === "1");
  refs.mode.hidden = !claim.mode;
  refs.mode.textContent = text.modes[claim.mode] || "";
  for (const [language, key] of [["zh", "subtitleZh"], ["en", "subtitleEn"]]) {
    const words = claim.subtitle?.[language];
    refs[key].textContent = words || "";
    refs[key].hidden = !words;
  }
  refs.noSubtitle.hidden = Boolean(claim.subtitle?.zh || claim.subtitle?.en);
  document.title = `${clip.name} · ${settings.title}`;
}

/** The keys of a page: `actions` by the names of the table; Esc leaves a field for the clue that one is at. */
export function bindKeys(actions, { editor, escape = () => false }) {
  keymap.onChange.push(() => keymap.write(root));
  keymap.write(root);
  bindActions(actions, {
    keymap,
    enabled: () => !refs.task.hidden && !refs.task.inert,
    escape: (event) => {
      const field = fieldOf(event.target);
      if (event.target?.closest?.("dialog[open]") || escape(event) || !field) return;
      field.blur();
      const card = field.closest(".clue") || editor.clues.active?.element;
      card?.focus({ preventScroll: true });
    },
  });
}
