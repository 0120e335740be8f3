/**
 * SPEC 8.1 step 0: dropping the answers of a person who did not agree, before a tablet seals her screening. A tablet
 * calls `dropAnswers` between pruning and sealing.
 */
import { utf8 } from "./encoding.js";
import { ProtocolError, must, refuse } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {Record<string, string>} Questions by route field, of the bundle's `route` */
/** @typedef {{name: string, text: string, children: Node[]}} Node an element; a leaf has no children */

const RESULTS = ["outcome", "tier"];
const META = "meta";
const MOST_LEVELS = 100;
const CODE = /^[A-Za-z0-9_.-]{1,200}$/;
const ENTITIES = /** @type {Record<string, string>} */ ({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" });

// The grammar of SPEC 8.1 step 0. All of XML would need more rules than two implementations can agree on.
const MARK = ' answers="dropped"';
const CHARACTER = /^[\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]$/u;
const ABOVE = "=-\\ud7ff\\ue000-\\ufffd\\u{10000}-\\u{10ffff}";
const NAME = "[A-Za-z_][A-Za-z0-9_.-]*";
const REFERENCE = "&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});";
const VALUE = `(?:[ !#-%'-;${ABOVE}]|${REFERENCE})*`;
/** Name, attributes, mark, slash. */
const ROOT = new RegExp(`^<(${NAME})( id="${VALUE}" version="${VALUE}")(${MARK})?( ?/)?>`, "u");
/** Closing tag | opening tag, slash | text. */
const TOKEN = new RegExp(
  `</(${NAME})>|<(${NAME})( ?/)?>|((?:(?!\\]\\]>)[\\t\\n\\r -%'-;${ABOVE}]|${REFERENCE})+)`,
  "uy",
);

/**
 * Return the instance to seal: without the answers if the person is only counted, else the same bytes.
 * @param {Bytes} instance
 * @param {Questions} route
 * @param {string[]} omitted the bundle's `omit_route`
 * @returns {Bytes}
 */
export function dropAnswers(instance, route, omitted) {
  const { root, attributes } = readInstance(instance);
  if (!isOnlyCounted(Object.fromEntries(leavesOf(root, 0)), route)) return instance;
  const questions = Object.entries(route).filter(([field]) => !omitted.includes(field));
  const kept = [...RESULTS, ...questions.map(([, question]) => question)];
  return utf8(`<${root.name}${attributes}${MARK}>${keptOf(root, kept, 0)}</${root.name}>`);
}

/**
 * Return whether a screening with these values by question is counted, and its answers leave no tablet.
 * @param {Record<string, string>} values
 * @param {Questions} route
 * @returns {boolean}
 */
export const isOnlyCounted = (values, route) =>
  Object.hasOwn(route, "consent") && (values[route.consent] ?? "") !== "yes" && !(values.queue_kinds ?? "");

/**
 * Return whether a tablet dropped the answers of this instance. An instance of another form never comes from
 * `dropAnswers`. A desk must still be able to open it: this is false.
 * @param {Bytes} instance
 * @returns {boolean}
 */
export function areDropped(instance) {
  try {
    return readInstance(instance).dropped;
  } catch (wrong) {
    if (wrong instanceof ProtocolError) return false;
    throw wrong;
  }
}

/**
 * Read an instance of the form of SPEC 8.1 step 0, else `seal.not_xml`.
 * @param {Bytes} instance
 * @returns {{root: Node, attributes: string, dropped: boolean}} the root's attributes as they are written
 */
function readInstance(instance) {
  const text = decodedUtf8(instance);
  const [head, name, attributes, mark, slash] = ROOT.exec(text) ?? refuse("seal.not_xml");
  decoded(attributes);
  const root = { name, text: "", children: /** @type {Node[]} */ ([]) };
  const open = slash ? [] : [root];
  for (const [closing, opening, empty, characters] of tokensOf(text, head.length)) {
    const inside = open.at(-1);
    must(inside, "seal.not_xml");
    if (characters !== undefined) inside.text += decoded(characters);
    else if (opening !== undefined) {
      const node = { name: opening, text: "", children: [] };
      must(open.length < MOST_LEVELS, "seal.not_xml");
      inside.children.push(node);
      if (!empty) open.push(node);
    } else must(open.pop()?.name === closing, "seal.not_xml");
  }
  must(!open.length, "seal.not_xml");
  return { root, attributes, dropped: mark !== undefined };
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {Generator<(string | undefined)[]>} the groups of TOKEN, which together cover the text from `at`
 */
function* tokensOf(text, at) {
  for (TOKEN.lastIndex = at; at < text.length; TOKEN.lastIndex = at) {
    const [all, ...groups] = TOKEN.exec(text) ?? refuse("seal.not_xml");
    at += all.length;
    yield groups;
  }
}

/**
 * @param {Node} node
 * @param {number} depth
 * @returns {[string, string][]} names and texts of the leaves
 */
const leavesOf = (node, depth) =>
  childrenOf(node, depth).flatMap((child) =>
    child.children.length ? leavesOf(child, depth + 1) : [[child.name, trimmed(child.text)]],
  );

/**
 * @param {Node} node
 * @param {string[]} kept
 * @param {number} depth
 * @returns {string} the leaves that stay, in their groups
 */
function keptOf(node, kept, depth) {
  const written = childrenOf(node, depth).map((child) => {
    const text = trimmed(child.text);
    const leaf = kept.includes(child.name) && CODE.test(text) ? text : "";
    const inner = child.children.length ? keptOf(child, kept, depth + 1) : leaf;
    return inner && `<${child.name}>${inner}</${child.name}>`;
  });
  return written.join("");
}

/**
 * @param {Node} node
 * @param {number} depth 0 for the root, whose `meta` is not an answer
 */
const childrenOf = (node, depth) => node.children.filter(({ name }) => depth || name !== META);

/**
 * @param {string} text
 * @returns {string} its references resolved; `seal.not_xml` if one is to no character
 */
const decoded = (text) =>
  text.replace(/&(?:#x([^;]+)|#([^;]+)|([^;]+));/g, (_, hexadecimal, decimal, name) => {
    if (name) return ENTITIES[name];
    const code = hexadecimal ? parseInt(hexadecimal, 16) : parseInt(decimal, 10);
    const character = code <= 0x10ffff ? String.fromCodePoint(code) : "";
    must(CHARACTER.test(character), "seal.not_xml");
    return character;
  });

/** @param {string} text */
const trimmed = (text) => text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");

/**
 * @param {Bytes} bytes
 * @returns {string}
 */
function decodedUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse("seal.not_xml");
  }
}
