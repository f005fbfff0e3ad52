import type { KubeClient } from "../../kube/client.ts";
import { RESOURCES } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";

/** Where the self-signed root is kept, in istiod's namespace. */
export const ROOT_SECRET = "istio-ca-secret";

/** The Secret of the self-signed root; undefined when there is none. It is the first thing that istiod asks the API. */
export function readRootSecret(
  client: KubeClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<KubeObject | undefined> {
  return client.get(RESOURCES.secrets, namespace, ROOT_SECRET, { signal });
}
