"use strict";
// What proves the entry: its leaf hash, the path to the root, the signature of the root.
// Each text must be in its one form, so that no byte of it can be another.
class Unable extends Error {} // A check that this browser or this page cannot make.
function expect(holds, message) {
  if (!holds) throw new Error(message);
}
function same(what, shown, computed) {
  expect(shown === computed, `${what}: the page has “${shown}”, expected “${computed}”`);
}
const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
function base64(text) {
  const raw = atob(text);
  same("base64", text, btoa(raw));
  return Uint8Array.from(raw, (one) => one.charCodeAt(0));
}
function webCrypto() {
  if (globalThis.crypto?.subtle) return crypto.subtle;
  throw new Unable("this browser has no WebCrypto here; open the page as a file or over HTTPS");
}
async function sha256(...parts) {
  const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
  return new Uint8Array(await webCrypto().digest("SHA-256", bytes));
}
const leafHash = (entry) => sha256([0], utf8(entry)); // RFC 9162, 2.1.1
const nodeHash = (left, right) => sha256([1], left, right);

// C2SP tlog-proof: index and hashes, a blank line, the checkpoint. C2SP tlog-checkpoint: origin,
// size and root, a blank line, one signature, which is that of the log.
const PROOF =
  /^c2sp\.org\/tlog-proof@v1\nindex (0|[1-9]\d*)\n((?:\S+\n)*)\n((\S+)\n(0|[1-9]\d*)\n(\S+)\n)\n— (\S+) (\S+)\n$/;
function readProof(text) {
  const found = PROOF.exec(text);
  expect(found, "the proof or its checkpoint is not in the form of a tlog-proof");
  const [, index, hashes, signed, origin, size, root, signer, signature] = found;
  return {
    index: BigInt(index),
    hashes: hashes.split("\n").slice(0, -1).map(base64),
    signed,
    origin,
    size: BigInt(size),
    root: base64(root),
    signer,
    signature: base64(signature),
  };
}
// RFC 9162, 2.1.3.2: from the leaf to the root. `last` is the index of the last leaf's ancestor.
async function rootOf(leaf, { index, size, hashes }) {
  expect(index < size, `index ${index} is not in a tree of ${size}`);
  let [hash, node, last] = [leaf, index, size - 1n];
  for (const sibling of hashes) {
    expect(last > 0n && sibling.length === 32, "the proof has other hashes than the path");
    while (node % 2n === 0n && node === last) [node, last] = [node >> 1n, last >> 1n];
    hash = await (node % 2n ? nodeHash(sibling, hash) : nodeHash(hash, sibling));
    [node, last] = [node >> 1n, last >> 1n];
  }
  expect(last === 0n, "the proof has fewer hashes than the path");
  return hash;
}
// C2SP signed-note: a key is NAME+ID+base64(1, 32 bytes), a signature is ID, 64 bytes.
async function verifySignature({ signed, origin, signer, signature }, keyText) {
  const [, name, id, encoded] = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(keyText) ?? [];
  expect(name, "the key is not in the form NAME+ID+KEY");
  const key = base64(encoded);
  expect(key.length === 33 && key[0] === 1, "the key is not an Ed25519 key");
  same("the key's id", id, hex((await sha256(utf8(name + "\n"), key)).slice(0, 4)));
  same("the log's origin", origin, name);
  same("the signer", signer, name);
  same("the signer's id", hex(signature.slice(0, 4)), id);
  expect(await ed25519(key.slice(1), signature.slice(4), utf8(signed)), "the signature is wrong");
}
async function ed25519(key, signature, message) {
  try {
    const imported = await webCrypto().importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, signature, message);
  } catch (error) {
    if (error.name !== "NotSupportedError") throw error;
    throw new Unable("this browser's WebCrypto has no Ed25519; a newer one has it");
  }
}
