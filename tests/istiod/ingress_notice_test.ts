import assert from "node:assert/strict";
import { IngressNotice } from "../../src/roles/istiod/ingress_notice.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { WatchApi } from "../support/watch_api.ts";

const PATH = "/apis/networking.k8s.io/v1/ingresses";

Deno.test("Ingresses of class istio are named in the log, once for each, and others are not", async () => {
  await using api = await WatchApi.start(PATH);
  using client = api.client();
  const lines: string[] = [];
  const logger = new Logger("test", { sink: { write: (bytes) => lines.push(String(bytes)) } });
  const ingress = (name: string, spec: Record<string, unknown>, annotations = {}) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name, namespace: "default", annotations },
    spec,
  });
  api.set(PATH, ingress("listed", { ingressClassName: "istio" }));
  api.set(PATH, ingress("other", { ingressClassName: "nginx" }, { "kubernetes.io/ingress.class": "istio" }));
  api.set(PATH, ingress("none", {}));
  const notice = new IngressNotice(client, logger);
  notice.start();
  const named = () => lines.flatMap((line) => /Ingress\/default\/([a-z]+)/.exec(line)?.[1] ?? []);
  await eventually(() => assert.deepEqual(named(), ["listed"]));
  api.set(PATH, ingress("listed", { ingressClassName: "istio", rules: [] }));
  api.set(PATH, ingress("annotated", {}, { "kubernetes.io/ingress.class": "istio" }));
  api.set(PATH, ingress("none", { ingressClassName: "istio" }));
  await eventually(() => assert.deepEqual(named(), ["listed", "annotated", "none"]));
  await notice.stop();
});
