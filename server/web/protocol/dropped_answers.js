/**
 * SPEC 8.1 step 0: dropping the answers of a person who did not agree, before a tablet seals her screening. A tablet
 * calls `dropAnswers` between pruning and sealing.
 */
import { utf8 } from "./encoding.js";
import { must, refuse } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {Record<string, string>} Questions by route field, of the bundle's `route` */
/** @typedef {{name: string, text: string, children: Node[]}} Node an element; a leaf has no children */

const RESULTS = ["outcome", "tier"];
const META = "meta";
const CODE = /^[A-Za-z0-9_.-]{1,200}$/;
const ENTITIES = /** @type {Record<string, string>} */ ({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" });
const NAME = "[\\p{L}_:][\\p{L}\\p{N}_:.-]*";
const ATTRIBUTE = `(${NAME})\\s*=\\s*("[^"<]*"|'[^'<]*')`;
const DECLARATION = /^<\?xml\s+version\s*=\s*(?:"1\.[0-9]+"|'1\.[0-9]+')[^?<>&]*\?>/;
/** Of no meaning (comment, processing instruction) | CDATA | closing tag | opening tag, attributes, slash | text. */
const TOKEN = new RegExp(
  [
    `<!--(?:(?!--)[^])*-->|<\\?(?!xml[\\s?])${NAME}(?:\\s[^]*?)?\\?>`,
    "<!\\[CDATA\\[([^]*?)\\]\\]>",
    `</(${NAME})\\s*>`,
    `<(${NAME})((?:\\s+${ATTRIBUTE})*)\\s*(/?)>`,
    "((?:(?!\\]\\]>)[^<])+)",
  ].join("|"),
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
  const marked = { id: attributes.id, version: attributes.version, answers: "dropped" };
  const written = Object.entries(marked).filter(([, value]) => value !== undefined);
  const head = written.map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
  return utf8(`<${root.name}${head}>${keptOf(root, kept, 0)}</${root.name}>`);
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
 * Return whether a tablet dropped the answers of this instance.
 * @param {Bytes} instance
 * @returns {boolean}
 */
export const areDropped = (instance) => readInstance(instance).attributes.answers === "dropped";

/**
 * Read an instance, which is XML without a DTD, else `seal.not_xml`.
 * @param {Bytes} instance
 * @returns {{root: Node, attributes: Record<string, string>}} names without their prefixes; attributes of the root
 */
function readInstance(instance) {
  const top = { name: "", text: "", children: /** @type {Node[]} */ ([]) };
  const open = [top];
  const tags = [""];
  let attributes = /** @type {Record<string, string>} */ ({});
  for (const [data, closing, opening, given, slash, text] of tokensOf(instance)) {
    const inside = open[open.length - 1];
    if (text !== undefined || data !== undefined) {
      inside.text += data ?? decoded(text);
    } else if (opening !== undefined) {
      if (inside === top) attributes = attributesOf(given);
      const node = { name: localName(opening), text: "", children: [] };
      inside.children.push(node);
      if (!slash) open.push(node) && tags.push(opening);
    } else if (closing !== undefined) {
      must(open.length > 1 && tags.pop() === closing, "seal.not_xml");
      open.pop();
    }
  }
  must(open.length === 1 && top.children.length === 1 && !trimmed(top.text), "seal.not_xml");
  return { root: top.children[0], attributes };
}

/**
 * @param {Bytes} instance
 * @returns {Generator<(string | undefined)[]>} the groups of TOKEN, which together cover the whole text
 */
function* tokensOf(instance) {
  const text = decodedUtf8(instance).replace(DECLARATION, "");
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    must(found, "seal.not_xml");
    const [all, data, closing, opening, attributes, , , slash, characters] = found;
    at += all.length;
    yield [data, closing, opening, attributes, slash, characters];
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
 * @param {string | undefined} given
 * @returns {Record<string, string>}
 */
const attributesOf = (given) =>
  Object.fromEntries(
    [...(given ?? "").matchAll(new RegExp(ATTRIBUTE, "gu"))].map(([, name, value]) => [name, decoded(value.slice(1, -1))]),
  );

/**
 * @param {string | undefined} text
 * @returns {string}
 */
const decoded = (text) =>
  (text ?? "").replace(/&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]+));|&/g, (_, hexadecimal, decimal, name) => {
    if (name && Object.hasOwn(ENTITIES, name)) return ENTITIES[name];
    const code = hexadecimal ? parseInt(hexadecimal, 16) : parseInt(decimal, 10);
    must(code <= 0x10ffff, "seal.not_xml");
    return String.fromCodePoint(code);
  });

/** @param {string} text */
const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** @param {string} text */
const trimmed = (text) => text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");

/** @param {string} name */
const localName = (name) => name.slice(name.indexOf(":") + 1);

/**
 * @param {Bytes} bytes
 * @returns {string}
 */
function decodedUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refuse("seal.not_xml");
  }
}
