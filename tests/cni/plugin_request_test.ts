import assert from "node:assert/strict";
import {
  cmdAddEvent,
  cniError,
  parseCmdAdd,
  parsePluginConfig,
  podOf,
  resultIps,
  unchangedResult,
} from "../../src/roles/cni/plugin_request.ts";

const PREVIOUS = {
  cniVersion: "0.3.1",
  interfaces: [{ name: "eth0" }],
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }, { address: "fd00::3/64", gateway: "fd00::1" }],
};
const ENV = {
  command: "ADD",
  containerId: "c",
  netns: "/var/run/netns/x",
  args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_UID=u-1",
};

Deno.test("podOf() finds the pod in CNI_ARGS, or that it is none", () => {
  assert.deepEqual(podOf(ENV.args), { name: "cart", namespace: "shop", uid: "u-1" });
  for (const args of ["", "IgnoreUnknown=1", "K8S_POD_NAME=x", ";;=;"]) assert.equal(podOf(args), undefined);
});

Deno.test("cmdAddEvent() is what Go would send, and parseCmdAdd() reads it", () => {
  const event = cmdAddEvent(parsePluginConfig(JSON.stringify({ cniVersion: "0.3.1", prevResult: PREVIOUS })), ENV);
  assert.deepEqual(event, {
    Netns: "/var/run/netns/x",
    PodName: "cart",
    PodNamespace: "shop",
    IPs: [
      { Interface: 0, Address: { IP: "10.1.2.3", Mask: "////AA==" }, Gateway: "10.1.2.1" },
      { Interface: null, Address: { IP: "fd00::3", Mask: "//////////8AAAAAAAAAAA==" }, Gateway: "fd00::1" },
    ],
  });
  assert.deepEqual(parseCmdAdd(JSON.stringify(event)), {
    netns: "/var/run/netns/x",
    name: "cart",
    namespace: "shop",
    ips: ["10.1.2.3", "fd00::3"],
  });
});

Deno.test("hostile input is refused with its reason", () => {
  for (const bad of ["", "[]", "null", "1", '{"cniVersion":"9.9"}']) {
    assert.throws(() => parsePluginConfig(bad), /network configuration|CNI version/, bad);
  }
  for (const bad of ["", "null", "{}", '{"Netns":"x","PodName":"y"}', '{"Netns":1,"PodName":"y","PodNamespace":"z"}']) {
    assert.throws(() => parseCmdAdd(bad), /event/, bad);
  }
  const odd = { Netns: "n", PodName: "p", PodNamespace: "s", IPs: [null, {}, { Address: { IP: "nonsense" } }] };
  assert.deepEqual(parseCmdAdd(JSON.stringify(odd)).ips, []);
});

Deno.test("results pass through unchanged", () => {
  const config = parsePluginConfig(JSON.stringify({ cniVersion: "0.3.1", prevResult: PREVIOUS }));
  assert.deepEqual(JSON.parse(unchangedResult(config)), PREVIOUS);
  assert.deepEqual(resultIps(config), ["10.1.2.3", "fd00::3"]);
  assert.deepEqual(JSON.parse(unchangedResult({})), { cniVersion: "0.3.1", interfaces: [], ips: [] });
  assert.deepEqual(JSON.parse(cniError("no")), { cniVersion: "0.3.1", code: 999, msg: "no" });
});
