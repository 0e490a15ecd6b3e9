// The checking page: claim, work, autosave, submit, next. The parts are wired to each other here.

import { api, ApiError, untilAnswered } from "../api.js";
import { local } from "../store.js";
import { Activity } from "./activity.js";
import { Ahead, claimNext, claimRefused, Lease, watchEmpty } from "./claims.js";
import { History } from "./history.js";
import { announce, ask, banner, bindKeys, clearBanners, handingIn, prefetch, refs, settings, show, showClip, text, workplace } from "./page.js";
import { askSkip, flag, wireDialogs } from "./panels-dialogs.js";
import { openHelp, wireHelp } from "./panels-keys.js";
import { Panels } from "./panels.js";
import { returnedWords } from "./returned.js";
import { canonical, Saver } from "./saver.js";
import { Submission } from "./submission.js";
import { partActions } from "./work.js";

let claim = null;
let saver = null;
let lease = null;
let waitingForSignIn = false;

const url = (rest = "") => `${settings.api}/claims/${claim.id}/${rest}`;
const { player, context, editor } = workplace({ claimUrl: () => claim && url(), onChange: () => changed() });
const activity = new Activity({ idle: Number(settings.idle || 60), player, editor });
const ahead = new Ahead("annotate", { media: prefetch });
const submission = new Submission({ base: settings.api, user: settings.user, corpus: settings.corpus });
const history = new History(refs.task, {
  read: () => editor.value,
  restore: (body) => editor.restore(body),
  on: {
    moved: (which, parts) => {
      announce(text[which].replace("%s", parts.map((part) => text.parts[part]).join(", ")));
      changed();
    },
    none: (which) => announce(which === "undo" ? text.nothingToUndo : text.nothingToRedo),
    drawn: (back, forth) => {
      refs.historyUndo.disabled = !back;
      refs.historyRedo.disabled = !forth;
    },
  },
});
const panels = new Panels({ claim: () => claim, take: (body) => putBack(body) });

/** What is said about the clip and how it was made: the body of drafts and of the submission. */
function body() {
  for (const [which, seen] of Object.entries(context.seen)) if (seen) activity.seen(which);
  return { ...editor.value, work: activity.value };
}

