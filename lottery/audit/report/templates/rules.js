"use strict";
// The method's rules once more, each named by its id in METHOD.md; whole numbers alone (BigInt).
const SECURITIES = [
  ["NYSE Volume", "Z901803"],
  ["MIDWEST Volume", "Z901439"],
  ["CINCINNATI Volume", "Z901466"],
  ["NASD Volume", "Z901448"],
]; // S1
function volumeOf(ask) {
  const [, whole, decimals = ""] = /^(\d+)(?:\.(\d{1,5})0*)?$/.exec(ask) ?? [];
  expect(whole, `ask price “${ask}” is not a decimal with up to five decimals`);
  return BigInt(whole + decimals.padEnd(5, "0")); // S1, S2: times 100,000
}
function seedOf(asks) {
  const volumes = asks.map(volumeOf);
  const composite = String(volumes.reduce((sum, volume) => sum + volume, 0n)); // S3
  const cut = composite.length - 5; // S4: counted from 1
  expect(cut >= 1, "the composite is shorter than six digits"); // S5
  const digits = composite.slice(cut - 1, cut + 3);
  return { volumes, composite, cut, digits, tenThousandths: BigInt(digits) + 1n }; // S6
}
function rangesOf(shorts) {
  let last = 0n;
  return shorts.map((short) => [last + 1n, (last += short)]); // R3
}
function isBefore(account, other, order) {
  return order === "numeric" ? BigInt(account) < BigInt(other) : account < other; // R2
}
function firstHit(tenThousandths, total, zeroHit) {
  const hit = (tenThousandths * total) / 10000n; // D1: decimals removed
  return hit || (zeroHit === "first" ? 1n : total); // D2
}
function continued(hit, before, total) {
  return ((hit - 1n + before) % total) + 1n; // P6
}
function numbersHit(start, quantity, total) {
  const end = start + quantity - 1n; // D3
  return end <= total ? [[start, end]] : [[start, total], [1n, end - total]]; // D4
}
function hitsIn([first, last], hits) {
  const common = hits.map(([a, b]) => [a > first ? a : first, b < last ? b : last]);
  return common.filter(([a, b]) => a <= b); // D3
}
function sizeOf(ranges) {
  return ranges.reduce((sum, [a, b]) => sum + b - a + 1n, 0n);
}
function breakReason(quantity, total, before) {
  return total === 0n ? "NO_POSITION" : quantity > total - before ? "EXCEEDS_SHORT" : null; // D5
}
