/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, checked. Branded so that no other string passes as one. */
export type SpiffeId = string & { readonly __brand: "SpiffeId" };

/** The parts of a {@linkcode SpiffeId}. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const PART = /^[A-Za-z0-9._-]+$/;

/** Identities seen before: every connection asks for the same few. */
const parsed = new Map<string, Identity>();
const MAX_PARSED = 10_000;

/**
 * Parses exactly `spiffe://TD/ns/NS/sa/SA` (the grammar ztunnel accepts); anything else is not an identity.
 *
 * @returns undefined when `text` is not an identity
 */
export function parseSpiffeId(text: string): Identity | undefined {
  const known = parsed.get(text);
  if (known) return known;
  if (!text.startsWith("spiffe://")) return undefined;
  const parts = text.slice("spiffe://".length).split("/");
  if (parts.length !== 5 || parts[1] !== "ns" || parts[3] !== "sa") return undefined;
  if (!PART.test(parts[0]) || !PART.test(parts[2]) || !PART.test(parts[4])) return undefined;
  const identity: Identity = { trustDomain: parts[0], namespace: parts[2], serviceAccount: parts[4] };
  if (parsed.size >= MAX_PARSED) parsed.clear();
  parsed.set(text, identity);
  return identity;
}

export function spiffeId(identity: Identity): SpiffeId {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}` as SpiffeId;
}
