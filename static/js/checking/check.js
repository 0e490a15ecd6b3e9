// The checking page: claim, work, autosave, submit, next.

import { api, ApiError, newKey, untilAnswered } from "../api.js";
import { ask, banner, busy, claimNext, clearBanners, commonKeys, handingIn, Lease, refs, settings, show, showClip, text, watchEmpty, workplace } from "./page.js";
import { canonical, Saver } from "./saver.js";

let claim = null;
let saver = null;
let lease = null;
let intention = null; // {key, text}: one Idempotency-Key per claim and body
let waitingForSignIn = false;

const url = (rest = "") => `${settings.api}/claims/${claim.id}/${rest}`;
const { player, editor } = workplace({ claimUrl: () => claim && url(), onChange: () => changed() });

function changed() {
  progress();
  saver?.touch();
}

function progress() {
  const open = editor.clues.undecided.length;
  refs.open.textContent = open ? text.cluesOpen.replace("%s", open) : text.allChecked;
  refs.open.className = open ? "badge" : "badge badge--ok";
}

function saveState(message, level = "") {
  refs.saved.textContent = message;
  refs.saved.dataset.level = level;
}

async function next() {
  clearBanners();
  lease?.end();
  claim = null;
  player.pause();
  try {
    const found = await claimNext("annotate");
    if (!found) return show("empty");
    await open(found.claim, found.etag);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    refs.failedText.textContent = error.status === 401 ? text.signedOut : error.message;
    show("failed");
  }
}

async function open(data, etag) {
  claim = data;
  intention = null;
  show("task");
  showClip(claim);
  banner("returned", claim.returned ? `${text.returned} ${claim.returned.reason || ""}` : null, { level: "warn" });
  const key = `draft:${settings.user}:${claim.id}`;
  const left = Saver.left(key);
  editor.load(claim, left ? left.body : claim.draft);
  saver = new Saver({ url: url(), key, etag: left?.etag || etag, read: () => editor.value, on: savingEvents });
  if (left && canonical(left.body) !== canonical(claim.draft)) {
    banner("restored", text.restored, { level: "info" });
    saver.ours.add(canonical(left.body));
    saver.touch();
  } else {
    localStorage.removeItem(key);
    saver.etag = etag;
    saver.settle();
    saveState(claim.draft ? text.draftLoaded : "");
  }
  lease = new Lease(claim, { onLost: lost });
  progress();
  window.scrollTo(0, 0);
  await player.load(claim.clip);
  const first = editor.clues.undecided[0] || editor.clues.ordered()[0];
  if (first) editor.clues.activate(first, { scroll: false });
}

const savingEvents = {
  saving: () => saveState(text.saving),
  saved: (date) => {
    saveState(text.savedAt.replace("%s", date.toLocaleTimeString(document.documentElement.lang)), "ok");
    for (const name of ["offline", "signed-out", "restored", "refused"]) banner(name, null);
    waitingForSignIn = false;
  },
  waiting: (error, seconds) => {
    saveState(text.notSaved, "warn");
    banner("offline", (error.status === 0 ? text.offline : text.serverAway).replace("%s", seconds));
  },
  signedOut: () => {
    saveState(text.notSaved, "warn");
    waitingForSignIn = true;
    banner("signed-out", text.signedOutWorking, { level: "danger" });
  },
  conflict: () => {
    saveState(text.notSaved, "warn");
    banner("conflict", text.conflict, {
      level: "danger",
      actions: [
        [text.conflictMine, () => resolveConflict(true)],
        [text.conflictTheirs, () => resolveConflict(false)],
      ],
    });
  },
  lost: (error) => {
    saveState(text.notSaved, "warn");
    lost(error);
  },
  refused: (error) => {
    saveState(text.notSaved, "warn");
    banner("refused", error.message, { level: "danger" });
  },
  noLocalCopy: () => banner("no-local-copy", text.noLocalCopy, { level: "info" }),
};

