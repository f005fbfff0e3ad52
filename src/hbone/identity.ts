import { splitHostPort } from "../core/ip.ts";
import { peerSpiffeIds } from "../identity/certificate.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import { parseSpiffeId, type SpiffeId } from "../model/identity.ts";
import { TlsContext, type TlsRole } from "../net/tls_context.ts";
import type { TlsPeer } from "../net/tls_transport.ts";

const contexts: Record<TlsRole, WeakMap<WorkloadCertificate, TlsContext>> = {
  client: new WeakMap(),
  server: new WeakMap(),
};

/**
 * The TLS settings of one side for a certificate; made once, and forgotten together with the certificate.
 *
 * @throws MeshError `tls_material`
 */
export function tlsContextOf(certificate: WorkloadCertificate, role: TlsRole): TlsContext {
  let context = contexts[role].get(certificate);
  if (!context) contexts[role].set(certificate, context = new TlsContext(role, certificate, { alpn: ["h2"] }));
  return context;
}

/** SPIFFE ids of a peer whose chain has been verified; an unreadable certificate has none. */
export function idsOf(peer: TlsPeer): SpiffeId[] {
  try {
    return peerSpiffeIds(peer.leafDer);
  } catch {
    return [];
  }
}

/**
 * The server's rule: some id of the peer is of the trust domain of our own leaf. Trust-domain aliases do not count, as in ztunnel.
 *
 * @returns why the peer is refused, or undefined
 */
export function clientProblem(ids: readonly SpiffeId[], own: SpiffeId): string | undefined {
  const trustDomain = parseSpiffeId(own)?.trustDomain;
  if (ids.length === 0) return "the client's certificate has no SPIFFE identity";
  if (ids.some((id) => parseSpiffeId(id)?.trustDomain === trustDomain)) return undefined;
  return `the client "${ids.join('", "')}" is not of the trust domain "${trustDomain}"`;
}

/**
 * The client's rule: some id of the peer is exactly one that is expected.
 *
 * @returns why the peer is refused, or undefined
 */
export function serverProblem(ids: readonly SpiffeId[], expected: readonly SpiffeId[]): string | undefined {
  if (ids.some((id) => expected.includes(id))) return undefined;
  const found = ids.length === 0 ? "no SPIFFE identity" : `"${ids.join('", "')}"`;
  return `the server has ${found}, expected "${expected.join('" or "')}"`;
}

/** Splits `10.0.0.1:80`, `[::1]:80` or `name:80`; undefined when there is no port or no host. */
export function splitAuthority(authority: string): { host: string; port: number } | undefined {
  const parts = splitHostPort(authority);
  return parts && parts.port > 0 ? parts : undefined;
}
