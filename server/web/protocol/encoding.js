/** SPEC 2.1 and 2.2: bytes, base64url and JSON, read as strictly as the protocol requires. All other modules use it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { base64url } from "jose";
import { must, ProtocolError, refuse } from "./errors.js";

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {Record<string, any>} JsonObject */

const STRING_OR_STRUCTURE = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;
const LONE_SURROGATE = /\p{Surrogate}/u;
const HALF = "half a character";
const MAX_VALUES = 200_000;
const VALUE_BEFORE = new Set(Array.from("[{,", (letter) => letter.charCodeAt(0)));

/**
 * UTF-8 bytes of a text.
 * @param {string} text
 * @returns {Bytes}
 */
export const utf8 = (text) => new TextEncoder().encode(text);

/**
 * Join several byte arrays.
 * @param {...Uint8Array} parts
 * @returns {Bytes}
 */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Whether two byte arrays are equal. Not for secrets: it stops at the first difference.
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 * @returns {boolean}
 */
export const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

/**
 * SHA-256 of bytes.
 * @param {Uint8Array} bytes
 * @returns {Bytes}
 */
export const digest = (bytes) => Uint8Array.from(sha256(bytes));

/**
 * Lower-case hexadecimal (SPEC 2.1).
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * The hash of SPEC 2.3.
 * @param {Uint8Array} bytes
 * @returns {string} 64 hexadecimal digits
 */
export const hash = (bytes) => hex(digest(bytes));

/**
 * base64url without padding (SPEC 2.1).
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const encodeBase64url = (bytes) => base64url.encode(bytes);

/**
 * Decode base64url in its one spelling, else throw `encoding.base64` (SPEC 2.1).
 * @param {string} text
 * @returns {Bytes}
 */
export function decodeBase64url(text) {
  let bytes = new Uint8Array();
  try {
    bytes = Uint8Array.from(base64url.decode(text));
  } catch {
    refuse("encoding.base64");
  }
  must(encodeBase64url(bytes) === text, "encoding.base64", "another spelling");
  return bytes;
}

/**
 * Parse JSON bytes; throws `encoding.json` or `encoding.duplicate_member` (SPEC 2.2).
 * @param {Uint8Array} bytes
 * @returns {any}
 */
export function readJson(bytes) {
  const values = bytes.reduce((sum, byte) => sum + Number(VALUE_BEFORE.has(byte)), 0);
  must(values <= MAX_VALUES, "encoding.json", "too many values for a JSON text of this size");
  let text = "";
  let value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text, keepExact);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    refuse("encoding.json");
  }
  refuseDuplicates(text);
  return value;
}

/**
 * JSON.parse rounds integers, reads 1.0 as 1 and accepts half a surrogate pair, so check the source text of each value
 * (SPEC 2.2). This needs the `source` that JSON.parse gives in browsers of 2025 and in Node 22; without it every number
 * is refused. A number that comes back boxed is not an integer of SPEC 2.3.
 * @param {string} name
 * @param {any} value
 * @param {{source?: string}} [context]
 */
function keepExact(name, value, { source = "" } = {}) {
  must(!LONE_SURROGATE.test(name) && !(typeof value === "string" && LONE_SURROGATE.test(value)), "encoding.json", HALF);
  if (typeof value !== "number") return value;
  const integer = /^-?[0-9]+$/.test(source);
  must(Number.isFinite(value) && (!integer || Number.isSafeInteger(value)), "encoding.json", "number");
  return !integer && Number.isInteger(value) ? new Number(value) : value;
}

/**
 * Parse a JSON object by the same rules (SPEC 2.2).
 * @param {Uint8Array} bytes
 * @returns {JsonObject}
 */
export function readObject(bytes) {
  const value = readJson(bytes);
  must(value !== null && typeof value === "object" && !Array.isArray(value), "encoding.json", "not an object");
  return value;
}

/**
 * JSON.parse silently keeps the last of two equal members, so scan the text again. It is known to be valid JSON.
 * @param {string} text
 */
function refuseDuplicates(text) {
  /** @type {Set<string>[]} */
  const open = [];
  let last = "";
  for (const [token] of text.matchAll(STRING_OR_STRUCTURE)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token !== ":") last = token;
    else {
      const members = open[open.length - 1];
      const name = JSON.parse(last);
      must(!members.has(name), "encoding.duplicate_member", name);
      members.add(name);
    }
  }
}

/**
 * Write canonical JSON, RFC 8785 (SPEC 2.2); throws `encoding.json` for a value that has none.
 * @param {any} value
 * @returns {Bytes}
 */
export const canonical = (value) => utf8(canonicalText(value));

/**
 * Like RFC 8785, JSON.stringify writes strings and numbers, and Array.sort compares UTF-16 units.
 * @param {any} value
 * @returns {string}
 */
function canonicalText(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (value !== null && typeof value === "object" && !(value instanceof Number)) {
    const members = Object.keys(value).sort();
    return `{${members.map((name) => `${canonicalText(name)}:${canonicalText(value[name])}`).join(",")}}`;
  }
  must(typeof value !== "string" || !LONE_SURROGATE.test(value), "encoding.json", HALF);
  return JSON.stringify(value);
}
