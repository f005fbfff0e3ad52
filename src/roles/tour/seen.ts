import { podRequest } from "../ctl/port_forward.ts";
import type { KubeJson } from "../ctl/kube.ts";
import { waitReady } from "../ctl/wait.ts";
import { apply, eventually, execIn, expect, podOf, sample, type TourContext, type TourStep } from "./context.ts";

const READY_MS = 60_000, SHOWN_MS = 30_000;
const NAMESPACE = "istio-system";

/** The addon's objects; roles belong to no namespace. */
function addon(): KubeJson[] {
  return sample("addons/kiali.yaml").map((object) =>
    object.kind.startsWith("ClusterRole")
      ? { ...object, metadata: { ...object.metadata, namespace: undefined } }
      : object
  );
}

async function ask(tour: TourContext, path: string): Promise<any> {
  const pod = await podOf(tour, "kiali", NAMESPACE);
  const { status, body } = await podRequest(
    tour.client,
    NAMESPACE,
    pod.metadata.name,
    20001,
    "GET",
    `/kiali/api/${path}`,
  );
  expect(status === 200, `the console answered ${status}`);
  return JSON.parse(body);
}

/** `app:default/reviews/v1` as people say it. */
const short = (node: string): string => node.replace(/^\w+:default\//, "").replace("/latest", "").replace("/", " ");

/** Of journey 3: the graph of it all (tutorial S3 steps 6, 10-12). */
export const SEEN: readonly TourStep[] = [
  {
    title: "The graph shows who talks to whom, by mutual TLS, and who is refused",
    command: "kubectl apply -f samples/addons/kiali.yaml && kubectl port-forward svc/kiali 20001:20001 -n istio-system",
    async run(tour) {
      const objects = addon();
      await apply(tour, objects);
      const deployments = objects.filter(({ kind }) => kind === "Deployment");
      await waitReady(tour.client, deployments, { onReady: () => {}, timeoutMs: READY_MS, signal: tour.signal });
      await eventually(tour, SHOWN_MS, async () => {
        const { proxies } = await ask(tour, "status");
        expect(
          proxies.some((one: any) => one.kind === "waypoint" && one.ok),
          "the waypoint's metrics are not read yet",
        );
      });
      const loop = "for i in $(seq 20); do curl -s -m 10 -o /dev/null http://productpage:9080/productpage; done";
      await execIn(tour, "sleep", ["sh", "-c", loop]);
      await execIn(tour, "notsleep", ["curl", "-s", "-m", "10", "http://productpage:9080/"]);
      return await eventually(tour, SHOWN_MS, async () => {
        const { edges } = await ask(tour, "graph?namespaces=default");
        const edge = (from: string, to: string) =>
          edges.find((one: any) => short(one.source) === from && short(one.target) === to);
        const seen = [["sleep", "productpage v1"], ["productpage v1", "reviews v1"], ["productpage v1", "details v1"]];
        const lines = seen.map(([from, to]) => {
          const found = edge(from, to);
          expect(found?.mtls, `${from} → ${to} ${found ? "has no padlock" : "is not in the graph"}`);
          const { requests, meanMs } = found.http;
          return `${from} → ${to}`.padEnd(32) + ` mTLS  ${requests.toFixed(1)} requests/s  ${meanMs.toFixed(1)} ms`;
        });
        const refused = edge("notsleep", "productpage v1");
        expect(refused?.health === "denied", "the refusal of notsleep is not in the graph");
        const by = refused.deniedBy.map(({ name }: any) => name).join(", ");
        return [...lines, `${"notsleep → productpage v1".padEnd(32)} refused by ${by}`];
      });
    },
  },
];
