import { type AuthorityOptions, CertificateAuthority } from "../../src/identity/authority.ts";
import { readReply } from "../../src/identity/ca_client.ts";
import { type CaMaterial, newSelfSignedCa } from "../../src/identity/ca_material.ts";
import { createCsr } from "../../src/identity/csr.ts";
import type { WorkloadCertificate } from "../../src/identity/types.ts";
import type { ReviewedToken, TokenReviewer } from "../../src/identity/authenticate.ts";
import { type SpiffeId, spiffeId } from "../../src/model/identity.ts";
import { Logger, type LogSink } from "../../src/telemetry/logger.ts";

/** A quick CA: P-256, so that no test waits for an RSA key. */
export function testCaMaterial(now = Date.now(), trustDomain = "cluster.local"): Promise<CaMaterial> {
  return newSelfSignedCa({ trustDomain, ttlMs: 3650 * 24 * 3600_000, key: { kind: "EC", curve: "P-256" }, now });
}

export async function testCa(
  options: AuthorityOptions = {},
  trustDomain = "cluster.local",
): Promise<CertificateAuthority> {
  return new CertificateAuthority(await testCaMaterial(options.clock?.now(), trustDomain), options);
}

export function idOf(namespace: string, serviceAccount: string, trustDomain = "cluster.local"): SpiffeId {
  return spiffeId({ trustDomain, namespace, serviceAccount });
}

/** A workload certificate straight from a CA. */
export async function issueWorkload(
  ca: CertificateAuthority,
  id: SpiffeId,
  ttlMs = 24 * 3600_000,
): Promise<WorkloadCertificate> {
  const { csrPem, keys } = await createCsr(id);
  return readReply(id, keys, ca.issue(csrPem, [id], ttlMs));
}

/** Keeps log lines for assertions, so that a test prints nothing. */
export class LogLines implements LogSink {
  readonly lines: string[] = [];
  write(line: string): void {
    this.lines.push(line);
  }
  has(text: string): boolean {
    return this.lines.some((line) => line.includes(text));
  }
}

export function testLogger(lines: LogLines = new LogLines()): Logger {
  return new Logger("test", { sink: lines });
}

/** A cluster's TokenReview over a table of tokens; an entry for another audience is not valid here. */
export function tableReviewer(tokens: Record<string, ReviewedToken & { audience?: string }>): TokenReviewer {
  return (token, audiences) => {
    const entry = Object.hasOwn(tokens, token) ? tokens[token] : undefined;
    const valid = entry && audiences.includes(entry.audience ?? "istio-ca");
    return Promise.resolve(valid ? entry : undefined);
  };
}

/** The reviewed token of a service account's pod. */
export function reviewed(namespace: string, serviceAccount: string, pod = "", uid = ""): ReviewedToken {
  return {
    username: `system:serviceaccount:${namespace}:${serviceAccount}`,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra: pod === ""
      ? {}
      : { "authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": [uid] },
  };
}

/**
 * Waits past grpc-js's timers that outlive a closed channel: reconnecting (10 ms, see openChannel) and the next address (250 ms).
 * Timers fire in the order of their deadlines, so one set later and for longer fires after them.
 */
export function grpcTimersFired(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 300));
}
