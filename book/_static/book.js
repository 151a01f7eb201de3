// Filters and sorting of the tables, and solutions that open for printing.
// A browser lets no page that was opened from disk read another: the search then shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  // The theme's toggles of the menu are icons without a word.
  for (const toggle of document.querySelectorAll("nav summary")) {
    const link = toggle.closest("li")?.querySelector("a");
    if (link && !toggle.textContent.trim()) toggle.setAttribute("aria-label", `pages under ${link.textContent.trim()}`);
  }
  for (const box of document.querySelectorAll(".book-filter")) {
    const table = document.getElementById(box.dataset.table);
    const rows = [...table.tBodies[0].rows];
    const inputs = [...box.querySelectorAll("[data-filter]")];
    const value = (row, input) => (row.getAttribute("data-" + input.dataset.filter) || "").toLowerCase();
    // Of a number the nearest rows are shown, problem by problem, and it is said where none has the one asked for.
    const apply = () => {
      const fitting = rows.filter((row) => inputs.every((input) => {
          if ("near" in input.dataset) return !input.value || value(row, input) !== "";
          const wanted = input.value.trim().toLowerCase();
          if (!wanted) return true;
          if (input.dataset.filter === "text") return row.textContent.toLowerCase().includes(wanted);
          return value(row, input).split("|").includes(wanted);
      }));
      const nearest = new Map();
      let far = false;
      const asked = inputs.find((input) => "near" in input.dataset && input.value);
      const off = (row) => Math.abs(Number(value(row, asked)) - Number(asked.value));
      if (asked) {
        for (const row of fitting) nearest.set(row.dataset.problem, Math.min(off(row), nearest.get(row.dataset.problem) ?? Infinity));
        far = [...nearest.values()].some((distance) => distance > 5);
      }
      const kept = new Set(asked ? fitting.filter((row) => off(row) <= nearest.get(row.dataset.problem)) : fitting);
      for (const row of rows) row.hidden = !kept.has(row);
      box.querySelector("[data-count]").textContent = `${kept.size} of ${rows.length} ${box.dataset.noun}`
        + (far ? `; where nothing was measured at ${asked.value} %, the nearest share is shown` : "")
        + (kept.size ? "" : "; choose fewer filters");
    };
    // The address keeps the filter, so that a view can be sent to somebody.
    const asked = new URLSearchParams(location.search);
    for (const input of inputs) input.value = asked.get(input.dataset.filter) || "";
    const keep = () => {
      const now = new URLSearchParams();
      for (const input of inputs) if (input.value) now.set(input.dataset.filter, input.value);
      try {
        history.replaceState(null, "", (now.size ? "?" + now : location.pathname) + location.hash);
      } catch { /* a page that was opened from disk may not */ }
    };
    for (const input of inputs) input.addEventListener("input", () => { apply(); keep(); });
    apply();
    // A click on a column's head sorts by it, a second one the other way; cells without a number come last.
    for (const button of table.tHead.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
        const key = (row) => {
          const cell = row.cells[head.cellIndex];
          return "sort" in cell.dataset ? (cell.dataset.sort === "" ? NaN : Number(cell.dataset.sort)) : cell.textContent.trim();
        };
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (typeof x === "string") return turn * x.localeCompare(y);
          return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : turn * (x - y);
        };
        table.tBodies[0].append(...[...rows].sort(order));
      });
    }
  }
  // Paper is white: what is printed from dark mode is printed as in light mode, solutions open.
  let theme;
  window.addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  window.addEventListener("afterprint", () => { document.documentElement.dataset.theme = theme; });
});
