// Which of several name patterns a host falls under: exact, else the longest wildcard, else `*`.

/** Patterns (`shop.example.com`, `*.example.com`, `*`) with what each leads to; a look-up costs one hash per label of the host. */
export class HostTable<T> {
  readonly #exact = new Map<string, T>();
  /** By suffix with its leading dot. */
  readonly #wildcards = new Map<string, T>();
  #any: T | null = null;

  /** @returns false when the pattern was there already: the first stays */
  add(pattern: string, value: T): boolean {
    const text = pattern.toLowerCase();
    if (text === "*") {
      if (this.#any !== null) return false;
      this.#any = value;
      return true;
    }
    const table = text.startsWith("*") ? this.#wildcards : this.#exact;
    const key = text.startsWith("*") ? text.slice(1) : text;
    if (table.has(key)) return false;
    table.set(key, value);
    return true;
  }

  /** @param host lower case, without port */
  find(host: string): T | null {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    if (this.#wildcards.size > 0) {
      // `*.example.com` stands for every name below, at any depth, and not for `example.com`.
      for (let dot = host.indexOf(".", 1); dot >= 0; dot = host.indexOf(".", dot + 1)) {
        const found = this.#wildcards.get(host.slice(dot));
        if (found !== undefined) return found;
      }
    }
    return this.#any;
  }
}

/** How narrowly `pattern` names `host`: 0 not at all, 1 for `*`, then by length, exact above all wildcards. */
export function hostSpecificity(pattern: string, host: string): number {
  if (pattern === "*") return 1;
  if (!pattern.startsWith("*")) return pattern === host ? 1_000_000 : 0;
  return host.length >= pattern.length && host.endsWith(pattern.slice(1)) ? 1 + pattern.length : 0;
}

/**
 * Of listeners that share a port, the one whose names are closest to `host` (SNI or Host): Gateway API's isolation of listeners.
 *
 * @returns null when none takes the host
 */
export function closestByHost<T extends { readonly hostnames: readonly string[] }>(
  candidates: readonly T[],
  host: string,
): T | null {
  let best: T | null = null, bestRank = 0;
  for (const candidate of candidates) {
    for (const pattern of candidate.hostnames) {
      const rank = hostSpecificity(pattern, host);
      if (rank > bestRank) {
        bestRank = rank;
        best = candidate;
      }
    }
  }
  return best;
}
