// Reads the field names of an Istio kind from the type declarations of the package @kubernetes-models/istio, which are
// made from Istio's own definitions.

type Node = { fields: [string, Node][] } | { inner: Node } | undefined;

/** Paths of all fields under `spec`, e.g. `Gateway.servers.port.number`; lists and maps add nothing to a path. */
export async function typeFields(group: string, version: string, kind: string): Promise<string[]> {
  const url = import.meta.resolve(`@kubernetes-models/istio/${group}/${version}/${kind}`).replace(/\.js$/, ".d.ts");
  const text = await Deno.readTextFile(new URL(url));
  const start = /"spec"\??:\s*/.exec(text)!;
  return flatten(new Reader(text.slice(start.index + start[0].length)).type(), kind);
}

function flatten(node: Node, path: string): string[] {
  if (!node) return [];
  if ("inner" in node) return flatten(node.inner, path);
  return node.fields.flatMap(([name, field]) => [`${path}.${name}`, ...flatten(field, `${path}.${name}`)]);
}

class Reader {
  readonly #tokens: RegExpStringIterator<RegExpExecArray>;
  #token = "";

  constructor(text: string) {
    this.#tokens = text.matchAll(/\/\*[\s\S]*?\*\/|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|[{}[\]<>|&?:;,()-]|\d+/g);
    this.#next();
  }

  /** A type; of alternatives and intersections the first one. */
  type(): Node {
    const node = this.#single();
    while (this.#token === "&" || this.#token === "|") {
      this.#next();
      this.#skip();
    }
    return node;
  }

  #single(): Node {
    const token = this.#next();
    if (token === "Array") {
      this.#next();
      const inner = this.type();
      this.#next();
      return { inner };
    }
    if (token !== "{") return undefined;
    if (this.#token === "[") {
      while (this.#next() !== "]");
      this.#next();
      const inner = this.type();
      while (this.#next() !== "}");
      return { inner };
    }
    const fields: [string, Node][] = [];
    while (this.#token !== "}") {
      const name = JSON.parse(this.#next());
      if (this.#token === "?") this.#next();
      this.#next();
      fields.push([name, this.type()]);
      if (this.#token === ";") this.#next();
    }
    this.#next();
    return { fields };
  }

  /** One operand, whatever it holds. */
  #skip(): void {
    let depth = 0;
    do {
      const token = this.#next();
      if ("{[<(".includes(token)) depth++;
      else if ("}]>)".includes(token)) depth--;
    } while (depth > 0 || this.#token === "<");
  }

  #next(): string {
    const before = this.#token;
    do this.#token = this.#tokens.next().value?.[0] ?? ""; while (this.#token.startsWith("/*"));
    return before;
  }
}
