// Host names of routes, listeners and hosts: exact, or with `*` for the first labels, or `*` alone.

const LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?";
const HOSTNAME = new RegExp(`^(\\*|(\\*\\.)?(${LABEL}\\.)*${LABEL})$`);

/** The name in lower case without a final dot; undefined when it is none. */
export function readHostname(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > 253) return undefined;
  const name = value.toLowerCase().replace(/\.$/, "");
  return HOSTNAME.test(name) ? name : undefined;
}

/** Whether every name that `name` stands for is one that `pattern` stands for. */
export function covers(pattern: string, name: string): boolean {
  if (pattern === "*" || pattern === name) return true;
  return pattern.startsWith("*.") && name.length > pattern.length - 1 && name.endsWith(pattern.slice(1)) &&
    !(name.startsWith("*.") && name.length < pattern.length);
}

/** The names that both stand for; undefined when there are none. */
export function intersection(a: string, b: string): string | undefined {
  if (covers(a, b)) return b;
  return covers(b, a) ? a : undefined;
}

/** Orders names by how much they say: exact ones first, then longer wildcards, `*` last. */
export function specificity(name: string): number {
  if (name === "*") return 0;
  return name.startsWith("*.") ? name.length : 1000 + name.length;
}

/** The most specific of `patterns` that covers `name`. */
export function mostSpecific<T>(patterns: Iterable<T>, hostOf: (one: T) => string, name: string): T | undefined {
  let best: T | undefined, rank = -1;
  for (const one of patterns) {
    const host = hostOf(one), own = covers(host, name) ? specificity(host) : -1;
    if (own > rank) [best, rank] = [one, own];
  }
  return best;
}
