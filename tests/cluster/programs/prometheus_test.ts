// What stands in for Prometheus' own discovery, where the host's Prometheus was built without it.

import assert from "node:assert/strict";
import { parse } from "yaml";
import { withoutKubernetesSd } from "../../../src/cluster/programs/prometheus/config.ts";
import { type SdObjects, type SdRole, targetsOf } from "../../../src/cluster/programs/prometheus/targets.ts";

const POD = {
  metadata: {
    name: "web-0",
    namespace: "shop",
    uid: "u1",
    labels: { app: "web", "app.kubernetes.io/name": "web" },
    annotations: { "prometheus.io/scrape": "true", "prometheus.io/port": "15020" },
    ownerReferences: [{ kind: "StatefulSet", name: "web", controller: true }],
  },
  spec: {
    nodeName: "n1",
    containers: [
      { name: "app", image: "app:1", ports: [{ name: "http", containerPort: 80 }, { containerPort: 81 }] },
      { name: "helper", image: "helper:1" },
    ],
    initContainers: [{ name: "init", image: "init:1" }],
  },
  status: {
    podIP: "10.0.0.7",
    hostIP: "172.18.0.2",
    phase: "Running",
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [{ name: "app", containerID: "x://1" }],
  },
};
const SERVICE = {
  metadata: { name: "web", namespace: "shop", labels: { team: "a" }, annotations: { "prometheus.io/scrape": "true" } },
  spec: { type: "ClusterIP", clusterIP: "10.96.1.1", ports: [{ name: "http", port: 8080 }] },
};
const ENDPOINTS = {
  metadata: { name: "web", namespace: "shop" },
  subsets: [{
    addresses: [{ ip: "10.0.0.7", nodeName: "n1", targetRef: { kind: "Pod", name: "web-0", namespace: "shop" } }],
    notReadyAddresses: [{ ip: "10.0.0.8" }],
    ports: [{ name: "http", port: 80 }],
  }],
};
const SLICE = {
  metadata: { name: "web-x", namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv6",
  endpoints: [{ addresses: ["fd00::7"], conditions: { ready: true } }],
  ports: [{ name: "http", port: 80, protocol: "TCP" }],
};
const NODE = {
  metadata: { name: "n1", labels: { "kubernetes.io/hostname": "n1" } },
  status: {
    addresses: [{ type: "Hostname", address: "n1" }, { type: "InternalIP", address: "172.18.0.2" }],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
  },
};

const found = (role: SdRole, objects: SdObjects) =>
  targetsOf(role, objects).map(({ targets, labels }) => ({
    at: targets[0],
    ...Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [name.replace("__meta_kubernetes_", ""), value]),
    ),
  })) as Record<string, string>[];

