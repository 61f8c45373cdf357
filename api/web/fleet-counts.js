// How many stores are in each state: buttons that filter by it, and a bar of their shares.

import { element, setText } from "./dom.js";
import { number } from "./format.js";
import { STATES, stateIcon } from "./states.js";

const LABELS = { down: "down", unknown: "unknown", up: "up", closed: "closed now" };

export function countButtons(place, proportions, onPress) {
  const buttons = new Map();
  for (const state of STATES) {
    const count = element("span", { class: "number" }, "–");
    const label = element("span", { class: "label" }, stateIcon(state), LABELS[state]);
    const button = element("button", { type: "button", class: `count ${state}`, "aria-pressed": "false" }, count, " ", label);
    button.addEventListener("click", () => onPress(state));
    buttons.set(state, { button, count, share: element("span", { class: state }) });
  }
  place.replaceChildren(...[...buttons.values()].map(({ button }) => button));
  proportions.replaceChildren(...[...buttons.values()].map(({ share }) => share));
  // nothing is drawn before there are counts: the least width of a share would be dots
  for (const { share } of buttons.values()) share.hidden = true;

  return {
    show(counts) {
      for (const [state, { button, count, share }] of buttons) {
        // no store is down: nothing to be alarmed at
        button.classList.toggle("none", counts[state] === 0);
        setText(count, number(counts[state]));
        share.style.flexGrow = counts[state];
        share.hidden = counts[state] === 0;
      }
    },
    press(states) {
      for (const [state, { button }] of buttons) button.setAttribute("aria-pressed", states.includes(state));
    },
  };
}
