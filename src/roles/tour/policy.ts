import { SAMPLE_POLICIES } from "../../../manifests/samples/mod.ts";
import { podRequest } from "../ctl/port_forward.ts";
import { parseManifest } from "../up/samples.ts";
import { allAccessLines } from "../up/ztunnel_view.ts";
import {
  apply,
  curlProductpage,
  eventually,
  expect,
  podOf,
  TITLE,
  type TourContext,
  type TourStep,
} from "./context.ts";

const CURL_RECEIVE_ERROR = 56;
const POLICY_TAKES_EFFECT_MS = 15_000;
const OUTSIDE = "outside";

function policy(name: keyof typeof SAMPLE_POLICIES) {
  return parseManifest(SAMPLE_POLICIES[name], "default");
}

async function remove(tour: TourContext, name: keyof typeof SAMPLE_POLICIES): Promise<void> {
  for (const object of policy(name)) await tour.client.delete(object);
}

export async function served(tour: TourContext, app: string, namespace = "default"): Promise<string> {
  const { stdout, exitCode } = await curlProductpage(tour, app, namespace);
  expect(stdout.includes(TITLE), `curl from ${app} ended with code ${exitCode} and no title`);
  return `${app.padEnd(9)} → productpage  ${TITLE}`;
}

async function refused(tour: TourContext, app: string, namespace = "default"): Promise<string> {
  const { stdout, exitCode } = await curlProductpage(tour, app, namespace);
  expect(exitCode === CURL_RECEIVE_ERROR, `curl from ${app} ended with code ${exitCode}, not ${CURL_RECEIVE_ERROR}`);
  expect(stdout === "", `curl from ${app} printed "${stdout.slice(0, 40)}"`);
  return `${app.padEnd(9)} → productpage  connection reset, curl exits ${CURL_RECEIVE_ERROR}`;
}

/** Journey 2: who may talk to whom (tutorials S0 step 12, S3 steps 14-15). */
export const POLICY: readonly TourStep[] = [
  {
    title: "Only sleep may call the product page",
    command: "kubectl apply -f samples/policies/productpage-viewer.yaml",
    async run(tour) {
      tour.notes.set("denied since", new Date());
      await apply(tour, policy("productpage-viewer"));
      const line = await eventually(tour, POLICY_TAKES_EFFECT_MS, () => refused(tour, "notsleep"));
      return [await served(tour, "sleep"), line, await refused(tour, "ratings")];
    },
  },
  {
    title: "The denial says why, in the log and in the metrics",
    command: 'kubectl logs -n istio-system -l app=ztunnel | grep "policy rejection"',
    async run(tour) {
      const since = tour.notes.get("denied since") as Date;
      const line = await eventually(tour, 10_000, async () => {
        const found = (await allAccessLines(tour.client, since)).findLast(({ fields }) =>
          fields.direction === "inbound" && fields.error?.includes("policy rejection")
        );
        expect(found, "no inbound line tells of a rejection");
        return found;
      });
      expect(
        line.fields.error.includes("default/productpage-viewer"),
        `the line does not name the policy: ${line.fields.error}`,
      );
      const target = await podOf(tour, "productpage");
      const ztunnels = await tour.client.list("v1", "Pod", { namespace: "istio-system", labelSelector: "app=ztunnel" });
      const ztunnel = ztunnels.find((pod) => pod.spec.nodeName === target.spec.nodeName)!;
      const { body } = await podRequest(tour.client, "istio-system", ztunnel.metadata.name, 15020, "GET", "/metrics");
      const value = (name: string, ...labels: string[]) => {
        const found = body.split("\n").find((text) =>
          text.startsWith(`${name}{`) && labels.every((label) => text.includes(label))
        );
        expect(found, `no series of ${name} counts the denial`);
        return `${name}{${labels.join(", ")}, …} ${found.split(" ").at(-1)}`;
      };
      return [
        line.text.replaceAll("\t", " "),
        value("istio_tcp_connections_failed_total", 'source_workload="notsleep"', 'response_flags="DENY"'),
        value("ambientd_authorization_denied_total", 'policy="default/productpage-viewer"'),
      ];
    },
  },
  {
    title: "Without the policy everybody may call again",
    command: "kubectl delete -f samples/policies/productpage-viewer.yaml",
    async run(tour) {
      await remove(tour, "productpage-viewer");
      return [await eventually(tour, POLICY_TAKES_EFFECT_MS, () => served(tour, "notsleep"))];
    },
  },
  {
    title: "Callers from outside the mesh are served, until mutual TLS is demanded",
    command: "kubectl apply -f samples/policies/strict-mtls.yaml",
    async run(tour) {
      await apply(tour, [
        { apiVersion: "v1", kind: "Namespace", metadata: { name: OUTSIDE } },
        ...parseManifest(SAMPLE_POLICIES["outside-caller"], OUTSIDE),
      ]);
      const lines = [await eventually(tour, 30_000, () => served(tour, "outside", OUTSIDE)) + "  (no policy)"];
      await apply(tour, policy("strict-mtls"));
      lines.push(
        await eventually(tour, POLICY_TAKES_EFFECT_MS, () => refused(tour, "outside", OUTSIDE)) + "  (STRICT)",
      );
      lines.push(await served(tour, "sleep") + "  (STRICT)");
      await remove(tour, "strict-mtls");
      lines.push(
        await eventually(tour, POLICY_TAKES_EFFECT_MS, () => served(tour, "outside", OUTSIDE)) + "  (removed)",
      );
      return lines;
    },
  },
];
