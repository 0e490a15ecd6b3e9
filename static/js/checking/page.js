// What the checking and the review page share: finding elements, banners, the lease, the help, asking.

import { api, ApiError, untilAnswered } from "../api.js";
import { Editor } from "./editor.js";
import { bind } from "./keys.js";
import { Player } from "./player.js";

export const root = document.getElementById("work");
export const text = JSON.parse(document.getElementById("work-text").textContent);
export const settings = { ...root.dataset };

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
  refs.banners.querySelector(`[data-banner="${name}"]`)?.remove();
  if (message === null) return;
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

/** The claim that I hold or the next one; null when nothing is left. Waits out a server that is away. */
export async function claimNext(kind) {
  if (refs.empty.hidden) show("loading");
  const { status, data, etag } = await untilAnswered(
    () => api("POST", `${settings.api}/corpora/${settings.corpus}/claims/`, { body: { kind } }),
    () => banner("offline", text.offline),
  );
  banner("offline", null);
  return status === 204 || !data ? null : { claim: data, etag };
}

/** While nothing is left, look again every half minute, as long as somebody looks at the page. */
export function watchEmpty(next) {
  setInterval(() => {
    if (!refs.empty.hidden && !document.hidden) next();
  }, 30000);
}

/** Renews the lease while the page is open; `lost` is told once when it cannot be. */
export class Lease {
  constructor(claim, { onLost }) {
    this.claim = claim;
    this.onLost = onLost;
    this.timer = setInterval(() => this.renew(), 60000);
  }

  async renew() {
    try {
      const { data } = await api("POST", `${settings.api}/claims/${this.claim.id}/renew/`);
      if (data?.lease_end) this.claim.lease_end = data.lease_end;
      banner("lease", null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if ([403, 404, 409, 410].includes(error.status) && !error.signedOut) {
        this.end();
        this.onLost(error);
      }
    }
  }

  end() {
    clearInterval(this.timer);
  }
}

/** Player and editor wired to each other. `claimUrl()` names the claim now shown. */
export function workplace({ claimUrl, onChange }) {
  const player = new Player(refs, {
    nonce,
    refresh: async () => {
      const url = claimUrl();
      if (!url) return null;
      try {
        return (await api("GET", url)).data.clip;
      } catch (error) {
        if (error instanceof ApiError) return null;
        throw error;
      }
    },
  });
  const editor = new Editor(refs, { text, player, language: settings.language, onChange });
  return { player, editor };
}

/** The head of the page and everything beside the player. */
export function showClip(claim) {
  const { clip } = claim;
  refs.clipName.textContent = clip.name;
  refs.clipFacts.textContent = [clip.duration ? `${clip.duration.toFixed(1)} s` : "", clip.speaker, clip.source]
    .filter(Boolean)
    .join(" · ");
  refs.person.hidden = !(claim.people > 1);
  refs.person.href = refs.person.dataset.address.replace("/0/", `/${clip.id}/`);
  refs.synthetic.hidden = !(clip.synthetic ?? settings.synthetic === "1");
  for (const [language, key] of [["zh", "subtitleZh"], ["en", "subtitleEn"]]) {
    const words = claim.subtitle?.[language];
    refs[key].textContent = words || "";
    refs[key].hidden = !words;
  }
  refs.noSubtitle.hidden = Boolean(claim.subtitle?.zh || claim.subtitle?.en);
  const peak = claim.au?.peak;
  refs.auRow.hidden = !peak || peak.timestamp == null;
  if (!refs.auRow.hidden) {
    const units = Object.entries(peak.aus || {}).map(([name, value]) => `${name} ${Number(value).toFixed(1)}`);
    refs.auPeak.dataset.seconds = peak.timestamp;
    refs.auPeak.querySelector("span").textContent = `${Number(peak.timestamp).toFixed(2)} s`;
    refs.auUnits.textContent = units.join("  ");
  }
  document.title = `${clip.name} · ${settings.title}`;
}

/** Keys that both pages have: the table, and `bindAll(more)` that switches it on with the page's own. */
export function commonKeys(player, editor) {
  refs.auPeak.addEventListener("click", () => {
    player.pause();
    player.seek(Number(refs.auPeak.dataset.seconds));
  });
  refs.helpButton.addEventListener("click", () => refs.help.showModal());
  const onActive = (action) => () => editor.clues.active && action(editor.clues.active);
  const table = {
    "?": () => refs.help.showModal(),
    " ": () => player.toggle(),
    arrowleft: () => player.seek(player.time - 1),
    arrowright: () => player.seek(player.time + 1),
    "shift+arrowleft": () => player.seek(player.time - 0.1),
    "shift+arrowright": () => player.seek(player.time + 0.1),
    j: () => editor.clues.step(1),
    k: () => editor.clues.step(-1),
    p: onActive((card) => card.play()),
    1: onActive((card) => {
      card.decide("kept");
      editor.clues.advance();
    }),
    2: onActive((card) => card.decide("corrected")),
    3: onActive((card) => card.decide("rejected")),
    a: () => editor.addClue(editor.clues.active?.modality || "visual"),
    "[": onActive((card) => card.markSpan(0)),
    "]": onActive((card) => card.markSpan(1)),
    d: () => refs.descriptionZh.focus(),
    e: () => refs.descriptionEn.focus(),
    l: () => (editor.language === "zh" ? editor.ovZh : editor.ovEn).input.focus(),
    escape: (event) => {
      const field = event.target.closest?.("input, textarea, select");
      if (!field) return;
      field.blur();
      field.closest(".clue")?.focus({ preventScroll: true });
    },
  };
  const enabled = () => !refs.task.hidden && !refs.task.inert && !document.querySelector("dialog[open]");
  return { table, bindAll: (more) => bind({ ...table, ...more }, enabled) };
}
