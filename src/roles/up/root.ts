import { type CaMaterial, caToSecretData, newSelfSignedCa, SELF_SIGNED_DEFAULTS } from "../../identity/ca_material.ts";
import { ensureNamespace } from "../ctl/apply.ts";
import { KubeApiError, type KubeClient, type KubeJson } from "../ctl/kube.ts";
import { ROOT_SECRET } from "../istiod/root_secret.ts";

/** Where the profile `ambient` installs, and what it takes its trust domain to be. */
const NAMESPACE = "istio-system", TRUST_DOMAIN = "cluster.local";

/** A root for the mesh of a new cluster. Its key is not RSA, which istiod would take: that costs up to half a second to make. */
export function newRoot(): Promise<CaMaterial> {
  const { ttlMs } = SELF_SIGNED_DEFAULTS;
  return newSelfSignedCa({ ttlMs, key: { kind: "EC", curve: "P-256" }, trustDomain: TRUST_DOMAIN, now: Date.now() });
}

/**
 * Writes the root where istiod would write one that it makes itself. istiod takes it over, and ztunnel, which mounts the
 * root's certificate, starts beside istiod instead of after it. A cluster that has a root already keeps it.
 */
export async function plantRoot(client: KubeClient, root: CaMaterial, signal: AbortSignal): Promise<void> {
  await ensureNamespace(client, NAMESPACE, {}, { signal });
  const data = Object.fromEntries(Object.entries(caToSecretData(root)).map(([name, text]) => [name, btoa(text)]));
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: ROOT_SECRET, namespace: NAMESPACE },
    type: "istio.io/ca-root",
    data,
  };
  if (!(await create(client, "secrets", secret, signal))) return;
  await create(client, "configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "istio-ca-root-cert", namespace: NAMESPACE, labels: { "istio.io/config": "true" } },
    data: { "root-cert.pem": root.rootPem },
  }, signal);
}

/** @returns false when there is one of that name already */
async function create(
  client: KubeClient,
  resource: "secrets" | "configmaps",
  object: KubeJson,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await client.request("POST", `/api/v1/namespaces/${NAMESPACE}/${resource}`, { body: object, signal });
    return true;
  } catch (error) {
    if (error instanceof KubeApiError && error.status === 409) return false;
    throw error;
  }
}
