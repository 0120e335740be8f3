/** SPEC 5.2: the keyring that a screening is sealed to, and the revoked tablets. */
import { encodeBase64url, hash } from "./encoding.js";
import { must } from "./errors.js";
import { arrayOf, check, sha256Hex, kidText, integer, matching, name, oneOf, record } from "./json_object.js";
import { sealPublicKey } from "./key_pairs.js";
import { readDocument, requireNotOlder, requireSigners } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./signed.js").Document} Document */
/** @typedef {{id: string, epoch: number, kid: string, key_sha256: string}} Keyring */
/** @typedef {{site: string, kind: string, keyring: string}} Desk */
/** @typedef {{document: Document, keyrings: Keyring[], desks: Desk[], revoked: string[]}} Registry */

export const REGISTRY = "chaski-1/registry+jws";
const KINDS = ["child", "protection", "labour"];
const NATIONAL = "national";

const MEMBERS = {
  number: integer(1),
  issued: integer(),
  keyrings: arrayOf(record({ id: name, epoch: integer(1), kid: kidText, key_sha256: sha256Hex }), {
    identity: ({ id }) => id,
  }),
  desks: arrayOf(record({ site: matching(/^[0-9]{0,6}$/), kind: oneOf(...KINDS), keyring: name }), {
    identity: ({ site, kind }) => `${site} ${kind}`,
  }),
  revoked: arrayOf(kidText),
};

/**
 * Accept a registry, after the one held (SPEC 5.2).
 * @param {Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {Registry | null} [held]
 * @returns {Promise<Registry>}
 */
export async function acceptRegistry(bytes, trust, held = null) {
  const document = readDocument(bytes);
  await requireSigners(document, REGISTRY, trust.registrars);
  check(document.value, MEMBERS);
  const { keyrings = [], desks = [], revoked = [] } = document.value;
  for (const { kid, key_sha256 } of keyrings) {
    must(kid === kidOfHash(key_sha256), "document.malformed", "kid and hash of a keyring");
  }
  const ids = new Set(keyrings.map((/** @type {Keyring} */ keyring) => keyring.id));
  const named = [NATIONAL, ...desks.map((/** @type {Desk} */ desk) => desk.keyring)];
  must(
    named.every((id) => ids.has(id)),
    "document.malformed",
    "a keyring is missing",
  );
  requireNotOlder(document, held && held.document);
  return { document, keyrings, desks, revoked };
}

/**
 * Return the keyring for a place and a kind: the longest site, else national (SPEC 5.2).
 * @param {Registry} registry
 * @param {string} place 6, 4 or 2 digits, or empty
 * @param {string} kind
 * @returns {Keyring}
 */
export function keyringFor(registry, place, kind) {
  const wanted = KINDS.includes(kind) ? kind : "protection";
  const desks = registry.desks.filter((desk) => desk.kind === wanted && place.startsWith(desk.site));
  const [nearest] = desks.sort((one, other) => other.site.length - one.site.length);
  const id = nearest ? nearest.keyring : NATIONAL;
  return /** @type {Keyring} */ (registry.keyrings.find((keyring) => keyring.id === id));
}

/**
 * Return by id the keyrings whose keys a tablet of this region must have before it works (SPEC 5.2).
 * @param {Registry} registry
 * @param {string} region
 * @returns {Keyring[]}
 */
export function keyringsNear(registry, region) {
  const near = registry.desks.filter(({ site }) => region.startsWith(site) || site.startsWith(region));
  const ids = new Set([NATIONAL, ...near.map(({ keyring }) => keyring)]);
  return registry.keyrings.filter(({ id }) => ids.has(id)).sort((one, other) => (one.id < other.id ? -1 : 1));
}

/**
 * Return the keyring to seal to, as a tablet that has only the keys with these hashes (SPEC 5.2).
 * @param {Registry} registry
 * @param {string} place
 * @param {string} kind
 * @param {string[]} hashes
 * @returns {Keyring}
 */
export function keyringOnBoard(registry, place, kind, hashes) {
  const chosen = keyringFor(registry, place, kind);
  if (hashes.includes(chosen.key_sha256)) return chosen;
  return /** @type {Keyring} */ (registry.keyrings.find(({ id }) => id === NATIONAL));
}

/**
 * Return the one kind of desk for a screening's queue kinds (SPEC 5.2).
 * @param {string[]} queueKinds
 * @returns {string}
 */
export function deskKind(queueKinds) {
  if (queueKinds.includes("child")) return "child";
  return queueKinds.length === 1 && queueKinds[0] === "labour" ? "labour" : "protection";
}

/**
 * Return a keyring's fetched public key, or throw `registry.wrong_key` (SPEC 5.2).
 * @param {Keyring} keyring
 * @param {Bytes} fetched
 * @returns {import("./key_pairs.js").PublicKey}
 */
export function fetchedPublicKey(keyring, fetched) {
  const key = sealPublicKey(fetched);
  must(hash(fetched) === keyring.key_sha256, "registry.wrong_key");
  return key;
}

/**
 * @param {string} keyHash
 * @returns {string}
 */
const kidOfHash = (keyHash) =>
  encodeBase64url(Uint8Array.from({ length: 16 }, (_, at) => parseInt(keyHash.slice(2 * at, 2 * at + 2), 16)));
