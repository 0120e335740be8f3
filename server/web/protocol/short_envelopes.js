/**
 * SPEC 11.4: the short form of envelopes in a sync request. It leaves out what follows from other fields. The reader
 * rebuilds the exact bytes and verifies nothing.
 */
import { canonical, decodeBase64url, encodeBase64url, hash, readObject, same, utf8 } from "./encoding.js";
import { ProtocolError } from "./errors.js";
import { halfId, integer, kidText, matching } from "./json_object.js";
import { FIXED, isHeader } from "./verify.js";

/** @typedef {import("./encoding.js").JsonObject} JsonObject */
/**
 * What the next element may leave out; `last` is the envelope before, `kseqs` has the last `kseq` of each keyring.
 * @typedef {{dev: string, chain: string, seq: number, last: string, kid: string, route: string, kseqs: Map<string, number>}} Run
 */

const JTI = 22;
const ROUTE = JTI + 448;
const EK = ROUTE + 1494;
const KEY = EK + 64;
const IV = KEY + 16;
const SIGNATURE = -86;
const TAG = SIGNATURE - 22;
const isSealed = matching(new RegExp(`^[A-Za-z0-9_-]{${IV - TAG},}$`));
const isPrev = matching(/^([0-9a-f]{64})?$/);
const isCount = integer(1);

/**
 * @param {string} dev who signed the request
 * @returns {Run}
 */
const newRun = (dev) => ({ dev, chain: "", seq: 0, last: "", kid: "", route: "", kseqs: new Map() });

/**
 * Return the text of each envelope of a request that `dev` signed. It is empty where nothing can be rebuilt; such an
 * envelope is malformed.
 * @param {any[]} elements
 * @param {string} dev
 * @returns {string[]}
 */
export function readEnvelopes(elements, dev) {
  let run = newRun(dev);
  return elements.map((element) => {
    const rebuilt = typeof element === "string" ? null : rebuild(element, run);
    if (rebuilt === null) run = newRun(dev);
    return typeof element === "string" ? element : (rebuilt ?? "");
  });
}

/**
 * Return an element for each envelope: the short form if a reader rebuilds the same text, else the text.
 * @param {string[]} envelopes
 * @param {string} dev who signs the request
 * @returns {(string | JsonObject)[]}
 */
export function writeEnvelopes(envelopes, dev) {
  let run = newRun(dev);
  return envelopes.map((text) => {
    const element = shorten(text, run);
    if (element && rebuild(element, run) === text) return element;
    run = newRun(dev);
    return text;
  });
}

/**
 * Return the header of an envelope, or null if it is not a header of SPEC 6.2 in canonical JSON. Nothing else about the
 * envelope is checked.
 * @param {string} text
 * @returns {import("./verify.js").Header | null}
 */
export function readCanonicalHeader(text) {
  try {
    const bytes = decodeBase64url(text.split(".", 1)[0]);
    const header = readObject(bytes);
    return isHeader(header) && same(canonical(header), bytes) ? header : null;
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/**
 * @param {any} element
 * @param {Run} run goes on to this envelope
 * @returns {string | null} the envelope, or null if the element does not determine it
 */
function rebuild(element, run) {
  if (element === null || typeof element !== "object" || Array.isArray(element)) return null;
  const { dev = run.dev, kid = run.kid, route = run.route, sealed } = element;
  const { kseq = (run.kseqs.get(kid) ?? 0) + 1 } = element;
  const follows = !("chain" in element) && run.chain !== "";
  const { chain, seq, prev = "" } = follows ? { ...run, seq: run.seq + 1, prev: hash(utf8(run.last)) } : element;
  if (![dev, kid, route].every(kidText) || !halfId(chain) || !isPrev(prev)) return null;
  if (!isCount(seq) || !isCount(kseq) || !isSealed(sealed)) return null;
  const jti = sealed.slice(0, JTI);
  const members = { ...FIXED, chain, dev, jti, kid, kseq, prev, route: `${route}.${sealed.slice(JTI, ROUTE)}`, seq };
  const cuts = [ROUTE, EK, KEY, IV, TAG, SIGNATURE, undefined];
  const fields = cuts.slice(0, -1).map((from, at) => sealed.slice(from, cuts[at + 1]));
  const text = [encodeBase64url(canonical(members)), ...fields].join(".");
  Object.assign(run, { dev, chain, seq, last: text, kid, route });
  run.kseqs.set(kid, kseq);
  return text;
}

/**
 * @param {string} text of an envelope
 * @param {Run} run
 * @returns {JsonObject | null} an element without what follows; whether it gives the same text is still to be checked
 */
function shorten(text, run) {
  const header = readCanonicalHeader(text);
  if (!header) return null;
  const { dev, chain, seq, prev, kid, kseq, jti } = header;
  const [route, sealedRoute] = header.route.split(".");
  const follows = chain === run.chain && seq === run.seq + 1 && prev === hash(utf8(run.last));
  /** @type {JsonObject} */
  const element = { sealed: [jti, sealedRoute, ...text.split(".").slice(1)].join("") };
  if (!follows) Object.assign(element, { chain, seq }, prev && { prev });
  if (dev !== run.dev) element.dev = dev;
  if (kid !== run.kid) element.kid = kid;
  if (route !== run.route) element.route = route;
  if (kseq !== (run.kseqs.get(kid) ?? 0) + 1) element.kseq = kseq;
  return element;
}
