/**
 * Fills a form with ODK Web Forms' engine as a person does: only relevant questions, in order, and again from the start
 * where a person goes back to change an answer. `tests/support/engine_agreement.py` runs it.
 *
 * Argument: the XForm. Standard input, one line for each walk: `case TAB question=answer TAB ...`; lines with the same
 * case are walks through one interview. Standard output, for every node of every case: `case TAB node TAB 1 or 0
 * (relevant) TAB value`; as `#missing` and `#broken`, the required questions that are blank and the answers that break
 * their constraint. An empty answer in a walk takes the former answer back. Standard error: `fill` and the milliseconds for each case.
 */
import { readFileSync } from 'node:fs';
import { JSDOM } from 'jsdom';

const DOM = ['document', 'window', 'DOMParser', 'XMLSerializer', 'Node', 'Element', 'HTMLElement', 'Document',
  'XMLDocument', 'Attr', 'Text', 'Comment', 'XPathResult', 'NodeFilter'];
const QUESTIONS = new Set(['select', 'input', 'trigger']);

/** Loads the engine, which is made for browsers: it needs a DOM, and must not detect Node. */
async function loadEngine() {
  const { window } = new JSDOM('');
  for (const name of DOM) globalThis[name] ??= window[name];
  const { versions } = process;
  Object.defineProperty(process, 'versions', { value: { ...versions, node: undefined }, configurable: true });
  const engine = await import('@getodk/xforms-engine');
  Object.defineProperty(process, 'versions', { value: versions, configurable: true });
  return engine;
}

function readCases(text) {
  const cases = new Map();
  for (const line of text.split('\n').filter(Boolean)) {
    const [number, ...pairs] = line.split('\t');
    const split = pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
    cases.set(number, [...(cases.get(number) ?? []), new Map(split)]);
  }
  return cases;
}

function* nodesBelow(parent) {
  for (const node of parent.currentState.children ?? []) {
    yield node;
    yield* nodesBelow(node);
  }
}

const nameOf = (node) => node.currentState.reference.split('/').pop();

/** Answers a question; ignores a choice that is not offered. */
function answer(node, text) {
  if (node.nodeType === 'select') {
    const codes = text.split(' ').filter(Boolean);
    const offered = new Set(node.currentState.valueOptions.map((option) => option.value));
    if (!codes.every((code) => offered.has(code))) return;
    if (node.selectType === 'select') node.selectValues(codes);
    else node.selectValue(codes[0] ?? null);
  } else if (node.nodeType === 'trigger') {
    node.setValue(text === 'OK');
  } else if (text === '') {
    node.setValue(node.valueType === 'string' ? '' : null);
  } else {
    node.setValue(node.valueType === 'int' ? BigInt(text) : text);
  }
}

/** Goes through the form once. An answer that breaks a constraint is removed, as the form would ask for it again. */
function walk(root, answers) {
  for (const node of nodesBelow(root)) {
    const name = nameOf(node);
    if (!QUESTIONS.has(node.nodeType) || !answers.has(name) || !node.currentState.relevant) continue;
    const before = node.currentState.instanceValue;
    answer(node, answers.get(name));
    if (node.validationState.constraint?.valid === false) answer(node, before);
  }
}

const { loadForm } = await loadEngine();
const form = await loadForm(readFileSync(process.argv[2], 'utf8'));
if (form.status !== 'success') throw form.error;
const cases = readCases(readFileSync(0, 'utf8'));
const lines = [];
const begun = performance.now();
for (const [number, walks] of cases) {
  const { root } = form.createInstance();
  for (const answers of walks) walk(root, answers);
  const [missing, broken] = [[], []];
  for (const node of nodesBelow(root)) {
    // The engine adds meta/instanceID to every form, as the specification asks; Chaski's identity is the jti.
    if (node.currentState.reference.startsWith('/data/meta')) continue;
    lines.push([number, nameOf(node), Number(node.currentState.relevant), node.currentState.instanceValue ?? ''].join('\t'));
    if (node.validationState?.required?.valid === false) missing.push(nameOf(node));
    if (node.validationState?.constraint?.valid === false) broken.push(nameOf(node));
  }
  lines.push([number, '#missing', 1, missing.join(' ')].join('\t'), [number, '#broken', 1, broken.join(' ')].join('\t'));
}
console.error(`fill ${((performance.now() - begun) / cases.size).toFixed(1)}`);
process.stdout.write(`${lines.join('\n')}\n`);
