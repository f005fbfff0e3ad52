import assert from "node:assert/strict";
import type { TestCluster } from "../../support/cluster.ts";
import { reset, type Scenario, served } from "./scenario.ts";

type Expected = "served" | "reset";

interface Case {
  name: string;
  /** Specs of the policies that are in force together, by policy name. */
  specs: Record<string, unknown>;
  sleep: Expected;
  notsleep: Expected;
  /** The policy that the denial of a caller names. */
  blamed?: string;
}

const selector = { matchLabels: { app: "productpage" } };
const fromAccount = (account: string) => ({
  from: [{ source: { principals: [`cluster.local/ns/default/sa/${account}`] } }],
});

const CASES: readonly Case[] = [
  {
    name: "ALLOW by principal",
    specs: { viewer: { selector, action: "ALLOW", rules: [fromAccount("sleep")] } },
    sleep: "served",
    notsleep: "reset",
    blamed: "allow policies exist, but none allowed",
  },
  {
    name: "a garbled principal matches nobody",
    specs: { viewer: { selector, rules: [{ from: [{ source: { principals: ["cluster.local/sleep"] } }] }] } },
    sleep: "reset",
    notsleep: "reset",
  },
  {
    name: "DENY wins over ALLOW and is named",
    specs: {
      everybody: { selector, action: "ALLOW", rules: [{}] },
      "not-notsleep": { selector, action: "DENY", rules: [fromAccount("notsleep")] },
    },
    sleep: "served",
    notsleep: "reset",
    blamed: "default/not-notsleep",
  },
  {
    name: "an ALLOW policy without rules allows nobody",
    specs: { nobody: { selector, action: "ALLOW" } },
    sleep: "reset",
    notsleep: "reset",
  },
  {
    name: "namespace and port have to match together",
    specs: {
      port: {
        selector,
        rules: [{
          from: [{ source: { namespaces: ["default"] } }],
          to: [{ operation: { ports: ["9080"] } }],
        }],
      },
    },
    sleep: "served",
    notsleep: "served",
  },
  {
    name: "another port is denied",
    specs: { port: { selector, rules: [{ to: [{ operation: { ports: ["9081"] } }] }] } },
    sleep: "reset",
    notsleep: "reset",
  },
  {
    name: "prefix match of a principal",
    specs: {
      prefix: { selector, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/sl*"] } }] }] },
    },
    sleep: "served",
    notsleep: "reset",
  },
  {
    name: "an HTTP rule that nobody can check at L4 fails closed",
    specs: { get: { selector, action: "ALLOW", rules: [{ to: [{ operation: { methods: ["GET"] } }] }] } },
    sleep: "reset",
    notsleep: "reset",
  },
  {
    name: "a policy of another workload changes nothing here",
    specs: { other: { selector: { matchLabels: { app: "details" } }, action: "DENY", rules: [fromAccount("sleep")] } },
    sleep: "served",
    notsleep: "served",
  },
];

/** L4 authorization: each set of policies takes effect, is named where it denies, and is gone when removed. */
export const policies: Scenario = async (cluster) => {
  for (const { name, specs, sleep, notsleep, blamed } of CASES) {
    const since = new Date();
    const objects = await cluster.apply(
      Object.entries(specs).map(([policy, spec]) => ({
        apiVersion: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: { name: policy, namespace: "default" },
        spec,
      })),
    );
    try {
      await cluster.until(async () => {
        await check(cluster, "sleep", sleep);
        await check(cluster, "notsleep", notsleep);
      }, 15_000);
      if (blamed) await denialNames(cluster, since, blamed);
    } catch (error) {
      throw new Error(`with "${name}": ${(error as Error).message}`, { cause: error });
    } finally {
      await cluster.remove(objects);
    }
    await cluster.until(() => served(cluster, "notsleep"), 15_000);
  }
  await denialIsCounted(cluster);
};

function check(cluster: TestCluster, app: string, expected: Expected): Promise<void> {
  return expected === "served" ? served(cluster, app) : reset(cluster, app);
}

async function denialNames(cluster: TestCluster, since: Date, blamed: string): Promise<void> {
  await cluster.until(async () => {
    const denials = (await cluster.accessLines(since)).filter(({ fields }) =>
      fields.direction === "inbound" && fields.error?.includes("policy rejection")
    );
    assert.ok(
      denials.some(({ fields }) => fields.error.includes(blamed)),
      `no denial names "${blamed}": ${denials.map(({ fields }) => fields.error).join("; ")}`,
    );
  }, 10_000);
}

/** The denials above stand in the metrics of the ztunnel beside productpage, by source and destination. */
async function denialIsCounted(cluster: TestCluster): Promise<void> {
  const { spec } = await cluster.pod("productpage");
  const ztunnel = (await cluster.pods("app=ztunnel", "istio-system")).find((pod) =>
    pod.spec.nodeName === spec.nodeName
  )!;
  const series = (await cluster.get(ztunnel, 15020, "/metrics")).split("\n").find((line) =>
    line.startsWith("istio_tcp_connections_failed_total{") && line.includes('response_flags="DENY"') &&
    line.includes('source_workload="notsleep"') && line.includes('destination_workload="productpage-v1"')
  );
  assert.ok(series, "no series counts the denials");
  assert.ok(Number(series.split(" ").at(-1)) > 0, series);
}
