/**
 * SPEC 11: the bodies of `POST /v1/sync` and the header with their signature. The callers send them and apply most
 * rules over time (SPEC 11.3).
 */
import { gzip } from "pako";
import { GZIP, inflate } from "./compression.js";
import { canonical, digest, encodeBase64url, readObject, same, utf8 } from "./encoding.js";
import { must, ProtocolError } from "./errors.js";
import {
  arrayOf,
  check,
  formId,
  sha256Hex,
  kidText,
  halfId,
  integer,
  isObject,
  matching,
  oneOf,
  optional,
  optionalRecord,
  optionalText,
  pairOf,
  problemCode,
  record,
  table,
  text,
  flag,
} from "./json_object.js";
import { readEnvelopes, writeEnvelopes } from "./short_envelopes.js";
import { rebuildReceipts } from "./short_receipts.js";
import { readDocument, signBare, verifyBare } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./encoding.js").JsonObject} JsonObject */
/** @typedef {import("./key_pairs.js").PublicKey} PublicKey */
/** @typedef {{body: Bytes, signature: string}} Message a body as it travels, and the value of `Chaski-Signature` */

export const PROTOCOL = "chaski-1";
export const REQUEST = "chaski-1/request+jws";
export const RESPONSE = "chaski-1/response+jws";
export const REFUSAL = "chaski-1/refusal+jws";
const LARGEST = 8 * 1024 * 1024;
const MAX_ENVELOPES = 500;
const MAX_ENDED = 64;
const MAX_REFUSED = 64;
const MAX_INVENTORY = 64;
const MAX_RECEIPTED = 64;
const MAX_RANGES = 64;
const MAX_NUMBER_STEP = 2 ** 20;
const COUNT = optional(integer());
const DOCUMENTS = arrayOf(text);

/** @typedef {Record<string, import("./json_object.js").Shape>} Shapes */
/** @type {Shapes} */
const HAVE = { trust: COUNT, registry: COUNT, manifest: COUNT, orders: COUNT };
/** @type {Shapes} */
const TOLD = { number: integer(1), head: kidText };
/** @type {Shapes} */
const REQUEST_MEMBERS = {
  protocol: oneOf(PROTOCOL),
  n: integer(1),
  at: COUNT,
  have: optional(record(HAVE)),
  generation: optionalText(halfId),
  cursor: COUNT,
  pending: arrayOf(sha256Hex, { most: MAX_ENVELOPES }),
  envelopes: arrayOf(() => true, { most: MAX_ENVELOPES }),
  inventory_digest: optionalText(kidText),
  inventory: table(formId, sha256Hex),
  refused: table(sha256Hex, problemCode, MAX_REFUSED),
  ended: table(halfId, integer(1), MAX_ENDED),
  budget: COUNT,
  told: optionalRecord(TOLD),
  receipted: table(halfId, integer(1), MAX_RECEIPTED),
  proof: optional(text),
};

/** @type {Shapes} */
const EVENT = { id: sha256Hex, status: matching(/^[a-z_]{1,32}$/), at: integer() };
/** @type {Shapes} */
const RESPONSE_MEMBERS = {
  protocol: oneOf(PROTOCOL),
  dev: kidText,
  n: integer(1),
  at: COUNT,
  generation: halfId,
  receipts: (value = "") => text(value) || (isObject(value) && isNotEmpty(value)),
  trust: DOCUMENTS,
  registry: optional(text),
  manifest: optional(text),
  forms: optional(text),
  events: arrayOf(record(EVENT)),
  cursor: COUNT,
  orders: DOCUMENTS,
  seq: table(halfId, integer()),
  more: flag,
  again: table(halfId, arrayOf(pairOf(integer(1)), { most: MAX_RANGES })),
  prove: flag,
};

