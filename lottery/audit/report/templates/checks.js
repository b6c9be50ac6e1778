"use strict";
// Reads what stands on the page, writes it again from the entry and the rules, and compares.
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const text = (element) => element.textContent.trim();
const stated = (path) => text(one(`[data-entry="${path}"]`));
const whole = (digits) => BigInt((digits ?? "0").replaceAll(",", ""));
const figure = (number) => BigInt(number).toLocaleString("en-US");
const count = (number, noun) => `${figure(number)} ${noun}${number === 1n ? "" : "s"}`;
const span = ([a, b]) => (a === b ? figure(a) : `${figure(a)} to ${figure(b)}`);
const spans = (ranges) => ranges.map(span).join(", then ");
function listed(ranges) {
  const each = ([a, b]) => (b - a === 1n ? [a, b] : [a, a + 1n, b]).map(figure).join(", ");
  const short = ([a, b]) => a < b && b - a < 3n;
  const written = ranges.map((range) => (short(range) ? each(range) : span(range)));
  return written.join(", then ") || "none";
}
function rowsOf(table) {
  const names = [...table.tHead.rows[0].cells].map(text);
  return [...table.tBodies[0].rows].map((row) =>
    Object.fromEntries([...row.cells].map((cell, index) => [names[index], text(cell)])),
  );
}

// The log.
function entryText() {
  const entry = one("#entry");
  if (entry) return entry.textContent;
  throw new Unable("the entry is not on this page, because it says more than the page may");
}
const proof = () => readProof(one("#proof").textContent);
async function checkEntry() {
  same("the leaf hash", text(one("#leaf")), hex(await leafHash(entryText())));
  return "The entry below has the leaf hash below.";
}
async function checkPath() {
  const { index, size, root, hashes } = proof();
  const leaf = text(one("#leaf"));
  expect(/^[0-9a-f]{64}$/.test(leaf), "the leaf hash is not 64 hexadecimal digits");
  const bytes = leaf.match(/../g).map((byte) => parseInt(byte, 16));
  same("the root", hex(root), hex(await rootOf(bytes, { index, size, hashes })));
  const counted = `${figure(index)}, counted from 0, in the tree of ${count(size, "record")}`;
  same("the index", text(one("#index")), counted);
  const number = hashes.length === 1 ? "1 hash" : `${hashes.length} hashes`;
  return `The leaf and ${number} of the proof make the root.`;
}
async function checkSignature() {
  await verifySignature(proof(), text(one("#key")));
  return "The key below has signed the checkpoint with that root.";
}
function formsOf(value) {
  const plain = String(value).trim();
  const forms = [plain, plain.slice(0, 10) + " " + plain.slice(11, 19) + " UTC"];
  return /^\d+$/.test(plain) ? [...forms, figure(plain)] : forms;
}
function checkShown() {
  const entry = JSON.parse(entryText());
  const valueOf = (path) => path.split(".").reduce((value, name) => value[name], entry);
  const elements = all("[data-entry]");
  for (const element of elements) {
    const forms = formsOf(valueOf(element.dataset.entry));
    if (!forms.includes(text(element))) same(element.dataset.entry, text(element), forms[0]);
  }
  for (const list of all("[data-entries]")) {
    const path = list.dataset.entries;
    same(`rows of ${path}`, list.rows.length, Object.keys(valueOf(path)).length);
  }
  return `${figure(elements.length)} values on this page are the entry's.`;
}

// The seed.
function seedShown() {
  same("the method of this script", stated("method.id"), "jpms-2024-09-06");
  return seedOf(all("#seed-volumes tbody tr").map((row) => text(row.cells[2])));
}
const fraction = ({ tenThousandths }) =>
  `${tenThousandths / 10000n}.${String(tenThousandths % 10000n).padStart(4, "0")}`;
