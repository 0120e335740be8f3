/**
 * SPEC 2.3: what a member may look like. The readers of documents, headers and bodies describe their members with
 * these.
 */
import { must } from "./errors.js";

/** @typedef {(value: any) => boolean} Form a question: is the value of this form? */

/**
 * A text that a pattern describes wholly (SPEC 2.3).
 * @param {RegExp} pattern
 * @returns {Form}
 */
export const matching = (pattern) => (value) => typeof value === "string" && pattern.test(value);

/**
 * One of these values.
 * @param {...any} values
 * @returns {Form}
 */
export const oneOf =
  (...values) =>
  (value) =>
    values.includes(value);

/**
 * An integer, from 0 where nothing else is said (SPEC 2.2, 2.3).
 * @param {number} [least]
 * @returns {Form}
 */
export const integer =
  (least = 0) =>
  (value) =>
    Number.isSafeInteger(value) && value >= least;

/**
 * A member that may be left out.
 * @param {Form} form
 * @returns {Form}
 */
export const optional = (form) => (value) => value === undefined || form(value);

/**
 * A text that may be left out, or be empty, which says the same (SPEC 2.3).
 * @param {Form} form
 * @returns {Form}
 */
export const perhaps =
  (form) =>
  (value = "") =>
    value === "" || form(value);

/**
 * An array, of which no two entries have the same `identity` if that is asked for; left out it is empty (SPEC 2.3).
 * @param {Form} form
 * @param {{least?: number, most?: number, identity?: (entry: any) => string}} [rules]
 * @returns {Form}
 */
export const arrayOf =
  (form, { least = 0, most = Infinity, identity } = {}) =>
  (value = []) =>
    Array.isArray(value) &&
    value.length >= least &&
    value.length <= most &&
    value.every((entry) => form(entry)) &&
    (!identity || new Set(value.map(identity)).size === value.length);

/**
 * An object with these members; others are ignored (SPEC 4.4).
 * @param {Record<string, Form>} members
 * @returns {Form}
 */
export const record = (members) => (value) =>
  isObject(value) && Object.entries(members).every(([name, form]) => form(value[name]));

/**
 * An object used as a table: any names of one form, values of another; left out it is empty (SPEC 2.3).
 * @param {Form} name
 * @param {Form} form
 * @param {number} [most] names
 * @returns {Form}
 */
export const table =
  (name, form, most = Infinity) =>
  (value = {}) =>
    isObject(value) &&
    Object.keys(value).length <= most &&
    Object.entries(value).every(([key, entry]) => name(key) && form(entry));

/**
 * Refuse an object of which a member is missing or not of its form (SPEC 2.3); name the member.
 * @param {any} value
 * @param {Record<string, Form>} members
 * @param {string} [code]
 */
export function check(value, members, code = "document.malformed") {
  for (const [name, form] of Object.entries(members)) must(form(value[name]), code, name);
}

/** @type {Form} */
const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";

/** @type {(entry: any) => string} */
export const itself = (entry) => String(entry);
export const text = matching(/^/);
export const truth = optional(oneOf(true, false));
export const id128 = matching(/^[A-Za-z0-9_-]{22}$/);
export const id64 = matching(/^[A-Za-z0-9_-]{11}$/);
export const hashForm = matching(/^[0-9a-f]{64}$/);
export const formId = matching(/^[a-z][a-z0-9_]{0,39}$/);
export const name = matching(/^[a-z0-9][a-z0-9_-]{0,39}$/);
/** A problem's code. */
export const problemCode = matching(/^(?=.{1,64}$)[a-z_]+(\.[a-z0-9_]+)*$/);
export const region = matching(/^[0-9]{2,6}$/);
