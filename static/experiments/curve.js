// Draws the loss curve with uPlot; while the run is live, asks again every three seconds.
import uPlot from "../vendor/uplot/uPlot.esm.js";

const chart = document.querySelector("[data-curve]");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(width) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  return {
    width,
    height: 280,
    scales: { x: { time: false } },
    axes: [{ ...axis, label: chart.dataset.step, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4] }, { ...axis, size: 56 }],
    series: [
      { label: chart.dataset.step, value: (_, v) => (v == null ? "–" : v) },
      { label: chart.dataset.loss, stroke: colour("--accent"), width: 1.5, value: (_, v) => (v == null ? "–" : v.toFixed(4)) },
    ],
  };
}

let plot = null;

async function draw() {
  const answer = await fetch(chart.dataset.curve, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const { step, loss } = await answer.json();
  if (step.length === 0) {
    chart.textContent = chart.dataset.empty;
  } else if (plot) {
    plot.setData([step, loss]);
  } else {
    chart.textContent = "";
    plot = new uPlot(options(chart.clientWidth), [step, loss], chart);
    new ResizeObserver(() => plot.setSize({ width: chart.clientWidth, height: 280 })).observe(chart);
  }
}

if (chart) {
  await draw();
  if (chart.dataset.live) {
    const timer = setInterval(async () => {
      await draw();
      if (!document.querySelector("#run-state[hx-get]")) clearInterval(timer);
    }, 3000);
  }
}