function checkSeed() {
  const seed = seedShown();
  const { volumes, composite, cut, digits } = seed;
  const rows = all("#seed-volumes tbody tr");
  same("exchanges", rows.length, SECURITIES.length);
  rows.forEach((row, index) => {
    const cells = [...row.cells].map(text);
    const expected = [...SECURITIES[index], figure(volumes[index])];
    same("a volume", [cells[0], cells[1], cells[3]].join("; "), expected.join("; "));
  });
  const cutOut = `${composite.slice(0, cut - 1)}[${digits}]${composite.slice(cut + 3)}`;
  const length = composite.length;
  same("the composite", text(one("#seed-volumes tfoot td")), figure(composite));
  same("the digits", text(one("#seed-digits")), cutOut);
  const position = `${length} − 5 = ${cut}, the cut starts at position ${cut}: ${cutOut}`;
  same("the cut", text(one("#seed-cut")), `Length ${length} digits; ${position}`);
  const sum = `${figure(digits)} / 10,000 + 0.0001 = ${fraction(seed)}`;
  same("the fraction", text(one("#seed-fraction")), sum);
  return `Computed again: digits ${digits}, fraction ${fraction(seed)}.`;
}

// The pools.
const QUANTITIES =
  /^Assigned by OCC: ([\d,]+) contracts? in ([\d,]+) notices?\. {2}Total short: ([\d,]+) contracts? in ([\d,]+) accounts?\.(?: {2}Assigned before: ([\d,]+) \[P6\]\.)?$/;
const BREAKS = {
  EXCEEDS_SHORT: "more is assigned than the pool is short",
  NO_POSITION: "nobody is short",
};
function figuresOf(pool) {
  const found = QUANTITIES.exec(text(one(".quantities", pool)));
  expect(found, "the quantities are not in their form");
  const [assigned, notices, total, accounts, before] = found.slice(1).map(whole);
  return { assigned, notices, total, accounts, before };
}
function steps(seed, { total, before }, zeroHit) {
  const product = seed.tenThousandths * total;
  const decimals = String(product % 10000n).padStart(4, "0").replace(/0+$/, "");
  const floor = figure(product / 10000n);
  const hit = firstHit(seed.tenThousandths, total, zeroHit);
  const start = continued(hit, before, total);
  const exact = decimals ? `${floor}.${decimals}` : floor;
  const multiplied = `${fraction(seed)} × ${figure(total)} = ${exact}`;
  const written = [`First hit: ${multiplied}, decimals removed: ${floor}`];
  if (floor === "0") {
    const which = zeroHit === "wrap" ? "the last number" : "number 1";
    const rule = `[D2, zero_hit = ${zeroHit}]`;
    written.push(`A product below one is ${which}: the first hit is ${figure(hit)} ${rule}`);
  }
  if (before) {
    const earlier = `Earlier cycles assigned ${count(before, "contract")} from there`;
    written.push(`${earlier}; these continue from number ${figure(start)} [P6]`);
  }
  return { start, written };
}
function isBreak(pool, { assigned, total, before }) {
  const reason = breakReason(assigned, total, before);
  const stands = one(".break", pool);
  const words = `Break ${reason}: ${BREAKS[reason]}; nothing is allocated [D5]`;
  if (reason || stands) same("the break", stands && text(stands), words);
  return reason !== null;
}
const brokenWords = ({ assigned }) =>
  `Computed again: ${count(assigned, "contract")} cannot be allocated.`;
