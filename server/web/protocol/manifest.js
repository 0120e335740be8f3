/** SPEC 5.3: the form version that a tablet uses, and the key that routes are sealed to. */
import { digest, utf8 } from "./encoding.js";
import {
  arrayOf,
  check,
  formId,
  sha256Hex,
  kidText,
  integer,
  optional,
  record,
  region,
  table,
  text,
} from "./json_object.js";
import { parseRouteKey } from "./key_pairs.js";
import { readDocument, requireNotOlder, requireSigners } from "./signed.js";

/** @typedef {import("./signed.js").Document} Document */
/** @typedef {{sha: string, regions?: string[], devices?: string[], share_permille?: number}} Entry */
/** @typedef {import("./key_pairs.js").PublicKey & {until: number}} RouteKey */
/** @typedef {{document: Document, routeKeys: RouteKey[], forms: Map<string, Entry[]>}} Manifest */

export const MANIFEST = "chaski-1/manifest+jws";

const ENTRY = record({
  sha: sha256Hex,
  regions: optional(arrayOf(region)),
  devices: optional(arrayOf(kidText)),
  share_permille: optional(integer(0)),
});
const MEMBERS = {
  number: integer(1),
  issued: integer(),
  route_keys: arrayOf(record({ key: text, until: integer() }), { least: 1 }),
  forms: table(formId, arrayOf(ENTRY)),
};

/**
 * Accept a manifest, after the one held (SPEC 5.3).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {Manifest | null} [held]
 * @returns {Promise<Manifest>}
 */
export async function acceptManifest(bytes, trust, held = null) {
  const document = readDocument(bytes);
  await requireSigners(document, MANIFEST, trust.servers);
  const { value } = document;
  check(value, MEMBERS);
  const routeKeys = value.route_keys.map((/** @type {{key: string, until: number}} */ { key, until }) => ({
    ...parseRouteKey(key),
    until,
  }));
  requireNotOlder(document, held && held.document);
  return { document, routeKeys, forms: new Map(Object.entries(value.forms ?? {})) };
}

/**
 * Return the version of a form that a tablet uses, or null if it does not have the form (SPEC 5.3).
 * @param {Manifest} manifest
 * @param {string} form
 * @param {string} dev
 * @param {string} where the tablet's region
 * @returns {string | null}
 */
export function chooseVersion(manifest, form, dev, where) {
  const fits = (/** @type {Entry} */ { sha, regions, devices, share_permille }) =>
    (!regions || regions.some((front) => where.startsWith(front))) &&
    (!devices || devices.includes(dev)) &&
    (share_permille === undefined || placeOf(dev, sha) < share_permille);
  return (manifest.forms.get(form) ?? []).find(fits)?.sha ?? null;
}

/**
 * Return the key that routes are sealed to: the first that has not expired, else the last (SPEC 5.3).
 * @param {Manifest} manifest
 * @param {number} now
 * @returns {RouteKey}
 */
export function routeKeyAt({ routeKeys }, now) {
  return routeKeys.find(({ until }) => until > now) ?? routeKeys[routeKeys.length - 1];
}

/**
 * @param {string} dev
 * @param {string} sha
 * @returns {number} 0 to 999
 */
const placeOf = (dev, sha) => new DataView(digest(utf8(dev + sha)).buffer).getUint32(0) % 1000;
