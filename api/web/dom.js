// Elements without markup in strings: nothing that a server says is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    // of `aria-...` only "true" means true
    if (value === true) node.setAttribute(name, name.startsWith("aria-") ? "true" : "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Only a changed text is written: a screen reader says again what is written again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** For screen readers only; a live region of the page. */
export function announce(text) {
  setText(byId("announcements"), text);
}
