import { UsageError } from "../../core/usage.ts";

/** One step of a path: a field, a place in a list, or the entry of a list whose `key` is `value`. */
export type PathStep = { field: string } | { index: number } | { key: string; value: string };

/** `path=value` as `--set` takes it; the value is still text. */
export interface Setting {
  readonly text: string;
  readonly path: readonly PathStep[];
  readonly value: string;
}

/**
 * Reads `a.b[0].c\.d[name:x]=value`. A backslash takes the next character literally, quotes take all up to the next
 * quote, `[n]` selects by place (-1 appends) and `[key:value]` by a field.
 *
 * @throws UsageError
 */
export function parseSetting(text: string): Setting {
  const end = findEquals(text);
  if (end <= 0) throw new UsageError(`cannot read --set "${text}": write it as path=value`);
  return { text, path: parsePath(text.slice(0, end)), value: unquote(text.slice(end + 1)) };
}

function findEquals(text: string): number {
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === "\\") i++;
    else if (c === '"' || c === "'") quote = c;
    else if (c === "=") return i;
  }
  return -1;
}

/** @throws UsageError */
export function parsePath(text: string): PathStep[] {
  const steps: PathStep[] = [];
  const fail = (what: string) => new UsageError(`cannot read the path "${text}": ${what}`);
  let field = "";
  let has = false;
  const flush = () => {
    if (has) steps.push({ field });
    field = "";
    has = false;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "\\" && i + 1 < text.length) {
      field += text[++i];
      has = true;
    } else if (c === '"' || c === "'") {
      const close = text.indexOf(c, i + 1);
      if (close < 0) throw fail("a quote is not closed");
      field += text.slice(i + 1, close);
      has = true;
      i = close;
    } else if (c === ".") {
      if (!has && text[i - 1] !== "]") throw fail("a field name is empty");
      flush();
      if (i === text.length - 1) throw fail("it ends with a dot");
    } else if (c === "[") {
      const close = text.indexOf("]", i);
      if (close < 0) throw fail('a "[" is not closed');
      if (!has && steps.length === 0) throw fail("it begins with a list selector");
      flush();
      steps.push(selector(text.slice(i + 1, close), fail));
      i = close;
    } else {
      field += c;
      has = true;
    }
  }
  flush();
  if (steps.length === 0) throw fail("it is empty");
  return steps;
}

function selector(text: string, fail: (what: string) => Error): PathStep {
  if (/^(-1|\d{1,4})$/.test(text)) return { index: Number(text) };
  const colon = text.indexOf(":");
  if (colon <= 0) throw fail(`"[${text}]" is neither a number nor key:value`);
  return { key: unquote(text.slice(0, colon).trim()), value: unquote(text.slice(colon + 1).trim()) };
}

function unquote(text: string): string {
  const quoted = /^"(.*)"$|^'(.*)'$/s.exec(text);
  return quoted ? quoted[1] ?? quoted[2] : text;
}

/** A path as a user would write it. */
export function formatPath(path: readonly PathStep[]): string {
  return path.map((step, i) => {
    if ("field" in step) return (i > 0 ? "." : "") + step.field.replaceAll(".", "\\.");
    return "index" in step ? `[${step.index}]` : `[${step.key}:${step.value}]`;
  }).join("");
}

/**
 * Sets the value at a path within `root`, making maps and lists on the way.
 *
 * @throws UsageError when the path meets something else than it needs
 */
export function setAtPath(root: Record<string, any>, path: readonly PathStep[], value: unknown): void {
  let holder: any = root;
  path.forEach((step, i) => {
    const last = i === path.length - 1;
    const key = place(holder, step, path.slice(0, i + 1));
    if (last) holder[key] = value;
    else {
      const wantsList = !("field" in path[i + 1]);
      if (holder[key] === undefined || holder[key] === null) holder[key] = wantsList ? [] : {};
      holder = holder[key];
    }
  });
}

function place(holder: any, step: PathStep, path: readonly PathStep[]): string | number {
  const fail = (what: string) => new UsageError(`cannot set "${formatPath(path)}": ${what}`);
  if ("field" in step) {
    if (typeof holder !== "object" || Array.isArray(holder)) throw fail("it is not inside a map");
    if (step.field === "__proto__") throw fail("that name cannot be used");
    return step.field;
  }
  if (!Array.isArray(holder)) throw fail("it is not inside a list");
  if ("index" in step) {
    const index = step.index === -1 ? holder.length : step.index;
    if (index > holder.length) throw fail(`the list has ${holder.length} entries`);
    return index;
  }
  const found = holder.findIndex((item) => String(item?.[step.key]) === step.value);
  if (found < 0) throw fail(`no entry has ${step.key} "${step.value}"`);
  return found;
}
