import assert from "node:assert/strict";
import type { Definitions } from "../../support/gateway_api_release.ts";
import type { UserShell } from "../../support/user_shell.ts";
import { KialiPage } from "./kiali.ts";
import {
  applyDefinitions,
  BOOKINFO,
  deleteDefinitions,
  deleteSamples,
  deploySamples,
  enrol,
  type Journey,
  meshPods,
  page,
  podFacts,
  refused,
  threeCurls,
  TITLE,
  untilCaptured,
} from "./steps.ts";

const L4 = `apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: productpage-viewer
  namespace: default
spec:
  selector:
    matchLabels:
      app: productpage
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/default/sa/sleep
        - cluster.local/ns/default/sa/bookinfo-gateway-istio`;

const L7 = `apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: productpage-viewer
  namespace: default
spec:
  targetRefs:
  - kind: Service
    group: ""
    name: productpage
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/default/sa/sleep
    to:
    - operation:
        methods: ["GET"]`;

const REQUESTS = 200;

/** S3 whole: Kiali, L4, L7, a 90/10 split, and the clean-up, with the applications reachable after each step. */
export const gkeLayers: Journey = async (shell, releases) => {
  await applyDefinitions(shell, releases["v1.1.0"]);
  await shell.type("istioctl install --set profile=ambient --skip-confirmation", /Installation complete/);
  await shell.type("kubectl get pods,daemonset -n istio-system", /daemonset.apps\/ztunnel\s+2\s+2\s+2/);
  await meshPods(shell, { istiod: 1, ztunnel: 2, "istio-cni-node": 2 });
  await using kiali = await KialiPage.open(shell);
  await deploySamples(shell);
  await shell.type(`kubectl apply -f ${BOOKINFO}/gateway-api/bookinfo-gateway.yaml`);
  await shell.until("kubectl get gateway bookinfo-gateway", /istio\s+\d+\.\d+\.\d+\.\d+\s+True/);
  const address = await shell.type("kubectl get gateway bookinfo-gateway -o jsonpath='{.status.addresses[0].value}'");
  shell.export("GATEWAY_HOST", address);
  const gateway = "http://$GATEWAY_HOST/productpage";
  await threeCurls(shell, gateway);
  await kiali.applications(true);

  const before = await podFacts(shell);
  await enrol(shell);
  assert.equal(await podFacts(shell), before, "no pod restarted to join");
  await threeCurls(shell, gateway);
  await kiali.applications(false);
  await kiali.padlocks(shell);
  await shell.until(
    "kubectl logs -n istio-system -l app=ztunnel --tail 200",
    /src\.identity="spiffe:\/\/cluster\.local\/ns\/default\/sa\/notsleep"/,
  );

  await shell.type(`kubectl apply -f - <<'EOF'\n${L4}\nEOF`);
  await refused(shell, "notsleep");
  await kiali.refusal("notsleep", "workload");
  await shell.type(page("sleep", gateway), TITLE);
  await shell.type(page("sleep", "http://productpage:9080/"), TITLE);
  await shell.type("kubectl top pod -n istio-system | grep ztunnel", /^ztunnel-\S+\s+\d+m\s+\d+Mi/m);

  await shell.type(
    "istioctl x waypoint apply --enroll-namespace --wait",
    /waypoint default\/waypoint applied/,
    /namespace default labeled with "istio.io\/use-waypoint: waypoint"/,
  );
  await shell.type("kubectl get gtw waypoint", /waypoint\s+istio-waypoint\s+\d+\.\d+\.\d+\.\d+\s+True/);
  // The policy of ztunnel sees the waypoint's identity now, and lets it not pass.
  await shell.until(
    `kubectl exec deploy/sleep -- curl -s -m 10 -o /dev/null -w '%{http_code}' http://productpage:9080/`,
    /^503$/,
  );
  await shell.type(`kubectl apply -f - <<'EOF'\n${L7}\nEOF`);
  await shell.until(page("sleep", "http://productpage:9080/"), TITLE);
  const denied = /^RBAC: access denied 403$/;
  const code = "-w ' %{http_code}'";
  await shell.type(
    `kubectl exec deploy/sleep -- curl -s ${code} "http://productpage:9080/productpage" -X DELETE`,
    denied,
  );
  await shell.type(`kubectl exec deploy/notsleep -- curl -s ${code} http://productpage:9080/`, denied);
  await kiali.refusal("notsleep", "waypoint");
  await shell.type(page("sleep", gateway), TITLE);

  await shell.type(`kubectl apply -f ${BOOKINFO}/gateway-api/route-reviews-90-10.yaml`);
  const split =
    `kubectl exec deploy/sleep -- sh -c "for i in \\$(seq 1 COUNT); do curl -s http://productpage:9080/productpage | grep reviews-v.-; done"`;
  const versions = async (count: number) => {
    const lines = await shell.type(split.replace("COUNT", String(count)));
    return ["v1", "v2", "v3"].map((version) => lines.split(`reviews-${version}-`).length - 1);
  };
  await shell.until(split.replace("COUNT", "10"), /^(?!.*reviews-v3-).*$/s);
  const [v1, v2, v3] = await versions(REQUESTS);
  assert.equal(v3, 0, `${v1} v1, ${v2} v2, ${v3} v3`);
  assert.equal(v1 + v2, REQUESTS);
  assert.ok(v2 >= REQUESTS * 0.03 && v2 <= REQUESTS * 0.18, `${v2} of ${REQUESTS} went to v2`);
  await kiali.split();

  await cleanUp(shell, gateway, releases["v1.1.0"]);
};

/** S3 step 21: in its order, with the applications reachable after each step. */
async function cleanUp(shell: UserShell, gateway: string, definitions: Definitions): Promise<void> {
  const direct = () => shell.until(page("sleep", "http://productpage:9080/"), TITLE);
  await shell.type("kubectl label namespace default istio.io/dataplane-mode-");
  await untilCaptured(shell, /^\s*$/);
  await direct();
  await shell.type(page("sleep", gateway), TITLE);
  await shell.type("kubectl label namespace default istio.io/use-waypoint-");
  await direct();
  await shell.type("istioctl x waypoint delete --all", /waypoint default\/waypoint deleted/);
  await direct();
  await shell.until(page("notsleep", "http://productpage:9080/"), TITLE);
  await shell.type(page("sleep", gateway), TITLE);
  await shell.type("istioctl uninstall -y --purge");
  await direct();
  await shell.type("kubectl delete namespace istio-system");
  await direct();
  // Its roles are the cluster's; all else went with the namespace.
  await shell.type("kubectl delete -f samples/addons/kiali.yaml --ignore-not-found");
  for (const file of ["gateway-api/route-reviews-90-10.yaml", "gateway-api/bookinfo-gateway.yaml"]) {
    await shell.type(`kubectl delete -f ${BOOKINFO}/${file}`);
  }
  await shell.run("kubectl delete authorizationpolicy productpage-viewer");
  await deleteSamples(shell);
  // What is installed before the mesh may also be taken away, and come back later.
  await deleteDefinitions(shell, definitions);
}
