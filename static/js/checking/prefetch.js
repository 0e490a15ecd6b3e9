// The next clip's media, fetched while one works on this one: a media element that has begun to load, the waveform and
// the curves. The addresses stay the same as long as the claim, so what is here is what the clip will ask for.

const AHEAD = 2; // clips
const ahead = new Map(); // clip id -> {element, json: Map(url -> promise)}

function elementFor(media) {
  const url = media.video || media.audio;
  if (!url) return null;
  const element = document.createElement(media.video ? "video" : "audio");
  element.preload = "auto";
  element.playsInline = true;
  if (media.poster && media.video) element.poster = media.poster;
  element.src = url;
  return element;
}

/** Begin to fetch what `player.load(clip)` will want. Again for the same clip it does nothing. */
export function prefetch(clip) {
  if (ahead.has(clip.id)) return;
  const media = clip.media || {};
  const json = new Map();
  for (const url of [media.peaks, media.tracks]) if (url) json.set(url, ask(url));
  ahead.set(clip.id, { element: elementFor(media), json });
  for (const id of [...ahead.keys()].slice(0, -AHEAD)) {
    const old = ahead.get(id).element;
    old?.removeAttribute("src");
    old?.load();
    ahead.delete(id);
  }
}

/** What was fetched ahead for this clip, once; null when nothing was, or when its address is another one now. */
export function taken(clip) {
  const found = ahead.get(clip.id);
  if (!found) return null;
  ahead.delete(clip.id);
  const wanted = clip.media?.video || clip.media?.audio;
  const { element } = found;
  const usable = element && !element.error && element.getAttribute("src") === wanted;
  return { element: usable ? element : null, json: found.json };
}

/** The JSON at `url`, or null where it cannot be had. */
export function ask(url) {
  return fetch(url, { credentials: "same-origin" })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`HTTP ${answer.status}`))))
    .catch((error) => {
      console.info("Not there for the timeline:", url.split("/").pop(), error.message);
      return null;
    });
}
