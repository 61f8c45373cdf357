// The four states of a store, worst first. Each has a shape of its own: colour alone tells nothing.

import { element, svg } from "./dom.js";

export const STATES = ["down", "unknown", "up", "closed"];

export const STATE_NAMES = {
  down: "Down",
  unknown: "Unknown",
  up: "Up",
  closed: "Closed",
};

const SHAPES = {
  up: [
    ["circle", { cx: 8, cy: 8, r: 6.5, class: "filled" }],
    ["path", { d: "M5 8.2l2.1 2.1L11 6.2", class: "cut" }],
  ],
  down: [
    ["path", { d: "M8 13.6 1.9 3h12.2z", class: "filled round" }],
    ["path", { d: "M8 5.2v3.4M8 10.6v.2", class: "cut" }],
  ],
  unknown: [
    ["rect", { x: 2.2, y: 2.2, width: 11.6, height: 11.6, rx: 2.5, class: "line dashed" }],
    ["path", { d: "M6.3 6.5a1.8 1.8 0 1 1 2.4 1.7c-.5.2-.7.5-.7 1M8 11.2v.1", class: "line" }],
  ],
  closed: [
    ["circle", { cx: 8, cy: 8, r: 5.9, class: "line" }],
    ["path", { d: "M5.3 8h5.4", class: "line" }],
  ],
};

export function stateIcon(state) {
  const shapes = SHAPES[state].map(([name, attributes]) => svg(name, attributes));
  return svg("svg", { viewBox: "0 0 16 16", class: `icon ${state}`, "aria-hidden": "true" }, ...shapes);
}

export function stateBadge(state) {
  return element("span", { class: `state ${state}` }, stateIcon(state), STATE_NAMES[state]);
}
