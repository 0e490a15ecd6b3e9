// The help: every action with its keys, each of which one may set: choose the key, press another.

import { api, ApiError } from "../api.js";
import { composing, keyOf } from "./keys.js";
import { announce, keymap, preferences, refs, settings, text } from "./page.js";
import { element } from "./panels-text.js";

let listening = null; // {action, button}

export function openHelp() {
  draw();
  refs.help.showModal();
}

export function wireHelp() {
  refs.helpButton.addEventListener("click", openHelp);
  refs.keyReset.addEventListener("click", () => {
    keymap.reset();
    keep();
  });
  // Before the dialog sees it: Esc ends the listening, not the dialog; Enter is a key like others.
  refs.help.addEventListener("keydown", heard, true);
  refs.help.addEventListener("close", () => listen(null));
  keymap.onChange.push(() => refs.help.open && draw());
}

function draw() {
  const groups = new Map();
  for (const row of keymap.table) groups.set(row.group, [...(groups.get(row.group) || []), row]);
  const at = listening?.action ?? refs.keyGroups.querySelector(":focus")?.dataset.action;
  refs.keyGroups.replaceChildren(
    ...[...groups].map(([name, rows]) => {
      const group = element("section", "key-group");
      group.append(element("h3", "", name), ...rows.map(line));
      return group;
    }),
  );
  refs.keyReset.hidden = !Object.keys(keymap.own).length;
  if (at) refs.keyGroups.querySelector(`[data-action="${at}"]`)?.focus();
}

function line(row) {
  const keys = keymap.keys(row.action).map((key) => keymap.label(key));
  const box = element("div", row.action in keymap.own ? "key-row is-own" : "key-row");
  const button = element("button", "key-set");
  button.type = "button";
  button.dataset.action = row.action;
  button.setAttribute("aria-label", `${text.keyOf.replace("%s", row.what)} ${keys.join(" ")}`);
  button.append(...keys.flatMap((key) => [" ", element("kbd", "", key)]));
  button.addEventListener("click", () => listen({ action: row.action, button }));
  box.append(element("span", "", row.what), button);
  return box;
}

function listen(what) {
  listening = what;
  trouble("");
  draw();
  if (!what) return;
  const button = refs.keyGroups.querySelector(`[data-action="${what.action}"]`);
  button.classList.add("is-listening");
  button.textContent = text.pressKey;
  announce(text.pressKey);
}

function heard(event) {
  if (!listening || composing(event)) return;
  const key = keyOf(event);
  if (!key || key === "tab" || key === "shift+tab") return;
  event.preventDefault();
  event.stopPropagation();
  const { action } = listening;
  if (key === "escape") return listen(null);
  const holder = keymap.row(key);
  if (!keymap.set(action, key)) {
    listen(null);
    trouble(text.keyTaken.replace("%1", keymap.label(key)).replace("%2", holder.what));
    return;
  }
  listen(null);
  const what = keymap.table.find((row) => row.action === action).what;
  keep(text.keyKept.replace("%1", keymap.label(key)).replace("%2", what));
}

function trouble(message) {
  refs.keyTrouble.textContent = message;
  refs.keyTrouble.hidden = !message;
}

async function keep(message = "") {
  preferences.keys = { ...preferences.keys };
  for (const { action } of keymap.table) delete preferences.keys[action];
  Object.assign(preferences.keys, keymap.own);
  try {
    await api("PUT", `${settings.api}/me/preferences/`, { body: preferences });
    trouble("");
    if (message) announce(message);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const [first] = Object.values(error.problem.errors || {});
    trouble(text.keysNotKept.replace("%s", (first && String(first)) || error.message || text.offline));
    if (error.status !== 422) return;
    keymap.reset(); // the server knows better what a browser gives away
  }
}
