/** One step of a path: a name, an index, every element, or the elements that pass a test. */
type Step =
  | { kind: "name"; name: string }
  | { kind: "index"; index: number }
  | { kind: "all" }
  | { kind: "filter"; path: string; equal: boolean; value: unknown };

const parsed = new Map<string, Step[]>();

/**
 * Reads the part of JSONPath that printer columns use: `.spec.hosts[*]`, `.a['b.c']`,
 * `.status.conditions[?(@.type=="Ready")].status`. A path that is none finds nothing.
 */
export function readJsonPath(root: unknown, path: string): unknown[] {
  let steps = parsed.get(path);
  if (!steps) parsed.set(path, steps = parsePath(path));
  let values: unknown[] = [root];
  for (const step of steps) values = values.flatMap((value) => apply(value, step));
  return values.filter((value) => value !== undefined && value !== null);
}

function parsePath(path: string): Step[] {
  const steps: Step[] = [];
  const token =
    /\.?([^.[\]]+)|\[(-?\d+)\]|\[\*\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]|\[\?\(\s*@\.?([^=!\s]+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|([^)\s]+))\s*\)\]/gy;
  const text = path.replace(/^\{|\}$/g, "").replace(/^\$/, "");
  while (token.lastIndex < text.length) {
    const start = token.lastIndex;
    const match = token.exec(text);
    if (!match) return [{ kind: "name", name: `\0unreadable at ${start}` }];
    const [whole, name, index, single, double, filterPath, operator, a, b, bare] = match;
    // Names may hold escaped dots, as annotations do.
    if (name?.endsWith("\\")) {
      const rest = /^(?:[^.[\]\\]|\\.)+/.exec(text.slice(start).replace(/^\./, ""))![0];
      steps.push({ kind: "name", name: rest.replace(/\\(.)/g, "$1") });
      token.lastIndex = start + (text[start] === "." ? 1 : 0) + rest.length;
    } else if (name !== undefined) steps.push(name === "*" ? { kind: "all" } : { kind: "name", name });
    else if (index !== undefined) steps.push({ kind: "index", index: Number(index) });
    else if (whole === "[*]") steps.push({ kind: "all" });
    else if (filterPath !== undefined) {
      const value = a ?? b ?? (bare === "true" ? true : bare === "false" ? false : Number(bare));
      steps.push({ kind: "filter", path: filterPath, equal: operator === "==", value });
    } else steps.push({ kind: "name", name: (single ?? double).replace(/\\(.)/g, "$1") });
  }
  return steps;
}

function apply(value: unknown, step: Step): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  switch (step.kind) {
    case "name":
      return Object.hasOwn(value, step.name) ? [(value as Record<string, unknown>)[step.name]] : [];
    case "index":
      return Array.isArray(value) ? [value.at(step.index)] : [];
    case "all":
      return Object.values(value);
    case "filter":
      if (!Array.isArray(value)) return [];
      return value.filter((item) => {
        const [found] = readJsonPath(item, `.${step.path}`);
        return (found === step.value) === step.equal;
      });
  }
}
