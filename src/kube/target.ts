import type { EnvLookup } from "../core/config.ts";
import { invalidKubeconfig } from "./errors.ts";

/** Where a Kubernetes API is and who calls it. PEM texts, not paths. */
export interface KubeTarget {
  /** `https://host:port`, without a slash at the end. */
  readonly server: string;
  /** Roots of the API's certificate; the runtime's own when absent. */
  readonly caPem?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  /** A bearer token, or how to get the current one; called for every request. */
  readonly token?: string | (() => Promise<string>);
  /** Namespace of the context, or of this pod. */
  readonly namespace?: string;
  readonly impersonate?: { readonly user?: string; readonly groups?: readonly string[]; readonly uid?: string };
  /** Reads the target again, for roots that were replaced; absent where nothing can change. */
  readonly reload?: () => Promise<KubeTarget>;
}

/** Where a pod finds its own service account. */
export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/** How long a token read from a file is used before the file is read again. Kubelets replace tokens long before they end. */
const TOKEN_FILE_MS = 10_000;

/** The token in a file, read again every few seconds. A file that cannot be read leaves the last token in use. */
export function tokenFile(path: string, now: () => number = Date.now): () => Promise<string> {
  let token: string | undefined, readAt = 0;
  return async () => {
    if (token !== undefined && now() - readAt < TOKEN_FILE_MS) return token;
    try {
      token = (await Deno.readTextFile(path)).trim();
      readAt = now();
    } catch (cause) {
      if (token === undefined) throw invalidKubeconfig(`cannot read the token file "${path}"`, cause);
    }
    return token;
  };
}

/**
 * The API of the cluster that this pod runs in, as its service account.
 *
 * @throws MeshError `invalid_kubeconfig`
 */
export async function inClusterTarget(env: EnvLookup, directory = SERVICE_ACCOUNT_DIRECTORY): Promise<KubeTarget> {
  const host = env("KUBERNETES_SERVICE_HOST"), port = env("KUBERNETES_SERVICE_PORT") || "443";
  if (!host) throw invalidKubeconfig("this is not a pod: KUBERNETES_SERVICE_HOST is not set");
  try {
    const [caPem, namespace] = await Promise.all([
      Deno.readTextFile(`${directory}/ca.crt`),
      Deno.readTextFile(`${directory}/namespace`),
    ]);
    return {
      server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      caPem,
      token: tokenFile(`${directory}/token`),
      namespace: namespace.trim(),
      reload: () => inClusterTarget(env, directory),
    };
  } catch (cause) {
    throw invalidKubeconfig("cannot read the service account of this pod", cause);
  }
}
