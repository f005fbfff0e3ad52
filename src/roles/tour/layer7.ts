import { SAMPLE_POLICIES } from "../../../manifests/samples/mod.ts";
import { parseManifest } from "../up/samples.ts";
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

const TAKES_EFFECT_MS = 15_000;
const REQUESTS = 200;
/** Of 200 requests at one in ten: outside of this less often than once in ten thousand runs. */
const FEWEST = 0.03 * REQUESTS, MOST = 0.18 * REQUESTS;

/** A request for the product page; the body, then the status. */
async function request(tour: TourContext, app: string, method: string): Promise<{ status: number; body: string }> {
  const url = "http://productpage:9080/productpage";
  const { stdout } = await execIn(tour, app, ["curl", "-s", "-m", "10", "-w", "\n%{http_code}", "-X", method, url]);
  const cut = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(cut + 1)), body: stdout.slice(0, cut) };
}

async function allowed(tour: TourContext, app: string, method: string): Promise<string> {
  const { status, body } = await request(tour, app, method);
  expect(status === 200 && body.includes(TITLE), `${method} by ${app} was answered ${status}`);
  return `${app.padEnd(9)} ${method.padEnd(6)} 200  ${TITLE}`;
}

async function denied(tour: TourContext, app: string, method: string): Promise<string> {
  const { status, body } = await request(tour, app, method);
  expect(status === 403 && body === "RBAC: access denied", `${method} by ${app} was answered ${status} "${body}"`);
  return `${app.padEnd(9)} ${method.padEnd(6)} 403  ${body}`;
}

/** How often each version of reviews served a page. */
async function versions(tour: TourContext, count: number): Promise<number[]> {
  const loop =
    `for i in $(seq ${count}); do curl -s -m 10 http://productpage:9080/productpage | grep -o 'reviews-v.-'; done`;
  const { stdout } = await execIn(tour, "sleep", ["sh", "-c", loop]);
  return ["v1", "v2", "v3"].map((version) => stdout.split(`reviews-${version}-`).length - 1);
}

/** Journey 3: a waypoint understands requests (tutorials S0 steps 13-15, S3 steps 17-20). */
export const LAYER7: readonly TourStep[] = [
  {
    title: "Give the namespace a waypoint",
    command: "ambientd ctl waypoint apply --enroll-namespace --wait",
    async run(tour) {
      const said = await runCtl(tour, "waypoint", "apply", "--enroll-namespace", "--wait");
      const gateway = await tour.client.get("gateway.networking.k8s.io/v1", "Gateway", "default", "waypoint");
      const address = gateway?.status?.addresses?.[0]?.value;
      const programmed = gateway?.status?.conditions?.find((one: any) => one.type === "Programmed")?.status;
      expect(address && programmed === "True", `its address is ${address}, Programmed is ${programmed}`);
      const lines = said.trim().split("\n");
      return [...lines, `waypoint  ${gateway.spec.gatewayClassName}  ${address}  Programmed=${programmed}`];
    },
  },
  {
    title: "sleep may read the page but not delete it; others may do neither",
    command: "kubectl apply -f samples/policies/productpage-viewer-l7.yaml",
    async run(tour) {
      await apply(tour, parseManifest(SAMPLE_POLICIES["productpage-viewer-l7"], "default"));
      const line = await eventually(tour, TAKES_EFFECT_MS, () => denied(tour, "sleep", "DELETE"));
      return [await allowed(tour, "sleep", "GET"), line, await denied(tour, "notsleep", "GET")];
    },
  },
  {
    title: "One request in ten goes to the second version of reviews",
    command: "kubectl apply -f samples/bookinfo/gateway-api/route-reviews-90-10.yaml",
    async run(tour) {
      await apply(tour, sample("bookinfo/platform/kube/bookinfo-versions.yaml"));
      await apply(tour, sample("bookinfo/gateway-api/route-reviews-90-10.yaml"));
      await eventually(tour, TAKES_EFFECT_MS, async () => {
        const [, , third] = await versions(tour, 10);
        expect(third === 0, "requests still go to the third version");
      });
      const [first, second, third] = await versions(tour, REQUESTS);
      expect(third === 0 && first + second === REQUESTS, `${first} v1, ${second} v2, ${third} v3 of ${REQUESTS}`);
      expect(second >= FEWEST && second <= MOST, `${second} of ${REQUESTS} requests went to v2`);
      return [`${REQUESTS} pages: ${first} by reviews-v1, ${second} by reviews-v2, none by reviews-v3`];
    },
  },
];
