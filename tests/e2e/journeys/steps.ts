// Commands that several journeys have in common, as their authors typed them.

import assert from "node:assert/strict";
import type { Definitions, ReleaseName } from "../../support/gateway_api_release.ts";
import type { UserShell } from "../../support/user_shell.ts";

/** The Gateway API's definitions that tutorials name; the bundled ones stand in for those that cannot be downloaded here. */
export type Releases = Readonly<Record<ReleaseName, Definitions>>;

export type Journey = (shell: UserShell, releases: Releases) => Promise<void>;

export const TITLE = /<title>Simple Bookstore App<\/title>/;
export const BOOKINFO = "samples/bookinfo";

const SAMPLES = [
  `${BOOKINFO}/platform/kube/bookinfo.yaml`,
  `${BOOKINFO}/platform/kube/bookinfo-versions.yaml`,
  "samples/sleep/sleep.yaml",
  "samples/sleep/notsleep.yaml",
];

/** The tutorials' one-liner, but for the address: a folder with the files that they name at GitHub. Returns the lines it printed. */
export async function applyDefinitions(shell: UserShell, { folder }: Definitions): Promise<string[]> {
  const printed = await shell.type(
    `kubectl get crd gateways.gateway.networking.k8s.io &> /dev/null || { kubectl kustomize "${folder}" | kubectl apply -f -; }`,
    /httproutes\.gateway\.networking\.k8s\.io created/,
  );
  return printed.trim().split("\n");
}

/** S3's way to take them away again. */
export async function deleteDefinitions(shell: UserShell, { folder }: Definitions): Promise<void> {
  await shell.type(`kubectl kustomize "${folder}" | kubectl delete -f -`, /httproutes\S+" deleted/);
}

/** Bookinfo with its versions, sleep and notsleep; waits until they run. */
export async function deploySamples(shell: UserShell): Promise<void> {
  for (const file of SAMPLES) await shell.type(`kubectl apply -f ${file}`);
  await shell.type("kubectl wait --for=condition=Available deployment --all --timeout=60s");
}

/** Deletes what `deploySamples` made, in the opposite order; waits until the pods are gone. */
export async function deleteSamples(shell: UserShell): Promise<void> {
  for (const file of SAMPLES.toReversed()) await shell.type(`kubectl delete --ignore-not-found -f ${file}`);
  await shell.type("kubectl wait --for=delete pod --all --timeout=60s");
}

/** A page from a pod, by curl. */
export function page(app: string, url: string): string {
  return `kubectl exec deploy/${app} -- curl -s -m 10 ${url} | grep -o "<title>.*</title>"`;
}

/** The product page from this machine, through `kubectl port-forward` to a gateway's Service. */
export async function pageFromHost(shell: UserShell, service: string, namespace = "default"): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await shell.type(
    `kubectl port-forward -n ${namespace} service/${service} ${port}:80 >/dev/null &
curl -s --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:${port}/productpage | grep -o "<title>.*</title>"
kill %1`,
    TITLE,
  );
}

/** The three curls of S3 steps 9, 12 and S4 step 9: through the gateway, and directly from both clients. */
export async function threeCurls(shell: UserShell, gateway: string): Promise<void> {
  // The first after a change may find a proxy that has yet to hear of it.
  await shell.until(page("sleep", gateway), TITLE);
  await shell.until(page("sleep", "http://productpage:9080/"), TITLE);
  await shell.until(page("notsleep", "http://productpage:9080/"), TITLE);
}

/** Ages, restarts and addresses of the applications' pods; they must not change when pods join or leave. */
export function podFacts(shell: UserShell): Promise<string> {
  const fields =
    "{.metadata.uid} {.status.podIP} {.metadata.creationTimestamp} {.status.containerStatuses[*].restartCount}";
  return shell.type(`kubectl get pods -o jsonpath='{range .items[*]}${fields}{"\\n"}{end}' | sort`);
}

/** Labels the namespace and waits until all of its pods are captured, but for gateways, which never are. */
export async function enrol(shell: UserShell): Promise<void> {
  await shell.type("kubectl label namespace default istio.io/dataplane-mode=ambient", /namespace\/default labeled/);
  await untilCaptured(shell, /^(enabled\s*)+$/);
}

export async function untilCaptured(shell: UserShell, expected: RegExp): Promise<void> {
  const redirected = `{range .items[*]}{.metadata.annotations.ambient\\.istio\\.io/redirection}{"-\\n"}{end}`;
  await shell.until(
    `kubectl get pods -l '!gateway.networking.k8s.io/gateway-name' -o jsonpath='${redirected}' | sort -u | tr -d '-'`,
    expected,
  );
}

/** The pods of the mesh: all `1/1 Running`, so many of each. */
export async function meshPods(shell: UserShell, wanted: Record<string, number>): Promise<void> {
  const text = await shell.type("kubectl get pods -n istio-system --no-headers");
  for (const [prefix, count] of Object.entries(wanted)) {
    const lines = text.split("\n").filter((line) => line.startsWith(prefix));
    assert.equal(lines.length, count, text);
    for (const line of lines) assert.match(line, /\s1\/1\s+Running\s+0\s/);
  }
}

/** ztunnel's refusal of a connection: curl exits 56, and nothing is printed. */
export async function refused(shell: UserShell, app: string): Promise<void> {
  await shell.until(
    `kubectl exec deploy/${app} -- curl -s -m 10 http://productpage:9080/; echo "exit $?"`,
    /^exit 56$/m,
  );
}
