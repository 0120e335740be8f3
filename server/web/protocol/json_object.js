/** SPEC 2.3: the shapes of members. The readers of documents, headers and bodies describe their members with them. */
import { must } from "./errors.js";

/** @typedef {(value: any) => boolean} Shape a question: is the value of this shape? */

/**
 * A text that matches the whole pattern (SPEC 2.3).
 * @param {RegExp} pattern
 * @returns {Shape}
 */
export const matching = (pattern) => (value) => typeof value === "string" && pattern.test(value);

/**
 * One of these values.
 * @param {...any} values
 * @returns {Shape}
 */
export const oneOf =
  (...values) =>
  (value) =>
    values.includes(value);

/**
 * An integer, from 0 unless `least` is given (SPEC 2.2, 2.3).
 * @param {number} [least]
 * @returns {Shape}
 */
export const integer =
  (least = 0) =>
  (value) =>
    Number.isSafeInteger(value) && value >= least;

/**
 * A member that may be missing.
 * @param {Shape} shape
 * @returns {Shape}
 */
export const optional = (shape) => (value) => value === undefined || shape(value);

/**
 * A text that may be missing or empty, which mean the same (SPEC 2.3).
 * @param {Shape} shape
 * @returns {Shape}
 */
export const optionalText =
  (shape) =>
  (value = "") =>
    value === "" || shape(value);

/**
 * An array; with `identity`, no two entries may have the same one. A missing array is empty (SPEC 2.3).
 * @param {Shape} shape
 * @param {{least?: number, most?: number, identity?: (entry: any) => string}} [rules]
 * @returns {Shape}
 */
export const arrayOf =
  (shape, { least = 0, most = Infinity, identity } = {}) =>
  (value = []) =>
    Array.isArray(value) &&
    value.length >= least &&
    value.length <= most &&
    value.every((entry) => shape(entry)) &&
    (!identity || new Set(value.map(identity)).size === value.length);

/**
 * An object with these members; others are ignored (SPEC 4.4).
 * @param {Record<string, Shape>} members
 * @returns {Shape}
 */
export const record = (members) => (value) =>
  isObject(value) && Object.entries(members).every(([name, shape]) => shape(value[name]));

/**
 * An object with these members, which may be missing or empty (SPEC 2.3).
 * @param {Record<string, Shape>} members
 * @returns {Shape}
 */
export const optionalRecord =
  (members) =>
  (value = {}) =>
    isObject(value) && (Object.keys(value).length === 0 || record(members)(value));

/**
 * An array of two entries of one shape.
 * @param {Shape} shape
 * @returns {Shape}
 */
export const pairOf = (shape) => (value) => Array.isArray(value) && value.length === 2 && value.every(shape);

/**
 * An object used as a table: any names of one shape, values of another. A missing table is empty (SPEC 2.3).
 * @param {Shape} name
 * @param {Shape} shape
 * @param {number} [most] names
 * @returns {Shape}
 */
export const table =
  (name, shape, most = Infinity) =>
  (value = {}) =>
    isObject(value) &&
    Object.keys(value).length <= most &&
    Object.entries(value).every(([key, entry]) => name(key) && shape(entry));

/**
 * Refuse an object with a missing or malformed member (SPEC 2.3), and name the member.
 * @param {any} value
 * @param {Record<string, Shape>} members
 * @param {string} [code]
 */
export function check(value, members, code = "document.malformed") {
  for (const [name, shape] of Object.entries(members)) must(shape(value[name]), code, name);
}

/** @type {Shape} */
export const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";

/** @type {(entry: any) => string} */
export const asText = (entry) => String(entry);
export const text = matching(/^/);
export const flag = optional(oneOf(true, false));
export const kidText = matching(/^[A-Za-z0-9_-]{22}$/);
export const halfId = matching(/^[A-Za-z0-9_-]{11}$/);
export const sha256Hex = matching(/^[0-9a-f]{64}$/);
/** A hash in base64url; its last two bits are zero (SPEC 2.1). */
export const sha256Short = matching(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
export const formId = matching(/^[a-z][a-z0-9_]{0,39}$/);
export const name = matching(/^[a-z0-9][a-z0-9_-]{0,39}$/);
/** A problem's code. */
export const problemCode = matching(/^(?=.{1,64}$)[a-z_]+(\.[a-z0-9_]+)*$/);
export const region = matching(/^[0-9]{2,6}$/);
