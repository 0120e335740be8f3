/**
 * SPEC 10 and 11.2: the outcomes of a tablet's envelopes, as a server decides them. The caller stores the envelopes;
 * here the store is a list.
 */
import { must, ProtocolError } from "./errors.js";
import { envelopeId, parseEnvelope, verifyEnvelope } from "./verify.js";
import { openRoute } from "./route.js";

/** @typedef {import("./verify.js").Header} Header */
/** @typedef {import("./receipt.js").Item} Item */
/** @typedef {{id: string, header: Header}} Stored */
/** @typedef {import("./key_pairs.js").PublicKey & {state: string}} Device `pending`, `certified` or `revoked` */
/**
 * The server's knowledge; `versions` are the hashes of its bundles.
 * @typedef {{devices: Device[], routeKeys: import("./key_pairs.js").SecretKey[], versions: string[]}} Known
 */

const MAX_RANGES = 64;

/**
 * Return the outcome of one envelope; add it to `stored` if the outcome says so (SPEC 10).
 * @param {string} text
 * @param {Known} known
 * @param {Stored[]} stored
 * @returns {Promise<Item>}
 */
export async function storeEnvelope(text, known, stored) {
  const id = envelopeId(text);
  try {
    const envelope = parseEnvelope(text);
    const { header } = envelope;
    const device = known.devices.find(({ kid }) => kid === header.dev);
    must(device && device.state !== "pending", "envelope.unknown_device");
    await verifyEnvelope(envelope, device);
    const outcome = await outcomeOf({ id, header }, device, known, stored);
    if (outcome !== "duplicate") stored.push({ id, header });
    return { id, outcome, seq: header.seq };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { id, outcome: "rejected", code: error.code };
  }
}

/**
 * The largest number up to which every `seq` of a chain is stored (SPEC 11.2).
 * @param {Stored[]} stored
 * @param {string} dev
 * @param {string} chain
 * @returns {number}
 */
export function completeUpTo(stored, dev, chain) {
  const numbers = new Set(
    stored.filter(({ header }) => header.dev === dev && header.chain === chain).map(({ header }) => header.seq),
  );
  let last = 0;
  while (numbers.has(last + 1)) last += 1;
  return last;
}

/**
 * The ranges of numbers that a chain lacks up to the highest that its tablet holds a receipt for (SPEC 11.2 `again`).
 * @param {number[]} stored numbers of the chain
 * @param {number} receipted
 * @returns {[number, number][]} first and last number of each range, rising
 */
export function lostNumbers(stored, receipted) {
  /** @type {[number, number][]} */
  const lost = [];
  let first = 1;
  for (const seq of [...stored, receipted + 1].filter((number) => number <= receipted + 1).sort((a, b) => a - b)) {
    if (seq > first) lost.push([first, seq - 1]);
    first = seq + 1;
  }
  return lost.slice(0, MAX_RANGES);
}

/**
 * Return the first outcome that fits (SPEC 10).
 * @param {Stored} envelope
 * @param {Device} device
 * @param {Known} known
 * @param {Stored[]} stored
 * @returns {Promise<string>}
 */
async function outcomeOf({ id, header }, device, known, stored) {
  if (stored.some((other) => other.id === id)) return "duplicate";
  if (device.state === "revoked") return "quarantined";
  const own = stored.filter((other) => other.header.dev === header.dev).map((other) => other.header);
  if (own.some(({ jti }) => jti === header.jti)) return "conflict";
  if (own.some(({ chain, seq }) => chain === header.chain && seq === header.seq)) return "fork";
  return (await isKnownVersion(header, known)) ? "stored" : "held";
}

/**
 * Whether the form version is known. A route that cannot be opened does not hold up the envelope (SPEC 10).
 * @param {Header} header
 * @param {Known} known
 * @returns {Promise<boolean>}
 */
async function isKnownVersion({ route, jti }, { routeKeys, versions }) {
  try {
    const { sha } = await openRoute(route, jti, routeKeys);
    return typeof sha === "string" && versions.includes(sha);
  } catch (error) {
    if (error instanceof ProtocolError) return true;
    throw error;
  }
}
