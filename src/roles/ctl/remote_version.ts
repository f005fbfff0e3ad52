import { MeshError } from "../../core/errors.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { podRequest } from "./port_forward.ts";

/** A running control-plane instance. */
export interface MeshVersion {
  readonly component: string;
  readonly revision: string;
  readonly version: string;
}

/** Running and ready istiod pods, of one revision or of all. */
export async function istiodPods(client: KubeClient, namespace: string, revision?: string): Promise<KubeJson[]> {
  const selector = revision ? `app=istiod,istio.io/rev=${revision}` : "app=istiod";
  const pods = await client.list("v1", "Pod", { namespace, labelSelector: selector });
  return pods.filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp);
}

/** The version that every running istiod gives, its image's tag where it does not answer. */
export async function meshVersions(client: KubeClient, namespace: string, revision?: string): Promise<MeshVersion[]> {
  const pods = await istiodPods(client, namespace, revision);
  return await Promise.all(pods.map(async (pod) => ({
    component: "istiod",
    revision: pod.metadata.labels?.["istio.io/rev"] ?? "default",
    version: await podVersion(client, pod),
  })));
}

async function podVersion(client: KubeClient, pod: KubeJson): Promise<string> {
  try {
    const answer = await podRequest(client, pod.metadata.namespace, pod.metadata.name, 15014, "GET", "/version", {
      timeoutMs: 3000,
    });
    const version = readVersion(answer.body);
    if (answer.status === 200 && version) return version;
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
  }
  return imageTag(pod) ?? "unknown";
}

/** Istio answers `1.2.3-<commit>-Clean`, some builds JSON. */
function readVersion(body: string): string | undefined {
  const text = body.trim();
  if (text.startsWith("{")) {
    const json = JSON.parse(text);
    return json.version ?? json.Version ?? json.clientVersion?.version;
  }
  return /^\S{1,100}$/.test(text) ? text.replace(/-[0-9a-f]{40}-(Clean|Modified)$/, "") : undefined;
}

/** Tag of a pod's first container. */
export function imageTag(pod: KubeJson): string | undefined {
  const image: string = pod.spec?.containers?.[0]?.image ?? "";
  return /:([\w][\w.-]*)$/.exec(image)?.[1];
}
