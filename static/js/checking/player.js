// The clip: video, or sound alone, or none. Times are seconds of the clip; the timeline draws what this one says.

import { ask, taken } from "./prefetch.js";
import { exact, indexAt, joined } from "./times.js";

export { prefetch } from "./prefetch.js";
export const RATES = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
export const TRACKS = ["both", "sound", "picture"];
const FRAME = 1 / 25; // where the times of the frames are not known
const AFTER = 0.0003; // a seek to just behind a frame's time shows that frame, however the browser rounds
const REFRESH_EVERY = 10000; // ms

export class Player {
  /** `refs` are elements by data-ref; `refresh()` renews what the media depend on: the clip with its URLs, or null. */
  constructor(refs, { refresh }) {
    this.words = JSON.parse(document.getElementById("work-text").textContent);
    Object.assign(this, { refs, refresh, media: null, clip: null, frames: null, looping: null, until: null });
    this.instead = null; // a media element that the keys move while a context clip is shown
    this.speed = 1;
    this.tracks = "both";
    this.played = [];
    this.last = null; // where the clip was at the last look while it played
    this.shown = null; // time of the frame that is on the screen, as the browser tells it
    this.refreshed = 0;
    this.listeners = {};
    this.heard = new WeakSet();
    this.#listen(refs.video);
    this.#listen(refs.audio);
    refs.play.addEventListener("click", () => this.toggle());
    refs.back.addEventListener("click", () => this.skip(-1));
    refs.forward.addEventListener("click", () => this.skip(1));
    refs.frameBack.addEventListener("click", () => this.frame(-1));
    refs.frameForward.addEventListener("click", () => this.frame(1));
    refs.rate.addEventListener("change", () => this.setRate(Number(refs.rate.value)));
    refs.tracks.addEventListener("click", () => this.nextTracks());
    refs.stage.addEventListener("click", (event) => event.target === this.media && this.toggle());
    window.addEventListener("online", () => this.retry());
  }

  /** `on("load"|"time"|"state"|"rate"|"tracks"|"loop"|"curves", call)`: several may listen. */
  on(name, call) {
    (this.listeners[name] ??= []).push(call);
  }

