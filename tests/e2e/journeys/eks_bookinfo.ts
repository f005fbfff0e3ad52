import assert from "node:assert/strict";
import {
  applyDefinitions,
  BOOKINFO,
  deploySamples,
  enrol,
  type Journey,
  meshPods,
  page,
  pageFromHost,
  podFacts,
  refused,
  TITLE,
} from "./steps.ts";

const L4 = `apiVersion: security.istio.io/v1
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
        - cluster.local/ns/default/sa/bookinfo-gateway-istio`;

const L7 = `apiVersion: security.istio.io/v1
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

/** S0 whole: the Gateway API's definitions come after the control plane, then Bookinfo, its gateway, L4 and L7 policy. */
export const eksBookinfo: Journey = async (shell, releases) => {
  await shell.type("istioctl version", /client version: /);
  await shell.type(
    `istioctl install --set profile=ambient --set "components.ingressGateways[0].enabled=true" --set "components.ingressGateways[0].name=istio-ingressgateway" --skip-confirmation`,
    /Ingress gateways installed[\s\S]*Installation complete/,
  );
  await shell.type("istioctl verify-install");
  await meshPods(shell, { istiod: 1, ztunnel: 2, "istio-cni-node": 2, "istio-ingressgateway": 1 });
  await applyDefinitions(shell, releases["v1.1.0"]);
  await deploySamples(shell);
  await shell.until(
    `kubectl apply -f ${BOOKINFO}/gateway-api/bookinfo-gateway.yaml`,
    /httproute\S+ (created|unchanged)/,
  );
  await shell.until(
    "kubectl get deploy,svc,sa bookinfo-gateway-istio",
    /deployment\.apps\/bookinfo-gateway-istio\s+1\/1[\s\S]*LoadBalancer[\s\S]*serviceaccount\/bookinfo-gateway-istio/,
  );
  await shell.type(
    "kubectl get svc -n istio-system",
    /istio-ingressgateway\s+LoadBalancer\s+\S+\s+\d+\.\d+\.\d+\.\d+\s/,
  );
  const address = await shell.until(
    "kubectl get gateway bookinfo-gateway -o jsonpath='{.status.addresses[0].value}'",
    /^\d+\.\d+\.\d+\.\d+$/,
  );
  const gateway = `http://${address}/productpage`;
  await shell.until(page("sleep", gateway), TITLE);
  await pageFromHost(shell, "bookinfo-gateway-istio");

  const before = await podFacts(shell);
  await enrol(shell);
  assert.equal(await podFacts(shell), before, "no pod restarted to join");
  await shell.until(page("sleep", gateway), TITLE);
  await shell.until("kubectl logs -l app=ztunnel -n istio-system --tail 100", /dst\.service="details\.default/);

  await shell.type(`kubectl apply -f - <<'EOF'\n${L4}\nEOF`);
  await refused(shell, "sleep");
  await shell.type(page("sleep", gateway), TITLE);

  await shell.type("istioctl x waypoint apply --enroll-namespace --wait", /waypoint default\/waypoint applied/);
  await shell.type("istioctl waypoint list", /waypoint/);
  await shell.type("kubectl get gtw waypoint", /waypoint\s+istio-waypoint\s+\d+\.\d+\.\d+\.\d+\s+True/);
  await shell.type(`kubectl apply -f - <<'EOF'\n${L7}\nEOF`);
  await shell.until(page("sleep", "http://productpage:9080/productpage"), TITLE);
  const code = (app: string, method: string) =>
    `kubectl exec deploy/${app} -- curl -s -o /dev/null -w '%{http_code}' -X ${method} http://productpage:9080/productpage`;
  await shell.type(code("sleep", "DELETE"), /^403$/);
  await shell.type(code("notsleep", "GET"), /^403$/);
  // The gateway's requests do not go by the waypoint unless they are told to.
  await shell.type(page("sleep", gateway), TITLE);
  await shell.type("kubectl label service productpage istio.io/ingress-use-waypoint=true");
  await shell.until(
    `kubectl exec deploy/sleep -- curl -s -o /dev/null -w '%{http_code}' ${gateway}`,
    /^403$/,
  );
  await shell.type("kubectl label service productpage istio.io/ingress-use-waypoint-");
  await shell.until(page("sleep", gateway), TITLE);
};
