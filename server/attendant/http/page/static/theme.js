// Dark or light: as the system has it, until somebody switches. Runs before the page is drawn, so that it does not flash.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("attendant-theme"); } catch { /* private windows may refuse */ }
  const isDark = () => (chosen ?? (system.matches ? "dark" : "light")) === "dark";

  function apply() {
    root.dataset.theme = isDark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    }
    document.dispatchEvent(new Event("attendant-theme"));
  }
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = isDark() ? "light" : "dark";
      try { localStorage.setItem("attendant-theme", chosen); } catch { /* it holds until the page is closed */ }
      apply();
    });
  });
  apply();
})();
