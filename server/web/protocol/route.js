/**
 * SPEC 7: the coded facts that the server may read. A route is an aid, never a condition: a caller goes on without it.
 */
import { canonical, concat, decodeBase64url, encodeBase64url, readJson, utf8 } from "./encoding.js";
import { must, orRefuse } from "./errors.js";
import { arrayOf, formId, sha256Hex, asText, matching, oneOf } from "./json_object.js";
import { hpkeOpen, hpkeSeal, ROUTE } from "./hpke.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {Record<string, string | string[] | undefined>} Route fields of SPEC 7.1; what is left out is not there */

const LENGTH = 288;
const KINDS = arrayOf(oneOf("child", "labour", "protection", "review"), { identity: asText });

/** In the order of SPEC 7.1. @type {Record<string, import("./json_object.js").Shape>} */
const FIELDS = {
  form: formId,
  sha: sha256Hex,
  outcome: oneOf("positive", "labour_rights", "review", "negative", "not_scored"),
  tier: oneOf("T1", "T2", "T3", "T4", "child", "danger", "none"),
  urgency: oneOf("immediate", "prompt", "routine", "none"),
  queue_kinds: (value) =>
    KINDS(value) && value.every((/** @type {string} */ kind, /** @type {number} */ at) => !at || value[at - 1] < kind),
  province: matching(/^[0-9]{4}$/),
  age_band: oneOf("under_14", "14_17", "in_doubt", "18_29", "30_59", "60_plus"),
  sex: oneOf("female", "male", "other", "no_answer"),
  sector: oneOf(
    "gold_mining",
    "bar_lodging",
    "domestic",
    "forestry",
    "agriculture",
    "fishing",
    "construction",
    "workshop",
    "kiln",
    "transport_trade",
    "begging",
    "other",
  ),
  consent: oneOf("yes", "no", "no_answer"),
  mode: oneOf("training", "field"),
  lang: oneOf("es", "quz", "ayr", "other"),
  taken: (value) => matching(/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/)(value) && isDate(value),
};
const NAMES = Object.keys(FIELDS);

/**
 * Seal a route to the server's route key, for one screening (SPEC 7.2).
 * @param {Route} route
 * @param {string} jti
 * @param {import("./key_pairs.js").PublicKey} key
 * @returns {Promise<string>}
 */
export async function sealRoute(route, jti, key) {
  must(
    Object.keys(route).every((name) => NAMES.includes(name)),
    "route.unknown_field",
  );
  const values = checked(NAMES.map((name) => route[name] ?? null));
  const written = canonical(values);
  const plaintext = concat(written, new Uint8Array(LENGTH - written.length));
  return `${key.kid}.${encodeBase64url(await hpkeSeal(ROUTE, key, plaintext, infoOf(jti, key.kid)))}`;
}

/**
 * Open a route with one of the keys held (SPEC 7.2).
 * @param {string} text
 * @param {string} jti
 * @param {import("./key_pairs.js").SecretKey[]} keys
 * @returns {Promise<Route>}
 */
export async function openRoute(text, jti, keys) {
  const kid = text.split(".", 1)[0];
  const key = keys.find((held) => held.kid === kid);
  must(key, "route.unknown_key");
  const bytes = decodeBase64url(text.slice(kid.length + 1));
  const plaintext = await orRefuse(() => hpkeOpen(ROUTE, key, bytes, infoOf(jti, kid)), "route.unopenable");
  const values = checked(unpadded(plaintext));
  return Object.fromEntries(NAMES.map((name, at) => [name, values[at]]).filter(([, value]) => value !== null));
}

/**
 * @param {Bytes} plaintext
 * @returns {any} what the JSON before the zeros says
 */
function unpadded(plaintext) {
  must(plaintext.length === LENGTH, "route.padding");
  const end = plaintext.indexOf(0);
  const written = end < 0 ? plaintext : plaintext.subarray(0, end);
  must(
    plaintext.subarray(written.length).every((byte) => byte === 0),
    "route.padding",
  );
  return readJson(written);
}

/**
 * @param {any} values
 * @returns {any[]} the same, each value of the vocabulary or null
 */
function checked(values) {
  must(Array.isArray(values) && values.length === NAMES.length, "route.malformed");
  NAMES.forEach((name, at) => must(values[at] === null || FIELDS[name](values[at]), "route.bad_value", name));
  return values;
}

/**
 * @param {string} jti
 * @param {string} kid
 */
const infoOf = (jti, kid) => utf8(`chaski-1/route/${jti}/${kid}`);

/**
 * @param {string} day
 * @returns {boolean} whether the calendar has it
 */
const isDate = (day) => !Number.isNaN(Date.parse(day)) && new Date(day).toISOString().startsWith(day);
