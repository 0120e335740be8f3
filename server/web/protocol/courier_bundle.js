/**
 * SPEC 11.5: the courier file, which carries envelopes and receipts of several tablets. Nothing in it is verified here:
 * the server judges envelopes, and a tablet its receipts.
 */
import { hash } from "./encoding.js";
import { must, ProtocolError } from "./errors.js";
import { readDocument } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./signed.js").Document} Document */
/** @typedef {{pin: string, id: string, envelope: string}} CarriedEnvelope */
/** @typedef {{envelopes: CarriedEnvelope[], receipts: Document[], damaged: number[]}} CourierFile */

const LARGEST = 512 * 1024 * 1024;
const MAX_LINES = 100_000;
const LONGEST_LINE = 400_000;
const LF = 0x0a;
const TAB = 0x09;
const HEAD = /^chaski-1\/(envelope|receipts) ([0-9a-f]{64}) $/;
const ENVELOPE = /^([0-9a-f]{64}) ([A-Za-z0-9_.-]{1,360000})$/;

/** A text with one letter for each byte. */
const letters = (/** @type {Bytes} */ bytes) => new TextDecoder("latin1").decode(bytes);

/**
 * Read both kinds of lines of a courier file (SPEC 11.5).
 * @param {Bytes} bytes
 * @returns {CourierFile} `damaged`: numbers of the lines that were left out, from 1
 */
export function readCourierFile(bytes) {
  must(bytes.length <= LARGEST, "courier.too_large");
  /** @type {CourierFile} */
  const file = { envelopes: [], receipts: [], damaged: [] };
  const seen = new Set(); // Nobody signs a pin: a line with another one does not stand in for a line.
  let good = 0;
  for (let at = 0, number = 1; at < bytes.length; number += 1) {
    must(number <= MAX_LINES, "courier.too_large");
    const end = bytes.indexOf(LF, at) < 0 ? bytes.length : bytes.indexOf(LF, at);
    const whole = Math.min(end + 1, bytes.length) - at <= LONGEST_LINE;
    const read = whole ? readLine(bytes.slice(at, end)) : null;
    at = end + 1;
    if (read) good += 1;
    if (!read || (!read.envelope && !read.receipts)) file.damaged.push(number);
    else if (read.receipts) file.receipts.push(read.receipts);
    else if (read.envelope && !seen.has(`${read.envelope.pin} ${read.envelope.id}`)) {
      seen.add(`${read.envelope.pin} ${read.envelope.id}`);
      file.envelopes.push(read.envelope);
    }
  }
  must(good > 0, "courier.malformed");
  return file;
}

/**
 * Read one line; null if its form or its hash is wrong. A content of another form gives neither part.
 * @param {Bytes} line without its line feed
 * @returns {{envelope?: CarriedEnvelope, receipts?: Document} | null}
 */
function readLine(line) {
  const start = line.indexOf(0x20, line.indexOf(0x20) + 1) + 1;
  const head = HEAD.exec(letters(line.slice(0, start)));
  const content = line.slice(start);
  if (!head || content.length === 0 || content.includes(0x0d) || hash(content) !== head[2]) return null;
  if (head[1] === "receipts") return readReceipts(content);
  const found = ENVELOPE.exec(letters(content));
  if (!found) return {};
  const [, pin, envelope] = found;
  return { envelope: { pin, id: hash(content.slice(65)), envelope } };
}

/**
 * @param {Bytes} content
 * @returns {{receipts?: Document}}
 */
function readReceipts(content) {
  try {
    return { receipts: readDocument(content.map((byte) => (byte === TAB ? LF : byte))) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return {};
  }
}
