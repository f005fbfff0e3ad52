import assert from "node:assert/strict";
import { bundledDefinitions } from "../../support/gateway_api_release.ts";
import type { UserShell } from "../../support/user_shell.ts";
import { BOOKINFO, deploySamples, enrol, type Journey, meshPods, page, TITLE } from "./steps.ts";
import { underLoad } from "./under_load.ts";

/** A Gateway of the oldest version for S1's gateway, whose ports were closed until now. */
const INTERNAL = `apiVersion: gateway.networking.k8s.io/v1beta1
kind: Gateway
metadata: {name: internal}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata: {name: internal}
spec:
  parentRefs: [{name: internal}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /health}}]
    backendRefs: [{name: reviews, port: 9080}]
  - backendRefs: [{name: productpage, port: 9080}]`;

function l4Route(kind: string): string {
  return `apiVersion: gateway.networking.k8s.io/v1alpha2
kind: ${kind}
metadata: {name: old}
spec:
  parentRefs: [{name: internal}]
  rules: [{backendRefs: [{name: details, port: 9080}]}]`;
}

/** Only experimental, and only as v1alpha2; a GRPCRoute is served, of the others the status says that they are not. */
const ALPHA = `${["TCPRoute", "TLSRoute", "UDPRoute", "GRPCRoute"].map(l4Route).join("\n---\n")}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: ReferenceGrant
metadata: {name: old}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}]
  to: [{group: "", kind: Service}]`;

const BACKEND_TLS = `apiVersion: gateway.networking.k8s.io/v1alpha3
kind: BackendTLSPolicy
metadata: {name: old}
spec:
  targetRefs: [{group: "", kind: Service, name: details}]
  validation: {hostname: details, wellKnownCACertificates: System}`;

/** All requests for reviews to one version of it. */
function allTo(reviews: string, apiVersion: string): string {
  return `apiVersion: gateway.networking.k8s.io/${apiVersion}
kind: HTTPRoute
metadata: {name: reviews}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, port: 9080}]
  rules: [{backendRefs: [{name: reviews-${reviews}, port: 9080}]}]`;
}

function apply(shell: UserShell, yaml: string): Promise<string> {
  return shell.type(`kubectl apply -f - <<'EOF'\n${yaml}\nEOF`);
}

/** The one condition that says what became of a route. */
function accepted(shell: UserShell, resource: string, expected: RegExp): Promise<string> {
  const condition = `{range .status.parents[0].conditions[?(@.type=="Accepted")]}{.status} {.message}{end}`;
  return shell.until(`kubectl get ${resource} old -o jsonpath='${condition}'`, expected);
}

async function reviewsAnswer(shell: UserShell, version: string): Promise<void> {
  await shell.until(
    `kubectl exec deploy/sleep -- curl -s http://reviews:9080/reviews/0`,
    new RegExp(`reviews-${version}-`),
  );
}

/**
 * On S1's cluster, whose definitions are v0.6.2: gateways, routes and a waypoint of v1beta1, kinds that are only alpha, then
 * v1.1.0 and today's release over them while traffic flows.
 */
