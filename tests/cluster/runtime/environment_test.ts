import assert from "node:assert/strict";
import {
  ContainerConfigError,
  containerEnvironment,
  serviceEnvironment,
} from "../../../src/cluster/runtime/environment.ts";
import type { PodFacts } from "../../../src/cluster/runtime/references.ts";
import { configMap, Objects, secret } from "./objects.ts";

const facts: PodFacts = {
  pod: {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { enableServiceLinks: false, containers: [{ name: "c" }] },
  },
  podIP: "10.244.0.4",
  nodeName: "n",
  hostIP: "172.18.0.2",
  allocatable: { cpu: "2", memory: "1Gi" },
};

function environment(objects: Objects, container: any): Record<string, string> {
  return containerEnvironment(objects.api, facts, { name: "c", ...container }, { PATH: "/bin" });
}

Deno.test("containerEnvironment() lets later sources win and expands what was set before", () => {
  const objects = new Objects();
  objects.put("configmaps", configMap("cm", { A: "from-map", B: "b" }));
  objects.put("secrets", secret("s", { A: "from-secret" }));
  const env = environment(objects, {
    envFrom: [{ configMapRef: { name: "cm" } }, { secretRef: { name: "s" } }, {
      prefix: "X_",
      configMapRef: { name: "cm" },
    }],
    env: [
      { name: "C", value: "$(A)/$(B)/$(LATER)" },
      { name: "LATER", value: "late" },
      { name: "B", value: "own" },
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      { name: "KEY", valueFrom: { secretKeyRef: { name: "s", key: "A" } } },
      { name: "NONE", valueFrom: { configMapKeyRef: { name: "absent", key: "k", optional: true } } },
      { name: "EMPTY" },
    ],
  });
  const wanted = {
    A: "from-secret",
    B: "own",
    C: "from-secret/b/$(LATER)",
    X_A: "from-map",
    IP: "10.244.0.4",
    CPU: "2",
  };
  for (const [name, value] of Object.entries(wanted)) assert.equal(env[name], value, name);
  assert.equal(env.KEY, "from-secret");
  assert.equal(env.EMPTY, "");
  assert.equal(env.HOSTNAME, "p");
  assert.equal(env.PATH, "/bin");
  assert.ok(!("NONE" in env));
});

Deno.test("containerEnvironment() names what is missing", () => {
  const objects = new Objects();
  objects.put("configmaps", configMap("cm", { a: "1" }));
  const cases: [any, RegExp][] = [
    [{ envFrom: [{ configMapRef: { name: "absent" } }] }, /configmap "absent" not found/],
    [{ envFrom: [{ secretRef: { name: "absent" } }] }, /secret "absent" not found/],
    [
      { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "b" } } }] },
      /couldn't find key b in ConfigMap default\/cm/,
    ],
    [{ env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "b" } } }] }, /secret "s" not found/],
    [{ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.nope" } } }] }, /unsupported fieldPath/],
  ];
  for (const [container, message] of cases) {
    assert.throws(
      () => environment(objects, container),
      (error) => error instanceof ContainerConfigError && message.test(error.message),
    );
  }
  environment(objects, { envFrom: [{ configMapRef: { name: "absent", optional: true } }] });
});

Deno.test("serviceEnvironment() describes the API server and the namespace's Services", () => {
  const objects = new Objects();
  const service = (name: string, clusterIP: string, ports: any[]) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP, ports },
  });
  objects.put("services", service("my-db", "10.96.0.7", [{ name: "sql", port: 5432 }, { port: 53, protocol: "UDP" }]));
  objects.put("services", service("headless", "None", [{ port: 1 }]));
  const env = serviceEnvironment(objects.api, "default", true);
  assert.equal(env.KUBERNETES_SERVICE_HOST, "10.96.0.1");
  assert.equal(env.KUBERNETES_SERVICE_PORT, "443");
  assert.equal(env.MY_DB_SERVICE_HOST, "10.96.0.7");
  assert.equal(env.MY_DB_SERVICE_PORT_SQL, "5432");
  assert.equal(env.MY_DB_PORT, "tcp://10.96.0.7:5432");
  assert.equal(env.MY_DB_PORT_53_UDP_PROTO, "udp");
  assert.ok(!("HEADLESS_SERVICE_HOST" in env));
  assert.ok(!("MY_DB_SERVICE_HOST" in serviceEnvironment(objects.api, "default", false)));
});
