// Runs before the first paint: the theme that was chosen here, or the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("streamz.theme");
    } catch {
      // Storage is forbidden: the system's theme it is.
    }
    const theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
  };
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("streamz-theme", apply);
  apply();
})();
