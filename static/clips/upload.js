// The upload page: begin an upload with its tables, send file by file with real progress, then show the states
// that the server answers by htmx. Without this script the form sends everything in one go.

const form = document.querySelector("[data-upload]");
const texts = JSON.parse(document.getElementById("upload-texts").textContent);
const zone = form.querySelector("[data-drop]");
const chooser = form.querySelector("input[name=media]");
const list = document.querySelector("[data-queue]");
const rows = list.querySelector("tbody");
const button = form.querySelector("button[type=submit]");
const notice = document.querySelector("[data-problem]");
const PARALLEL = 2;
const kinds = chooser.accept.split(",");
/** name -> {file, row}; a name is there once, as the server wants it. */
const queue = new Map();

function token() {
  return form.querySelector("[name=csrfmiddlewaretoken]").value;
}

function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function add(files) {
  const refused = [];
  for (const file of files) {
    const known = kinds.some((kind) => file.name.toLowerCase().endsWith(kind));
    if (!known || queue.has(file.name)) {
      refused.push(`${file.name}: ${known ? texts.twice : texts.kind}`);
      continue;
    }
    const row = rows.insertRow();
    row.insertCell().textContent = file.name;
    const bytes = row.insertCell();
    bytes.className = "num";
    bytes.textContent = size(file.size);
    const state = row.insertCell();
    state.className = "file-state";
    state.textContent = texts.waiting;
    queue.set(file.name, { file, state });
  }
  say(refused.join(" · "));
  list.hidden = queue.size === 0;
  button.disabled = queue.size === 0;
}

/** POST a form with progress; resolves to the JSON answer, rejects with a sentence. */
function post(url, body, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("X-CSRFToken", token());
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress?.(event.loaded / event.total));
    request.addEventListener("error", () => reject(texts.offline));
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = {};
      }
      if (request.status >= 200 && request.status < 300) resolve(answer);
      else reject(answer.detail || `HTTP ${request.status}`);
    });
    request.send(body);
  });
}

async function send(entry, url) {
  const bar = document.createElement("progress");
  bar.className = "progress";
  bar.max = 100;
  bar.setAttribute("aria-label", entry.file.name);
  entry.state.replaceChildren(bar);
  const body = new FormData();
  body.append("media", entry.file);
  try {
    const answer = await post(url, body, (share) => (bar.value = Math.round(share * 100)));
    entry.state.textContent = answer.state === "failed" ? answer.reason : texts.sent;
  } catch (reason) {
    entry.state.textContent = reason;
    entry.state.classList.add("upload-reason");
    return false;
  }
  return true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!queue.size) return;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  say("");
  const tables = new FormData(form);
  tables.delete("media");
  try {
    const begun = await post(form.action, tables);
    const waiting = [...queue.values()];
    let lost = 0;
    const worker = async () => {
      for (let entry = waiting.shift(); entry; entry = waiting.shift()) if (!(await send(entry, begun.files))) lost += 1;
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    if (lost === 0) window.location.assign(begun.url);
    else {
      say(texts.lost);
      const link = document.createElement("a");
      link.href = begun.url;
      link.className = "btn";
      link.textContent = texts.report;
      notice.append(link);
    }
  } catch (reason) {
    say(String(reason));
    button.disabled = false;
  }
  button.removeAttribute("aria-busy");
});

chooser.addEventListener("change", () => {
  add(chooser.files);
  chooser.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.add("is-over");
  });
}
for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("is-over"));
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  add(event.dataTransfer.files);
});
chooser.required = false;
list.hidden = true;
button.disabled = true;
