/**
 * SPEC 12.2: several form versions in one response. It cuts a stream into pieces; it undoes no coding and verifies no
 * bundle.
 */
import { decodeBase64url, hex, readObject } from "./encoding.js";
import { must, refuse } from "./errors.js";
import { check, integer, oneOf, optional, optionalText, problemCode, sha256Short } from "./json_object.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{sha: string, coding: string, bytes: Bytes, code: string}} Piece `bytes` or `code` is empty */

const MAX_LINE_BYTES = 256;
const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const BAD = "transport.bad_stream";
const MEMBERS = {
  sha: sha256Short,
  code: optionalText(problemCode),
  coding: optionalText(oneOf("dcz", "zstd")),
  length: optional(integer()),
};

/**
 * Read a whole stream with these versions; each may come once, and the last ones may be missing.
 * @param {Bytes} body
 * @param {string[]} wanted
 * @returns {Piece[]}
 */
export function readStream(body, wanted) {
  const waiting = new Set(wanted);
  const pieces = [];
  for (let at = 0; at < body.length; ) {
    const end = body.subarray(at, at + MAX_LINE_BYTES).indexOf(10);
    must(end >= 0, BAD, "a line that does not end");
    const { sha, code = "", coding = "", length = 0 } = readLine(body.slice(at, at + end));
    must(waiting.delete(sha), BAD, "not a version that was asked for");
    must(length <= MAX_DOCUMENT_BYTES && Boolean(code) !== Boolean(length), BAD, "not one of bytes and code");
    const start = at + end + 1;
    at = start + length;
    must(at <= body.length, BAD, "it ends inside a piece");
    pieces.push({ sha, coding, bytes: body.slice(start, at), code });
  }
  return pieces;
}

/**
 * @param {Bytes} line
 * @returns {{sha: string, code?: string, coding?: string, length?: number}}
 */
function readLine(line) {
  try {
    const told = readObject(line);
    check(told, MEMBERS);
    return /** @type {any} */ ({ ...told, sha: hex(decodeBase64url(told.sha)) });
  } catch {
    return refuse(BAD, "a false line");
  }
}
