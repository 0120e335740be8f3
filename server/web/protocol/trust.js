/**
 * SPEC 5.1: the keys that may sign all other documents. A tablet works on under an expired trust; only staff clients
 * call `requireCurrent`.
 */
import { concat, hash, utf8 } from "./encoding.js";
import { must } from "./errors.js";
import { arrayOf, check, integer, asText, name, record, text, flag } from "./json_object.js";
import { parseVerifyKey } from "./key_pairs.js";
import { readDocument, requireNotOlder, requireSigners } from "./signed.js";

/** @typedef {import("./key_pairs.js").PublicKey} PublicKey */
/** @typedef {PublicKey & {person: string}} StaffKey */
/**
 * @typedef {object} Trust
 * @property {import("./signed.js").Document} document
 * @property {boolean} demo
 * @property {number} expires
 * @property {number} threshold
 * @property {PublicKey[]} roots
 * @property {PublicKey[]} registrars
 * @property {PublicKey[]} servers
 * @property {StaffKey[]} authors
 * @property {StaffKey[]} reviewers
 */

export const TRUST = "chaski-1/trust+jws";
const STAFF_GRACE = 45 * 24 * 60 * 60 * 1000;

const KEYS = arrayOf(text, { identity: asText });
const STAFF = arrayOf(record({ key: text, person: name }));
const MEMBERS = {
  number: integer(1),
  issued: integer(),
  expires: integer(),
  demo: flag,
  roots: KEYS,
  threshold: integer(1),
  registrars: KEYS,
  servers: KEYS,
  authors: STAFF,
  reviewers: STAFF,
};

/** The values of missing members (SPEC 2.3). @type {import("./encoding.js").JsonObject} */
const NOBODY = { demo: false, roots: [], registrars: [], servers: [], authors: [], reviewers: [] };

/**
 * Parse a trust; nothing is verified yet (SPEC 5.1).
 * @param {import("./encoding.js").Bytes} bytes
 * @returns {Trust}
 */
export function readTrust(bytes) {
  const document = readDocument(bytes);
  check(document.value, MEMBERS);
  const value = { ...NOBODY, ...document.value };
  must(value.threshold <= value.roots.length, "document.malformed", "threshold");
  const staff = [...value.authors, ...value.reviewers];
  const pairs = new Set(staff.map(({ key, person }) => `${key} ${person}`));
  must(pairs.size === new Set(staff.map(({ key }) => key)).size, "document.malformed", "a key with two persons");
  const staffKey = (/** @type {{key: string, person: string}} */ { key, person }) => ({
    ...parseVerifyKey(key),
    person,
  });
  return {
    document,
    demo: value.demo,
    expires: value.expires,
    threshold: value.threshold,
    roots: value.roots.map(parseVerifyKey),
    registrars: value.registrars.map(parseVerifyKey),
    servers: value.servers.map(parseVerifyKey),
    authors: value.authors.map(staffKey),
    reviewers: value.reviewers.map(staffKey),
  };
}

/**
 * Return the pin of a trust's roots, as in invitations (SPEC 5.1).
 * @param {Trust} trust
 * @returns {string}
 */
export function pinOf({ threshold, roots }) {
  const sorted = roots.map((root) => root.bytes).sort((one, other) => compare(one, other));
  return hash(concat(utf8("chaski-1/roots"), Uint8Array.of(threshold), ...sorted));
}

/**
 * Accept a trust: after the one held, or by the invitation's pin (SPEC 5.1).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {{held?: Trust | null, pin?: string}} known
 * @returns {Promise<Trust>}
 */
export async function acceptTrust(bytes, { held = null, pin }) {
  const trust = readTrust(bytes);
  await requireSigners(trust.document, TRUST, trust.roots, trust.threshold);
  if (!held) {
    must(pinOf(trust) === pin, "trust.wrong_pin");
    return trust;
  }
  requireNotOlder(trust.document, held.document);
  must(trust.demo === held.demo, "trust.demo_changed");
  await requireSigners(trust.document, TRUST, held.roots, held.threshold);
  return trust;
}

/**
 * Accept trusts one after the other; return the last. The roots of each one sign the next (SPEC 5.1).
 * @param {import("./encoding.js").Bytes[]} documents in rising order, at least one
 * @param {{held?: Trust | null, pin?: string}} known
 * @returns {Promise<Trust>}
 */
export async function acceptTrusts([first, ...later], known) {
  let held = await acceptTrust(first, known);
  for (const bytes of later) held = await acceptTrust(bytes, { held });
  return held;
}

/**
 * Verify a trust that this reader has accepted before and stored: its own roots decide, never the pin (SPEC 5.1).
 * @param {import("./encoding.js").Bytes} bytes
 * @returns {Promise<Trust>}
 */
export const reopenTrust = (bytes) => acceptTrust(bytes, { pin: pinOf(readTrust(bytes)) });

/**
 * Whether a trust has expired. On a tablet this is only a reason to sync (SPEC 5.1).
 * @param {Trust} trust
 * @param {number} now
 * @returns {boolean}
 */
export const isExpired = (trust, now) => now > trust.expires;

/**
 * Refuse an expired trust when the grace is over, in staff clients only (SPEC 5.1). Until then they mark it as expired.
 * @param {Trust} trust
 * @param {number} now
 */
export function requireCurrent(trust, now) {
  must(now <= trust.expires + STAFF_GRACE, "trust.expired");
}

/**
 * Compare two byte arrays, for ascending order.
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
function compare(one, other) {
  const at = one.findIndex((byte, index) => byte !== other[index]);
  return at < 0 ? 0 : one[at] - other[at];
}
