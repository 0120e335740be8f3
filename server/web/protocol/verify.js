/**
 * SPEC 6: the seven fields, their header and their signature. Servers use this module only; seal.js opens envelopes.
 */
import { decodeBase64url, hash, readObject, utf8 } from "./encoding.js";
import { must } from "./errors.js";
import { check, kidText, halfId, integer, matching, oneOf, record } from "./json_object.js";
import { verifyBare } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{alg: string, enc: string, typ: string, kid: string, jti: string, dev: string}} Names */
/** @typedef {Names & {chain: string, seq: number, kseq: number, prev: string, route: string}} Header of SPEC 6.2 */
/** @typedef {{text: string, header: Header, fields: string[], bytes: Bytes[]}} Envelope of SPEC 6.1 */

export const ENVELOPE = "chaski-1/env+jws";
export const FIXED = { alg: "HPKE-9-KE", enc: "A256GCM", typ: "chaski-1+jwe" };
const LARGEST = 360_000;
const BLOCK = 1024;
const MOST_BLOCKS = 256;

const MEMBERS = {
  alg: oneOf(FIXED.alg),
  enc: oneOf(FIXED.enc),
  typ: oneOf(FIXED.typ),
  kid: kidText,
  jti: kidText,
  dev: kidText,
  chain: halfId,
  seq: integer(1),
  kseq: integer(1),
  prev: matching(/^([0-9a-f]{64})?$/),
  route: matching(/^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{448}$/),
};

/**
 * Whether this has the members of a header, each of its form, and no others (SPEC 6.2).
 * @param {any} value
 * @returns {value is Header}
 */
export const isHeader = (value) =>
  record(MEMBERS)(value) && Object.keys(value).length === Object.keys(MEMBERS).length;

/**
 * Return the envelope's identity, whether it can be parsed or not (SPEC 6.1).
 * @param {string} text
 * @returns {string}
 */
export const envelopeId = (text) => hash(utf8(text));

/**
 * Parse an envelope; nothing is verified yet (SPEC 6.1, 6.2).
 * @param {string} text
 * @returns {Envelope}
 */
export function parseEnvelope(text) {
  must(utf8(text).length <= LARGEST, "envelope.too_large");
  const fields = text.split(".");
  must(fields.length === 7, "envelope.malformed");
  const bytes = fields.map(decodeBase64url);
  const [, ek, encryptedKey, iv, ciphertext, tag, signature] = bytes.map((field) => field.length);
  const blocks = ciphertext / BLOCK;
  must(
    ek === 1120 && encryptedKey === 48 && iv === 12 && tag === 16 && signature === 64,
    "envelope.malformed",
    "a length",
  );
  must(Number.isInteger(blocks) && blocks >= 1 && blocks <= MOST_BLOCKS, "envelope.malformed", "ciphertext");
  return { text, header: readHeader(bytes[0]), fields, bytes };
}

/**
 * Verify the signature of the device that the header names (SPEC 6.3).
 * @param {Envelope} envelope
 * @param {import("./key_pairs.js").PublicKey} device
 * @returns {Promise<void>}
 */
export async function verifyEnvelope({ header, fields }, device) {
  must(device.kid === header.dev, "envelope.wrong_device");
  await verifyBare(utf8(fields.slice(0, 6).join(".")), fields[6], ENVELOPE, device, "envelope.bad_signature");
}

/**
 * @param {Bytes} bytes
 * @returns {Header}
 */
function readHeader(bytes) {
  const header = /** @type {Header} */ (readObject(bytes));
  check(header, MEMBERS, "envelope.bad_header");
  must(Object.keys(header).length === Object.keys(MEMBERS).length, "envelope.bad_header", "an unknown member");
  must(
    header.kseq <= header.seq && (header.prev === "") === (header.seq === 1),
    "envelope.bad_header",
    "contradiction",
  );
  return header;
}