Deno.test("targetsOf(pod): one target for each port, one for a container without ports, none before there is an address", () => {
  const targets = found("pod", { pods: [POD, { ...POD, status: { phase: "Pending" } }] });
  assert.deepEqual(targets.map(({ at }) => at), ["10.0.0.7:80", "10.0.0.7:81", "10.0.0.7", "10.0.0.7"]);
  const [first, , , init] = targets;
  const expected = {
    namespace: "shop",
    pod_name: "web-0",
    pod_ip: "10.0.0.7",
    pod_host_ip: "172.18.0.2",
    pod_label_app: "web",
    pod_label_app_kubernetes_io_name: "web",
    pod_labelpresent_app_kubernetes_io_name: "true",
    pod_annotation_prometheus_io_scrape: "true",
    pod_annotation_prometheus_io_port: "15020",
    pod_annotationpresent_prometheus_io_port: "true",
    pod_container_name: "app",
    pod_container_id: "x://1",
    pod_container_image: "app:1",
    pod_container_init: "false",
    pod_container_port_name: "http",
    pod_container_port_number: "80",
    pod_container_port_protocol: "TCP",
    pod_ready: "true",
    pod_phase: "Running",
    pod_node_name: "n1",
    pod_uid: "u1",
    pod_controller_kind: "StatefulSet",
    pod_controller_name: "web",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(first[name], value, name);
  assert.equal(init.pod_container_init, "true");
});

Deno.test("targetsOf(endpoints): the Service's and the pod's labels, and the pod's other ports", () => {
  const targets = found("endpoints", { endpoints: [ENDPOINTS], services: [SERVICE], pods: [POD] });
  assert.deepEqual(targets.map(({ at }) => at), ["10.0.0.7:80", "10.0.0.8:80", "10.0.0.7:81"]);
  const [backed, alone, other] = targets;
  for (const each of targets) {
    assert.equal(each.endpoints_name, "web");
    assert.equal(each.service_name, "web");
    assert.equal(each.service_annotation_prometheus_io_scrape, "true");
  }
  assert.equal(backed.endpoint_port_name, "http");
  assert.equal(backed.endpoint_ready, "true");
  assert.equal(backed.endpoint_node_name, "n1");
  assert.equal(backed.pod_name, "web-0");
  assert.equal(alone.endpoint_ready, "false");
  assert.equal(alone.pod_name, undefined);
  assert.equal(other.pod_container_port_number, "81");
});

Deno.test("targetsOf(): nodes, services and slices", () => {
  const [node] = found("node", { nodes: [NODE, { metadata: { name: "new" } }] });
  assert.equal(node.at, "172.18.0.2:10250");
  assert.equal(node.instance, "n1");
  assert.equal(node.node_label_kubernetes_io_hostname, "n1");
  assert.equal(node.node_address_InternalIP, "172.18.0.2");
  const [service] = found("service", { services: [SERVICE] });
  assert.equal(service.at, "web.shop.svc:8080");
  assert.equal(service.service_port_number, "8080");
  assert.equal(service.service_cluster_ip, "10.96.1.1");
  const [slice] = found("endpointslice", { endpointSlices: [SLICE], services: [SERVICE] });
  assert.equal(slice.at, "[fd00::7]:80");
  assert.equal(slice.service_label_team, "a");
  assert.equal(slice.endpointslice_endpoint_conditions_ready, "true");
});

const converted = (text: string) =>
  parse(withoutKubernetesSd(text, "/etc/config", "istio-system", (sd) => `http://sd/${JSON.stringify(sd)}`));

Deno.test("withoutKubernetesSd() leaves everything else as it is, aliases and relative files resolved", () => {
  const config = converted(`
scrape_configs:
  - job_name: a
    tls_config: &ca { ca_file: ca.crt }
    kubernetes_sd_configs:
      - role: pod
        namespaces: { names: [shop], own_namespace: true }
        selectors: [{ role: pod, label: "app=web" }]
        authorization: { credentials_file: /token }
  - job_name: b
    tls_config: *ca
    static_configs: [{ targets: ["x:1"], labels: { log_file: rel } }]
rule_files: [rules.yml, /abs.yml]
`);
  const [a, b] = config.scrape_configs;
  assert.equal(a.kubernetes_sd_configs, undefined);
  assert.deepEqual(JSON.parse(a.http_sd_configs[0].url.slice("http://sd/".length)), {
    role: "pod",
    namespaces: ["shop", "istio-system"],
    selectors: [{ role: "pod", label: "app=web" }],
  });
  assert.deepEqual(b, {
    job_name: "b",
    tls_config: { ca_file: "/etc/config/ca.crt" },
    static_configs: [{ targets: ["x:1"], labels: { log_file: "rel" } }],
  });
  assert.deepEqual(config.rule_files, ["/etc/config/rules.yml", "/abs.yml"]);
});

Deno.test("withoutKubernetesSd() names what it does not know", () => {
  const sd = (text: string) => `scrape_configs: [{ job_name: a, kubernetes_sd_configs: [${text}] }]`;
  const cases: [config: string, problem: RegExp][] = [
    [sd("{ role: ingress }"), /role "ingress"/],
    [sd("{ role: pod, api_server: https://elsewhere }"), /sets api_server/],
    [sd("{ role: pod, attach_metadata: { node: true } }"), /sets attach_metadata/],
    ["scrape_configs: [", /is not YAML/],
  ];
  for (const [text, problem] of cases) assert.throws(() => converted(text), problem);
  assert.deepEqual(converted(""), {});
});
