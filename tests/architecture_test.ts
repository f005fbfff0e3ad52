import assert from "node:assert/strict";

/** The folders of src/ in reading order: a folder may import itself and those before it (see ARCHITECTURE.md). */
const ORDER = [
  "core",
  "sys",
  "gen",
  "model",
  "telemetry",
  "net",
  "h2",
  "identity",
  "policy",
  "hbone",
  "kube",
  "xds",
  "index",
  "inpod",
  "redirect",
  "proxy",
  "http",
  "console",
  "cluster",
  "roles",
];

/** Edges that the order would allow and the design forbids. */
const FORBIDDEN: [from: string[], to: string][] = [
  [["sys", "net", "h2", "hbone", "proxy", "http", "policy", "inpod", "redirect"], "kube"],
  [["index"], "net"],
  [["index"], "xds"],
  [["xds", "identity"], "kube"],
];

/** Roles whose process must never load the embedded cluster. */
const MESH_ROLES = ["istiod", "ztunnel", "cni", "waypoint", "console", "ctl"];

interface Edge {
  file: string;
  from: string;
  to: string;
  target: string;
}

async function* sources(dir: URL): AsyncGenerator<URL> {
  for await (const entry of Deno.readDir(dir)) {
    const url = new URL(entry.name + (entry.isDirectory ? "/" : ""), dir);
    if (entry.isDirectory) yield* sources(url);
    else if (entry.name.endsWith(".ts")) yield url;
  }
}

const SRC = new URL("../src/", import.meta.url);

async function edges(): Promise<Edge[]> {
  const found: Edge[] = [];
  for await (const url of sources(SRC)) {
    const file = url.pathname.slice(SRC.pathname.length);
    const text = await Deno.readTextFile(url);
    for (const [, a, b] of text.matchAll(/\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/g)) {
      const specifier = a ?? b;
      if (!specifier.startsWith(".")) continue;
      const target = new URL(specifier, url).pathname.slice(SRC.pathname.length);
      if (new URL(specifier, url).pathname.startsWith(SRC.pathname)) {
        found.push({ file, from: file.split("/")[0], to: target.split("/")[0], target });
      }
    }
  }
  return found;
}

Deno.test("imports point up the list of folders only", async () => {
  const wrong = (await edges()).filter(({ from, to }) => ORDER.indexOf(to) > ORDER.indexOf(from))
    .map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(wrong, []);
  for await (const entry of Deno.readDir(SRC)) {
    if (entry.isDirectory) assert.ok(ORDER.includes(entry.name), `src/${entry.name} has no place in the order`);
  }
});

Deno.test("forbidden edges between folders are absent", async () => {
  const all = await edges();
  const wrong = FORBIDDEN.flatMap(([froms, to]) =>
    all.filter((edge) => froms.includes(edge.from) && edge.to === to).map(({ file, target }) =>
      `${file} imports ${target}`
    )
  );
  for (const edge of all) {
    const role = /^roles\/(\w+?)(?:\.ts|\/)/.exec(edge.file)?.[1];
    if (edge.to === "cluster" && role && MESH_ROLES.includes(role)) wrong.push(`${edge.file} imports ${edge.target}`);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("only src/sys opens native libraries", async () => {
  const wrong: string[] = [];
  for await (const url of sources(SRC)) {
    const file = url.pathname.slice(SRC.pathname.length);
    if (!file.startsWith("sys/") && (await Deno.readTextFile(url)).includes("Deno.dlopen")) wrong.push(file);
  }
  assert.deepEqual(wrong, []);
});
