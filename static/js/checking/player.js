// The clip: video, or audio alone, or none; the waveform below it from peaks computed at ingest. Times are seconds.

const CSS = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–:––";
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

export class Player {
  /** `refs` are elements by data-ref; `nonce` goes to the library that adds a style element; `refresh()` asks for
   *  fresh media URLs when the signed ones have run out. */
  constructor(refs, { nonce, refresh }) {
    this.refs = refs;
    this.nonce = nonce;
    this.refresh = refresh;
    this.media = null;
    this.wave = null;
    this.regions = null;
    this.region = null;
    this.stopAt = null;
    this.onSpan = () => {};
    this.refreshed = 0;
    for (const media of [refs.video, refs.audio]) {
      media.addEventListener("timeupdate", () => this.#tick());
      media.addEventListener("seeked", () => this.#tick());
      media.addEventListener("loadedmetadata", () => this.#tick());
      media.addEventListener("play", () => this.#state());
      media.addEventListener("pause", () => this.#state());
      media.addEventListener("error", () => this.#failed(media));
    }
    refs.video.addEventListener("click", () => this.toggle());
    refs.play.addEventListener("click", () => this.toggle());
    refs.back.addEventListener("click", () => this.seek(this.time - 1));
    refs.forward.addEventListener("click", () => this.seek(this.time + 1));
    refs.rate.addEventListener("change", () => this.#rate());
    refs.mute.addEventListener("click", () => {
      if (!this.media) return;
      this.media.muted = !this.media.muted;
      refs.mute.setAttribute("aria-pressed", String(this.media.muted));
    });
    refs.seek.addEventListener("input", () => this.seek(Number(refs.seek.value)));
  }

  get time() {
    return this.media ? this.media.currentTime : 0;
  }

  get duration() {
    const known = this.media && Number.isFinite(this.media.duration) ? this.media.duration : null;
    return known ?? this.clip?.duration ?? 0;
  }

  /** Show a clip. A clip without media says so and everything else goes on working. */
  async load(clip) {
    this.clip = clip;
    this.#drop();
    const { video, audio, stage, noMedia, controls, audioOnly } = this.refs;
    const urls = clip.media || {};
    for (const media of [video, audio]) {
      media.pause();
      media.removeAttribute("src");
      media.removeAttribute("poster");
    }
    video.hidden = !urls.video;
    audioOnly.hidden = Boolean(urls.video) || !urls.audio;
    noMedia.hidden = Boolean(urls.video || urls.audio);
    stage.classList.toggle("player--quiet", !urls.video);
    this.media = urls.video ? video : urls.audio ? audio : null;
    controls.hidden = this.media === null;
    this.refs.mute.hidden = !urls.audio;
    this.#point(urls);
    if (this.media) this.#rate();
    this.#tick();
    this.#state();
    await this.#waveform(urls);
  }

  #point(urls) {
    if (!this.media) return;
    if (urls.poster && this.media === this.refs.video) this.media.poster = urls.poster;
    this.media.src = this.media === this.refs.video ? urls.video : urls.audio;
  }

  async #failed(media) {
    if (media !== this.media || !media.getAttribute("src")) return;
    // The signed URL may have run out with the lease: ask once a minute at most for a fresh one.
    if (Date.now() - this.refreshed < 60000) {
      this.refs.noMedia.hidden = false;
      return;
    }
    this.refreshed = Date.now();
    const at = media.currentTime;
    const clip = await this.refresh();
    if (!clip) {
      this.refs.noMedia.hidden = false;
      return;
    }
    this.#point(clip.media);
    media.currentTime = at;
  }

  async #waveform(urls) {
    const box = this.refs.wave;
    box.hidden = !urls.peaks;
    this.refs.seek.hidden = Boolean(urls.peaks) || !this.media;
    if (!urls.peaks || !this.media) return;
    const clip = this.clip;
    try {
      const [{ default: WaveSurfer }, { default: Regions }, answer] = await Promise.all([
        import("../../vendor/wavesurfer.js/wavesurfer.esm.js"),
        import("../../vendor/wavesurfer.js/regions.esm.js"),
        fetch(urls.peaks, { credentials: "same-origin" }),
      ]);
      if (!answer.ok) throw new Error(`peaks: HTTP ${answer.status}`);
      const { peaks, duration } = await answer.json();
      if (clip !== this.clip) return;
      this.regions = Regions.create();
      this.wave = WaveSurfer.create({
        container: box,
        media: this.media,
        peaks: [peaks.flat()],
        duration: duration || clip.duration,
        height: 64,
        normalize: true,
        waveColor: CSS("--wave"),
        progressColor: CSS("--accent"),
        cursorColor: CSS("--text"),
        cursorWidth: 1,
        dragToSeek: true,
        hideScrollbar: true,
        cspNonce: this.nonce,
        plugins: [this.regions],
      });
      this.regions.on("region-updated", (region) => this.onSpan([round(region.start), round(region.end)]));
      this.showSpan(this.span, this.spanEditable);
    } catch (error) {
      console.warn("The waveform cannot be drawn:", error.message);
      box.hidden = true;
      this.refs.seek.hidden = false;
    }
  }

  /** Mark a span on the waveform; an editable one may be dragged and resized, which `onSpan` is told. */
  showSpan(span, editable = false) {
    this.span = span;
    this.spanEditable = editable;
    this.region?.remove();
    this.region = null;
    if (!this.regions || !span) return;
    this.region = this.regions.addRegion({
      start: span[0],
      end: Math.max(span[1], span[0] + 0.02),
      drag: editable,
      resize: editable,
      color: CSS("--span"),
    });
  }

  playSpan([start, end]) {
    if (!this.media) return;
    this.seek(start);
    this.stopAt = end;
    this.#play();
  }

  toggle() {
    if (!this.media) return;
    this.stopAt = null;
    if (this.media.paused) {
      if (this.time >= this.duration - 0.05) this.seek(0);
      this.#play();
    } else this.media.pause();
  }

  #play() {
    this.media.play().catch((error) => {
      if (error.name !== "AbortError") console.warn("The clip cannot be played:", error.message);
    });
  }

  seek(seconds) {
    if (this.media) this.media.currentTime = Math.min(Math.max(seconds, 0), this.duration || 0);
  }

  pause() {
    this.media?.pause();
  }

  #rate() {
    if (this.media) this.media.playbackRate = Number(this.refs.rate.value);
  }

  #tick() {
    if (this.stopAt !== null && this.time >= this.stopAt) {
      this.media.pause();
      this.stopAt = null;
    }
    this.refs.time.textContent = `${clock(this.time)} / ${clock(this.duration)}`;
    this.refs.seek.max = this.duration || 1;
    this.refs.seek.value = this.time;
  }

  #state() {
    const playing = Boolean(this.media && !this.media.paused);
    this.refs.play.setAttribute("aria-pressed", String(playing));
    this.refs.stage.classList.toggle("is-playing", playing);
  }

  #drop() {
    this.wave?.destroy();
    this.wave = this.regions = this.region = null;
    this.span = null;
    this.stopAt = null;
  }
}

function round(seconds) {
  return Math.round(seconds * 1000) / 1000;
}
