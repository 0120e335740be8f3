/** SPEC 5.7: chooses the form versions that a tablet uses. The caller fetches and stores them. */
import { acceptBundle } from "./bundle.js";
import { ProtocolError } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./signed.js").Document} Document */
/** @typedef {{inUse: Record<string, string>, refused: Record<string, string>}} FormSelection hashes by form, codes by hash */

/**
 * Choose the versions that the manifest names for a tablet; a form whose version is refused keeps its former one.
 * @param {Record<string, string | null>} named form id to hash, or null if the tablet does not have the form
 * @param {Record<string, Document>} inUse form id to the bundle that the tablet works with
 * @param {import("./trust.js").Trust} trust the newest
 * @param {(form: string, sha: string) => Promise<Bytes>} fetch refuses with `form.unknown` what the server lacks
 * @returns {Promise<FormSelection>}
 */
export async function selectVersions(named, inUse, trust, fetch) {
  /** @type {FormSelection} */
  const selection = { inUse: {}, refused: {} };
  for (const [form, sha] of Object.entries(named)) {
    if (!sha) continue;
    const before = inUse[form];
    if (before) selection.inUse[form] = before.hash;
    if (before?.hash === sha && !(await codeOf(async () => acceptBundle(before.bytes, trust, sha)))) continue;
    const code = await codeOf(async () => acceptBundle(await fetch(form, sha), trust, sha));
    if (code) selection.refused[sha] = code;
    else selection.inUse[form] = sha;
  }
  return selection;
}

/**
 * Return the code with which `attempt` is refused; the empty string if it succeeds.
 * @param {() => Promise<unknown>} attempt
 * @returns {Promise<string>}
 */
async function codeOf(attempt) {
  try {
    await attempt();
    return "";
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}
