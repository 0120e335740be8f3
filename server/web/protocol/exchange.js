/** SPEC 11: the bodies of `POST /v1/sync` and the header that signs them. Sending them, and rules over time (11.3), are the callers'. */
import { gzip } from "pako";
import { GZIP, inflate } from "./compression.js";
import { canonical, digest, encode, readObject } from "./encoding.js";
import { must } from "./errors.js";
import { arrayOf, check, formId, hashForm, id128, id64, integer, matching, oneOf, optional, record, table } from "./forms.js";
import { signBare, verifyBare } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./encoding.js").JsonObject} JsonObject */
/** @typedef {import("./keys.js").PublicKey} PublicKey */
/** @typedef {{body: Bytes, signature: string}} Message a body as it travels, and the value of `Chaski-Signature` */

export const PROTOCOL = "chaski-1";
export const REQUEST = "chaski-1/request+jws";
export const RESPONSE = "chaski-1/response+jws";
const LARGEST = 8 * 1024 * 1024;
const MOST = 500;
const TEXT = matching(/^/);
const COUNT = optional(integer(0));
const DOCUMENTS = optional(arrayOf(TEXT));

/** @type {Record<string, import("./forms.js").Form>} */
const REQUEST_MEMBERS = {
  protocol: oneOf(PROTOCOL),
  n: integer(1),
  at: optional(integer()),
  have: optional(record({ trust: COUNT, registry: COUNT, manifest: COUNT, orders: COUNT })),
  generation: optional(id64),
  cursor: COUNT,
  pending: optional(arrayOf(hashForm, { most: MOST })),
  envelopes: optional(arrayOf(TEXT, { most: MOST })),
  inventory_digest: optional(id128),
  inventory: optional(table(formId, hashForm)),
  budget: COUNT,
};

/** @type {Record<string, import("./forms.js").Form>} */
const RESPONSE_MEMBERS = {
  protocol: oneOf(PROTOCOL),
  dev: id128,
  n: integer(1),
  at: optional(integer()),
  generation: optional(id64),
  receipts: optional(TEXT),
  trust: DOCUMENTS,
  registry: optional(TEXT),
  manifest: optional(TEXT),
  events: optional(arrayOf(record({ id: hashForm, status: matching(/^[a-z_]{1,32}$/), at: integer() }))),
  cursor: COUNT,
  orders: DOCUMENTS,
  seq: optional(table(id64, integer(0))),
  more: optional(oneOf(true, false)),
};

/**
 * A body that says this, and its signature (SPEC 11). Gzip where it is shorter.
 * @param {JsonObject} members without `protocol`
 * @param {string} typ REQUEST or RESPONSE
 * @param {import("./keys.js").SecretKey} key
 * @returns {Promise<Message>}
 */
export async function writeMessage(members, typ, key) {
  const plain = canonical(saying({ ...members, protocol: PROTOCOL }));
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
export const readRequest = (message, devices) => readMessage(message, REQUEST, devices, REQUEST_MEMBERS);

/**
 * Read a response, as the tablet `dev` after its request `n` (SPEC 11, 11.2).
 * @param {Message} message
 * @param {PublicKey[]} servers of the trust
 * @param {{dev: string, n: number}} request
 * @returns {Promise<JsonObject>} the members that say something
 */
export async function readResponse(message, servers, { dev, n }) {
  const value = await readMessage(message, RESPONSE, servers, RESPONSE_MEMBERS);
  must(value.dev === dev && value.n === n, "exchange.wrong_answer");
  return value;
}

/**
 * What a request says of the versions on board when they have not changed (SPEC 11.1).
 * @param {Record<string, string>} inventory form id to hash
 * @returns {string}
 */
export const inventoryDigest = (inventory) => encode(digest(canonical(inventory)).subarray(0, 16));

/**
 * @param {Message} message
 * @param {string} typ
 * @param {PublicKey[]} keys
 * @param {Record<string, import("./forms.js").Form>} members
 * @returns {Promise<JsonObject>}
 */
async function readMessage({ body, signature }, typ, keys, members) {
  must(body.length <= LARGEST, "exchange.too_large");
  const parts = /^([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{86})$/.exec(signature);
  must(parts, "exchange.malformed");
  const key = keys.find(({ kid }) => kid === parts[1]);
  must(key, "exchange.unknown_signer");
  await verifyBare(body, parts[2], typ, key, "exchange.bad_signature");
  const value = readObject(inflated(body));
  must(value.protocol === PROTOCOL, "exchange.wrong_protocol");
  check(value, members);
  return saying(Object.fromEntries(Object.keys(members).map((name) => [name, value[name]])));
}

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
const saying = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => says(value)));

/** @param {any} value */
const says = (value) => Boolean(value) && (typeof value !== "object" || Object.keys(value).length > 0);
