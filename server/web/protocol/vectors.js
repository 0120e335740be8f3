/**
 * SPEC 15: each `do` of a vector, done with the public functions of this folder. It is for tests: run_vectors.mjs and
 * answer.mjs call it.
 */
import { aesOpen } from "./aes.js";
import { readCourierFile } from "./courier_bundle.js";
import { readCourierRequest } from "./courier_messages.js";
import { acceptCourierReceipts } from "./courier_receipt.js";
import { acceptBundle, checkRecording, recordingsOf } from "./bundle.js";
import { readStream } from "./bundle_stream.js";
import { canonical, concat, decodeBase64url, encodeBase64url, hex, readObject, utf8 } from "./encoding.js";
import { areDropped, dropAnswers } from "./dropped_answers.js";
import { acceptCertificate, acceptEnrolmentRequest, readInvitation } from "./enrolment.js";
import { envelopeId, parseEnvelope, verifyEnvelope } from "./verify.js";
import { must, ProtocolError } from "./errors.js";
import {
  endedAt,
  inventoryDigest,
  isCopied,
  readRefusal,
  readRequest,
  readResponse,
  requireNewNumber,
} from "./messages.js";
import { hpkeOpen, SEAL } from "./hpke.js";
import { completeUpTo, lostNumbers, storeEnvelope } from "./intake.js";
import { parseVerifyKey, routeKey, sealKey, sixWords } from "./key_pairs.js";
import { acceptManifest, routeKeyAt, chooseVersion } from "./manifest.js";
import { unwrapSeed } from "./keyring_seeds.js";
import { acceptOrder, isDue } from "./device_order.js";
import { deriveKeys, unlockSecret } from "./passphrases.js";
import { acceptReceipts, isDone } from "./receipt.js";
import { acceptRegistry, deskKind, fetchedPublicKey, keyringFor, keyringOnBoard, keyringsNear } from "./registry.js";
import { openRoute } from "./route.js";
import { openEnvelope, recipientInfo } from "./seal.js";
import { acceptChallenge, prove } from "./sign_in.js";
import { readDocument, requireSigners } from "./signed.js";
import { acceptTrust, acceptTrusts, isExpired, pinOf, reopenTrust, requireCurrent } from "./trust.js";
import { selectVersions } from "./form_selection.js";

/** @typedef {Record<string, any>} Given */
/** @typedef {{do: string, given: Given, expect: string, result?: any}} Vector */

const text = (/** @type {Uint8Array} */ bytes) =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

/** A trust that the vector counts as accepted, checked against its own pin. */
const trusted = (/** @type {string} */ document) => reopenTrust(utf8(document));

