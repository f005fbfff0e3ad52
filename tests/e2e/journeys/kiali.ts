// S3's steps with Kiali, typed as they are written; only the local port is a free one where 20001 is taken.

import assert from "node:assert/strict";
import { eventually } from "../../support/eventually.ts";
import type { UserShell } from "../../support/user_shell.ts";
import { page, TITLE } from "./steps.ts";

const SHOWN_MS = 60_000;
const REVIEWS = ["v1", "v2", "v3"];

/** The port-forward that stays open in a terminal of its own, and the page behind it. */
export class KialiPage implements AsyncDisposable {
  readonly #url: string;
  readonly #forward: Deno.ChildProcess;

  private constructor(url: string, forward: Deno.ChildProcess) {
    this.#url = url;
    this.#forward = forward;
  }

  /** S3 step 6: the addon, and a port-forward to it. */
  static async open(shell: UserShell): Promise<KialiPage> {
    await shell.type("kubectl apply -f samples/addons/kiali.yaml");
    await shell.type("kubectl wait --for=condition=Available deployment/kiali -n istio-system --timeout=60s");
    const port = freePort(20001);
    const forward = shell.start(`exec kubectl port-forward svc/kiali ${port}:20001 -n istio-system`);
    const opened = new KialiPage(`http://127.0.0.1:${port}`, forward);
    try {
      await eventually(async () => assert.match(await opened.#get("/"), /ambientd console/), SHOWN_MS);
    } catch (error) {
      await opened[Symbol.asyncDispose]();
      throw error;
    }
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#forward.kill("SIGTERM");
    } catch {
      // Its pod went first.
    }
    await this.#forward.status;
  }

  async #get(path: string): Promise<string> {
    const response = await fetch(`${this.#url}${path}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${path}: ${text}`);
    return text;
  }

  async #ask(path: string): Promise<any> {
    return JSON.parse(await this.#get(`/kiali/api/${path}`));
  }

  /** S3 steps 10 and 11: what the page Applications says in its column Details. */
  async applications(outOfMesh: boolean): Promise<void> {
    assert.match(await this.#get("/kiali/console/applications"), /console\.js/);
    await eventually(async () => {
      const { applications } = await this.#ask("applications?namespaces=default");
      for (const app of ["productpage", "details", "reviews", "ratings", "sleep", "notsleep"]) {
        const { details } = applications.find((one: any) => one.app === app);
        assert.equal(details.includes("out of mesh"), outOfMesh, `${app}: ${details}`);
      }
    }, SHOWN_MS);
  }

  /** S3 step 12: edges carry a padlock, and every version of reviews is in the graph. */
  async padlocks(shell: UserShell): Promise<void> {
    assert.match(await this.#get("/kiali/console/graph/namespaces?namespaces=default"), /console\.js/);
    assert.match(await this.#get("/kiali/graph.js"), /"Security"/);
    await eventually(async () => {
      await shell.type(page("sleep", "http://productpage:9080/productpage"), TITLE);
      const { edges } = await this.#ask("graph?namespaces=default");
      for (const version of REVIEWS) {
        const edge = edges.find((one: any) =>
          one.source === "app:default/productpage/v1" && one.target === `app:default/reviews/${version}`
        );
        assert.ok(edge, `an edge to reviews ${version} among ${edges.map((one: any) => one.id).join(", ")}`);
        assert.equal(edge.mtls, true);
        assert.deepEqual(edge.sourcePrincipals, ["spiffe://cluster.local/ns/default/sa/bookinfo-productpage"]);
      }
    }, SHOWN_MS);
  }

  /** Who is refused, and by which policy; at L4 the proxy names it. */
  async refusal(from: string, at: "workload" | "waypoint"): Promise<void> {
    await eventually(async () => {
      const { edges } = await this.#ask("graph?namespaces=default");
      const edge = edges.find((one: any) =>
        one.source === `app:default/${from}/latest` && one.target === "app:default/productpage/v1"
      );
      assert.ok(edge?.denied > 0, `a refused edge from ${from}`);
      const by = edge.deniedBy.map(({ name, at }: any) => `${name} ${at}`);
      assert.ok(by.includes(`productpage-viewer ${at}`), `refused by ${by}`);
    }, SHOWN_MS);
  }

  /** The 90/10 split, as shares of the edges from productpage. */
  async split(): Promise<void> {
    await eventually(async () => {
      const { edges } = await this.#ask("graph?namespaces=default&window=30s");
      const share = (version: string) =>
        edges.find((one: any) =>
          one.source === "app:default/productpage/v1" && one.target === `app:default/reviews/${version}`
        )?.share ?? 0;
      assert.ok(share("v1") > 0.7 && share("v2") > 0.01 && share("v2") < 0.3, `${REVIEWS.map(share)}`);
      assert.ok(edges.some(({ waypoints }: any) => waypoints.includes("default/waypoint")));
    }, SHOWN_MS);
  }
}

/** `wanted` if nobody has it, else any. */
function freePort(wanted: number): number {
  for (const port of [wanted, 0]) {
    try {
      const listener = Deno.listen({ hostname: "127.0.0.1", port });
      const free = listener.addr.port;
      listener.close();
      return free;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("no free port");
}