/**
 * Write a body with these members, and sign it (SPEC 11). It is gzip'd if that is shorter.
 * @param {JsonObject} members without `protocol`
 * @param {string} typ REQUEST or RESPONSE
 * @param {import("./key_pairs.js").SecretKey} key
 * @returns {Promise<Message>}
 */
export async function writeMessage(members, typ, key) {
  const short = typ === REQUEST && members.envelopes && { envelopes: writeEnvelopes(members.envelopes, key.kid) };
  const plain = canonical(withoutEmpty({ ...members, ...short, protocol: PROTOCOL }));
  const packed = gzip(plain);
  const body = packed.length < plain.length ? packed : plain;
  return { body, signature: `${key.kid}.${await signBare(body, typ, key)}` };
}

/**
 * Read a request, as a server that knows these tablets (SPEC 11, 11.1).
 * @param {Message} message
 * @param {PublicKey[]} devices
 * @returns {Promise<JsonObject>} the members that say something
 */
export async function readRequest(message, devices) {
  const said = checked(await readBody(message, REQUEST, devices), REQUEST_MEMBERS);
  if (said.told) said.told = pick(said.told, TOLD);
  if (said.envelopes) said.envelopes = readEnvelopes(said.envelopes, signerOf(message));
  return said.inventory ? { ...said, inventory: limitInventory(said.inventory) } : said;
}

/**
 * Return the part of an inventory that counts: the first forms by id (SPEC 11.3 rule 9).
 * @param {Record<string, string>} inventory
 */
const limitInventory = (inventory) =>
  Object.fromEntries(
    Object.keys(inventory)
      .sort()
      .slice(0, MAX_INVENTORY)
      .map((form) => [form, inventory[form]]),
  );

/**
 * Read a response, as the tablet `dev` after its request `n` (SPEC 11, 11.2).
 * @param {Message} message
 * @param {PublicKey[]} servers of the trust
 * @param {{dev: string, n: number, envelopes?: string[]}} request
 * @returns {Promise<JsonObject>} the members that say something
 */
export async function readResponse(message, servers, { dev, n, envelopes = [] }) {
  const value = await readBody(message, RESPONSE, servers);
  requireAnswer(value, { dev, n });
  const said = checked(value, RESPONSE_MEMBERS);
  if (said.events) said.events = said.events.map((/** @type {JsonObject} */ event) => pick(event, EVENT));
  if (isObject(said.receipts))
    said.receipts = rebuildReceipts(said.receipts, /** @type {any} */ (said), signerOf(message), envelopes);
  const { receipts, registry, manifest, trust = [], orders = [] } = said;
  // This reads the documents only. The holder of the trust accepts them.
  for (const document of [receipts, ...trust, registry, manifest, ...orders].filter(Boolean))
    readDocument(utf8(document));
  return said;
}

/**
 * Read the refusal of request `n` of the tablet `dev`; return the last number that the server accepted (SPEC 11.3 rule
 * 1).
 * @param {Message} message
 * @param {PublicKey[]} servers of the trust
 * @param {{dev: string, n: number}} request
 * @returns {Promise<number>}
 */
export async function readRefusal(message, servers, request) {
  await verifySignature(message, REFUSAL, servers);
  const value = readObject(message.body);
  requireAnswer(value, request);
  check(value, { last: integer(), receipts: optional(text) });
  // This reads the receipts only. The holder of the trust accepts them.
  if (value.receipts) readDocument(utf8(value.receipts));
  return value.last;
}

/**
 * Return the digest that a request sends in place of an unchanged inventory (SPEC 11.1).
 * @param {Record<string, string>} inventory form id to hash
 * @returns {string}
 */
export const inventoryDigest = (inventory) => encodeBase64url(digest(canonical(inventory)).subarray(0, 16));

/**
 * Refuse a number that was used, unless the bytes are the same, and a number that is too far above (SPEC 11.3 rule 1).
 * @param {{dev: string, n: number, body: Bytes}} request
 * @param {{n: number, body: Bytes} | null} before that was accepted from this device
 */
