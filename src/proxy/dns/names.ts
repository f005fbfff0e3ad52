// Which host names a DNS question may mean, in ztunnel's order (shared/reference/ztunnel-behaviour.md §5).

/** A host name to look up among services. */
export interface CandidateName {
  readonly name: string;
  /** The name that was found by taking a search domain off, when one was; the answer then begins with a CNAME to it. */
  readonly stripped: string | undefined;
  readonly wildcard: boolean;
}

/**
 * Every name to try for a question, most literal first: as asked, completed as Kubernetes does, then the same without each of
 * the pod's search domains. After each name come the wildcards that cover it, most specific first.
 *
 * @param asked without the final dot; compared in lower case
 */
export function* candidateNames(asked: string, namespace: string, clusterDomain: string): Generator<CandidateName> {
  const name = asked.toLowerCase();
  const seen = new Set<string>();
  yield* expand(name, undefined, namespace, clusterDomain, seen);
  for (const search of [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]) {
    if (!name.endsWith(`.${search}`)) continue;
    const stripped = name.slice(0, -search.length - 1);
    yield* expand(stripped, stripped, namespace, clusterDomain, seen);
  }
}

function* expand(
  name: string,
  stripped: string | undefined,
  namespace: string,
  clusterDomain: string,
  seen: Set<string>,
): Generator<CandidateName> {
  for (const full of [name, ...completions(name, namespace, clusterDomain)]) {
    if (!seen.has(full)) {
      seen.add(full);
      yield { name: full, stripped, wildcard: false };
    }
    for (let dot = full.indexOf("."); dot >= 0; dot = full.indexOf(".", dot + 1)) {
      const wildcard = `*${full.slice(dot)}`;
      if (seen.has(wildcard)) continue;
      seen.add(wildcard);
      yield { name: wildcard, stripped, wildcard: true };
    }
  }
}

/** What a name that is short of its Kubernetes form may stand for. */
function completions(name: string, namespace: string, clusterDomain: string): string[] {
  const labels = name.split(".").length;
  const inService = `${name}.svc.${clusterDomain}`, inNamespace = `${name}.${namespace}.svc.${clusterDomain}`;
  const inDomain = `${name}.${clusterDomain}`;
  if (labels === 1) return [inNamespace];
  if (labels === 2) return [inService, inNamespace];
  const service = name.endsWith(".svc");
  if (labels === 3) return service ? [inDomain, inService] : [inService];
  return labels === 4 && service ? [inDomain] : [];
}
