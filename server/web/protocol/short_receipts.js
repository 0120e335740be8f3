/**
 * SPEC 11.4: the short form of receipts in a sync response. It leaves out what request and response say. The reader
 * rebuilds the document that the server signed and verifies nothing.
 */
import { canonical, concat, hash, utf8 } from "./encoding.js";
import { must } from "./errors.js";
import { arrayOf, check, integer, matching, optional, text } from "./json_object.js";
import { isOutcome, RECEIPTS } from "./receipt.js";
import { readCanonicalHeader } from "./short_envelopes.js";
import { jwsHeader } from "./signed.js";

/** @typedef {import("./encoding.js").JsonObject} JsonObject */

const MEMBERS = {
  head: optional(text),
  number: optional(integer()),
  items: arrayOf(() => true),
  signature: matching(/^[A-Za-z0-9_-]{86}$/),
};

/**
 * Return the text of the receipts that the server `kid` signed.
 * @param {JsonObject} short
 * @param {{dev: string, n: number, at?: number, generation: string}} response
 * @param {string} kid
 * @param {string[]} envelopes of the request
 * @returns {string}
 */
export function rebuildReceipts(short, { dev, n, at = 0, generation }, kid, envelopes) {
  check(short, MEMBERS);
  const { head = "", number, signature } = short;
  const items = (short.items ?? []).map((/** @type {any} */ item, /** @type {number} */ index) => {
    if (typeof item !== "string") return item;
    const seq = readCanonicalHeader(envelopes[index] ?? "")?.seq;
    must(isOutcome(item) && seq !== undefined, "document.malformed", "no envelope has this outcome");
    return { id: hash(utf8(envelopes[index])), outcome: item, seq };
  });
  const payload = canonical({ dev, n, at, generation, head, items, ...(number && { number }) });
  return new TextDecoder().decode(concat(payload, utf8(`\n${jwsHeader(kid, RECEIPTS)}..${signature}`)));
}
