/**
 * SPEC 5.6: a registrar's orders to one tablet. This module decides which orders are due; the tablet carries them out.
 */
import { must } from "./errors.js";
import { check, kidText, integer, oneOf } from "./json_object.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {{dev: string, number: number, issued: number, order: "wipe" | "revoke"}} Order */

export const ORDER = "chaski-1/order+jws";

/**
 * Accept an order, as the tablet `dev` (SPEC 5.6).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {string} dev
 * @returns {Promise<Order>}
 */
export async function acceptOrder(bytes, trust, dev) {
  const document = readDocument(bytes);
  await requireSigners(document, ORDER, trust.registrars);
  const value = /** @type {Order} */ (document.value);
  check(value, { dev: kidText, number: integer(1), issued: integer(), order: oneOf("wipe", "revoke") });
  must(value.dev === dev, "order.wrong_device");
  return value;
}

/**
 * Return whether an order is due after order number `last` (SPEC 5.6).
 * @param {Order} order
 * @param {number} last
 * @returns {boolean}
 */
export const isDue = ({ number }, last) => number > last;
