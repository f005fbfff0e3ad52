import { applySamples, waitForSamples } from "../up/samples.ts";
import { accessLines } from "../up/ztunnel_view.ts";
import {
  awaitEnrolment,
  curlProductpage,
  eventually,
  expect,
  labelNamespace,
  podOf,
  runCtl,
  TITLE,
  type TourContext,
  type TourStep,
} from "./context.ts";
import { awaitWire, readWire, startWiretap } from "./wiretap.ts";

const CALLERS = ["sleep", "notsleep", "ratings"];
const REQUESTS = 10;

async function allCallersServed(tour: TourContext): Promise<string[]> {
  const lines: string[] = [];
  for (const app of CALLERS) {
    const { stdout, exitCode } = await curlProductpage(tour, app);
    expect(stdout.includes(TITLE), `curl from ${app} ended with code ${exitCode} and no title`);
    lines.push(`${app.padEnd(9)} → productpage  ${TITLE}`);
  }
  return lines;
}

/** What must not change when pods join or leave. */
async function podRecord(tour: TourContext): Promise<Record<string, string>> {
  const pods = await tour.client.list("v1", "Pod", { namespace: "default" });
  return Object.fromEntries(pods.map((pod) => [
    pod.metadata.name,
    [
      pod.metadata.uid,
      pod.metadata.creationTimestamp,
      pod.status.podIP,
      ...pod.status.containerStatuses.map((c: any) => `${c.restartCount} ${c.state?.running?.startedAt}`),
    ].join(" "),
  ]));
}

/** Journey 1: Bookinfo joins the mesh without a restart (tutorial S4). */
export const ENROLMENT: readonly TourStep[] = [
  {
    title: "Install the mesh",
    command: "ambientd ctl install --set profile=ambient --skip-confirmation",
    async run(tour) {
      const text = await runCtl(tour, "install", "--set", "profile=ambient", "--skip-confirmation");
      const lines = text.split("\n").filter((line) => line.startsWith("✔"));
      expect(lines.some((line) => line.includes("Installation complete")), "it did not report completion");
      return lines;
    },
  },
  {
    title: "istiod, and on each node a ztunnel and a CNI agent, are running",
    command: "kubectl get pods -n istio-system",
    async run(tour) {
      const pods = await tour.client.list("v1", "Pod", { namespace: "istio-system" });
      const nodes = await tour.client.list("v1", "Node");
      for (
        const [prefix, count] of [["istiod", 1], ["ztunnel", nodes.length], ["istio-cni-node", nodes.length]] as const
      ) {
        const ready = pods.filter((pod) =>
          pod.metadata.name.startsWith(prefix) && pod.status.containerStatuses?.every((c: any) => c.ready)
        );
        expect(ready.length === count, `${ready.length} of ${count} pods of ${prefix} are ready`);
      }
      return pods.map((pod) => `${pod.metadata.name.padEnd(28)} 1/1  ${pod.status.phase}  ${pod.spec.nodeName}`).sort();
    },
  },
  {
    title: "Deploy Bookinfo, sleep and notsleep",
    command: "kubectl apply -f samples/bookinfo/platform/kube/bookinfo.yaml  # and sleep/*.yaml",
    async run(tour) {
      await applySamples(tour.client, tour.signal);
      await waitForSamples(tour.client, () => {}, 90_000, tour.signal);
      const pods = await tour.client.list("v1", "Pod", { namespace: "default" });
      return [`${pods.length} pods are ready`];
    },
  },
  {
    title: "Outside the mesh, requests cross the nodes in plain text",
    command: "kubectl exec deploy/sleep -- curl -s http://productpage:9080/",
    async run(tour) {
      await startWiretap(tour);
      const lines = await eventually(tour, 20_000, () => allCallersServed(tour));
      const wire = await awaitWire(tour, (seen) => seen.plainText > 0, "the wiretap did not see the page");
      expect(wire.hboneSegments === 0, "there is HBONE traffic before any pod has joined");
      return [...lines, `on the wire: the page, readable, in ${wire.plainText} segments`];
    },
  },
  {
    title: "Put the namespace into the mesh",
    command: "kubectl label namespace default istio.io/dataplane-mode=ambient",
    async run(tour) {
      tour.notes.set("pods", await podRecord(tour));
      await labelNamespace(tour, "default", { "istio.io/dataplane-mode": "ambient" });
      const pods = await awaitEnrolment(tour, true);
      return [`${pods.length} pods joined`];
    },
  },
  {
    title: "The same requests now travel in mutual TLS",
    command: `for i in {1..${REQUESTS}}; do kubectl exec deploy/notsleep -- curl -s http://productpage:9080/; done`,
    async run(tour) {
      // The first connections may still find a ztunnel that waits for its view of the new pods.
      const lines = await eventually(tour, 20_000, () => allCallersServed(tour));
      const before = await readWire(tour);
      for (let i = 0; i < REQUESTS; i++) {
        const { stdout, exitCode } = await curlProductpage(tour, "notsleep");
        expect(stdout.includes(TITLE), `request ${i + 1} of ${REQUESTS} ended with code ${exitCode}`);
      }
      const wire = await awaitWire(
        tour,
        (seen) => seen.tlsRecords > before.tlsRecords,
        "the wiretap did not see TLS on port 15008",
      );
      expect(wire.plainText === before.plainText, "the page crossed a node in plain text");
      return [
        ...lines,
        `notsleep → productpage  ${REQUESTS} of ${REQUESTS} titles`,
        `on the wire: ${wire.tlsRecords - before.tlsRecords} TLS records on port 15008, the page readable in none`,
      ];
    },
  },
  {
    title: "ztunnel's log names both identities, and the pods' own addresses",
    command: "kubectl logs -n istio-system -l app=ztunnel",
    async run(tour) {
      const [client, server] = [await podOf(tour, "notsleep"), await podOf(tour, "productpage")];
      const { outbound, inbound } = await eventually(tour, 10_000, async () => {
        const found = await accessLines(tour.client, {
          since: new Date(0),
          source: client.metadata.name,
          service: "productpage.default.svc.cluster.local",
        });
        expect(found.outbound && found.inbound, "there are no lines of both sides");
        return { outbound: found.outbound!, inbound: found.inbound! };
      });
      for (const { fields } of [outbound, inbound]) {
        expect(
          fields["src.identity"] === "spiffe://cluster.local/ns/default/sa/notsleep",
          `src.identity is ${fields["src.identity"]}`,
        );
        expect(
          fields["dst.identity"] === "spiffe://cluster.local/ns/default/sa/bookinfo-productpage",
          `dst.identity is ${fields["dst.identity"]}`,
        );
        expect(fields["src.addr"].startsWith(`${client.status.podIP}:`), `src.addr is ${fields["src.addr"]}`);
      }
      expect(
        outbound.fields["dst.addr"] === `${server.status.podIP}:15008`,
        `dst.addr is ${outbound.fields["dst.addr"]}`,
      );
      return [outbound, inbound].map(({ text }) => text.replaceAll("\t", " "));
    },
  },
  {
    title: "No pod was restarted",
    command: "kubectl get pods",
    async run(tour) {
      const before = tour.notes.get("pods") as Record<string, string>, now = await podRecord(tour);
      for (const [name, record] of Object.entries(before)) {
        expect(now[name] === record, `${name} changed: ${record} → ${now[name]}`);
      }
      return [`${Object.keys(before).length} pods: same age, same address, restart counts unchanged`];
    },
  },
];
