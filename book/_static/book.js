// Filters of the claims table, and solutions that open for printing.
// A browser lets no page that was opened from disk read another: the search then shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".book-filter")) {
    const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
    const inputs = [...box.querySelectorAll("[data-filter]")];
    const apply = () => {
      let shown = 0;
      for (const row of rows) {
        const fits = inputs.every((input) => {
          const wanted = input.value.trim().toLowerCase();
          if (!wanted) return true;
          if (input.dataset.filter === "text") return row.textContent.toLowerCase().includes(wanted);
          return row.dataset[input.dataset.filter].toLowerCase() === wanted;
        });
        row.hidden = !fits;
        shown += fits;
      }
      box.querySelector("[data-count]").textContent = `${shown} of ${rows.length} claims`;
    };
    for (const input of inputs) input.addEventListener("input", apply);
    apply();
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
});
