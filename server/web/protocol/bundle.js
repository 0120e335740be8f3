/** SPEC 5.4: the signed bytes of one form version. Whether the form can be run is for who runs it. */
import { must } from "./errors.js";
import { check, oneOf } from "./forms.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {import("./trust.js").StaffKey} StaffKey */

export const BUNDLE = "chaski-1/bundle+jws";

/**
 * Accept a bundle as the version that was asked for (SPEC 5.4).
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
  must(!trust.demo || document.value.channel === "training", "bundle.demo_trust");
  return document;
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
