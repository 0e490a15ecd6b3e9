// Charts of quality by uPlot, from the inert JSON beside each: {kind: line|bars, x, dates, series, range?, digits}.
// Colours are the page's own, so that they are drawn anew when light becomes dark.
import uPlot from "../vendor/uplot/uPlot.esm.js";

const HEIGHT = 240;
const COLOURS = ["--accent", "--teal", "--violet"];
const DAY = 86400;
const drawn = new Map(); // element -> uPlot

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const language = document.documentElement.lang || "en";
const dayMonth = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", timeZone: "UTC" });
const fullDate = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" });

const shown = (digits) => (_plot, value) => (value == null ? "–" : value.toFixed(digits));

/** Each series, and before it the edges of its interval where it has one. */
function laidOut(chart) {
  const data = [chart.dates.map((date) => Date.parse(`${date}T00:00:00Z`) / 1000)];
  const series = [{ label: chart.x, value: (_plot, at) => (at == null ? "–" : fullDate.format(new Date(at * 1000))) }];
  const bands = [];
  chart.series.forEach((one, index) => {
    const stroke = colour(COLOURS[index % COLOURS.length]);
    if (one.low) {
      bands.push({ series: [data.length + 1, data.length], fill: `color-mix(in srgb, ${stroke} 18%, transparent)` });
      for (const edge of [one.low, one.high]) {
        data.push(edge);
        series.push({ label: edge === one.low ? "95 % ↓" : "95 % ↑", stroke: "transparent", points: { show: false }, value: shown(chart.digits) });
      }
    }
    data.push(one.values);
    const bars = chart.kind === "bars";
    series.push({
      label: one.name,
      stroke,
      width: bars ? 0 : 2,
      fill: bars ? stroke : undefined,
      points: { show: !bars, size: 6, fill: stroke },
      paths: bars ? beside(index, chart.series.length) : undefined,
      value: shown(chart.digits),
    });
  });
  return { data, series, bands };
}

/** Bars of one day stand beside each other; each series is drawn in its share of the day. */
function beside(index, count) {
  const share = 0.8 / count;
  return uPlot.paths.bars({ size: [share, 28], align: 1, disp: {
    x0: { unit: 1, values: (plot, _series, from, to) => plot.data[0].slice(from, to + 1).map((at) => at + (index * share - 0.4) * DAY) },
    size: { unit: 1, values: (plot, _series, from, to) => plot.data[0].slice(from, to + 1).map(() => share * DAY * 0.92) },
  } });
}

function draw(box) {
  const source = document.getElementById(box.dataset.chart);
  if (!source) return;
  const chart = JSON.parse(source.textContent);
  const { data, series, bands } = laidOut(chart);
  drawn.get(box)?.destroy();
  box.textContent = "";
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const days = data[0];
  const pad = chart.kind === "bars" ? DAY / 2 : days.length > 1 ? 0 : DAY;
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height: HEIGHT,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: {
        x: { time: true, range: () => [days[0] - pad, days.at(-1) + pad] },
        y: { range: chart.range || ((_plot, _low, high) => [0, Math.max(1, high * 1.08)]) },
      },
      axes: [
        { ...axis, space: 64, incrs: [1, 2, 7, 14, 28, 91, 182].map((n) => n * DAY), values: (_plot, at) => at.map((s) => dayMonth.format(new Date(s * 1000))) },
        { ...axis, size: 48 },
      ],
      series,
      bands,
      legend: { live: true },
    },
    data,
    box,
  );
  drawn.set(box, plot);
}

function drawAll() {
  for (const [box, plot] of drawn) {
    if (!box.isConnected) {
      plot.destroy();
      drawn.delete(box);
    }
  }
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: HEIGHT });
});

function start() {
  drawAll();
  for (const box of document.querySelectorAll("[data-chart]")) resized.observe(box);
}

start();
document.addEventListener("htmx:afterSettle", start);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