  #tell(name, value) {
    for (const call of this.listeners[name] || []) call(value);
  }

  #listen(media) {
    if (this.heard.has(media)) return;
    this.heard.add(media);
    const mine = (act) => () => media === this.media && act();
    for (const name of ["timeupdate", "seeked", "loadedmetadata", "durationchange"]) {
      media.addEventListener(name, mine(() => this.#tick()));
    }
    media.addEventListener("loadedmetadata", mine(() => this.#pace()));
    media.addEventListener("seeking", mine(() => (this.last = null)));
    for (const name of ["play", "pause", "ended"]) media.addEventListener(name, mine(() => this.#state()));
    media.addEventListener("ended", mine(() => this.looping && this.#again()));
    media.addEventListener("error", mine(() => this.#failed()));
    this.#watchFrames(media);
  }

  #watchFrames(media) {
    if (!media.requestVideoFrameCallback) return;
    const seen = (_now, { mediaTime }) => {
      if (media === this.media) this.shown = mediaTime;
      media.requestVideoFrameCallback(seen);
    };
    media.requestVideoFrameCallback(seen);
  }

  get time() {
    return this.media ? this.media.currentTime : 0;
  }

  get duration() {
    const known = this.media && Number.isFinite(this.media.duration) ? this.media.duration : null;
    return known ?? this.clip?.duration ?? 0;
  }

  get playing() {
    return Boolean(this.media && !this.media.paused && !this.media.ended);
  }

  get rate() {
    return this.speed;
  }

  /** Share of the clip that was played, 0 to 1. */
  get playedShare() {
    const seconds = this.played.reduce((sum, [from, to]) => sum + to - from, 0);
    return this.duration ? Math.min(1, seconds / this.duration) : 0;
  }

  /**
   * Show a clip. `mode` is the claim's ("visual", "audio", "text" or ""), `claim` the claim with its clues. A clip
   * without media says so, and everything else goes on working. The curves come later: `on("curves")`.
   */
  load(clip, { mode = "", claim = null } = {}) {
    const started = performance.now();
    Object.assign(this, { clip, mode, claim, frames: null, looping: null, until: null, last: null, shown: null });
    this.played = [];
    this.refreshed = 0; // another clip has its own first try
    clearTimeout(this.later);
    this.curves = null;
    const urls = clip.media || {};
    const ahead = taken(clip);
    this.instead?.pause();
    this.instead = null;
    this.#put(urls, ahead?.element);
    this.#show(urls);
    const get = (url) => (url ? (ahead?.json.get(url) ?? ask(url)) : Promise.resolve(null));
    this.peaks = get(urls.peaks);
    this.#tell("load", clip);
    this.#tick();
    this.#state();
    get(urls.tracks).then((curves) => {
      if (clip !== this.clip) return;
      this.curves = curves;
      this.frames = curves?.frames?.length ? curves.frames : null;
      this.#tell("curves", curves);
    });
    this.loadedIn = performance.now() - started;
    return Promise.resolve();
  }

  /** Take the element that was fetched ahead, or point ours at the clip. */
  #put(urls, element) {
    const { refs } = this;
    for (const media of [refs.video, refs.audio]) {
      media.pause();
      if (!media.getAttribute("src")) continue;
      media.removeAttribute("src");
      media.removeAttribute("poster");
      media.load(); // lets go of what it had
    }
    const name = urls.video ? "video" : urls.audio ? "audio" : null;
    if (element) {
      const old = refs[name];
      element.dataset.ref = name;
      element.tabIndex = -1;
      old.replaceWith(element);
      refs[name] = element;
      this.#listen(element);
    }
    this.media = name ? refs[name] : null;
    if (this.media && !element) this.#point(urls);
    if (this.media) this.#pace();
  }

  #point(urls) {
    if (urls.poster && this.media === this.refs.video) this.media.poster = urls.poster;
    this.media.src = this.media === this.refs.video ? urls.video : urls.audio;
  }

  #show(urls) {
    const { refs } = this;
    refs.video.hidden = !urls.video;
    refs.audioOnly.hidden = Boolean(urls.video) || !urls.audio;
    refs.noMedia.hidden = Boolean(urls.video || urls.audio);
    refs.noMedia.textContent = this.mode === "text" ? this.words.wordsOnly : this.words.nothingToPlay;
    refs.audioOnly.textContent = this.mode === "audio" ? this.words.taskOfSound : this.words.hasSoundOnly;
    refs.lostMedia.hidden = true;
    refs.stage.classList.toggle("player--quiet", !urls.video);
    refs.controls.hidden = this.media === null;
    const switchable = Boolean(urls.video && urls.audio);
    refs.tracks.hidden = !switchable;
    for (const part of [refs.frameBack, refs.frameForward]) part.hidden = !urls.video;
    this.#applyTracks(switchable ? this.tracks : "both");
  }

  /** Once more, where the clip could not be fetched: the lease is back, or the network. At most every few seconds. */
  retry() {
    clearTimeout(this.later);
    if (!this.media?.error) return;
    const rest = this.refreshed + REFRESH_EVERY - Date.now();
    if (rest > 0) this.later = setTimeout(() => this.retry(), rest);
    else this.#failed();
  }

  /** The address may have ended with the lease while one was away: renew it and go on where one was. */
  async #failed() {
    const { media } = this;
    if (!media?.getAttribute("src")) return;
    const at = media.currentTime;
    const wasPlaying = this.wanted === true;
    const soon = Date.now() - this.refreshed < REFRESH_EVERY;
    this.refreshed = Date.now();
    const clip = soon ? null : await this.refresh();
    if (media !== this.media) return;
    this.refs.lostMedia.hidden = Boolean(clip);
    if (!clip?.media || !(clip.media.video || clip.media.audio)) return;
    this.clip.media = clip.media;
    this.#point(clip.media);
    this.seek(at);
    if (wasPlaying) this.#play();
  }

  #play() {
    this.wanted = true;
    const target = this.instead || this.media;
    target.play().catch((error) => {
      if (error.name !== "AbortError") console.info("The clip cannot be played:", error.message);
    });
  }

  toggle() {
    const target = this.instead || this.media;
    if (!target) return;
    this.until = null;
    if (target === this.media && target.error) {
      Object.assign(this, { wanted: true, refreshed: 0 });
      return this.retry();
    }
    if (!target.paused) return this.pause();
    if (target.currentTime >= (target.duration || this.duration) - 0.05) target.currentTime = 0;
    this.#play();
  }

  pause() {
    this.wanted = false;
    (this.instead || this.media)?.pause();
  }

  seek(seconds) {
    if (!this.media) return;
    const at = Math.min(Math.max(seconds, 0), this.duration || 0);
    if (this.looping && (seconds < this.looping[0] - 0.05 || seconds > this.looping[1] + 0.05)) this.stopLoop();
    this.media.currentTime = at;
    this.#tell("time", at);
  }

  /** Some seconds on; in the context clip while one is shown. */
  skip(seconds) {
    if (this.instead) this.instead.currentTime = Math.max(0, this.instead.currentTime + seconds);
    else this.seek(this.time + seconds);
  }

  /** The time of the frame that many frames from the one shown at `seconds` (0: of that one itself). */
  frameAt(seconds, step = 0) {
    const { frames } = this;
    if (!frames) return Math.min(Math.max(Math.round((seconds + step * FRAME) * 1000) / 1000, 0), this.duration || 0);
    return frames[Math.min(Math.max(indexAt(frames, seconds + AFTER * 2) + step, 0), frames.length - 1)];
  }

  frame(step) {
    if (!this.media || this.instead) return;
    this.pause();
    this.seek(this.frameAt(this.time, step) + AFTER);
  }

  setRate(rate) {
    const known = RATES.reduce((best, each) => (Math.abs(each - rate) < Math.abs(best - rate) ? each : best), 1);
    this.speed = known;
    this.refs.rate.value = String(known);
    this.#pace();
    this.#tell("rate", known);
  }

  #pace() {
    for (const media of [this.media, this.instead]) {
      if (!media) continue;
      media.preservesPitch = true;
      media.defaultPlaybackRate = this.speed;
      media.playbackRate = this.speed;
    }
  }

  setTracks(tracks) {
    if (this.refs.tracks.hidden) return;
    this.tracks = TRACKS.includes(tracks) ? tracks : "both";
    this.#applyTracks(this.tracks);
    this.#tell("tracks", this.tracks);
  }

  nextTracks() {
    this.setTracks(TRACKS[(TRACKS.indexOf(this.tracks) + 1) % TRACKS.length]);
  }

  #applyTracks(tracks) {
    const { refs, media } = this;
    refs.tracks.dataset.tracks = tracks;
    refs.tracks.title = this.words.tracks[tracks];
    refs.tracks.setAttribute("aria-label", this.words.tracks[tracks]);
    refs.stage.classList.toggle("is-sound-only", tracks === "sound");
    refs.soundOnly.hidden = tracks !== "sound";
    if (media) media.muted = tracks === "picture";
  }

  /** Play the span once. */
  playSpan([start, end]) {
    if (!this.media) return;
    this.stopLoop();
    this.seek(start);
    this.until = end;
    this.#play();
  }

  /** Play the span over and over until `stopLoop()`; pausing keeps it. */
  loop([start, end]) {
    if (!this.media) return;
    this.until = null;
    this.looping = [start, Math.max(end, start + FRAME)];
    this.seek(start);
    this.#play();
    this.#tell("loop", this.looping);
  }

  stopLoop() {
    if (!this.looping) return;
    this.looping = null;
    this.#tell("loop", null);
  }

  #again() {
    this.media.currentTime = this.looping[0];
    if (this.media.paused) this.#play();
  }

  /** Every picture of the screen while the clip plays: the span's end is not passed by more than a frame. */
  #tick() {
    const now = this.time;
    if (this.playing && !this.media.seeking) {
      this.#note(now);
      if (this.until !== null && now >= this.until) {
        this.until = null;
        this.pause();
      } else if (this.looping && now >= Math.min(this.looping[1], this.duration - 0.02)) this.#again();
    }
    this.refs.time.textContent = exact(now);
    this.refs.wholeTime.textContent = ` / ${exact(this.duration)}`;
    this.#tell("time", now);
  }

  #note(now) {
    if (this.last !== null && now > this.last && now - this.last < 2 * this.speed) this.played = joined(this.played, [this.last, now]);
    this.last = now;
  }

  #state() {
    const { playing } = this;
    this.last = null;
    this.refs.play.setAttribute("aria-pressed", String(playing));
    this.refs.stage.classList.toggle("is-playing", playing);
    this.#tell("state", playing);
    if (playing && !this.running) {
      this.running = true;
      const step = () => {
        this.running = this.playing;
        if (!this.running) return;
        this.#tick();
        requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    }
  }
}

/** What keys do to the player; `context` may be there too. */
export function playerActions(player, context = null) {
  const rate = (step) => () => player.setRate(RATES[Math.min(Math.max(RATES.indexOf(player.rate) + step, 0), RATES.length - 1)]);
  return {
    play: () => player.toggle(),
    back: () => player.skip(-1),
    forward: () => player.skip(1),
    "frame-back": () => player.frame(-1),
    "frame-forward": () => player.frame(1),
    slower: rate(-1),
    faster: rate(1),
    "normal-speed": () => player.setRate(1),
    tracks: () => player.nextTracks(),
    peak: () => {
      const at = player.curves?.au?.peak?.timestamp ?? player.claim?.au?.peak?.timestamp;
      if (at == null) return;
      player.pause();
      player.seek(at + AFTER);
    },
    ...(context ? { "context-previous": () => context.toggle("previous"), "context-next": () => context.toggle("next") } : {}),
  };
}