export function requireNewNumber({ dev, n, body }, before) {
  if (before && n === before.n && same(body, before.body)) return;
  const last = before ? before.n : 0;
  if (n <= last) throw new ProtocolError("sync.number_used", undefined, { dev, n, last });
  if (n > last + MAX_NUMBER_STEP) throw new ProtocolError("sync.number_skipped", undefined, { dev, n, last });
}

/**
 * Return whether a tablet begins a new chain, because another tablet uses its key (SPEC 11.3 rule 7).
 * @param {number} written the largest `seq` that it wrote in its chain
 * @param {number | null} told the response's `seq` for this chain
 * @param {string} code of the problem that was answered, or empty
 * @returns {boolean}
 */
export const isCopied = (written, told, code) => code === "sync.number_used" || (told ?? 0) > written;

/**
 * Return the value of a former chain in `ended`, or null once the server has all of it (SPEC 11.3 rule 7).
 * @param {number} written the largest `seq` that it wrote there
 * @param {(number | null)[]} told the `seq` for this chain of each response so far
 * @returns {number | null}
 */
export const endedAt = (written, told) => (told.some((seq) => (seq ?? 0) >= written) ? null : written);

/**
 * @param {Message} message
 * @param {string} typ
 * @param {PublicKey[]} keys
 * @returns {Promise<JsonObject>}
 */
async function readBody(message, typ, keys) {
  await verifySignature(message, typ, keys);
  const value = readObject(inflated(message.body));
  must(value.protocol === PROTOCOL, "exchange.wrong_protocol");
  return value;
}

/**
 * @param {Message} message
 * @param {string} typ
 * @param {PublicKey[]} keys
 */
async function verifySignature({ body, signature }, typ, keys) {
  must(body.length <= LARGEST, "exchange.too_large");
  const parts = /^([A-Za-z0-9_-]{22})\.(.+)$/s.exec(signature);
  must(parts, "exchange.malformed");
  const key = keys.find(({ kid }) => kid === parts[1]);
  must(key, "exchange.unknown_signer");
  await verifyBare(body, parts[2], typ, key, "exchange.bad_signature");
}

/** @param {Message} message that was verified */
const signerOf = ({ signature }) => signature.split(".", 1)[0];

/**
 * @param {JsonObject} value of a response or refusal
 * @param {{dev: string, n: number}} request
 */
function requireAnswer(value, { dev, n }) {
  check(value, { dev: kidText, n: integer(1) });
  must(value.dev === dev && value.n === n, "exchange.wrong_answer");
}

/**
 * @param {JsonObject} value
 * @param {Shapes} members
 * @returns {JsonObject} those of the members that say something
 */
function checked(value, members) {
  check(value, members);
  const said = pick(value, members);
  return withoutEmpty(said.have ? { ...said, have: pick(said.have, HAVE) } : said);
}

/**
 * @param {JsonObject} value
 * @param {Shapes} members
 * @returns {JsonObject}
 */
const pick = (value, members) => Object.fromEntries(Object.keys(members).map((name) => [name, value[name]]));

/**
 * @param {Bytes} body
 * @returns {Bytes} the JSON
 */
function inflated(body) {
  if (body[0] !== 0x1f) return body;
  const { data, used, whole } = inflate(body, GZIP, LARGEST, "exchange.too_large");
  must(whole && used === body.length, "exchange.malformed", "not one gzip member");
  return data;
}

/**
 * @param {JsonObject} members
 * @returns {JsonObject} without those that say nothing
 */
function withoutEmpty(members) {
  const have = members.have && withoutEmpty(members.have);
  return Object.fromEntries(
    Object.entries(have ? { ...members, have } : members).filter(([, value]) => isNotEmpty(value)),
  );
}

/** @param {any} value */
const isNotEmpty = (value) => Boolean(value) && (typeof value !== "object" || Object.keys(value).length > 0);
