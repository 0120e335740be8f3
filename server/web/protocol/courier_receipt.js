/**
 * SPEC 11.5: receipts that a courier carries. They answer no request of the tablet, so their generation decides whether
 * they count.
 */
import { must } from "./errors.js";
import { arrayOf, check, halfId, integer, kidText, matching, optional } from "./json_object.js";
import { isDone, receiptItem } from "./receipt.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {import("./receipt.js").Item} Item */
/** @typedef {{dev: string, at: number, generation: string, left: string[], head: string, number?: number, items: Item[]}} CourierReceipts */

export const COURIER_RECEIPTS = "chaski-1/courier+jws";
const MAX_LEFT = 1_000;

const MEMBERS = {
  dev: kidText,
  at: integer(),
  generation: halfId,
  left: arrayOf(halfId, { most: MAX_LEFT }),
  head: matching(/^([0-9a-f]{64})?$/),
  number: optional(integer()),
  items: arrayOf(receiptItem),
};

/**
 * Accept receipts that a courier carries, as the tablet `dev` that holds this generation, or none yet (SPEC 11.5).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {{dev: string, generation: string}} tablet
 * @returns {Promise<{generation: string, begins: boolean, done: string[]}>} `begins`: all earlier receipts are void
 */
export async function acceptCourierReceipts(bytes, trust, { dev, generation: held }) {
  const document = readDocument(bytes);
  await requireSigners(document, COURIER_RECEIPTS, trust.servers);
  const value = /** @type {CourierReceipts} */ (document.value);
  check(value, MEMBERS);
  must(value.dev === dev, "receipt.other_device");
  const begins = held !== "" && held !== value.generation;
  must(!begins || (value.left ?? []).includes(held), "receipt.other_generation");
  const done = (value.items ?? []).filter(({ outcome }) => isDone(outcome)).map(({ id }) => id);
  return { generation: value.generation, begins, done };
}
