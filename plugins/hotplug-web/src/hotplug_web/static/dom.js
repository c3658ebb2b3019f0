// Small hands for the page. Whatever comes from elsewhere goes in as text, never as markup.
import { icon, redraw } from "./icons.js";
import { age, plainly, toneOf, wordOf } from "./words.js";

export const place = (id) => document.getElementById(id);

/** An element with *children*, texts among them; of *facts*, those with a dash are attributes. */
export function make(name, facts = {}, ...children) {
  const element = document.createElement(name);
  for (const [fact, value] of Object.entries(facts)) {
    if (value === undefined || value === null || value === false) continue;
    if (fact === "textContent" || fact === "title") element[fact] = plainly(value);
    else if (fact in element && !fact.includes("-")) element[fact] = value;
    else element.setAttribute(fact, value === true ? "" : value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : plainly(child));
  }
  return element;
}

export function setText(element, text) {
  const shown = plainly(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Show *code* in a mark (drawing and word). */
export function setMark(mark, code, tone = toneOf(code)) {
  if (mark.dataset.tone !== tone) mark.dataset.tone = tone;
  redraw(mark.querySelector(".icon"), tone);
  setText(mark.querySelector(".word"), wordOf(code));
}

export function newMark(code, tone = toneOf(code)) {
  const mark = make("span", { className: "mark" }, icon(tone), make("span", { className: "word" }));
  setMark(mark, code, tone);
  return mark;
}

export function newButton(verb, label, name, act, facts = {}) {
  const word = make("span", { className: "label" }, label);
  return make("button", { type: "button", "aria-label": name, onclick: act, ...facts }, icon(verb), word);
}

const ages = new Set();

/** An age that goes on. */
export function newAge(iso) {
  const element = make("time", { dateTime: iso, title: new Date(iso).toLocaleString() });
  element.textContent = age(Date.parse(iso), Date.now());
  ages.add(new WeakRef(element));
  return element;
}

/** Let ages be what they are now. */
export function tick(now = Date.now()) {
  for (const held of ages) {
    const element = held.deref();
    if (!element?.isConnected) ages.delete(held);
    else setText(element, age(Date.parse(element.dateTime), now));
  }
}
