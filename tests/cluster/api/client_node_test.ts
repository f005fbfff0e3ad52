import assert from "node:assert/strict";
import { PassThrough, Writable } from "node:stream";
import { AppsV1Api, CoreV1Api, Exec, KubeConfig, Log, PortForward, Watch } from "@kubernetes/client-node";
import { deployment, eventually, runningPod, TestServer } from "./support.ts";

/** client-node and the HTTP client under it leave timers behind which nobody can clear: leaks are not looked for here. */
function clientTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

function clientOf(test: TestServer): KubeConfig {
  const { caPem, clientCertPem, clientKeyPem, server } = test.server.adminKubeconfig(test.url);
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "c", server, caData: btoa(caPem) }],
    users: [{ name: "u", certData: btoa(clientCertPem), keyData: btoa(clientKeyPem) }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  return config;
}

class Collector extends Writable {
  text = "";
  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.text += new TextDecoder().decode(chunk);
    done();
  }
}

clientTest("client-node creates, lists, patches, watches and deletes", async () => {
  await using test = await TestServer.start();
  const config = clientOf(test);
  const apps = config.makeApiClient(AppsV1Api);
  const core = config.makeApiClient(CoreV1Api);
  const created = await apps.createNamespacedDeployment({ namespace: "default", body: deployment("d") as any });
  assert.equal(created.spec!.strategy!.type, "RollingUpdate");
  assert.equal((await apps.listDeploymentForAllNamespaces()).items.length, 1);
  const seen: string[] = [];
  const abort = await new Watch(config).watch(
    "/apis/apps/v1/deployments",
    {},
    (phase: string, object: any) => void seen.push(`${phase} ${object.metadata.name}`),
    () => {},
  );
  await eventually(() => seen.length > 0, "the watch");
  await apps.deleteNamespacedDeployment({ name: "d", namespace: "default" });
  await eventually(() => seen.includes("DELETED d"), "the deletion");
  abort.abort();
  await assert.rejects(core.readNamespacedPod({ name: "x", namespace: "default" }), { code: 404 });
});

clientTest("exec over WebSocket carries both outputs, input to its end, and the exit code", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const exec = new Exec(clientOf(test));
  const run = (command: string[], stdin: PassThrough | null = null) =>
    new Promise<{ out: string; err: string; status: any }>((resolve, reject) => {
      const out = new Collector();
      const err = new Collector();
      exec.exec(
        "default",
        "p",
        "main",
        command,
        out,
        err,
        stdin,
        false,
        (status) => resolve({ out: out.text, err: err.text, status }),
      ).catch(reject);
    });
  const plain = await run(["echo", "hi"]);
  assert.deepEqual([plain.out, plain.err, plain.status.status], ["out echo hi", "err", "Success"]);
  const failed = await run(["exit", "3"]);
  assert.equal(failed.status.reason, "NonZeroExitCode");
  assert.deepEqual(failed.status.details.causes, [{ reason: "ExitCode", message: "3" }]);
  const missing = await run(["missing"]);
  assert.match(missing.status.message, /executable file not found/);
});

clientTest("a client that leaves ends its command", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const socket = await new Exec(clientOf(test)).exec(
    "default",
    "p",
    "main",
    ["sleep", "9"],
    new Collector(),
    new Collector(),
    null,
    false,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.close();
  await eventually(() => test.backend.killed.includes("p"), "the kill");
});

clientTest("logs: tail, container choice, follow until the client leaves, previous", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const path = "/api/v1/namespaces/default/pods/p/log";
  assert.equal((await test.call("GET", `${path}?tailLines=5`)).text, "default/p/main tail=5\n");
  assert.match(
    (await test.call("GET", `${path}?previous=true`)).body.message,
    /previous terminated container "main" in pod "p" not found/,
  );
  assert.match((await test.call("GET", `${path}?container=x`)).body.message, /container x is not valid for pod p/);
  assert.equal((await test.call("GET", `${path}?tailLines=-1`)).code, 422);
  assert.equal((await test.call("GET", `${path}?tailLines=x`)).code, 400);
  const out = new Collector();
  const controller = await new Log(clientOf(test)).log("default", "p", "main", out, { follow: true });
  await eventually(() => out.text !== "", "the first line");
  assert.equal(test.backend.openFollowers, 1);
  controller.abort();
  await eventually(() => test.backend.openFollowers === 0, "the follower to end");
});

clientTest("port-forward over channels, as client-node does it", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const forward = new PortForward(clientOf(test));
  const input = new PassThrough();
  const output = new Collector();
  const errors = new Collector();
  const socket = await forward.portForward("default", "p", [7], output, errors, input) as { close(): void };
  input.write("ping");
  await eventually(() => output.text === "ping", "the echo");
  socket.close();
  const refused = new Collector();
  await forward.portForward("default", "p", [8], new Collector(), refused, new PassThrough());
  await eventually(() => refused.text.includes("refused"), "the error");
});
