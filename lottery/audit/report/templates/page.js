"use strict";
// Sorting and searching of tables. Without a script the tables are whole and in their own order.
const number = /^[\d,]+$/;
function compare(a, b) {
  if (number.test(a) && number.test(b)) {
    const [first, second] = [BigInt(a.replaceAll(",", "")), BigInt(b.replaceAll(",", ""))];
    if (first !== second) return first < second ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  // What is no number, as a break, comes before those that are.
  if (number.test(a) !== number.test(b)) return number.test(a) ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}
function key(cell) {
  // A range goes by its first number.
  const text = cell.textContent.trim();
  const range = /^([\d,]+)(?: to |, )[\d,]+/.exec(text);
  return range && cell.tagName === "TD" ? range[1].replace(/,$/, "") : text;
}
function sorts(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
      rows.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
      body.append(...rows.map((row) => row[1]));
    });
  });
}
function searches(table, place) {
  const rows = [...table.tBodies[0].rows];
  const what = table.dataset.rows;
  const texts = rows.map((row) => {
    const text = row.textContent.toLowerCase();
    // A series is found by its padded and by its compact form.
    return text + " " + text.replace(/\s+/g, "");
  });
  const line = document.createElement("div");
  line.className = "search";
  const label = document.createElement("label");
  const input = document.createElement("input");
  const told = document.createElement("output");
  input.type = "search";
  input.id = "search-" + place;
  input.autocomplete = "off";
  label.htmlFor = told.htmlFor = input.id;
  label.textContent = "Search " + what;
  const search = () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, index) => {
      row.hidden = !texts[index].includes(wanted);
      if (!row.hidden) shown += 1;
    });
    told.textContent = shown + " of " + rows.length + " shown";
  };
  input.addEventListener("input", search);
  line.append(label, input, told);
  table.closest(".scroll").before(line);
  search();
}
document.querySelectorAll("table.sorts").forEach(sorts);
document.querySelectorAll("table.searches").forEach(searches);
// What is wider than its place can be scrolled with the keyboard.
function reachable() {
  document.querySelectorAll(".scroll").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      const caption = box.querySelector("caption");
      if (caption) box.setAttribute("aria-label", caption.textContent);
    } else {
      box.removeAttribute("tabindex");
      box.removeAttribute("role");
      box.removeAttribute("aria-label");
    }
  });
}
reachable();
addEventListener("resize", reachable);
