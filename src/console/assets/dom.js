// Elements without markup: every text from the cluster becomes a text node or an attribute, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name in element && typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** An HTML element: `h("a", { href, onclick }, "text", child)`. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Puts children in place of those that an element has. */
export const replace = (element, ...children) => {
  element.replaceChildren();
  return fill(element, undefined, children);
};

/** A rate per second, short: `0.3`, `12`, `1.2k`. */
export function rate(value) {
  if (!(value > 0)) return "0";
  if (value < 0.01) return "<0.01";
  if (value < 1) return value.toFixed(2);
  if (value < 10) return value.toFixed(1);
  return value < 1000 ? String(Math.round(value)) : `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)}k`;
}

export function bytes(value) {
  if (!(value >= 1)) return value > 0 ? "<1 B" : "0 B";
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function percent(share) {
  const value = share * 100;
  return value > 0 && value < 1 ? "<1%" : value < 100 && value > 99 ? ">99%" : `${Math.round(value)}%`;
}

export function millis(value) {
  if (value === undefined || value === null) return "–";
  if (value < 10) return `${value.toFixed(1)} ms`;
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** Icons of 16x16, drawn with the text's colour. */
const ICONS = {
  lock: "M5 7V5a3 3 0 0 1 6 0v2M3.5 7h9v6.5h-9z",
  unlock: "M5 7V5a3 3 0 0 1 5.8-1M3.5 7h9v6.5h-9z",
  workload: "M8 1.8 13.6 5v6L8 14.2 2.4 11V5z",
  gateway: "M2 3h5M2 13h5M7 1.5v13M9.5 8H14M12 5.5 14.5 8 12 10.5",
  waypoint: "M2.5 3h11L9.5 8.5v4l-3 1.5V8.5z",
  service: "M8 2 14.5 13.5h-13z",
  outside: "M4.5 12.5a3 3 0 0 1-.4-6 4 4 0 0 1 7.6-.6 3.3 3.3 0 0 1 .3 6.6z",
  shield: "M8 1.8 13 3.6v4c0 3.2-2.2 5.4-5 6.6-2.8-1.2-5-3.4-5-6.6v-4z",
  ban: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM3.8 3.8l8.4 8.4",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.4v3.4M8 5.1v.3",
  warn: "M8 2 14.5 13.5h-13zM8 6.5v3.2M8 11.4v.4",
  sun:
    "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  close: "M4 4l8 8M12 4l-8 8",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
};

/** The path of an icon, to be put into an SVG drawing. */
export const iconPath = (name, attributes) => s("path", { class: "icon-line", d: ICONS[name], ...attributes });

/** An icon among text. */
export function icon(name, label) {
  const role = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, ...role },
    label && s("title", {}, label),
    iconPath(name),
  );
}
