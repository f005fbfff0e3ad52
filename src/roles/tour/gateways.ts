import { podRequest } from "../ctl/port_forward.ts";
import { readyPods } from "../up/samples.ts";
import {
  apply,
  eventually,
  execIn,
  expect,
  runCtl,
  sample,
  TITLE,
  type TourContext,
  type TourStep,
} from "./context.ts";

const READY_MS = 60_000;

/** The page through a gateway: from a pod of the cluster by an address, and from this machine through its pod. */
async function pages(
  tour: TourContext,
  url: string,
  gateway: { namespace: string; selector: string; port: number },
): Promise<string[]> {
  const inside = await eventually(tour, READY_MS, async () => {
    const { stdout } = await execIn(tour, "sleep", ["curl", "-s", "-m", "10", "-w", "\n%{http_code}", url]);
    expect(stdout.includes(TITLE), `${url} was answered ${stdout.slice(stdout.lastIndexOf("\n") + 1)}`);
    return `sleep         → ${url}  200  ${TITLE}`;
  });
  const [pod] = await readyPods(tour.client, gateway.namespace, gateway.selector);
  expect(pod, `no pod of the gateway is ready in namespace ${gateway.namespace}`);
  const { status, body } = await podRequest(
    tour.client,
    gateway.namespace,
    pod.metadata.name,
    gateway.port,
    "GET",
    "/productpage",
  );
  expect(status === 200 && body.includes(TITLE), `from this machine the page was answered ${status}`);
  return [inside, `this machine  → ${pod.metadata.name}:${gateway.port}/productpage  200  ${TITLE}`];
}

/** Journey 4: into the mesh by gateways of both APIs (tutorials S0 step 7, S3 steps 7-9, S4 step 8). */
export const GATEWAYS: readonly TourStep[] = [
  {
    title: "A Gateway of the Gateway API gets a proxy and an address of its own",
    command: "kubectl apply -f samples/bookinfo/gateway-api/bookinfo-gateway.yaml",
    async run(tour) {
      await apply(tour, sample("bookinfo/gateway-api/bookinfo-gateway.yaml"));
      const address = await eventually(tour, READY_MS, async () => {
        const kind = ["gateway.networking.k8s.io/v1", "Gateway"] as const;
        const gateway = await tour.client.get(...kind, "default", "bookinfo-gateway");
        const programmed = gateway?.status?.conditions?.find((one: any) => one.type === "Programmed");
        expect(programmed?.status === "True", `it is not programmed: ${programmed?.message}`);
        return gateway!.status.addresses[0].value as string;
      });
      const selector = "gateway.networking.k8s.io/gateway-name=bookinfo-gateway";
      return await pages(tour, `http://${address}/productpage`, { namespace: "default", selector, port: 80 });
    },
  },
  {
    title: "The classic ingress gateway serves the same page by Istio's API",
    command: "ambientd ctl install … --set components.ingressGateways[0].enabled=true && " +
      "kubectl apply -f samples/bookinfo/networking/bookinfo-gateway.yaml",
    async run(tour) {
      const gateway = "components.ingressGateways[0]";
      const sets = ["profile=ambient", `${gateway}.enabled=true`, `${gateway}.name=istio-ingressgateway`];
      await runCtl(tour, "install", ...sets.flatMap((value) => ["--set", value]), "--skip-confirmation");
      await apply(tour, sample("bookinfo/networking/bookinfo-gateway.yaml"));
      const url = "http://istio-ingressgateway.istio-system/productpage";
      return await pages(tour, url, { namespace: "istio-system", selector: "istio=ingressgateway", port: 8080 });
    },
  },
];