function checkPool(pool) {
  const figures = figuresOf(pool);
  const { assigned, total, accounts } = figures;
  const rows = one("table.accounts", pool) ? rowsOf(one("table.accounts", pool)) : [];
  const isWhole = BigInt(rows.length) === accounts;
  const shorts = rows.map((row) => whole(row.Short));
  expect(shorts.every((short) => short >= 1n), "a position of the pool is not open [P2]");
  const sum = shorts.reduce((a, b) => a + b, 0n);
  expect(isWhole ? sum === total : sum < total, "the short contracts are not the total short [R3]");
  checkOrder(rows.map((row) => row.Account));
  if (isBreak(pool, figures)) return brokenWords(figures);
  const { start, written } = steps(seedShown(), figures, stated("method.decisions.zero_hit"));
  const hits = numbersHit(start, assigned, total);
  written.push(`Numbers hit: ${spans(hits)}`);
  if (hits.length > 1) written.push("After the last number comes number 1 [D4]");
  same("the working", all(".working li", pool).map(text).join("; "), written.join("; "));
  const ranges = isWhole ? rangesOf(shorts) : rows.map((row) => rangeIn(row["Its numbers"]));
  let given = 0n;
  rows.forEach((row, index) => {
    const own = hitsIn(ranges[index], hits);
    const cells = [row.Short, row["Its numbers"], row["Numbers assigned"], row.Assigned];
    same(`account ${row.Account}`, cells.join("; "), cellsOf(ranges[index], own));
    expect(!index || ranges[index - 1][1] < ranges[index][0], "ranges overlap [R3]");
    given += sizeOf(own);
  });
  expect(isWhole ? given === assigned : given <= assigned, "the contracts do not add up [D6]");
  const rest = isWhole ? "" : restOf(pool, accounts - BigInt(rows.length), assigned - given);
  const from = `${count(assigned, "contract")} from number ${figure(start)} on`;
  return `Computed again: ${from}, to ${count(BigInt(rows.length), "account")}.${rest}`;
}
const cellsOf = (range, own) =>
  [figure(sizeOf([range])), span(range), listed(own), figure(sizeOf(own))].join("; ");
