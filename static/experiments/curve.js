// Draws the loss curve with the learning rate, asked again while the run is live, and the scores by epoch (raw, their
// intervals, smoothed) with uPlot. Colours are the page's own.
import uPlot from "../vendor/uplot/uPlot.esm.js";

const COLOURS = ["--accent", "--teal", "--violet", "--warn", "--danger"];
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4];
const HEIGHT = 280;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shown = (digits) => (_plot, value) => (value == null ? "–" : value.toFixed(digits));

function axes() {
  return { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
}

const chart = document.querySelector("[data-curve]");
let plot = null;

function losses(width) {
  const axis = axes();
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false }, rate: { range: (_plot, _low, high) => [0, (high || 1) * 1.05] } },
    axes: [
      { ...axis, label: chart.dataset.step, incrs: STEPS },
      { ...axis, size: 56 },
      { ...axis, scale: "rate", side: 1, size: 64, grid: { show: false }, values: (_plot, at) => at.map((v) => v.toExponential(0)) },
    ],
    series: [
      { label: chart.dataset.step, value: (_plot, v) => (v == null ? "–" : v) },
      { label: chart.dataset.loss, stroke: colour("--accent"), width: 1.5, value: shown(4) },
      { label: chart.dataset.rate, scale: "rate", stroke: colour("--control-line"), width: 1, value: (_plot, v) => (v == null ? "–" : v.toExponential(2)) },
    ],
  };
}

async function draw() {
  const answer = await fetch(chart.dataset.curve, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const { step, loss, lr } = await answer.json();
  if (step.length === 0) {
    chart.textContent = chart.dataset.empty;
  } else if (plot) {
    plot.setData([step, loss, lr]);
  } else {
    chart.textContent = "";
    plot = new uPlot(losses(chart.clientWidth), [step, loss, lr], chart);
  }
}

let scores = null;

/** All series on one row of epochs: uPlot wants one x for all. */
function joined(list) {
  const epochs = [...new Set(list.flatMap((one) => one.epochs))].sort((a, b) => a - b);
  const at = (one, values) => {
    const known = new Map(one.epochs.map((epoch, index) => [epoch, values[index]]));
    return epochs.map((epoch) => known.get(epoch) ?? null);
  };
  return { epochs, at };
}

function drawScores(metric) {
  const box = document.querySelector("[data-scores]");
  const source = box && document.getElementById(box.dataset.scores);
  if (!source) return;
  const list = JSON.parse(source.textContent).metrics[metric];
  const { epochs, at } = joined(list);
  const data = [epochs];
  const series = [{ label: box.dataset.epoch, value: (_plot, v) => (v == null ? "–" : v) }];
  const bands = [];
  list.forEach((one, index) => {
    const stroke = colour(COLOURS[index % COLOURS.length]);
    if (one.low.some((value) => value != null)) {
      bands.push({ series: [data.length + 1, data.length], fill: `color-mix(in srgb, ${stroke} 12%, transparent)` });
      for (const [sign, edge] of [["↓", one.low], ["↑", one.high]]) {
        data.push(at(one, edge));
        series.push({ label: `95 % ${sign}`, class: "run-edge", stroke: "transparent", points: { show: false }, value: shown(3), spanGaps: true });
      }
    }
    data.push(at(one, one.raw));
    series.push({ label: one.name, stroke, width: 1, points: { show: true, size: 5, fill: stroke }, value: shown(3), spanGaps: true });
    data.push(at(one, one.smoothed));
    series.push({ label: `${one.split}, ${box.dataset.smoothed}`, stroke, width: 3, points: { show: false }, value: shown(3), spanGaps: true });
  });
  scores?.destroy();
  box.textContent = "";
  const axis = axes();
  scores = new uPlot(
    { width: box.clientWidth, height: HEIGHT, scales: { x: { time: false }, y: { range: (_plot, low, high) => [Math.max(0, low - 0.05), Math.min(1.02, high + 0.05)] } }, axes: [{ ...axis, label: box.dataset.epoch }, { ...axis, size: 48 }], series, bands },
    data,
    box,
  );
  for (const button of document.querySelectorAll("[data-metric]")) button.setAttribute("aria-pressed", String(button.dataset.metric === metric));
}

function chosen() {
  return document.querySelector('[data-metric][aria-pressed="true"]')?.dataset.metric || "avg";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-metric]");
  if (button) drawScores(button.dataset.metric);
});
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "run-outcome" || event.target.querySelector?.("[data-scores]")) drawScores(chosen());
});
addEventListener("resize", () => {
  const box = document.querySelector("[data-scores]");
  if (box) scores?.setSize({ width: box.clientWidth, height: HEIGHT });
  plot?.setSize({ width: chart.clientWidth, height: HEIGHT });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  plot?.destroy();
  plot = null;
  if (chart) {
    chart.textContent = "";
    draw();
  }
  drawScores(chosen());
});

drawScores(chosen());
if (chart) {
  await draw();
  if (chart.dataset.live) {
    const timer = setInterval(async () => {
      await draw();
      if (!document.querySelector("#run-state[hx-get]")) clearInterval(timer);
    }, 3000);
  }
}
