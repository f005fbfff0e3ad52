import assert from "node:assert/strict";
import type { AuthorizationPolicy } from "../../src/model/mod.ts";
import { connectionFacts } from "../../src/policy/mod.ts";
import { ConnectionManager, type GuardedConnection } from "../../src/proxy/connection_manager.ts";
import { MeshState } from "../../src/proxy/state/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { workload } from "../support/model.ts";

const DENY: AuthorizationPolicy = {
  namespace: "default",
  name: "deny",
  scope: "NAMESPACE",
  action: "DENY",
  rules: [[]],
  dryRun: false,
};

function setup() {
  const lines: string[] = [];
  const state = new MeshState();
  const log = new Logger("policy", { sink: { write: (line) => lines.push(line) } });
  return { lines, state, manager: new ConnectionManager(state, log, true) };
}

function connection(revoked: string[], authorizationPolicies: string[] = []): GuardedConnection {
  return {
    facts: connectionFacts({ sourceIp: "10.0.0.1", destinationIp: "10.0.0.2", destinationPort: 80 }),
    workload: workload("web", "10.0.0.2", { authorizationPolicies }),
    revoke: (decision) => revoked.push(decision.reason),
  };
}

Deno.test("ConnectionManager closes what a new policy forbids, once, and forgets what has ended", () => {
  const { state, manager } = setup();
  const revoked: string[] = [];
  const kept = manager.admit(connection(revoked)), ended = manager.admit(connection(revoked));
  assert.ok(kept.decision.allowed && ended.decision.allowed);
  assert.equal(manager.size, 2);
  ended.release();
  manager.reevaluate();
  assert.deepEqual(revoked, []);
  state.policies.upsert(DENY);
  manager.reevaluate();
  manager.reevaluate();
  assert.deepEqual(revoked, ["explicitly denied by: default/deny"]);
  assert.equal(manager.size, 0);
  assert.equal(manager.admit(connection(revoked)).decision.allowed, false);
  assert.equal(manager.size, 0);
});

Deno.test("ConnectionManager warns of policies that were named and never sent, and logs where a decision came from", () => {
  const { state, manager, lines } = setup();
  manager.admit(connection([], ["default/unsent"])).release();
  assert.match(lines[0], /warn\tpolicy\tpolicies of this workload have not been received.*default\/unsent/);
  state.policies.upsert(DENY);
  manager.admit(connection([]));
  assert.match(lines.at(-1)!, /info\tpolicy\tdenied\t.*by="default\/deny rule\[0\] match\[\]"/);
});