function restOf(pool, accounts, contracts) {
  const words = text(one(".left-out", pool));
  const left = `Left out: ${count(accounts, "account")}, `;
  const quantity = contracts
    ? ` of them assigned ${count(contracts, "contract")}.`
    : "none of which was assigned anything.";
  expect(words.startsWith(left) && words.includes(quantity), `“${words}” is not what is left out`);
  return ` The other ${count(accounts, "account")} are not on this page.`;
}
function rangeIn(words) {
  const [first, last] = words.split(" to ").map(whole);
  return [first, last ?? first];
}
function checkOrder(accounts) {
  if (one("[data-masked]")) return; // Labels have no order.
  const order = stated("method.decisions.account_order");
  for (let index = 1; index < accounts.length; index += 1) {
    const [account, next] = accounts.slice(index - 1, index + 1);
    expect(isBefore(account, next, order), `account ${next} does not come after ${account} [R1]`);
  }
}
function checkPosition(pool) {
  const figures = figuresOf(pool);
  const { assigned, total } = figures;
  if (isBreak(pool, figures)) return brokenWords(figures);
  const { start, written } = steps(seedShown(), figures, stated("method.decisions.zero_hit"));
  const hits = numbersHit(start, assigned, total);
  const own = rangeIn(text(one(".own-numbers", pool)));
  expect(own[0] >= 1n && own[0] <= own[1] && own[1] <= total, "the range is not of the pool [R3]");
  const got = hitsIn(own, hits);
  const wraps = hits.length > 1 ? "; after the last number comes number 1" : "";
  const quantity = `, ${count(sizeOf(got), "contract")} of ${figure(sizeOf([own]))}`;
  const are = `${count(assigned, "contract")} ${assigned === 1n ? "is" : "are"}`;
  const assignedWords = listed(got) + (got.length ? quantity : "");
  written.push(`From ${figure(start)} on, ${are} assigned in sequence${wraps}.`);
  written.push(`This account's numbers are ${span(own)}. Assigned: ${assignedWords}.`);
  same("the working", all(".working li", pool).map(text).join("; "), written.join("; "));
  const row = one(`a[href="#${pool.id}"]`)?.closest("tr");
  const cells = row && [...row.cells].slice(-4).map(text);
  if (row) same("its row above", cells.join("; "), cellsOf(own, got));
  return `Computed again: ${count(sizeOf(got), "contract")}.`;
}
function checkTable() {
  const seed = seedShown();
  const zeroHit = stated("method.decisions.zero_hit");
  const pooling = stated("method.decisions.pool");
  const table = one("table.pools");
  const rows = rowsOf(table);
  const sums = { assigned: 0n, notices: 0n, allocated: 0n, breaks: 0n };
  const seen = new Set();
  rows.forEach((row, index) => {
    const [assigned, total, before] = [whole(row.Assigned), whole(row.Short), whole(row.Before)];
    const reason = breakReason(assigned, total, before);
    const hit = reason ? "break" : figure(firstHit(seed.tenThousandths, total, zeroHit));
    same(`the first hit of ${row.Series}`, row["First hit"], hit);
    const name = row["OCC account"] + " " + row.Series;
    expect(!seen.has(name), `${name} is two pools [P3]`);
    expect(pooling !== "series" || !row["OCC account"], "a pool is a series here [P3]");
    seen.add(name);
    sums.assigned += assigned;
    sums.notices += whole(row.Notices);
    sums[reason ? "breaks" : "allocated"] += reason ? 1n : assigned;
    const link = one("a", table.tBodies[0].rows[index]);
    if (link) checkRow(row, one(link.getAttribute("href")), before);
  });
  const computed = `Computed again: ${count(BigInt(rows.length), "first hit")}`;
  const isWhole = table.dataset.whole !== undefined;
  if (!isWhole) return `${computed}. The other pools are not on this page.`;
  same("the pools", stated("pool_count"), figure(rows.length));
  same("the notices", stated("notice_count"), figure(sums.notices));
  same("the contracts", stated("assigned_quantity"), figure(sums.assigned));
  same("what is allocated", stated("allocated_quantity"), figure(sums.allocated));
  same("the breaks", figure(sums.breaks), figure(all("table.breaks tbody tr").length));
  return `${computed}, and the sums of the run.`;
}
function checkRow(row, pool, before) {
  const shown = figuresOf(pool);
  const figures = [row.Notices, row.Assigned, row.Short, row.Accounts, figure(before)].join("; ");
  const expected = [shown.notices, shown.assigned, shown.total, shown.accounts, shown.before];
  same(`the row of ${row.Series}`, figures, expected.map(figure).join("; "));
  same("its series", text(one(".series", pool)), row.Series);
  const accounts = one("table.accounts", pool) ? rowsOf(one("table.accounts", pool)) : [];
  const hit = accounts.filter(({ Assigned }) => whole(Assigned)).length;
  const isWhole = BigInt(accounts.length) === shown.accounts;
  if (isWhole) same(`accounts hit of ${row.Series}`, row.Hit, figure(hit));
}

const CHECKS = {
  seed: checkSeed,
  table: checkTable,
  pool: checkPool,
  position: checkPosition,
  entry: checkEntry,
  path: checkPath,
  signature: checkSignature,
  shown: checkShown,
};
async function tick(element) {
  const say = (state, words) => {
    element.dataset.state = state;
    one("output", element).textContent = words;
  };
  try {
    say("holds", await CHECKS[element.dataset.check](element.closest("article")));
  } catch (error) {
    if (error instanceof Unable) say("unable", `Cannot be checked: ${error.message}.`);
    else say("wrong", `WRONG: ${error.message}.`);
  }
}
async function checkAll() {
  const ticks = all("[data-check]");
  for (const element of ticks) await tick(element);
  const number = (state) => ticks.filter((element) => element.dataset.state === state).length;
  const [wrong, unable] = [number("wrong"), number("unable")];
  const verdict = one("#verdict");
  verdict.dataset.state = wrong ? "wrong" : unable ? "unable" : "holds";
  one("output", verdict).textContent = wrong
    ? `WRONG: ${wrong} of ${ticks.length} checks fail. Do not rely on this page.`
    : unable
      ? `${ticks.length - unable} of ${ticks.length} checks hold; ${unable} cannot be made here.`
      : `All ${ticks.length} checks hold.`;
}
const checked = checkAll();
