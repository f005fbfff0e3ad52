import type { SpiffeId } from "../model/identity.ts";

/** A workload's certificate with its private key; lives in memory only. */
export interface WorkloadCertificate {
  readonly id: SpiffeId;
  /** Leaf and intermediates, without the root: what a peer is sent. */
  readonly chainPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
  /** The roots that peers are verified against; possibly several certificates. */
  readonly rootsPem: string;
  readonly leafDer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Decimal, as ztunnel's config_dump shows it. */
  readonly serial: string;
}

/** Obtains a fresh certificate for one identity: the CA client, or a test's own CA. */
export interface CertificateSource {
  fetch(id: SpiffeId, signal?: AbortSignal): Promise<WorkloadCertificate>;
}

/** Who called, as an authenticator established it. */
export interface Caller {
  readonly authenticator: "clientCertificate" | "kubernetesToken";
  readonly identities: readonly SpiffeId[];
  /** What a Kubernetes token adds; needed to authorise impersonation. */
  readonly kubernetes?: KubernetesCaller;
}

export interface KubernetesCaller {
  readonly clusterId: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod that the token is bound to. */
  readonly podName?: string;
  readonly podUid?: string;
}
