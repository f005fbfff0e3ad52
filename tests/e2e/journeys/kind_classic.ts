import { BOOKINFO, type Journey, page, pageFromHost, threeCurls, TITLE } from "./steps.ts";

/**
 * S4 after S0's cluster: the classic ingress gateway by Istio's own API in its oldest version, beside the Gateway API's, and
 * the facts that ztunnel's log shows.
 */
export const kindClassic: Journey = async (shell) => {
  await shell.type("kubectl delete authorizationpolicy productpage-viewer");
  const gateway = "http://istio-ingressgateway.istio-system/productpage";
  await shell.type(
    `kubectl apply -f ${BOOKINFO}/networking/bookinfo-gateway.yaml`,
    /gateway\.networking\.istio\.io\/bookinfo-gateway/,
  );
  await threeCurls(shell, gateway);
  await pageFromHost(shell, "istio-ingressgateway", "istio-system");
  for (const version of ["v1alpha3", "v1beta1", "v1"]) {
    await shell.type(
      `kubectl get virtualservices.${version}.networking.istio.io bookinfo`,
      /bookinfo\s+\["bookinfo-gateway"\]\s+\["\*"\]/,
    );
  }
  await shell.type("kubectl label namespace default istio.io/use-waypoint-");
  const loop =
    `for i in {1..10}; do kubectl exec deploy/notsleep -- curl -s http://productpage:9080/ | grep -o "<title>.*</title>"; done | grep -c title`;
  await shell.type(loop, /^10$/m);
  const ip = (await shell.type("kubectl get pod -l app=productpage -o jsonpath='{.items[0].status.podIP}'")).trim();
  const client = (await shell.type("kubectl get pod -l app=notsleep -o jsonpath='{.items[0].status.podIP}'")).trim();
  await shell.until(
    "kubectl logs -n istio-system -l app=ztunnel --tail 400",
    new RegExp(
      `src\\.addr=${client}:\\d+ .*notsleep.*dst\\.addr=${ip}:15008 dst\\.hbone_addr=${ip}:9080 .*direction="inbound"`,
    ),
  );
  await shell.type("kubectl get pods -o wide", new RegExp(`productpage\\S+ .*${ip.replaceAll(".", "\\.")}`));
  // Both APIs at once: the Gateway API's gateway still serves.
  await shell.type(page("sleep", "http://bookinfo-gateway-istio/productpage"), TITLE);
  await shell.type(`kubectl delete -f ${BOOKINFO}/networking/bookinfo-gateway.yaml`);
  // sleep is captured: its connection is accepted by ztunnel, which finds the port closed.
  await shell.until(`kubectl exec deploy/sleep -- curl -s -m 5 -o /dev/null ${gateway}; echo "exit $?"`, /^exit 56$/m);
};
