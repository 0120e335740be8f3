/** SPEC 11.5: the request of `POST /v1/courier`. A courier has no key: it is not signed, and never compressed. */
import { readObject } from "./encoding.js";
import { must } from "./errors.js";
import { arrayOf, check, text } from "./json_object.js";
import { PROTOCOL } from "./messages.js";

const LARGEST = 8 * 1024 * 1024;
const MAX_ENVELOPES = 500;

/**
 * Read a courier's request; return the envelopes, which are not parsed here (SPEC 11.5).
 * @param {import("./encoding.js").Bytes} body
 * @returns {string[]}
 */
export function readCourierRequest(body) {
  must(body.length <= LARGEST, "exchange.too_large");
  const value = readObject(body);
  must(value.protocol === PROTOCOL, "exchange.wrong_protocol");
  check(value, { envelopes: arrayOf(text, { most: MAX_ENVELOPES }) });
  return value.envelopes ?? [];
}
