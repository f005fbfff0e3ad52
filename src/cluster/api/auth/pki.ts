import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "../../../core/errors.ts";
import { CLUSTER_NETWORK } from "../../contracts.ts";
import { issueCertificate, type KeyedCertificate } from "./certificates.ts";

export type PkiErrorCode = "PKI_UNREADABLE";

/** Everything the API server signs and proves itself with. */
export interface ClusterPki {
  caPem: string;
  serving: KeyedCertificate;
  admin: KeyedCertificate;
  /** Signs service-account tokens (ES256). */
  tokenKey: KeyObject;
  tokenPublicKey: KeyObject;
  /** Bearer token of the static administrator. */
  adminToken: string;
}

const CA_NAME = "kubernetes";
const CA_DAYS = 3650;
const LEAF_DAYS = 365;
const RENEW_BEFORE_MS = 60 * 86_400_000;

/** Names and addresses the serving certificate is good for. */
export const SERVING_DNS_NAMES = [
  "localhost",
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  `kubernetes.default.svc.${CLUSTER_NETWORK.clusterDomain}`,
];
export const SERVING_ADDRESSES = ["127.0.0.1", "::1", CLUSTER_NETWORK.apiServiceIp, CLUSTER_NETWORK.fabricIp];

/**
 * Loads the cluster's keys from `dir`, making what is missing and renewing leaf certificates that end soon.
 *
 * @throws {MeshError} `PKI_UNREADABLE` where a file is damaged, naming it
 */
export function loadPki(
  dir: string,
  now: number,
  extraDnsNames: string[] = [],
  extraAddresses: string[] = [],
): ClusterPki {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ca = loadPair(
    dir,
    "ca",
    () => issueCertificate({ commonName: CA_NAME, usage: "authority", days: CA_DAYS, now }),
  );
  const issuer = { ...ca, commonName: CA_NAME };
  const dnsNames = [...SERVING_DNS_NAMES, ...extraDnsNames];
  const ipAddresses = [...SERVING_ADDRESSES, ...extraAddresses];
  const covers = (cert: X509Certificate) =>
    dnsNames.every((name) => cert.checkHost(name) !== undefined) &&
    ipAddresses.every((address) => cert.checkIP(address) !== undefined);
  const caCert = new X509Certificate(ca.certPem);
  const current = (cert: X509Certificate) =>
    cert.validToDate.getTime() - now > RENEW_BEFORE_MS && cert.checkIssued(caCert);
  const serving = loadPair(
    dir,
    "apiserver",
    () =>
      issueCertificate(
        { commonName: "kube-apiserver", dnsNames, ipAddresses, usage: "server", days: LEAF_DAYS, now },
        issuer,
      ),
    (cert) => current(cert) && covers(cert),
  );
  const admin = loadPair(
    dir,
    "admin",
    () =>
      issueCertificate({
        commonName: "kubernetes-admin",
        organizations: ["system:masters"],
        usage: "client",
        days: LEAF_DAYS,
        now,
      }, issuer),
    current,
  );
  const keyPem = loadText(dir, "sa.key", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  });
  const tokenKey = readKey(join(dir, "sa.key"), keyPem);
  const adminToken = loadText(dir, "admin.token", () => randomBytes(24).toString("hex")).trim();
  return { caPem: ca.certPem, serving, admin, tokenKey, tokenPublicKey: createPublicKey(tokenKey as any), adminToken };
}

function loadText(dir: string, name: string, make: () => string): string {
  const path = join(dir, name);
  if (existsSync(path)) return readFileSync(path, "utf8");
  const text = make();
  writeSecret(path, text);
  return text;
}

function writeSecret(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function loadPair(
  dir: string,
  name: string,
  make: () => KeyedCertificate,
  good: (cert: X509Certificate) => boolean = () => true,
): KeyedCertificate {
  const certPath = join(dir, `${name}.crt`);
  const keyPath = join(dir, `${name}.key`);
  if (existsSync(certPath) && existsSync(keyPath)) {
    const pair = { certPem: readFileSync(certPath, "utf8"), keyPem: readFileSync(keyPath, "utf8") };
    readKey(keyPath, pair.keyPem);
    if (good(readCertificate(certPath, pair.certPem))) return pair;
  }
  const pair = make();
  writeSecret(keyPath, pair.keyPem);
  writeSecret(certPath, pair.certPem);
  return pair;
}

function readKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function readCertificate(path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): MeshError<PkiErrorCode> {
  return new MeshError<PkiErrorCode>(
    "PKI_UNREADABLE",
    `cannot read the cluster's key material in "${path}": restore the file from a copy, remove the cluster's data directory ` +
      `to start afresh, or choose another with --data-dir`,
    { cause },
  );
}
