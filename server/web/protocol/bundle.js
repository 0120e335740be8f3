/** SPEC 5.4: the signed bytes of one form version. The caller checks whether it can run the form. */
import { digest, hex } from "./encoding.js";
import { must } from "./errors.js";
import { check, sha256Hex, integer, matching, oneOf, record, table } from "./json_object.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {import("./trust.js").StaffKey} StaffKey */
/** @typedef {{sha256: string, type: string, size: number, milliseconds: number}} Recording */

export const BUNDLE = "chaski-1/bundle+jws";
const MAX_RECORDING_BYTES = 2 ** 20;
const MAX_RECORDINGS = 4096;
const MAX_SOUND_BYTES = 128 * 2 ** 20;
const RECORDING = record({
  sha256: sha256Hex,
  type: oneOf("audio/ogg", "audio/mpeg"),
  size: (value) => integer(1)(value) && value <= MAX_RECORDING_BYTES,
  milliseconds: integer(1),
});
const CONTEXTS = table(matching(/^[^\x00-\x1f\x7f]{1,200}$/u), RECORDING);
const AUDIO = { audio: table(matching(/^[a-z]{2,3}$/), CONTEXTS) };

/**
 * Accept a bundle as the requested version (SPEC 5.4).
 * @param {import("./encoding.js").Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {string} sha
 * @returns {Promise<import("./signed.js").Document>}
 */
export async function acceptBundle(bytes, trust, sha) {
  const document = readDocument(bytes);
  must(document.hash === sha, "bundle.wrong_version");
  const authors = await signed(document, trust.authors);
  const reviewers = await signed(document, trust.reviewers);
  const twoPersons = authors.some((author) => reviewers.some((reviewer) => reviewer.person !== author.person));
  must(twoPersons, "bundle.one_person");
  check(document.value, { channel: oneOf("training", "field") });
  recordingsOf(document);
  must(!trust.demo || document.value.channel === "training", "bundle.demo_trust");
  return document;
}

/**
 * Return the recordings that a bundle names, each once, ordered by hash (SPEC 5.8).
 * @param {import("./signed.js").Document} bundle
 * @returns {Recording[]}
 */
export function recordingsOf({ value }) {
  check(value, AUDIO);
  /** @type {Map<string, Recording>} */
  const found = new Map();
  for (const contexts of Object.values(value.audio ?? {}))
    for (const each of /** @type {Recording[]} */ (Object.values(contexts))) {
      const before = found.get(each.sha256) ?? each;
      must(before.size === each.size && before.type === each.type, "document.malformed", "two sizes or types");
      found.set(each.sha256, each);
    }
  const sound = [...found.values()].reduce((sum, { size }) => sum + size, 0);
  must(found.size <= MAX_RECORDINGS && sound <= MAX_SOUND_BYTES, "document.malformed", "too many recordings");
  return [...found.values()].sort((one, other) => (one.sha256 < other.sha256 ? -1 : 1));
}

/**
 * Refuse bytes that are not the recording's (SPEC 5.8).
 * @param {{sha256: string, size: number}} recording
 * @param {import("./encoding.js").Bytes} bytes
 */
export function checkRecording({ sha256, size }, bytes) {
  must(bytes.length === size && hex(digest(bytes)) === sha256, "bundle.wrong_recording");
}

/**
 * @param {import("./signed.js").Document} document
 * @param {StaffKey[]} staff
 * @returns {Promise<StaffKey[]>}
 */
async function signed(document, staff) {
  const signers = await requireSigners(document, BUNDLE, staff);
  return staff.filter((key) => signers.has(key.kid));
}
