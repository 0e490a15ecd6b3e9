// One time axis below the page: waveform and spans of the clues (wavesurfer.js), curves (uPlot, in curves.js), and one
// cursor over all of them. A click goes there; a drag over the waveform draws the span of the active clue.

import { Curves, element } from "./curves.js";

const LANES = ["visual", "audio", "text"]; // from the top
const HEIGHT = 60; // px of waveform and lanes
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60]; // s between the labels of the ruler
const MOST_LABELS = 14;
const LEAST = 0.02; // s; a region of no length cannot be seen

const CSS = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Timeline {
  /** `player` tells what it shows; `nonce` goes to the library that adds a style element. */
  constructor(refs, { player, nonce }) {
    Object.assign(this, { refs, player, nonce, wave: null, regions: null });
    this.words = JSON.parse(document.getElementById("work-text").textContent);
    this.items = [];
    this.shown = new Map(); // key -> {region, sign}
    this.drawing = true;
    this.loading = 0;
    /** `onSpan(key, [t0, t1])`: dragged or resized; a drawn one has no key and is the active clue's. */
    this.onSpan = () => {};
    this.onPick = () => {};
    this.curves = new Curves(refs, { player, words: this.words });
    player.on("load", (clip) => this.#load(clip));
    player.on("time", (seconds) => this.#at(seconds));
    refs.seek.addEventListener("input", () => player.seek(Number(refs.seek.value)));
    refs.axis.addEventListener("pointerleave", () => this.curves.read(null));
    new ResizeObserver(() => this.#at(player.time)).observe(refs.axis);
    this.stroke = [0, 0];
    const under = ({ clientX }) => {
      const { left, width } = refs.axis.getBoundingClientRect();
      const duration = player.clip?.duration || player.duration;
      return Math.min(Math.max(((clientX - left) / width) * duration, 0), duration);
    };
    refs.wave.addEventListener("pointerdown", (event) => (this.stroke = [under(event), under(event)]), true);
    addEventListener("pointermove", (event) => event.buttons && (this.stroke[1] = under(event)), true);
    this.#watchTheme();
  }

  /** The spans of the clues: `[{key, span, modality, active, editable, label}]`; `draw` false where none may be drawn. */
  setSpans(items, { draw = true } = {}) {
    this.items = items;
    this.drawing = draw;
    this.#drawSpans();
  }

  /** Show the spans of a clue list and tell it what is done to them. */
  follow(clues) {
    const show = () => this.setSpans(clues.spans(), { draw: !clues.readOnly });
    clues.onSpans = show;
    this.onSpan = (key, span) => clues.setSpan(key, span);
    this.onPick = (key) => clues.pick(key);
    show();
  }

  async #load(clip) {
    const turn = ++this.loading;
    const { refs, player } = this;
    const duration = clip.duration || 0;
    refs.timeline.hidden = !duration;
    refs.seek.max = duration || 1;
    refs.seek.disabled = !player.media;
    this.#clear();
    if (!duration) return;
    const [made, data] = await Promise.all([this.#make(), player.peaks]);
    if (turn !== this.loading || !made) return;
    const silent = !data?.peaks?.length;
    refs.quiet.textContent = this.#quietWord(clip);
    refs.quiet.hidden = !silent;
    const peaks = silent ? [[0, 0]] : [data.peaks.map((pair) => pair[1]), data.peaks.map((pair) => pair[0])];
    this.#rule(duration);
    await this.wave.load("", peaks, duration);
    if (turn === this.loading) this.#drawSpans();
  }

  /** Some ten seconds or parts of them below the waveform. */
  #rule(duration) {
    this.ruler?.destroy();
    const step = STEPS.find((each) => duration / each <= MOST_LABELS) ?? 60 * Math.ceil(duration / 60 / MOST_LABELS);
    const options = { height: 16, timeInterval: step, primaryLabelInterval: step, secondaryLabelInterval: 0 };
    this.ruler = this.wave.registerPlugin(this.Ruler.create({ ...options, formatTimeCallback: ruler, style: { fontSize: "10px" } }));
  }

  #quietWord(clip) {
    const { mode } = this.player;
    if (mode === "visual" || mode === "text") return this.words.soundHidden;
    return clip.media?.video || clip.media?.audio ? this.words.noSound : this.words.noMedia;
  }

  /** The waveform with its plug-ins, made when the first clip comes; false where the library cannot be had. */
  async #make() {
    if (this.wave) return true;
    this.making ??= Promise.all([
      import("../../vendor/wavesurfer.js/wavesurfer.esm.js"),
      import("../../vendor/wavesurfer.js/regions.esm.js"),
      import("../../vendor/wavesurfer.js/timeline.esm.js"),
    ]).then(([{ default: WaveSurfer }, { default: Regions }, { default: Ruler }]) => {
      this.regions = Regions.create();
      this.Ruler = Ruler;
      this.wave = WaveSurfer.create({
        container: this.refs.wave,
        height: HEIGHT,
        normalize: true,
        cursorWidth: 0,
        hideScrollbar: true,
        cspNonce: this.nonce,
        plugins: [this.regions],
        ...this.#colours(),
      });
      this.wave.on("interaction", (seconds) => this.player.seek(seconds));
      this.regions.on("region-created", (region) => this.#drawn(region));
      this.regions.on("region-updated", (region) => this.#moved(region));
      this.regions.on("region-clicked", (region, event) => this.#picked(region, event));
      return true;
    });
    try {
      return await this.making;
    } catch (error) {
      this.making = null;
      console.info("The waveform cannot be drawn:", error.message);
      return false;
    }
  }

  #colours() {
    return { waveColor: CSS("--wave"), progressColor: CSS("--wave") };
  }

  #clear() {
    for (const { region } of this.shown.values()) region.remove();
    this.shown.clear();
  }

  /** Bring the regions in line with the spans, leaving alone those that are right. */
  #drawSpans() {
    if (!this.regions || !this.wave?.getDuration()) return;
    this.stopDrawing?.();
    this.stopDrawing = this.drawing ? this.regions.enableDragSelection({ color: CSS("--span") }, 4) : null;
    const wanted = new Set(this.items.filter((item) => item.span).map((item) => item.key));
    for (const [key, { region }] of this.shown) {
      if (wanted.has(key)) continue;
      region.remove();
      this.shown.delete(key);
    }
    for (const item of this.items) if (item.span) this.#drawSpan(item);
  }

  #drawSpan(item) {
    const { key, span, modality, active, label } = item;
    const editable = Boolean(item.editable && active);
    const sign = JSON.stringify([span, modality, active, editable, label]);
    const old = this.shown.get(key);
    if (old?.sign === sign) return;
    old?.region.remove();
    this.adding = true;
    const region = this.regions.addRegion({
      id: `span-${key}`,
      start: span[0],
      end: Math.max(span[1], span[0] + LEAST),
      drag: editable,
      resize: editable,
      color: CSS(active ? `--span-${modality}` : `--span-${modality}-faint`),
      content: labelOf(label),
    });
    this.adding = false;
    region.spanKey = key;
    this.shown.set(key, { region, sign });
    const lane = Math.max(0, LANES.indexOf(modality));
    const line = CSS(`--mark-${modality}`);
    Object.assign(region.element.style, {
      top: `${(HEIGHT / LANES.length) * lane}px`,
      height: `${HEIGHT / LANES.length}px`,
      borderRadius: "3px",
      boxShadow: active ? `inset 0 0 0 1.5px ${line}` : `inset 2px 0 0 ${line}, inset -2px 0 0 ${line}`,
      color: CSS("--text"),
      zIndex: active ? "5" : "3",
      cursor: editable ? "grab" : "pointer",
    });
  }

  #drawn(region) {
    if (this.adding || this.shown.get(region.spanKey)?.region === region) return;
    // From where the pointer went down to where it is: the library's own region begins five pixels wide.
    const span = this.stroke.map(round).sort((a, b) => a - b);
    region.remove();
    this.onSpan(null, span);
  }

  #moved(region) {
    if (region.spanKey === undefined) return;
    this.onSpan(region.spanKey, [round(region.start), round(region.end)]);
  }

  /** A click on a span: its clue, and its stretch of the clip over and over. */
  #picked(region, event) {
    event.stopPropagation();
    if (region.spanKey === undefined) return;
    this.onPick(region.spanKey);
    this.player.loop([region.start, region.end]);
  }

  #at(seconds) {
    const { refs, player } = this;
    const duration = this.player.clip?.duration || player.duration;
    if (!duration) return;
    const share = Math.min(Math.max(seconds / duration, 0), 1);
    refs.cursor.style.transform = `translateX(${(share * refs.axis.clientWidth).toFixed(1)}px)`;
    if (document.activeElement !== refs.seek || player.playing) refs.seek.value = seconds;
    refs.seek.setAttribute("aria-valuetext", `${seconds.toFixed(2)} s`);
    this.curves.read(seconds);
  }

  #watchTheme() {
    const again = () => {
      this.wave?.setOptions(this.#colours());
      this.#clear();
      this.#drawSpans();
      this.curves.redraw();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  }
}

/** A span's name, on a ground of its own: the wave runs behind it. */
function labelOf(label) {
  const box = element("div", "", label || "");
  Object.assign(box.style, {
    width: "fit-content", maxWidth: "calc(100% - 8px)", margin: "2px 4px", padding: "0 3px", boxSizing: "border-box",
    background: CSS("--surface"), borderRadius: "3px", fontSize: "11px", lineHeight: `${HEIGHT / LANES.length - 4}px`,
    whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis", pointerEvents: "none",
  });
  return box;
}

function ruler(seconds) {
  const rest = Math.round((seconds % 60) * 100) / 100;
  return seconds < 60 ? `${rest}` : `${Math.floor(seconds / 60)}:${String(rest).padStart(2, "0")}`;
}

function round(seconds) {
  return Math.round(Math.max(0, seconds) * 1000) / 1000;
}
