import assert from "node:assert/strict";
import { main } from "../../main.ts";
import { istiodHelp, readIstiodConfig } from "../../src/roles/istiod/config.ts";
import { readMeshConfig } from "../../src/roles/istiod/mesh_config.ts";

const env = (values: Record<string, string> = {}) => (name: string) => values[name];

Deno.test("readIstiodConfig takes pilot-discovery's flags in Go's forms", () => {
  const config = readIstiodConfig([
    "discovery",
    "--monitoringAddr=:15014",
    "--log_output_level=default:debug,ads:warn",
    "--log_as_json",
    "--domain",
    "example.internal",
    "--keepaliveMaxServerConnectionAge",
    "30m",
    "--secureGRPCAddr=127.0.0.1:0",
    "--grpcAddr=",
  ], env());
  assert.equal(config.domain, "example.internal");
  assert.deepEqual(config.listen, {
    grpc: "",
    secureGrpc: "127.0.0.1:0",
    http: "[::]:8080",
    monitoring: "[::]:15014",
  });
  assert.equal(config.maxConnectionAgeMs, 30 * 60_000);
  assert.deepEqual([config.logLevels, config.logJson], ["debug,ads:warn", true]);
  assert.equal(readIstiodConfig(["--log_as_json=false"], env()).logJson, false);
});

Deno.test("readIstiodConfig reads Istio's environment", () => {
  const config = readIstiodConfig(
    [],
    env({
      POD_NAMESPACE: "mesh",
      REVISION: "canary",
      CLUSTER_ID: "c1",
      CA_TRUSTED_NODE_ACCOUNTS: "mesh/ztunnel, kube-system/ztunnel",
      PILOT_DEBOUNCE_AFTER: "1s",
      TOKEN_AUDIENCES: "a,b",
    }),
  );
  assert.deepEqual(
    [config.namespace, config.meshConfigMap, config.clusterId, config.debounceAfterMs],
    ["mesh", "istio-canary", "c1", 1000],
  );
  assert.deepEqual(config.trustedNodeAccounts, ["mesh/ztunnel", "kube-system/ztunnel"]);
  assert.deepEqual(config.tokenAudiences, ["a", "b"]);
  assert.equal(readIstiodConfig([], env()).meshConfigMap, "istio");
});

Deno.test("readIstiodConfig refuses what it cannot use, each with its reason", () => {
  const table: [args: string[], env: Record<string, string>, message: RegExp][] = [
    [["--nope"], {}, /unknown flag '--nope'; see `ambientd istiod --help`/],
    [["--domain"], {}, /--domain/],
    [["stray"], {}, /stray/],
    [["--httpAddr=8080"], {}, /--httpAddr="8080" is not an address; write it like :15010/],
    [["--httpAddr=:99999"], {}, /--httpAddr/],
    [
      ["--keepaliveMaxServerConnectionAge=soon"],
      {},
      /--keepaliveMaxServerConnectionAge: cannot read "soon" as a duration/,
    ],
    [
      [],
      { PILOT_DEBOUNCE_AFTER: "x", AMBIENT_ENABLE_STATUS: "maybe" },
      /AMBIENT_ENABLE_STATUS="maybe".*PILOT_DEBOUNCE_AFTER="x"/,
    ],
    [[], { PILOT_ENABLE_AMBIENT: "false" }, /serves ambient meshes only/],
  ];
  for (const [args, values, message] of table) {
    assert.throws(() => readIstiodConfig(args, env(values)), { message }, args.join(" "));
  }
});

Deno.test("ambientd istiod --help lists every flag and variable", async () => {
  const text = istiodHelp();
  for (
    const name of ["--secureGRPCAddr", "--domain", "CA_TRUSTED_NODE_ACCOUNTS", "PILOT_DEBOUNCE_MAX", "ROOT_CA_DIR"]
  ) {
    assert.ok(text.includes(name), name);
  }
  assert.equal(await main(["istiod", "--nope"]), 64);
});

Deno.test("readMeshConfig takes trust domain and root namespace, and refuses what would break identities", async () => {
  const config = readIstiodConfig([], env({ POD_NAMESPACE: "mesh" }));
  const read = (text: string) => readMeshConfig(text, config);
  const empty = await read("");
  assert.deepEqual([empty.trustDomain, empty.rootNamespace], ["cluster.local", "mesh"]);
  const full = await read("trustDomain: example.org\nrootNamespace: root\nenablePrometheusMerge: true\n");
  assert.deepEqual([full.trustDomain, full.rootNamespace, full.raw.enablePrometheusMerge], [
    "example.org",
    "root",
    true,
  ]);
  for (const text of ["a: [", "- a", "text", "trustDomain: a/b", "trustDomain: 7", "rootNamespace: ../x"]) {
    await assert.rejects(read(text), { code: "invalid_mesh_config" }, text);
  }
});
