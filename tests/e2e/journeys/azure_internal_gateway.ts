import assert from "node:assert/strict";
import { parse } from "yaml";
import { applyDefinitions, deleteDefinitions, deleteSamples, type Journey, meshPods } from "./steps.ts";

const LISTENERS = `ADDRESS PORT  MATCH DESTINATION
        0     ALL   Cluster: connect_originate
0.0.0.0 15021 ALL   Inline Route: /healthz/ready*
0.0.0.0 15090 ALL   Inline Route: /stats/prometheus*
`;

const V0_6_2 = "gatewayclasses gateways grpcroutes httproutes referencegrants tcproutes tlsroutes udproutes".split(" ");

/** S1, the cluster's side: an ingress gateway with a fixed internal address, whose ports are closed until a Gateway exists. */
export const azureInternalGateway: Journey = async (shell, releases) => {
  await shell.type("kubectl get nodes -o wide", /control-plane.*Ready/);
  await shell.type("kubectl get ns", /^default\s+Active/m);
  const created = await applyDefinitions(shell, releases["v0.6.2"]);
  if (releases["v0.6.2"].release === "v0.6.2") {
    assert.deepEqual(
      created,
      V0_6_2.map((name) => `customresourcedefinition.apiextensions.k8s.io/${name}.gateway.networking.k8s.io created`),
    );
  }
  const before = await shell.run("istioctl version");
  assert.equal(before.code, 0);
  assert.match(before.stdout + before.stderr, /no running Istio pods in namespace "istio-system"/);

  await shell.type(
    `istioctl install --set profile=ambient --set components.ingressGateways[0].enabled=true --set components.ingressGateways[0].name=istio-ingressgateway --skip-confirmation --set components.ingressGateways[0].k8s.service."loadBalancerIP="10.224.0.180 --set components.ingressGateways[0].k8s.service.serviceAnnotations."service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal"=true`,
    /Ingress gateways installed/,
    /Installation complete/,
  );
  await meshPods(shell, { "istio-cni-node": 2, "istio-ingressgateway": 1, "istiod": 1, "ztunnel": 2 });

  // The stored intent, as the text prints it.
  await shell.type(
    "kubectl get istiooperators -n istio-system",
    /^NAME\s+REVISION\s+STATUS\s+AGE\ninstalled-state\s+\S+\n$/,
  );
  const intent = await shell.type("kubectl get iop installed-state -n istio-system -o yaml");
  const { spec } = parse(intent);
  assert.equal(spec.profile, "ambient");
  assert.deepEqual([spec.components.base, spec.components.cni], [{ enabled: true }, { enabled: true }]);
  assert.deepEqual(spec.components.egressGateways, [{ enabled: false, name: "istio-egressgateway" }]);
  assert.deepEqual(spec.components.ingressGateways, [{
    enabled: true,
    name: "istio-ingressgateway",
    k8s: {
      service: {
        loadBalancerIP: "10.224.0.180",
        serviceAnnotations: { "service.beta.kubernetes.io/azure-load-balancer-internal": "true" },
      },
    },
  }]);
  await shell.type("istioctl verify-install", /✔ Istio is installed and verified successfully/);

  const service = JSON.parse(await shell.type("kubectl get svc istio-ingressgateway -n istio-system -o json"));
  assert.equal(service.metadata.labels.app, "istio-ingressgateway");
  assert.equal(service.metadata.annotations["service.beta.kubernetes.io/azure-load-balancer-internal"], "true");
  assert.deepEqual(
    service.spec.ports.map(({ name, port, targetPort }: any) => [name, port, targetPort]),
    [["status-port", 15021, 15021], ["http2", 80, 8080], ["https", 443, 8443]],
  );
  assert.ok(service.spec.ports.every(({ nodePort }: any) => nodePort >= 30000));
  assert.deepEqual(service.spec.selector, { app: "istio-ingressgateway", istio: "ingressgateway" });
  const { type, loadBalancerIP, externalTrafficPolicy, ipFamilies, ipFamilyPolicy } = service.spec;
  assert.deepEqual({ type, loadBalancerIP, externalTrafficPolicy, ipFamilies, ipFamilyPolicy }, {
    type: "LoadBalancer",
    loadBalancerIP: "10.224.0.180",
    externalTrafficPolicy: "Cluster",
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
  });
  await shell.type(
    "kubectl get svc -n istio-system",
    /istio-ingressgateway\s+LoadBalancer\s+\S+\s+10\.224\.0\.180\s+15021:\d+\/TCP,80:\d+\/TCP,443:\d+\/TCP/,
    /istiod\s+ClusterIP\s+\S+\s+<none>\s+15010\/TCP,15012\/TCP,443\/TCP,15014\/TCP/,
  );

  const pod = (await shell.type(
    "kubectl get pod -n istio-system -l app=istio-ingressgateway -o jsonpath='{.items[0].metadata.name}'",
  )).trim();
  const listeners = await shell.type(`istioctl proxy-config listener ${pod} -n istio-system`);
  const table = (text: string) => text.split("\n").map((line) => line.trimEnd()).join("\n");
  assert.equal(table(listeners), table(LISTENERS));
  await shell.type(`istioctl pc ecds ${pod} -n=istio-system`, /^ECDS NAME {5}TYPE\n$/);
  await shell.type(`istioctl pc bootstrap ${pod}.istio-system -o=short`, /^Istio Version: .*\n.*\nNode: +router~/);
  await shell.type(`istioctl pc rootca-compare ${pod} deploy/istio-ingressgateway -n istio-system`, /identical ROOTCA/);

  // The cloud's probe is answered; the ports that it would forward to are closed.
  await shell.type("kubectl apply -f samples/sleep/sleep.yaml");
  await shell.type("kubectl wait --for=condition=Available deployment/sleep --timeout=60s");
  const status = (url: string) =>
    `kubectl exec deploy/sleep -- curl -s -m 5 -o /dev/null -w '%{http_code}' ${url}; echo " exit $?"`;
  await shell.until(status("http://10.224.0.180:15021/healthz/ready"), /^200 exit 0/);
  for (const url of ["http://10.224.0.180/", "https://10.224.0.180/", "http://istio-ingressgateway.istio-system/"]) {
    assert.match((await shell.run(status(url))).stdout, /^000 exit 7/, url);
  }
};

/** S1's clean-up, and that of what was typed after it. */
export const azureCleanUp: Journey = async (shell, releases) => {
  await shell.type("istioctl uninstall -y --purge");
  await shell.until("kubectl get pods -n istio-system 2>&1", /No resources found/);
  const gone = await shell.run("kubectl get istiooperators -n istio-system");
  assert.notEqual(gone.code, 0);
  assert.match(gone.stderr, /istiooperators/);
  await deleteSamples(shell);
  await deleteDefinitions(shell, releases["v0.6.2"]);
};
