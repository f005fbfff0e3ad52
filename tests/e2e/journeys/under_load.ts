import assert from "node:assert/strict";
import type { Typed, UserShell } from "../../support/user_shell.ts";
import type { Journey } from "./steps.ts";

const REVIEWS = "http://reviews:9080/reviews/0";
const HEALTH = "http://reviews:9080/health";

/** What counts as "at once" on a busy machine; the time that was needed is printed. */
const CHANGE_MS = 10_000;

/** Load from sleep's pod while `work` runs, with connections that are kept and with new ones; no request may fail. */
export async function underLoad(
  shell: UserShell,
  work: () => Promise<void>,
  { kept, anew, count }: { kept: string; anew: string; count: number } = { kept: HEALTH, anew: HEALTH, count: 400 },
): Promise<void> {
  const load = (flags: string, url: string) =>
    shell.run(
      `kubectl exec deploy/sleep -- fortio load -c 4 -qps 40 -n ${count} -timeout 10s ${flags} ${url}`,
    );
  const loads: Promise<Typed>[] = [load("", kept), load("-keepalive=false", anew)];
  await work();
  for (const { code, stdout } of await Promise.all(loads)) {
    assert.equal(code, 0, stdout);
    assert.match(stdout, new RegExp(`^Code 200 : ${count} \\(100\\.0 %\\)$`, "m"), stdout);
  }
}

function route(weights: Record<string, number>): string {
  const backends = Object.entries(weights).map(([version, weight]) =>
    `    - {name: reviews-${version}, port: 9080, weight: ${weight}}`
  );
  return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews, namespace: default}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, port: 9080}]
  rules:
  - backendRefs:
${backends.join("\n")}`;
}

/** Applies YAML and returns how long it took until ten answers in a row were as wanted, from a loop inside a pod. */
async function effectiveAfter(shell: UserShell, yaml: string, check: string): Promise<number> {
  await shell.type(`kubectl apply -f - <<'EOF'\n${yaml}\nEOF`);
  const loop = `start=$(date +%s%N); good=0
while [ $good -lt 10 ]; do
  if ${check}; then good=$((good + 1)); [ $good != 1 ] || first=$(date +%s%N); else good=0; fi
  [ $(( ($(date +%s%N) - start) / 1000000 )) -lt ${CHANGE_MS} ] || exit 9
done
echo $(( (first - start) / 1000000 ))`;
  return Number(await shell.type(`kubectl exec deploy/sleep -- sh -c ${quote(loop)}`, /^\d+\n$/));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** On S4's cluster: weights and policies change at once, and a waypoint comes, rolls and goes without a failed request. */
export const underLoadJourney: Journey = async (shell) => {
  await underLoad(shell, async () => {
    await shell.type("kubectl label namespace default istio.io/use-waypoint=waypoint");
    await shell.type("kubectl rollout restart deployment waypoint");
    await shell.type("kubectl rollout status deployment waypoint --timeout=60s");
  });
  const times: Record<string, number> = {};
  for (const version of ["v3", "v1"]) {
    const answers = `curl -s ${REVIEWS} | grep -q reviews-${version}-`;
    times[`all to ${version}`] = await effectiveAfter(shell, route({ [version]: 1 }), answers);
  }
  const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-closed, namespace: default}
spec:
  targetRefs: [{group: "", kind: Service, name: reviews}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/reviews/*"]}}]}]`;
  const code = (wanted: number) => `[ "$(curl -s -o /dev/null -w '%{http_code}' ${REVIEWS})" = ${wanted} ]`;
  times["DENY"] = await effectiveAfter(shell, policy, code(403));
  await shell.type("kubectl delete authorizationpolicy reviews-closed");
  await shell.until(`kubectl exec deploy/sleep -- sh -c ${quote(`${code(200)} && echo open`)}`, /open/);
  console.log(`changes took effect after (ms): ${JSON.stringify(times)}`);
  await shell.type("kubectl delete httproute reviews");

  await underLoad(shell, async () => {
    await shell.type("kubectl label namespace default istio.io/use-waypoint-");
    await shell.type("istioctl waypoint delete waypoint", /waypoint default\/waypoint deleted/);
  });
};
