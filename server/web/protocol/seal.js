/**
 * SPEC 8: sealing a finished screening on a tablet, and opening an envelope at a desk. Plaintext must exist only here
 * and in the two callers.
 */
import { deflateRaw } from "pako";
import { aesOpen, aesSeal } from "./aes.js";
import { inflate, RAW } from "./compression.js";
import { readContent, writeContent } from "./content.js";
import { isUsableCoordinate } from "./curve_points.js";
import { canonical, concat, encodeBase64url, utf8 } from "./encoding.js";
import { must, orRefuse } from "./errors.js";
import { ENVELOPE, FIXED } from "./verify.js";
import { hpkeOpen, hpkeSeal, SEAL } from "./hpke.js";
import { generateSecret, routeKey as newRouteKey } from "./key_pairs.js";
import { sealRoute } from "./route.js";
import { signBare } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./key_pairs.js").PublicKey} PublicKey */
/** @typedef {{chain: string, seq: number, kseq: number, prev: string}} Counters of SPEC 6.2 */

const BLOCK = 1024;
const LARGEST_PLAINTEXT = 256 * 1024;
const MAX_CONTENT_BYTES = 1024 * 1024;

/** The preset dictionary of SPEC 8.2. */
const DICTIONARY = utf8(
  [
    ...Array.from({ length: 19 }, (_, n) => `</g${n + 1}><g${n + 2}>`),
    "<score><outcome>positive</outcome><tier>T1</tier><urgency>prompt</urgency>",
    "<queue_kinds>protection</queue_kinds></score></data>",
    'no</yes</no_answer does_not_know</{"sha":""}\n<data id="pe_" version="2026',
  ].join(""),
);

/**
 * Seal one screening (SPEC 8.1).
 * @param {object} screening
 * @param {Bytes} screening.instance
 * @param {import("./content.js").Context} screening.context
 * @param {number} screening.bucket of the form, in bytes
 * @param {import("./route.js").Route} screening.route
 * @param {Counters} screening.counters
 * @param {PublicKey} screening.keyring
 * @param {PublicKey} screening.routeKey
 * @param {import("./key_pairs.js").SecretKey} screening.device
 * @returns {Promise<string>} the envelope
 */
export async function sealEnvelope({ instance, context, bucket, route, counters, keyring, routeKey, device }) {
  const jti = encodeBase64url(random(16));
  const ids = { ...FIXED, kid: keyring.kid, jti, dev: device.kid };
  const header = encodeBase64url(canonical({ ...ids, ...counters, route: await routeFor(route, jti, routeKey) }));
  const contentKey = random(32);
  const iv = random(12);
  const sealedKey = await hpkeSeal(SEAL, keyring, contentKey, recipientInfo(`chaski-1/env/${jti}/${keyring.kid}`));
  const plaintext = packPlaintext(writeContent({ instance, context }), bucket);
  const sealed = await aesSeal(contentKey, iv, plaintext, utf8(header));
  const binary = [sealedKey.slice(0, SEAL.enc), sealedKey.slice(SEAL.enc), iv, sealed.slice(0, -16), sealed.slice(-16)];
  const signed = [header, ...binary.map(encodeBase64url)].join(".");
  return `${signed}.${await signBare(utf8(signed), ENVELOPE, device)}`;
}

/**
 * Seal the route, or seal it to a key that is thrown away: a bad route key stops no interview (SPEC 7.2).
 * @param {import("./route.js").Route} route
 * @param {string} jti
 * @param {PublicKey} key
 * @returns {Promise<string>}
 */
async function routeFor(route, jti, key) {
  const to = isUsableCoordinate(key.bytes) ? key : await newRouteKey(generateSecret());
  return sealRoute(route, jti, to);
}

/**
 * Open an envelope whose signature has been verified (SPEC 8.3).
 * @param {import("./verify.js").Envelope} envelope
 * @param {import("./key_pairs.js").SecretKey} keyring
 * @returns {Promise<import("./content.js").Content>}
 */
export async function openEnvelope({ header, fields, bytes }, keyring) {
  must(header.kid === keyring.kid, "seal.wrong_recipient");
  const [, ek, encryptedKey, iv, ciphertext, tag] = bytes;
  const plaintext = await orRefuse(async () => {
    const info = recipientInfo(`chaski-1/env/${header.jti}/${header.kid}`);
    const contentKey = await hpkeOpen(SEAL, keyring, concat(ek, encryptedKey), info);
    return aesOpen(contentKey, iv, concat(ciphertext, tag), utf8(fields[0]));
  }, "seal.unopenable");
  return readContent(unpackPlaintext(plaintext));
}

/**
 * The info of HPKE for a content key or a seed: a fixed prefix, then the purpose (SPEC 8.1 step 3, 9).
 * @param {string} purpose
 * @returns {Bytes}
 */
export const recipientInfo = (purpose) =>
  concat(utf8("JOSE-HPKE rcpt"), Uint8Array.of(0xff), utf8("A256GCM"), Uint8Array.of(0xff), utf8(purpose));

/**
 * Length, deflated content, zeros up to the bucket (SPEC 8.2).
 * @param {Bytes} content
 * @param {number} bucket
 * @returns {Bytes}
 */
export function packPlaintext(content, bucket) {
  must(Number.isInteger(bucket / BLOCK) && bucket > 0, "seal.bad_bucket");
  must(content.length <= MAX_CONTENT_BYTES, "seal.too_large");
  const deflated = deflateRaw(content, { dictionary: DICTIONARY });
  let size = bucket;
  while (size < 4 + deflated.length) size *= 2;
  must(size <= LARGEST_PLAINTEXT, "seal.too_large");
  const plaintext = new Uint8Array(size);
  new DataView(plaintext.buffer).setUint32(0, deflated.length);
  plaintext.set(deflated, 4);
  return plaintext;
}

/**
 * Return the content of a plaintext, checked strictly (SPEC 8.3).
 * @param {Bytes} plaintext
 * @returns {Bytes}
 */
export function unpackPlaintext(plaintext) {
  const end = 4 + new DataView(plaintext.buffer, plaintext.byteOffset).getUint32(0);
  must(end <= plaintext.length, "seal.truncated");
  must(
    plaintext.subarray(end).every((byte) => byte === 0),
    "seal.nonzero_padding",
  );
  const { data, used, whole } = inflate(plaintext.slice(4, end), RAW, MAX_CONTENT_BYTES, "seal.too_large", DICTIONARY);
  must(whole, "seal.truncated");
  must(4 + used === end, "seal.trailing_data");
  return data;
}

/** @param {number} length */
const random = (length) => crypto.getRandomValues(new Uint8Array(length));
