// The curves of the timeline: chosen action units, pitch and intensity, drawn by uPlot on the waveform's time axis.

import { local } from "../store.js";

const MOST = 3; // action units chosen by themselves
const HEIGHTS = { face: 48, voice: 44 }; // px
const KEPT = "timeline.aus"; // in this browser: the units that somebody chose

const CSS = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

let library = null;

/** uPlot, fetched when the first curve is drawn. */
function uplot(addresses) {
  library ??= new Promise((resolve, reject) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = addresses.uplotCss;
    const script = document.createElement("script");
    script.src = addresses.uplot;
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => reject(new Error("uPlot cannot be fetched"));
    document.head.append(sheet, script);
  });
  return library;
}

export class Curves {
  constructor(refs, { player, words }) {
    Object.assign(this, { refs, player, words, charts: {}, data: null, chosen: [] });
    player.on("load", () => this.#forget());
    player.on("curves", (data) => this.#show(data));
    for (const box of [refs.faceChart, refs.voiceChart]) this.#seekBy(box);
    refs.curvesToggle.addEventListener("click", () => this.fold(!refs.timeline.classList.contains("is-folded")));
    refs.auList.addEventListener("change", () => this.#choose([...refs.auList.querySelectorAll("input:checked")].map((box) => box.value)));
    refs.auUsual.addEventListener("click", () => this.#choose(null));
    refs.auPopover.addEventListener("toggle", (event) => event.newState === "open" && this.#place());
    refs.auPeak.addEventListener("click", () => this.#toPeak());
    new ResizeObserver(() => this.#fit()).observe(refs.axis);
    this.fold(matchMedia("(max-width: 900px)").matches);
  }

  /** Hide the curves, or show them. */
  fold(folded) {
    this.refs.timeline.classList.toggle("is-folded", folded);
    this.refs.curvesToggle.setAttribute("aria-expanded", String(!folded));
    if (!folded) this.#draw();
  }

  #forget() {
    for (const chart of Object.values(this.charts)) chart.destroy();
    this.charts = {};
    this.data = null;
    const { faceRow, voiceRow, curvesToggle, auValues, voiceValues } = this.refs;
    for (const part of [faceRow, voiceRow, curvesToggle]) part.hidden = true;
    auValues.replaceChildren();
    voiceValues.replaceChildren();
  }

  #show(data) {
    this.data = data || {};
    const { refs, words, player } = this;
    const { au, pitch, intensity } = this.data;
    const seesFace = player.mode !== "audio" && player.mode !== "text";
    const hears = player.mode !== "visual" && player.mode !== "text";
    refs.faceRow.hidden = !seesFace || !(au || player.clip?.media?.video);
    refs.voiceRow.hidden = !hears || !player.clip?.media?.audio;
    refs.curvesToggle.hidden = refs.faceRow.hidden && refs.voiceRow.hidden;
    refs.noAu.hidden = Boolean(au);
    refs.auButton.hidden = !au;
    refs.auPeak.hidden = !au?.peak;
    refs.noVoice.hidden = Boolean(pitch || intensity);
    refs.noVoice.textContent = words.noVoice;
    if (au) this.#offer(au);
    this.#draw();
  }

  /** The list to choose from, and what is chosen: what somebody chose before, else what the clues name or the peak has. */
  #offer(au) {
    const names = Object.keys(au.curves);
    const kept = JSON.parse(local.getItem(KEPT) || "null");
    const wanted = Array.isArray(kept) ? kept.filter((name) => names.includes(name)) : null;
    this.chosen = wanted ?? this.#usual(au, names);
    this.refs.auList.replaceChildren(...names.map((name) => {
      const label = element("label", "tl-au");
      const box = document.createElement("input");
      Object.assign(box, { type: "checkbox", value: name, checked: this.chosen.includes(name) });
      label.append(box, element("span", "mono", name), element("span", "muted", this.words.aus[name] || ""));
      return label;
    }));
  }

  #usual(au, names) {
    const named = new Set((this.player.claim?.clues || []).flatMap((clue) => clue.codes || []));
    const fromClues = names.filter((name) => named.has(name));
    if (fromClues.length) return fromClues.slice(0, MOST + 1);
    const at = au.peak ? nearest(au.t, au.peak.timestamp) : null;
    const strength = (name) => (at === null ? Math.max(0, ...au.curves[name].map(Number)) : Number(au.curves[name][at]));
    return names.filter((name) => name !== "AU45").sort((a, b) => strength(b) - strength(a)).slice(0, MOST).sort();
  }

  #choose(names) {
    if (names === null) local.removeItem(KEPT);
    else local.setItem(KEPT, JSON.stringify(names));
    this.#offer(this.data.au);
    this.#draw();
  }

  async #draw() {
    const { refs, data } = this;
    if (!data || refs.timeline.classList.contains("is-folded")) return;
    const { au, pitch, intensity } = data;
    if (!au && !pitch && !intensity) return;
    let uPlot = null;
    try {
      uPlot = await uplot(refs.timeline.dataset);
    } catch (error) {
      console.info("The curves cannot be drawn:", error.message);
      return;
    }
    if (data !== this.data) return;
    for (const chart of Object.values(this.charts)) chart.destroy();
    this.charts = {};
    if (au && !refs.faceRow.hidden) {
      const series = this.chosen.map((name, index) => this.#line(`--curve-${(index % 4) + 1}`, "y", true, name));
      this.charts.face = this.#chart(uPlot, refs.faceChart, HEIGHTS.face, series, [au.t, ...this.chosen.map((name) => au.curves[name])], {
        y: { range: [0, 5] },
      });
    }
    if ((pitch || intensity) && !refs.voiceRow.hidden) {
      const tables = [pitch && [pitch.t, pitch.hz], intensity && [intensity.t, intensity.db]].filter(Boolean);
      const series = [pitch && this.#line("--curve-pitch", "hz", false, "pitch"), intensity && this.#line("--curve-level", "db", true, "level")];
      this.charts.voice = this.#chart(uPlot, refs.voiceChart, HEIGHTS.voice, series.filter(Boolean), uPlot.join(tables), {
        hz: { range: (_u, low, high) => [low * 0.9, high * 1.05] },
        db: { range: (_u, low, high) => [Math.max(low, high - 50), high + 2] },
      });
    }
    this.read(this.player.time);
  }

  #line(colour, scale, gaps, label) {
    return { label, scale, stroke: () => CSS(colour), width: 1.5, spanGaps: gaps && scale === "db", points: { show: false } };
  }

  #chart(uPlot, box, height, series, data, scales) {
    const duration = this.player.clip.duration || this.player.duration;
    const options = {
      width: Math.max(50, this.refs.axis.clientWidth),
      height,
      padding: [3, 0, 3, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [0, duration] }, ...scales },
      axes: [{ show: false }],
      series: [{}, ...series],
      hooks: { draw: [(chart) => this.#markPeak(chart, box)] },
    };
    for (const scale of Object.keys(scales)) options.axes.push({ show: false, scale });
    return new uPlot(options, data, box);
  }

  /** The frame in which the face is most expressive. */
  #markPeak(chart, box) {
    const at = this.data?.au?.peak?.timestamp;
    if (at == null || box !== this.refs.faceChart) return;
    const { ctx, bbox } = chart;
    const x = Math.round(chart.valToPos(at, "x", true));
    ctx.save();
    ctx.strokeStyle = CSS("--warn");
    ctx.fillStyle = CSS("--warn");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const side = 5 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x - side, bbox.top);
    ctx.lineTo(x + side, bbox.top);
    ctx.lineTo(x, bbox.top + side * 1.3);
    ctx.fill();
    ctx.restore();
  }

  /** Write beside the curves what they say at `seconds`. */
  read(seconds) {
    if (seconds === null || !this.data) return;
    const { au, pitch, intensity } = this.data;
    const { auValues, voiceValues } = this.refs;
    if (au && this.charts.face) {
      const at = nearest(au.t, seconds);
      fill(auValues, this.chosen.map((name, index) => [`tl-c${(index % 4) + 1}`, name, au.curves[name][at]?.toFixed(1) ?? "–"]));
    }
    if (this.charts.voice) {
      const hz = pitch?.hz[nearest(pitch.t, seconds)];
      const db = intensity?.db[nearest(intensity.t, seconds)];
      const rows = [];
      if (pitch) rows.push(["tl-pitch", this.words.pitch, hz == null ? "–" : `${Math.round(hz)} Hz`]);
      if (intensity) rows.push(["tl-level", this.words.level, db == null ? "–" : `${Math.round(db)} dB`]);
      fill(voiceValues, rows);
    }
  }

  redraw() {
    for (const chart of Object.values(this.charts)) chart.redraw(false);
  }

  #fit() {
    const width = Math.max(50, this.refs.axis.clientWidth);
    for (const [name, chart] of Object.entries(this.charts)) {
      if (Math.abs(chart.width - width) > 0.5) chart.setSize({ width, height: HEIGHTS[name] });
    }
  }

  #toPeak() {
    const at = this.data?.au?.peak?.timestamp;
    if (at == null) return;
    this.player.pause();
    this.player.seek(this.player.frameAt(at) + 0.0003);
  }

  #seekBy(box) {
    const go = (event) => {
      const { left, width } = this.refs.axis.getBoundingClientRect();
      this.player.seek(((event.clientX - left) / width) * (this.player.clip.duration || this.player.duration));
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      box.setPointerCapture(event.pointerId);
      go(event);
    });
    box.addEventListener("pointermove", (event) => box.hasPointerCapture(event.pointerId) && go(event));
  }

  /** The list of units stands above its button. */
  #place() {
    const { auPopover, auButton } = this.refs;
    const { left, top } = auButton.getBoundingClientRect();
    Object.assign(auPopover.style, { left: `${Math.max(8, left)}px`, top: "auto", bottom: `${innerHeight - top + 4}px` });
  }
}

/** Index of the value of `times` (rising) that is nearest to `t`. */
function nearest(times, t) {
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle;
    else high = middle;
  }
  return Math.abs(times[low] - t) <= Math.abs(times[high] - t) ? low : high;
}

/** `rows` are `[class, name, value]`; what is there already is only given its new value. */
function fill(box, rows) {
  const sign = rows.map(([, name]) => name).join();
  if (box.dataset.sign !== sign || box.children.length !== rows.length) {
    box.dataset.sign = sign;
    box.replaceChildren(...rows.map(([className, name]) => {
      const row = element("span", `tl-value ${className}`);
      row.append(element("i", "tl-swatch"), element("span", "", name), element("b", "", ""));
      return row;
    }));
  }
  rows.forEach(([, , value], index) => (box.children[index].lastChild.textContent = value));
}
