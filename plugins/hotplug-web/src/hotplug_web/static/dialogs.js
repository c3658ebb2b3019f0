// Questions before anything is done.
import { make, place, setText } from "./dom.js";

const TITLES = { reload: "Reload", disable: "Disable", enable: "Enable", halt: "Halt", resume: "Resume" };

/**
 * Ask, and give what was filled in, or null. *fields* are controls with a `name`; *safe* says that the
 * answer may be given by Enter alone.
 */
export function confirm(verb, title, text, fields = [], isSafe = false) {
  const dialog = place("confirm");
  const form = dialog.querySelector("form");
  const yes = dialog.querySelector(".yes"), no = dialog.querySelector(".no");
  setText(place("confirm-title"), title);
  setText(place("confirm-text"), text);
  dialog.querySelector(".fields").replaceChildren(...fields);
  yes.textContent = TITLES[verb];
  yes.className = `yes ${verb === "halt" || verb === "disable" ? "danger-full" : "primary"}`;
  return new Promise((answer) => {
    const over = new AbortController();
    const end = (given) => {
      over.abort();
      dialog.close();
      answer(given);
    };
    const heard = { signal: over.signal };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      end(valuesOf(form));
    }, heard);
    no.addEventListener("click", () => end(null), heard);
    dialog.addEventListener("close", () => end(null), heard);
    dialog.addEventListener("click", (event) => { if (event.target === dialog) end(null); }, heard);
    if (!dialog.open) dialog.showModal();
    (dialog.querySelector(".fields input[required]") ?? (isSafe ? yes : no)).focus();
  });
}

function valuesOf(form) {
  const values = {};
  for (const control of form.elements) {
    if (!control.name) continue;
    const value = control.type === "checkbox" ? control.checked : control.value.trim();
    if (value !== "") values[control.name] = value;
  }
  return values;
}

export function reasonField(hint) {
  const input = make("input", { name: "reason", required: true, maxLength: 300, autocomplete: "off", placeholder: hint });
  return make("label", {}, "Reason", input);
}

export function whereField(brokers, chosen = "") {
  const options = ["", ...brokers].map((key) => {
    const textContent = key ? `brokers/${key}` : "every broker";
    return make("option", { value: key, selected: key === chosen, textContent });
  });
  return make("label", {}, "Where", make("select", { name: "key" }, ...options));
}

export function userField() {
  return make("label", {}, "For whom", make("input", { name: "user", autocomplete: "off", spellcheck: false, placeholder: "everybody" }));
}

export function cancelField() {
  return make("label", { className: "check" }, make("input", { type: "checkbox", name: "cancel", checked: true }), "Cancel open orders");
}
