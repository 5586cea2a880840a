// Sorts a table by the column whose head is clicked; a second click turns the order round. Cells without a value stay last.
for (const table of document.querySelectorAll("article table:not([class])")) {
  const heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => row.cells[column].textContent.trim();
  const missing = (cell) => cell === "-" || cell === "";
  const compare = (a, b) => {
    const [x, y] = [a, b].map((cell) => parseFloat(cell.replaceAll(",", "")));
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const sort = (column) => {
    const sign = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [text(one, column), text(other, column)];
      return missing(a) - missing(b) || sign * compare(a, b);
    });
    table.tBodies[0].append(...rows);
  };
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(column));
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort(column));
  });
}