/** The clip is no longer mine. Only a lease that ran out comes back by submitting; all else is over. */
function lost(error) {
  if (error.code === "claim-lost") banner("lease", `${error.message} ${text.leaseLost}`);
  else banner("lease", error.message, { level: "danger", actions: [[text.nextClip, () => giveUp()]] });
}

/** Another tab or device saved a newer draft: keep this one over it, or take that one. */
async function resolveConflict(mine) {
  try {
    const { data, etag } = await untilAnswered(() => api("GET", url()));
    if (!mine) {
      editor.load(data, data.draft);
      progress();
    }
    saver.resume(etag);
    banner("conflict", null);
    if (mine) saver.touch();
    else {
      saver.settle();
      localStorage.removeItem(saver.key);
      saveState(text.draftLoaded);
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    banner("conflict", error.message, { level: "danger" });
  }
}

async function submit() {
  if (!claim || refs.submit.disabled) return;
  if (!editor.check()) return;
  const body = editor.value;
  const words = JSON.stringify(body);
  if (intention?.text !== words) intention = { key: newKey(), text: words };
  handingIn(refs.submit, true);
  await saver.flush();
  try {
    await untilAnswered(
      () => api("POST", url("submit/"), { body, headers: { "Idempotency-Key": intention.key } }),
      (error, seconds) => banner("offline", (error.status === 0 ? text.offline : text.serverAway).replace("%s", seconds)),
    );
    banner("offline", null);
    saver.finish();
    refs.announce.textContent = text.submitted;
    handingIn(refs.submit, false);
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    handingIn(refs.submit, false);
    if (error.signedOut) savingEvents.signedOut();
    else if (error.status === 422) editor.showErrors(error.message, error.problem.errors, body);
    else banner("submit", error.message, { level: "danger", actions: [[text.nextClip, () => giveUp()]] });
  }
}

/** The slot went to somebody else: the draft stays with the server, this page goes on. */
async function giveUp() {
  saver.finish();
  await next();
}

async function leave(method, rest, body) {
  await saver.flush(); // the last words too are in the draft that is kept
  saver.stopped = true;
  refs.task.inert = true;
  try {
    await api(method, url(rest), { body });
    saver.finish();
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    saver.stopped = false;
    banner("submit", error.message || text.offline, { level: "danger" });
  } finally {
    refs.task.inert = false;
  }
}

async function skip() {
  refs.skipReason.value = "";
  if ((await ask(refs.skipDialog)) !== "skip") return;
  await leave("POST", "skip/", { reason: refs.skipReason.value.trim() });
}

async function release() {
  if ((await ask(refs.releaseDialog)) !== "release") return;
  await leave("DELETE", "");
}

async function summarise() {
  if (!claim || refs.summarise.disabled) return;
  if (editor.hasText && (await ask(refs.replaceDialog)) !== "replace") return;
  busy(refs.summarise, true);
  const asked = claim.id;
  try {
    const { data } = await api("POST", url("summarise/"), { body: editor.value });
    if (claim?.id !== asked) return;
    editor.replaceText(data);
    editor.summarySource(text.sources[data.source] || data.source || "", data.note || "");
    banner("summary", null);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 422) editor.showErrors(error.message, error.problem.errors, editor.value);
    else banner("summary", error.message || text.offline, { level: error.code === "not-configured" ? "info" : "danger" });
  } finally {
    busy(refs.summarise, false);
  }
}

refs.submit.addEventListener("click", submit);
refs.skip.addEventListener("click", skip);
refs.release.addEventListener("click", release);
refs.summarise.addEventListener("click", summarise);
refs.retry.addEventListener("click", next);
refs.again.addEventListener("click", next);
commonKeys(player, editor).bindAll({ "mod+enter": submit, "mod+s": () => saver?.flush(), s: summarise });

window.addEventListener("beforeunload", (event) => {
  if (saver?.pending && !saver.stopped) event.preventDefault();
});
window.addEventListener("pagehide", () => saver?.farewell());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) saver?.flush();
  else if (waitingForSignIn) saver?.put();
});

watchEmpty(next);
next();
