// Times of a clip, in seconds: as words, as intervals, among the times of its frames.

/** Minutes, seconds and tenths: 1:02.5. */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–:––";
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** With hundredths: 1:02.50. */
export function exact(seconds) {
  const hundredths = Math.floor(seconds * 100 + 0.01);
  return `${Math.floor(hundredths / 6000)}:${((hundredths % 6000) / 100).toFixed(2).padStart(5, "0")}`;
}

/** Intervals in order, `next` joined to those that it touches; to the millisecond. */
export function joined(intervals, next) {
  const found = [];
  let [from, to] = next.map((seconds) => Math.round(seconds * 1000) / 1000);
  for (const [a, b] of intervals) {
    if (b < from - 0.002 || a > to + 0.002) found.push([a, b]);
    else [from, to] = [Math.min(a, from), Math.max(b, to)];
  }
  return [...found, [from, to]].sort((a, b) => a[0] - b[0]);
}

/** The index of the last of these ascending times that is not after `seconds`; -1 before the first. */
export function indexAt(times, seconds) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
