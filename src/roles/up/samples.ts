import { parseAllDocuments } from "yaml";
import { SAMPLES } from "../../../manifests/samples/mod.ts";
import { applyAll } from "../ctl/apply.ts";
import type { KubeClient, KubeJson } from "../ctl/kube.ts";
import { waitReady } from "../ctl/wait.ts";

export const SAMPLE_NAMESPACE = "default";

/** What `up` deploys, by path under manifests/samples. */
const BOOKINFO = ["bookinfo/platform/kube/bookinfo.yaml", "sleep/sleep.yaml", "sleep/notsleep.yaml"] as const;

/** Objects of a YAML text; those without a namespace get `namespace`. */
export function parseManifest(text: string, namespace: string): KubeJson[] {
  return parseAllDocuments(text).map((doc) => doc.toJS()).filter((object) => object !== null)
    .map((object) => ({ ...object, metadata: { namespace, ...object.metadata } }));
}

/** Bookinfo, sleep and notsleep, in namespace default. */
export function sampleObjects(): KubeJson[] {
  return BOOKINFO.flatMap((path) => parseManifest(SAMPLES[path], SAMPLE_NAMESPACE));
}

/** With the note that `kubectl apply` leaves and looks for, so that applying the same file later changes nothing and warns of nothing. */
export function asKubectlApplies(object: KubeJson): KubeJson {
  const annotations = { ...object.metadata.annotations };
  const noted = { ...object, metadata: { ...object.metadata, annotations } };
  const note = { "kubectl.kubernetes.io/last-applied-configuration": `${JSON.stringify(noted)}\n` };
  return { ...noted, metadata: { ...noted.metadata, annotations: { ...annotations, ...note } } };
}

/** Applies the samples: what pods mention first, then the Deployments. */
export async function applySamples(client: KubeClient, signal?: AbortSignal): Promise<void> {
  const objects = sampleObjects().map(asKubectlApplies);
  await applyAll(client, objects.filter(({ kind }) => kind !== "Deployment"), { signal });
  await applyAll(client, objects.filter(({ kind }) => kind === "Deployment"), { signal });
}

/** Waits until every Deployment of the samples is available. */
export function waitForSamples(
  client: KubeClient,
  onReady: (name: string) => void,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const deployments = sampleObjects().filter(({ kind }) => kind === "Deployment");
  return waitReady(client, deployments, { onReady, timeoutMs, signal });
}

/** Puts a namespace into the mesh, as `kubectl label namespace … istio.io/dataplane-mode=ambient` does. */
export function enrol(client: KubeClient, namespace: string): Promise<KubeJson> {
  return client.request("PATCH", `/api/v1/namespaces/${namespace}`, {
    body: { metadata: { labels: { "istio.io/dataplane-mode": "ambient" } } },
    contentType: "application/merge-patch+json",
  });
}

/** Pods of a namespace that match a label selector and are ready. */
export async function readyPods(client: KubeClient, namespace: string, labelSelector: string): Promise<KubeJson[]> {
  const pods = await client.list("v1", "Pod", { namespace, labelSelector });
  return pods.filter((pod) =>
    !pod.metadata.deletionTimestamp &&
    pod.status?.conditions?.some((c: { type: string; status: string }) => c.type === "Ready" && c.status === "True")
  );
}
