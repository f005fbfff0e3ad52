// Our proxy's answers: the codec, the exchange and its policies, in this process.

import { convertL7Policy } from "../../../src/index/routing/policies/convert.ts";
import { compileL7Policy, L7PolicySet } from "../../../src/policy/http.ts";
import { destination, forward, policy, ProxyLab, route, settings, virtualHost } from "../../http/exchange/support.ts";
import { type Answer, askAll, EchoBackend } from "./ask.ts";
import type { Group, Mode, Spec } from "./cases.ts";

function policySet(spec: Spec): L7PolicySet {
  const { action, rules, notes } = convertL7Policy({
    metadata: { name: "p", namespace: "default" },
    spec: { ...spec },
  });
  if (notes.size > 0) throw new Error(`${notes}`);
  return new L7PolicySet([compileL7Policy(policy("default/p", { action, rules }))]);
}

/** Each request is sent once; all policies of the group are asked about what the exchange knows of it. */
export async function ourAnswers(group: Group, mode: Mode): Promise<Answer[]> {
  const backend = new EchoBackend();
  const lab = new ProxyLab({
    resources: [
      settings({ pathNormalization: mode, trustedProxies: group.trustedProxies }),
      virtualHost([route(forward(["backend"]))]),
    ],
    destinations: [destination("backend", [backend.port])],
  });
  const sets = group.specs.map(policySet), decisions = new Map<string, string>();
  const runtime = lab.compiler.slot("http.80")!.current!;
  const decide = runtime.policies.decide.bind(runtime.policies);
  (runtime.policies as { decide: L7PolicySet["decide"] }).decide = (facts) => {
    const [number] = facts.headerValues("x-number");
    decisions.set(number, sets.map((set) => set.decide(facts).allowed ? "A" : "D").join(""));
    return decide(facts);
  };
  try {
    return (await askAll(lab.port, group.requests)).map(({ seen }, i) => ({
      seen,
      decisions: /^\d{1,3}$/.test(seen) ? "" : decisions.get(String(i))!,
    }));
  } finally {
    await lab.close();
    await backend.close();
  }
}