/** @type {Record<string, (given: any) => any>} */
const DO = {
  document: async ({ document, typ, keys, threshold }) => {
    await requireSigners(readDocument(utf8(document)), typ, keys.map(parseVerifyKey), threshold);
  },
  base64: ({ text: written }) => hex(decodeBase64url(written)),
  json: ({ bytes }) => text(canonical(readObject(decodeBase64url(bytes)))),
  invitation: ({ text: written }) => {
    const { address, code, pin } = readInvitation(written);
    return { u: address, c: code, r: pin };
  },
  trust: async ({ document, held, pin, now, staff }) => {
    const trust = await acceptTrust(utf8(document), { held: held && (await trusted(held)), pin });
    if (staff) requireCurrent(trust, now);
    return { number: trust.document.value.number, pin: pinOf(trust), old: isExpired(trust, now) };
  },
  reopened: async ({ pin, trusts, dev, certificate, document }) => {
    const { document: stored } = await acceptTrusts(trusts.map(utf8), { pin });
    const held = await reopenTrust(stored.bytes);
    await acceptCertificate(utf8(certificate), held, dev);
    const last = document ? await acceptTrust(utf8(document), { held, pin }) : held;
    return last.document.value.number;
  },
  registry: async ({ trust, document, held, asked }) => {
    const by = await trusted(trust);
    const registry = await acceptRegistry(utf8(document), by, held && (await acceptRegistry(utf8(held), by)));
    return asked.map((/** @type {[string, string]} */ [district, kind]) => keyringFor(registry, district, kind).id);
  },
  keyring_key: async ({ trust, registry, keyring, key }) => {
    const { keyrings } = await acceptRegistry(utf8(registry), await trusted(trust));
    const named = /** @type {import("./registry.js").Keyring} */ (keyrings.find(({ id }) => id === keyring));
    return fetchedPublicKey(named, decodeBase64url(key)).kid;
  },
  region_keys: async ({ trust, registry, region, asked }) => {
    const known = await acceptRegistry(utf8(registry), await trusted(trust));
    const near = keyringsNear(known, region);
    const hashes = near.map(({ key_sha256 }) => key_sha256);
    const sealed = asked.map(
      (/** @type {[string, string]} */ [place, kind]) => keyringOnBoard(known, place, kind, hashes).id,
    );
    return { keyrings: near.map(({ id }) => id), sealed_to: sealed };
  },
  stream: ({ wanted, body }) =>
    readStream(decodeBase64url(body), wanted).map(({ sha, coding, bytes, code }) =>
      code ? [sha, code] : [sha, coding, encodeBase64url(bytes)],
    ),
  kinds: ({ asked }) => asked.map(deskKind),
  inventory: ({ inventory }) => inventoryDigest(inventory),
  manifest: async ({ trust, document, held, asked, now }) => {
    const by = await trusted(trust);
    const manifest = await acceptManifest(utf8(document), by, held && (await acceptManifest(utf8(held), by)));
    const chosen = asked.map((/** @type {[string, string, string]} */ [form, dev, region]) =>
      chooseVersion(manifest, form, dev, region),
    );
    return { chosen, route_key: routeKeyAt(manifest, now).kid };
  },
  bundle: async ({ trust, document, sha }) => {
    await acceptBundle(utf8(document), await trusted(trust), sha);
  },
  versions: async ({ trust, held, manifest: offered, dev, region, in_use, served, now }) => {
    const by = await trusted(trust);
    const manifest = await acceptManifest(utf8(offered), by, held && (await acceptManifest(utf8(held), by)));
    const named = [...manifest.forms.keys()].map((form) => [form, chooseVersion(manifest, form, dev, region)]);
    const before = Object.entries(in_use).map(([form, document]) => [form, readDocument(utf8(document))]);
    const fetch = async (/** @type {string} */ _, /** @type {string} */ sha) => {
      must(sha in served, "form.unknown");
      return utf8(served[sha]);
    };
    const selection = await selectVersions(Object.fromEntries(named), Object.fromEntries(before), by, fetch);
    return { in_use: selection.inUse, refused: selection.refused, old: isExpired(by, now) };
  },
  recordings: ({ document }) =>
    recordingsOf(readDocument(utf8(document))).map(({ sha256, size, type }) => [sha256, size, type]),
  recording: ({ sha256, size, bytes }) => checkRecording({ sha256, size }, decodeBase64url(bytes)),
  enrolment: async ({ document }) => {
    await acceptEnrolmentRequest(utf8(document));
  },
  certificate: async ({ trust, document, dev }) => {
    await acceptCertificate(utf8(document), await trusted(trust), dev);
  },
  readmit: async ({ trust, registry, document, dev }) => {
    const by = await trusted(trust);
    await acceptCertificate(utf8(document), by, dev);
    return (await acceptRegistry(utf8(registry), by)).revoked.includes(dev) ? "revoked" : "certified";
  },
  orders: async ({ trust, dev, documents }) => {
    const by = await trusted(trust);
    const done = { last: 0, revoked: false, wiped: false };
    for (const document of documents) {
      const order = await acceptOrder(utf8(document), by, dev);
      if (!isDue(order, done.last)) continue;
      done.last = order.number;
      done[order.order === "wipe" ? "wiped" : "revoked"] = true;
    }
    return done;
  },
  receipts: async ({ trust, document, dev, n, generation }) => {
    const { items } = await acceptReceipts(utf8(document), await trusted(trust), { dev, n, generation });
    return items.filter(({ outcome }) => isDone(outcome)).map(({ id }) => id);
  },
  courier_file: ({ file }) => {
    const { envelopes, receipts, damaged } = readCourierFile(decodeBase64url(file));
    return {
      envelopes: envelopes.map(({ pin, id }) => [pin, id]),
      receipts: receipts.map(({ hash }) => hash),
      damaged,
    };
  },
  courier_request: ({ body }) => readCourierRequest(decodeBase64url(body)).map(envelopeId),
  courier_receipts: async ({ trust, dev, generation, documents }) => {
    const by = await trusted(trust);
    const tablet = { dev, generation };
    let done = new Set();
    const refused = [];
    for (const document of documents) {
      try {
        const read = await acceptCourierReceipts(utf8(document), by, tablet);
        done = new Set([...(read.begins ? [] : done), ...read.done]);
        tablet.generation = read.generation;
      } catch (error) {
        refused.push(codeOf(error));
      }
    }
    return { done: [...done].sort(), generation: tablet.generation, refused };
  },
  envelope: async ({ envelope, device, keyring_seed, route_secret }) => {
    const parsed = parseEnvelope(envelope);
    await verifyEnvelope(parsed, parseVerifyKey(device));
    const { instance, context } = await openEnvelope(parsed, sealKey(decodeBase64url(keyring_seed)));
    const route = await openRoute(parsed.header.route, parsed.header.jti, [
      await routeKey(decodeBase64url(route_secret)),
    ]).catch(codeOf);
    return { instance: text(instance), route, ...(context && { context }) };
  },
  drop: ({ instance, route, omit_route }) => {
    const sealed = dropAnswers(utf8(instance), route, omit_route);
    return { dropped: areDropped(sealed), instance: text(sealed) };
  },
  route: async ({ route, route_secret, jti }) => openRoute(route, jti, [await routeKey(decodeBase64url(route_secret))]),
  request: ({ body, signature, device }) =>
    readRequest({ body: decodeBase64url(body), signature }, [parseVerifyKey(device)]),
  response: ({ body, signature, servers, dev, n }) =>
    readResponse({ body: decodeBase64url(body), signature }, servers.map(parseVerifyKey), { dev, n }),
  short_receipts: ({ body, signature, servers, dev, n, envelopes }) =>
    readResponse({ body: decodeBase64url(body), signature }, servers.map(parseVerifyKey), { dev, n, envelopes }),
  refusal: ({ body, signature, servers, dev, n }) =>
    readRefusal({ body: decodeBase64url(body), signature }, servers.map(parseVerifyKey), { dev, n }),
  requests: async ({ device, requests }) => {
    const key = parseVerifyKey(device);
    let before = null;
    for (const { body, signature } of requests) {
      const { n } = await readRequest({ body: decodeBase64url(body), signature }, [key]);
      const heard = { dev: key.kid, n, body: decodeBase64url(body) };
      requireNewNumber(heard, before);
      before = heard;
    }
  },
  take_in: async ({ devices, route_secret, versions, envelopes }) => {
    const tablets = devices.map((/** @type {{key: string, state: string}} */ { key, state }) => ({
      ...parseVerifyKey(key),
      state,
    }));
    const known = { devices: tablets, routeKeys: [await routeKey(decodeBase64url(route_secret))], versions };
    /** @type {import("./intake.js").Stored[]} */
    const stored = [];
    const items = [];
    for (const envelope of envelopes) items.push(await storeEnvelope(envelope, known, stored));
    const chains = stored.map(({ header: { dev, chain } }) => [chain, completeUpTo(stored, dev, chain)]);
    return { items, seq: Object.fromEntries(chains) };
  },
  lost: ({ stored, receipted }) => lostNumbers(stored, receipted),
  copied: ({ written, told, code, later }) => {
    const begins = isCopied(written, told, code);
    const heard = [told, ...later];
    return { begins, ended: heard.map((_, at) => (begins ? endedAt(written, heard.slice(0, at + 1)) : null)) };
  },
  session: async ({ trust, document, nonce, url, login, auth }) => {
    const challenge = await acceptChallenge(utf8(document), await trusted(trust), { nonce, url, login });
    return { salt: encodeBase64url(challenge.salt), proof: prove(decodeBase64url(auth), challenge) };
  },
  unlock: async ({ phrase, salt, locked, purpose }) => {
    const { auth, lock } = await deriveKeys(phrase, decodeBase64url(salt));
    const secret = await unlockSecret(lock, locked, purpose);
    return { auth: encodeBase64url(auth), lock: encodeBase64url(lock), secret: encodeBase64url(secret) };
  },
  words: ({ key }) => ({ kid: parseVerifyKey(key).kid, words: sixWords(decodeBase64url(key)).join(" ") }),
  seal_public: ({ seed }) => encodeBase64url(sealKey(decodeBase64url(seed)).bytes),
  unwrap: async ({ wrapped, member_seed, keyring, epoch, member_id }) =>
    encodeBase64url(
      await unwrapSeed(wrapped, { keyring, epoch, member: member_id }, sealKey(decodeBase64url(member_seed))),
    ),
  public_jwe: async ({ jwk, jwe }) => {
    const sealed = concat(
      decodeBase64url(JSON.parse(text(decodeBase64url(jwe.protected))).ek),
      decodeBase64url(jwe.encrypted_key),
    );
    const contentKey = await hpkeOpen(SEAL, sealKey(decodeBase64url(jwk.priv)), sealed, recipientInfo(""));
    const ciphertext = concat(decodeBase64url(jwe.ciphertext), decodeBase64url(jwe.tag));
    return text(await aesOpen(contentKey, decodeBase64url(jwe.iv), ciphertext, utf8(`${jwe.protected}.${jwe.aad}`)));
  },
};

/**
 * Return the result of a `do` (SPEC 15), or its refusal.
 * @param {{do: string, given: Given}} vector
 * @param {Record<string, (given: any) => any>} [more] other things that can be done
 * @returns {Promise<{expect: string, result?: any}>}
 */
export async function answer({ do: what, given }, more = {}) {
  const act = { ...DO, ...more }[what];
  if (!act) throw new Error(`no such thing to do: ${what}`);
  try {
    return { expect: "ok", result: await act(given) };
  } catch (error) {
    return { expect: codeOf(error), result: /** @type {ProtocolError} */ (error).members };
  }
}

/**
 * Return how this implementation disagrees with a vector; the empty string if it agrees (SPEC 15).
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