export const oldDefinitions: Journey = async (shell, releases) => {
  await shell.type(
    "kubectl get gatewayclass",
    /^istio\s+istio\.io\/gateway-controller\s+True/m,
    /^istio-waypoint\s+istio\.io\/mesh-controller\s+True/m,
  );
  await deploySamples(shell);
  await enrol(shell);
  await apply(shell, INTERNAL);
  await shell.until(page("sleep", "http://10.224.0.180/"), TITLE);
  await shell.type(
    `sed 's,gateway.networking.k8s.io/v1$,gateway.networking.k8s.io/v1beta1,' ${BOOKINFO}/gateway-api/bookinfo-gateway.yaml | kubectl apply -f -`,
  );
  await shell.until("kubectl get gtw", /^bookinfo-gateway\s+istio\s+\d+\.\d+\.\d+\.\d+\s+True/m);
  await shell.until(page("sleep", "http://bookinfo-gateway-istio/productpage"), TITLE);

  await apply(shell, ALPHA);
  for (const kind of ["TCPRoute", "TLSRoute", "UDPRoute"]) {
    await accepted(shell, kind, new RegExp(`^False ${kind} is not supported$`));
  }
  await accepted(shell, "GRPCRoute", /^True Route was valid$/);

  await shell.type(
    "istioctl x waypoint apply --enroll-namespace --wait",
    /waypoint default\/waypoint applied/,
    /namespace default labeled with "istio.io\/use-waypoint: waypoint"/,
  );
  await shell.type("kubectl get gtw waypoint", /waypoint\s+istio-waypoint\s+\d+\.\d+\.\d+\.\d+\s+True/);
  assert.equal(
    await shell.type("kubectl get gtw waypoint -o jsonpath='{.apiVersion}'"),
    `gateway.networking.k8s.io/v1beta1`,
  );
  await shell.type("istioctl waypoint status", /waypoint\s+True\s+Programmed/);
  await apply(shell, allTo("v2", "v1beta1"));
  await reviewsAnswer(shell, "v2");

  await underLoad(shell, () => upgrade(shell, releases["v1.1.0"].folder), {
    kept: "http://10.224.0.180/health",
    anew: "http://reviews:9080/health",
    count: 800,
  });
  await meshPods(shell, { istiod: 1, ztunnel: 2, "istio-ingressgateway": 1 });
  await shell.type("istioctl waypoint delete --all", /waypoint default\/waypoint deleted/);
  await shell.type("kubectl label namespace default istio.io/dataplane-mode- istio.io/use-waypoint-");
  await shell.type("kubectl delete gateway --all && kubectl delete httproute --all");
  await shell.until("kubectl get svc bookinfo-gateway-istio 2>&1", /NotFound/);
  // The only one that S1's release does not have.
  await shell.type("kubectl delete crd backendtlspolicies.gateway.networking.k8s.io");
};

async function upgrade(shell: UserShell, recent: string): Promise<void> {
  const apply110 = `kubectl kustomize "${recent}" | kubectl apply --server-side -f -`;
  await shell.type(apply110, /httproutes.gateway.networking.k8s.io serverside-applied/);
  await apply(shell, allTo("v3", "v1"));
  await reviewsAnswer(shell, "v3");
  await apply(shell, BACKEND_TLS);
  const told = "jsonpath='{.status.ancestors[0].conditions[0].message}'";
  await shell.until(`kubectl get backendtlspolicy old -o ${told}`, /BackendTLSPolicy is not supported/);

  // As the release notes of v1.2.0 have it: v1alpha2 goes, so what is stored as such is written anew.
  const { folder } = bundledDefinitions((await shell.type("echo $HOME")).trim());
  const refused = await shell.run(`kubectl kustomize "${folder}" | kubectl apply --server-side -f -`);
  assert.match(refused.stderr, /grpcroutes\S+" is invalid: status\.storedVersions.*v1alpha2/, refused.stdout);
  await shell.type("kubectl delete grpcroute old");
  await shell.type("kubectl get referencegrant old -o yaml | kubectl replace -f -");
  for (const [definition, version] of [["referencegrants", "v1beta1"], ["grpcroutes", "v1"]]) {
    await shell.type(
      `kubectl patch customresourcedefinitions ${definition}.gateway.networking.k8s.io --subresource='status' --type='merge' -p '{"status":{"storedVersions":["${version}"]}}'`,
    );
  }
  await shell.type(
    `kubectl kustomize "${folder}" | kubectl apply --server-side -f -`,
    /grpcroutes\S+ serverside-applied/,
  );
  await apply(shell, allTo("v1", "v1"));
  await reviewsAnswer(shell, "v1");
  await shell.type("kubectl get gtw", /^waypoint\s+istio-waypoint\s+\S+\s+True/m);
}
