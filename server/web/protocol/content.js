/**
 * SPEC 8.2: what an envelope seals, that is the context of a screening, then its instance. The context holds what a desk
 * needs in order to read the instance. The route cannot hold it alone: it may be unreadable, and the server erases it.
 */
import { canonical, concat, readObject, same, utf8 } from "./encoding.js";
import { must, ProtocolError, refuse } from "./errors.js";
import { sha256Hex } from "./json_object.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{sha: string}} Context `sha`: hash of the form version that reads the instance */
/** @typedef {{instance: Bytes, context: Context | null}} Content null: sealed by a tablet that knew no context */

const LARGEST_CONTEXT = 512;
const BRACE = 0x7b;
const LINE_FEED = 0x0a;

/**
 * Write a content (SPEC 8.2).
 * @param {Content} content
 * @returns {Bytes}
 */
export const writeContent = ({ instance, context }) =>
  context ? concat(canonical({ sha: context.sha }), Uint8Array.of(LINE_FEED), instance) : instance;

/**
 * Read a content; throws `seal.bad_context` if it begins with a context that is not well-formed (SPEC 8.3).
 * @param {Bytes} bytes
 * @returns {Content}
 */
export function readContent(bytes) {
  if (bytes[0] !== BRACE) return { instance: bytes, context: null };
  const end = bytes.subarray(0, LARGEST_CONTEXT + 1).indexOf(LINE_FEED);
  must(end >= 0, "seal.bad_context", "no line feed");
  return { instance: bytes.slice(end + 1), context: readContext(bytes.slice(0, end)) };
}

/**
 * @param {Bytes} line
 * @returns {Context}
 */
function readContext(line) {
  const { sha, ...others } = readMembers(line);
  must(sha256Hex(sha), "seal.bad_context", "no hash");
  must(Object.keys(others).length === 0, "seal.bad_context", "an unknown member");
  must(same(canonical({ sha }), line), "seal.bad_context", "not canonical");
  return { sha };
}

/** @param {Bytes} line */
function readMembers(line) {
  try {
    return readObject(line);
  } catch (error) {
    if (error instanceof ProtocolError) return refuse("seal.bad_context", error.message);
    throw error;
  }
}
