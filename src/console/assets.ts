// The pages' files, as text that is part of the executable: nothing is fetched from elsewhere.

import consoleCss from "./assets/console.css" with { type: "text" };
import consoleJs from "./assets/console.js" with { type: "text" };
import domJs from "./assets/dom.js" with { type: "text" };
import graphJs from "./assets/graph.js" with { type: "text" };
import indexHtml from "./assets/index.html" with { type: "text" };
import pagesJs from "./assets/pages.js" with { type: "text" };
import panelJs from "./assets/panel.js" with { type: "text" };

/** A file as it is served. */
export interface Asset {
  readonly text: string;
  readonly type: string;
  readonly etag: string;
}

const JS = "text/javascript; charset=utf-8";

const FILES: ReadonlyMap<string, Asset> = new Map(
  ([
    ["index.html", "text/html; charset=utf-8", indexHtml],
    ["console.css", "text/css; charset=utf-8", consoleCss],
    ["console.js", JS, consoleJs],
    ["dom.js", JS, domJs],
    ["graph.js", JS, graphJs],
    ["pages.js", JS, pagesJs],
    ["panel.js", JS, panelJs],
  ] as const).map(([name, type, text]) => [name, { text, type, etag: `"${hash(text)}"` }]),
);

/** FNV-1a: tells one version of a file from the next, no more. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value.toString(16).padStart(8, "0") + text.length.toString(16);
}

export function asset(name: string): Asset | undefined {
  return FILES.get(name);
}