function changed() {
  if (!claim) return;
  progress();
  history.note();
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

/** Another body in the place of this one; a step that undo takes back. */
function putBack(other) {
  editor.restore(other);
  changed();
}

async function next() {
  clearBanners();
  lease?.end();
  claim = saver = null;
  player.pause();
  try {
    const found = ahead.take() || (await claimNext("annotate"));
    if (!found) return show("empty");
    await open(found.claim, found.etag, found.at);
  } catch (error) {
    claimRefused(error);
  }
}

async function open(data, etag, at) {
  claim = data;
  show("task");
  showClip(claim);
  banner("returned", claim.returned ? returnedWords(claim, text) : null, { level: "warn" });
  const loaded = player.load(claim.clip, { mode: claim.mode || "", claim });
  const key = `draft:${settings.user}:${claim.id}`;
  const left = Saver.left(key);
  editor.load(claim, left ? left.body : claim.draft);
  activity.start({ ...claim, draft: left ? left.body : claim.draft });
  panels.cleared();
  history.start();
  saver = new Saver({ url: url(), key, etag: left?.etag || etag, read: body, on: savingEvents });
  lease = new Lease(claim, { at, onLost: lost, onKept: () => player.retry() });
  if (left && canonical(left.body) !== canonical(claim.draft)) {
    banner("restored", text.restored, { level: "info" });
    saver.ours.add(canonical(left.body));
    saver.touch();
  } else {
    local.removeItem(key);
    saver.etag = etag;
    saver.settle();
    saveState(claim.draft ? text.draftLoaded : "");
  }
  progress();
  for (const area of refs.task.querySelectorAll(".work-area")) area.scrollTop = 0;
  window.scrollTo(0, 0);
  const first = editor.clues.undecided[0] || editor.clues.ordered()[0];
  if (first) {
    editor.clues.activate(first, { scroll: false });
    first.element.focus({ preventScroll: true });
  }
  performance.mark("work-open", { detail: { claim: claim.id } });
  await loaded;
  if (claim === data) ahead.start(claim);
}

const savingEvents = {
  saving: () => saveState(text.saving),
  saved: (date) => {
    saveState(text.savedAt.replace("%s", date.toLocaleTimeString(document.documentElement.lang)), "ok");
    for (const name of ["offline", "signed-out", "restored", "refused"]) banner(name, null);
    waitingForSignIn = false;
    lease?.signed(); // a saved draft extends it
    player.retry();
  },
  waiting: (error, seconds) => {
    saveState(text.notSaved, "warn");
    banner("offline", away(error, seconds));
  },
  signedOut: (error) => {
    saveState(text.notSaved, "warn");
    waitingForSignIn = true;
    banner("signed-out", error.away(text.signedOutWorking), { level: "danger" });
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

function away(error, seconds) {
  return (error.status === 0 ? text.offline : text.serverAway).replace("%s", seconds);
}

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
      history.start();
      progress();
    }
    saver.resume(etag);
    banner("conflict", null);
    if (mine) saver.touch();
    else {
      saver.settle();
      local.removeItem(saver.key);
      saveState(text.draftLoaded);
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    banner("conflict", error.message, { level: "danger" });
  }
}

async function submit() {
  if (!claim || refs.submit.disabled) return;
  if (!editor.check(submit)) return;
  handingIn(refs.submit, true);
  await saver.flush();
  const sent = body();
  try {
    const answer = await submission.send(claim.id, sent, (error, seconds) => banner("offline", away(error, seconds)));
    banner("offline", null);
    saver.finish();
    performance.mark("work-handed-in");
    handingIn(refs.submit, false);
    if (answer?.feedback) return location.assign(answer.feedback); // a practice clip: how it was judged, then on
    announce(text.submitted);
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    handingIn(refs.submit, false);
    if (error.signedOut) savingEvents.signedOut(error);
    else if (error.status === 422) editor.showErrors(error.message, error.problem.errors, sent);
    else banner("submit", error.message, { level: "danger", actions: [[text.nextClip, () => giveUp()]] });
  }
}

/** What an earlier visit handed in without hearing of it goes first; then work begins. */
async function begin() {
  const told = [];
  for (const left of submission.left()) {
    show("loading");
    banner("resubmitting", text.resubmitting, { level: "info" });
    try {
      const answer = await submission.deliver(left, (error, seconds) => banner("offline", away(error, seconds)));
      local.removeItem(`draft:${settings.user}:${left.claim}`);
      if (answer?.feedback) return location.assign(answer.feedback);
      told.push([text.resubmitted, "ok"]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.signedOut) return claimRefused(error);
      told.push([text.notResubmitted.replace("%s", error.message), "warn"]);
    }
  }
  await next();
  for (const [message, level] of told) banner("resubmitting", message, { level });
}

/** The slot went to somebody else: the draft stays with the server, this page goes on. */
async function giveUp() {
  saver.finish();
  await next();
}

async function leave(method, rest, sent) {
  await saver.flush(); // the last words too are in the draft that is kept
  saver.stopped = true;
  refs.task.inert = true;
  try {
    await api(method, url(rest), { body: sent });
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
  const reason = await askSkip();
  if (reason !== null) await leave("POST", "skip/", { reason });
}

async function release() {
  if ((await ask(refs.releaseDialog)) !== "release") return;
  await leave("DELETE", "");
}

refs.submit.addEventListener("click", submit);
refs.skip.addEventListener("click", skip);
refs.release.addEventListener("click", release);
refs.retry.addEventListener("click", begin);
refs.again.addEventListener("click", next);
refs.flagButton.addEventListener("click", () => claim && flag(claim.clip));
refs.historyUndo.addEventListener("click", () => history.undo());
refs.historyRedo.addEventListener("click", () => history.redo());
wireDialogs();
wireHelp();
bindKeys(
  {
    ...partActions(player, editor, context),
    submit,
    skip,
    undo: () => history.undo(),
    redo: () => history.redo(),
    save: () => void saver?.flush(),
    flag: () => void (claim && flag(claim.clip)),
    comments: () => panels.toggle("comments"),
    guideline: () => panels.toggle("guideline"),
    help: openHelp,
  },
  { editor, escape: (event) => (!event.target?.closest?.(".work-task") || event.target === document.body) && panels.close() },
);

window.addEventListener("beforeunload", (event) => {
  if (saver?.pending && !saver.stopped) event.preventDefault();
});
window.addEventListener("pagehide", () => saver?.farewell());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) saver?.flush();
  else if (waitingForSignIn) saver?.put();
});

watchEmpty(next);
begin();
