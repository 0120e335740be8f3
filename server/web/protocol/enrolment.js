/**
 * SPEC 5.5: the documents of enrolment: an invitation, a request signed by the tablet's key, a registrar's certificate.
 */
import { encodeBase64url } from "./encoding.js";
import { must, refuse } from "./errors.js";
import { check, sha256Hex, kidText, integer, matching, region, text } from "./json_object.js";
import { parseVerifyKey } from "./key_pairs.js";
import { readDocument, requireSigners, writeDocument } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{address: string, code: string, pin: string}} Invitation */
/** @typedef {{dev: string, key: string, region: string, label: string, number: number, issued: number}} Certificate */

export const ENROLMENT = "chaski-1/enrolment+jws";
export const CERTIFICATE = "chaski-1/device+jws";
const INVITATION = "chaski:1?";
const CODE = matching(/^[A-Za-z0-9_-]{8,64}$/);

/**
 * Parse a QR code or a typed line (SPEC 5.5 step 1).
 * @param {string} text
 * @returns {Invitation}
 */
export function readInvitation(text) {
  const trimmed = text.trim();
  must(trimmed.startsWith(INVITATION), "enrolment.bad_invitation");
  const [address, code, pin] = ["u", "c", "r"].map((name) => only(trimmed.slice(INVITATION.length).split("&"), name));
  must(/^https?:\/\//.test(address) && CODE(code) && sha256Hex(pin), "enrolment.bad_invitation");
  return { address: address.replace(/\/+$/, ""), code, pin };
}

/**
 * @param {string[]} pairs
 * @param {string} name
 * @returns {string} the decoded value of a name that is there once
 */
function only(pairs, name) {
  const values = pairs.filter((pair) => pair.startsWith(`${name}=`));
  must(values.length === 1, "enrolment.bad_invitation", name);
  try {
    return decodeURIComponent(values[0].slice(name.length + 1));
  } catch {
    return refuse("enrolment.bad_invitation");
  }
}

/**
 * Write the text of a QR code (SPEC 5.5 step 1).
 * @param {Invitation} invitation
 * @returns {string}
 */
export const writeInvitation = ({ address, code, pin }) =>
  `chaski:1?u=${encodeURIComponent(address)}&c=${encodeURIComponent(code)}&r=${encodeURIComponent(pin)}`;

/**
 * Sign a tablet's request (SPEC 5.5 step 2).
 * @param {string} code
 * @param {import("./key_pairs.js").SecretKey} device
 * @returns {Promise<Bytes>}
 */
export const writeEnrolmentRequest = (code, device) =>
  writeDocument({ code, key: encodeBase64url(device.bytes) }, ENROLMENT, [device]);

/**
 * Accept a tablet's request, signed by the key that it names (SPEC 5.5 step 2).
 * @param {Bytes} bytes
 * @returns {Promise<{code: string, key: import("./key_pairs.js").PublicKey}>}
 */
export async function acceptEnrolmentRequest(bytes) {
  const document = readDocument(bytes);
  check(document.value, { key: text });
  const key = parseVerifyKey(document.value.key);
  await requireSigners(document, ENROLMENT, [key]);
  check(document.value, { code: CODE });
  return { code: document.value.code, key };
}

/**
 * Accept a certificate, as the tablet `dev` (SPEC 5.5 step 4).
 * @param {Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {string} dev
 * @returns {Promise<Certificate>}
 */
export async function acceptCertificate(bytes, trust, dev) {
  const document = readDocument(bytes);
  await requireSigners(document, CERTIFICATE, trust.registrars);
  const value = /** @type {Certificate} */ (document.value);
  check(value, {
    dev: kidText,
    key: text,
    region,
    label: matching(/^[^\u0000-\u001f\u007f]{0,80}$/u),
    number: integer(1),
    issued: integer(),
  });
  must(value.dev === dev && value.dev === parseVerifyKey(value.key).kid, "enrolment.wrong_device");
  return value;
}
