// Light or dark as the system has it, or as one has chosen. Runs before the first paint, after the style sheets: every
// rule that asks for `prefers-color-scheme: dark` is switched on or off, so that a sheet needs to know one way only.

(() => {
  const DARK = /\(prefers-color-scheme:\s*dark\)/;
  const KEY = "theme";
  const asked = new Map(); // rule -> what it asked for

  function chosen() {
    try {
      return localStorage.getItem(KEY) || "auto";
    } catch {
      return "auto"; // storage switched off
    }
  }

  function rewrite(theme) {
    for (const sheet of document.styleSheets) {
      let rules;
      try {
        rules = sheet.cssRules;
      } catch {
        continue; // served from another origin
      }
      for (const rule of rules) {
        if (!(rule instanceof CSSMediaRule)) continue;
        const first = asked.get(rule) ?? rule.media.mediaText;
        if (!DARK.test(first)) continue;
        asked.set(rule, first);
        const wanted = theme === "auto" ? first : first.replace(DARK, theme === "dark" ? "(min-width: 0)" : "(max-width: 0)");
        if (rule.media.mediaText !== wanted) rule.media.mediaText = wanted;
      }
    }
  }

  function apply() {
    const theme = chosen();
    document.documentElement.dataset.theme = theme;
    if (theme !== "auto" || asked.size) rewrite(theme);
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
  }

  apply();
  document.addEventListener("DOMContentLoaded", apply);
  window.addEventListener("storage", (event) => event.key === KEY && apply()); // another tab chose
  document.addEventListener("click", (event) => {
    const choice = event.target.closest?.("[data-theme-choice]")?.dataset.themeChoice;
    if (!choice) return;
    try {
      if (choice === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      return;
    }
    apply();
    window.dispatchEvent(new Event("themechange")); // for what is drawn on a canvas
  });
})();
