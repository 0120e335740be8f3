/**
 * SPEC 10: the server's signed statement of the outcome of envelopes. A tablet counts a screening as delivered only by
 * a receipt.
 */
import { must } from "./errors.js";
import {
  arrayOf,
  check,
  sha256Hex,
  kidText,
  halfId,
  integer,
  matching,
  oneOf,
  optional,
  optionalText,
  problemCode,
  record,
} from "./json_object.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {{id: string, outcome: string, seq?: number, code?: string}} Item */
/** @typedef {{dev: string, n: number, at: number, generation: string, head: string, number?: number, items: Item[]}} Receipts */

export const RECEIPTS = "chaski-1/receipts+jws";

/** Outcome, and whether the tablet may count the envelope as done (SPEC 10). */
const OUTCOMES = new Map([
  ["stored", true],
  ["duplicate", true],
  ["held", true],
  ["fork", true],
  ["conflict", true],
  ["quarantined", true],
  ["rejected", false],
]);

/** One item of receipts (SPEC 10). */
export const receiptItem = record({
  id: sha256Hex,
  outcome: oneOf(...OUTCOMES.keys()),
  seq: optional(integer()),
  code: optionalText(problemCode),
});

const MEMBERS = {
  dev: kidText,
  n: integer(1),
  at: integer(),
  generation: halfId,
  head: matching(/^([0-9a-f]{64})?$/),
  number: optional(integer()),
  items: arrayOf(receiptItem),
};

/**
 * Accept receipts, as the tablet `dev` after its request `n` (SPEC 10).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {{dev: string, n: number, generation?: string}} request generation: the response's
 * @returns {Promise<Receipts>}
 */
export async function acceptReceipts(bytes, trust, { dev, n, generation }) {
  const document = readDocument(bytes);
  await requireSigners(document, RECEIPTS, trust.servers);
  const value = /** @type {Receipts} */ (document.value);
  check(value, MEMBERS);
  value.items ??= [];
  must(value.dev === dev, "receipt.other_device");
  must(value.n === n, "receipt.stale");
  must(generation === undefined || value.generation === generation, "receipt.other_generation");
  return value;
}

/**
 * Whether this is an outcome of SPEC 10.
 * @param {string} outcome
 * @returns {boolean}
 */
export const isOutcome = (outcome) => OUTCOMES.has(outcome);

/**
 * Whether an outcome lets a tablet count the envelope as done (SPEC 10).
 * @param {string} outcome
 * @returns {boolean}
 */
export const isDone = (outcome) => OUTCOMES.get(outcome) ?? false;
