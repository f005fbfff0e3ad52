import { VERSION } from "../../core/version.ts";
import type { WiretapSummary } from "../../cluster/programs/wiretap.ts";
import { readyPods } from "../up/samples.ts";
import { apply, eventually, expect, TITLE, type TourContext } from "./context.ts";

const NAMESPACE = "wiretap";

/** A DaemonSet that watches the wire of every node, from outside the pods. */
export async function startWiretap(tour: TourContext): Promise<void> {
  const labels = { app: "wiretap" };
  await apply(tour, [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "wiretap", namespace: NAMESPACE },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            hostNetwork: true,
            tolerations: [{ operator: "Exists" }],
            terminationGracePeriodSeconds: 1,
            containers: [{
              name: "wiretap",
              image: `ambientd:${VERSION}`,
              args: ["sample", "wiretap", "--text", TITLE],
              securityContext: { capabilities: { add: ["NET_RAW"] } },
            }],
          },
        },
      },
    },
  ]);
  const nodes = await tour.client.list("v1", "Node");
  await eventually(tour, 60_000, async () => {
    expect(
      (await readyPods(tour.client, NAMESPACE, "app=wiretap")).length === nodes.length,
      "the wiretap is not ready",
    );
    expect((await readAll(tour)).every(Boolean), "the wiretap does not report yet");
  });
}

async function readAll(tour: TourContext): Promise<(WiretapSummary | undefined)[]> {
  const pods = await readyPods(tour.client, NAMESPACE, "app=wiretap");
  return await Promise.all(pods.map(async (pod) => {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod.metadata.name}/log`;
    const text = String(await tour.client.request("GET", path, { query: { tailLines: "1" } })).trim();
    return text === "" ? undefined : JSON.parse(text) as WiretapSummary;
  }));
}

/** What all nodes' wires carried so far, added up. */
export async function readWire(tour: TourContext): Promise<WiretapSummary> {
  const total: WiretapSummary = { hboneSegments: 0, tlsRecords: 0, otherPorts: {}, plainText: 0 };
  for (const summary of await readAll(tour)) {
    if (!summary) continue;
    total.hboneSegments += summary.hboneSegments;
    total.tlsRecords += summary.tlsRecords;
    total.plainText += summary.plainText;
  }
  return total;
}

/** Reads the wire until what it has seen satisfies `enough`: a summary is a moment behind the traffic. */
export function awaitWire(
  tour: TourContext,
  enough: (summary: WiretapSummary) => boolean,
  otherwise: string,
): Promise<WiretapSummary> {
  return eventually(tour, 10_000, async () => {
    const summary = await readWire(tour);
    expect(enough(summary), otherwise);
    return summary;
  });
}
