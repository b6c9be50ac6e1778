"use strict";
// Sorts and searches tables, and opens accounts. Without scripts, tables are whole and in order.
const number = /^[\d,]+$/;
function compare(a, b) {
  if (number.test(a) && number.test(b)) {
    const [first, second] = [BigInt(a.replaceAll(",", "")), BigInt(b.replaceAll(",", ""))];
    if (first !== second) return first < second ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  // Text, such as "break", comes before numbers.
  if (number.test(a) !== number.test(b)) return number.test(a) ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}
function key(cell) {
  // A range is sorted by its first number.
  const text = cell.textContent.trim();
  const range = /^([\d,]+)(?: to |, )[\d,]+/.exec(text);
  return range && cell.tagName === "TD" ? range[1].replace(/,$/, "") : text;
}
function sorts(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
      rows.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
      body.append(...rows.map((row) => row[1]));
    });
  });
}
function searches(table, index) {
  const rows = [...table.tBodies[0].rows];
  const what = table.dataset.rows;
  const texts = rows.map((row) => {
    const text = row.textContent.toLowerCase();
    // A series is found in its padded and its compact form.
    return text + " " + text.replace(/\s+/g, "");
  });
  const line = document.createElement("div");
  line.className = "search";
  const label = document.createElement("label");
  const input = document.createElement("input");
  const output = document.createElement("output");
  input.type = "search";
  input.id = "search-" + index;
  input.autocomplete = "off";
  label.htmlFor = output.htmlFor = input.id;
  label.textContent = "Search " + what;
  const search = () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, number) => {
      row.hidden = !texts[number].includes(wanted);
      if (!row.hidden) shown += 1;
    });
    output.textContent = shown + " of " + rows.length + " shown";
  };
  input.addEventListener("input", search);
  line.append(label, input, output);
  table.closest(".scroll").before(line);
  search();
}
document.querySelectorAll("table.sorts").forEach(sorts);
document.querySelectorAll("table.searches").forEach(searches);
// One button opens and closes the accounts of every pool; what is open is printed.
function opensAll(section) {
  const pools = [...section.querySelectorAll("details")];
  const button = document.createElement("button");
  const name = () => {
    const open = pools.every((pool) => pool.open);
    button.textContent = open ? "Close all accounts" : "Open all accounts";
  };
  button.type = "button";
  button.className = "open-all";
  button.addEventListener("click", () => {
    const open = pools.every((pool) => pool.open);
    pools.forEach((pool) => (pool.open = !open));
  });
  pools.forEach((pool) => pool.addEventListener("toggle", name));
  name();
  if (pools.length) section.querySelector(".lead").after(button);
}
const poolSection = document.querySelector("section.of-pools");
if (poolSection) opensAll(poolSection);
// A table wider than the page can be scrolled with the keyboard.
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
