/** SPEC 15: what each `do` of a vector means, by the public functions of this folder. For tests: run_vectors.mjs and answer.mjs call it. */
import { aesOpen } from "./aes.js";
import { acceptBundle } from "./bundle.js";
import { canonical, concat, decode, encode, utf8 } from "./encoding.js";
import { acceptCertificate, acceptEnrolment } from "./enrolment.js";
import { parseEnvelope, verifyEnvelope } from "./envelope.js";
import { ProtocolError } from "./errors.js";
import { readRequest, readResponse } from "./exchange.js";
import { hpkeOpen, SEAL } from "./hpke.js";
import { namedKey, routeKey, sealKey, sixWords } from "./keys.js";
import { acceptManifest, versionFor } from "./manifest.js";
import { unwrapSeed } from "./members.js";
import { acceptOrder } from "./order.js";
import { passphraseKeys, unlockSecret } from "./passphrases.js";
import { acceptReceipts } from "./receipt.js";
import { acceptRegistry, keyringFor } from "./registry.js";
import { openRoute } from "./route.js";
import { openEnvelope, recipientInfo } from "./seal.js";
import { readDocument, requireSigners } from "./signed.js";
import { acceptTrust, pinOf, readTrust } from "./trust.js";

/** @typedef {Record<string, any>} Given */
/** @typedef {{do: string, given: Given, expect: string, result?: any}} Vector */

const text = (/** @type {Uint8Array} */ bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

/** A trust that the vector counts as accepted: it is checked against its own pin. */
const trusted = (/** @type {string} */ document) => acceptTrust(utf8(document), { pin: pinOf(readTrust(utf8(document))) });

/** @type {Record<string, (given: any) => any>} */
const DO = {
  document: async ({ document, typ, keys, threshold }) => {
    await requireSigners(readDocument(utf8(document)), typ, keys.map(namedKey), threshold);
  },
  trust: async ({ document, held, pin }) => {
    await acceptTrust(utf8(document), { held: held && (await trusted(held)), pin });
  },
  registry: async ({ trust, document, held, asked }) => {
    const by = await trusted(trust);
    const registry = await acceptRegistry(utf8(document), by, held && (await acceptRegistry(utf8(held), by)));
    return asked.map((/** @type {[string, string]} */ [district, kind]) => keyringFor(registry, district, kind).id);
  },
  manifest: async ({ trust, document, held, asked }) => {
    const by = await trusted(trust);
    const manifest = await acceptManifest(utf8(document), by, held && (await acceptManifest(utf8(held), by)));
    return asked.map((/** @type {[string, string, string]} */ [form, dev, region]) => versionFor(manifest, form, dev, region));
  },
  bundle: async ({ trust, document, sha }) => {
    await acceptBundle(utf8(document), await trusted(trust), sha);
  },
  enrolment: async ({ document }) => {
    await acceptEnrolment(utf8(document));
  },
  certificate: async ({ trust, document, dev }) => {
    await acceptCertificate(utf8(document), await trusted(trust), dev);
  },
  order: async ({ trust, document, dev }) => {
    await acceptOrder(utf8(document), await trusted(trust), dev);
  },
  receipts: async ({ trust, document, dev, n }) => {
    await acceptReceipts(utf8(document), await trusted(trust), { dev, n });
  },
  envelope: async ({ envelope, device, keyring_seed, route_secret }) => {
    const parsed = parseEnvelope(envelope);
    await verifyEnvelope(parsed, namedKey(device));
    const instance = text(await openEnvelope(parsed, sealKey(decode(keyring_seed))));
    const route = await openRoute(parsed.header.route, parsed.header.jti, [await routeKey(decode(route_secret))]).catch(codeOf);
    return { instance, route };
  },
  route: async ({ route, route_secret, jti }) => openRoute(route, jti, [await routeKey(decode(route_secret))]),
  request: ({ body, signature, device }) => readRequest({ body: decode(body), signature }, [namedKey(device)]),
  response: ({ body, signature, servers, dev, n }) =>
    readResponse({ body: decode(body), signature }, servers.map(namedKey), { dev, n }),
  unlock: async ({ phrase, salt, locked, purpose }) => {
    const { auth, lock } = await passphraseKeys(phrase, decode(salt));
    const secret = await unlockSecret(lock, locked, purpose);
    return { auth: encode(auth), lock: encode(lock), secret: encode(secret) };
  },
  words: ({ key }) => ({ kid: namedKey(key).kid, words: sixWords(decode(key)).join(" ") }),
  seal_public: ({ seed }) => encode(sealKey(decode(seed)).bytes),
  unwrap: async ({ wrapped, member_seed, keyring, epoch, member_id }) =>
    encode(await unwrapSeed(wrapped, { keyring, epoch, member: member_id }, sealKey(decode(member_seed)))),
  public_jwe: async ({ jwk, jwe }) => {
    const sealed = concat(decode(JSON.parse(text(decode(jwe.protected))).ek), decode(jwe.encrypted_key));
    const contentKey = await hpkeOpen(SEAL, sealKey(decode(jwk.priv)), sealed, recipientInfo(""));
    const ciphertext = concat(decode(jwe.ciphertext), decode(jwe.tag));
    return text(await aesOpen(contentKey, decode(jwe.iv), ciphertext, utf8(`${jwe.protected}.${jwe.aad}`)));
  },
};

/**
 * What comes of a `do`: its result (SPEC 15), or a refusal.
 * @param {{do: string, given: Given}} vector
 * @returns {Promise<{expect: string, result?: any}>}
 */
export async function answer({ do: what, given }) {
  if (!Object.hasOwn(DO, what)) throw new Error(`no such thing to do: ${what}`);
  try {
    return { expect: "ok", result: await DO[what](given) };
  } catch (error) {
    return { expect: codeOf(error) };
  }
}

/**
 * Where this implementation disagrees with a vector; the empty string if nowhere (SPEC 15).
 * @param {Vector} vector
 * @returns {Promise<string>}
 */
export async function doVector(vector) {
  const said = await answer(vector);
  if (said.expect !== vector.expect) return `${said.expect} in place of ${vector.expect}`;
  const differs = vector.result !== undefined && text(canonical(said.result)) !== text(canonical(vector.result));
  return differs ? `another result: ${JSON.stringify(said.result)}` : "";
}

/**
 * @param {unknown} error
 * @returns {string}
 */
function codeOf(error) {
  if (error instanceof ProtocolError) return error.code;
  throw error;
}
