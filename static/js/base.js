// What every page does: menus that close, destructive forms that ask first, toasts for htmx failures.

for (const menu of document.querySelectorAll("[data-menu]")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// On a narrow screen the tab that one is on may stand outside the row that one sees.
const tabs = document.querySelector(".corpus-nav");
const tab = tabs?.querySelector("[aria-current]");
if (tab) tabs.scrollLeft = tab.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;

// <form data-confirm="Really?"> and <button data-confirm="…">
document.addEventListener("submit", (event) => {
  const text = event.submitter?.dataset.confirm || event.target.dataset.confirm;
  if (text && !window.confirm(text)) event.preventDefault();
});

// <button data-copy="#element-with-the-text">
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
  toast(button.dataset.copied || "✓");
});

/** Say something short that goes away by itself. */
export function toast(text, seconds = 4) {
  const box = document.createElement("div");
  box.className = "toast";
  box.textContent = text;
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), seconds * 1000);
}

document.addEventListener("htmx:sendError", () => {
  const { noAnswer, offline } = document.body.dataset;
  toast(navigator.onLine ? noAnswer : offline);
});
