import assert from "node:assert/strict";
import { eventually, PODS, runningPod, TestServer } from "./support.ts";

function findKubectl(): string | undefined {
  for (const dir of (Deno.env.get("PATH") ?? "").split(":")) {
    try {
      if (Deno.statSync(`${dir}/kubectl`).isFile) return `${dir}/kubectl`;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

const kubectl = findKubectl();
const ignore = kubectl === undefined;
const note = ignore ? " (ignored: there is no kubectl on PATH)" : "";

interface Result {
  code: number;
  out: string;
  err: string;
}

/** Runs kubectl against a server, with a home of its own. */
class Kubectl {
  readonly #dir: string;

  constructor(test: TestServer) {
    this.#dir = test.dir;
    const { caPem, clientCertPem, clientKeyPem, server } = test.server.adminKubeconfig(test.url);
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "x",
      clusters: [{ name: "c", cluster: { server, "certificate-authority-data": btoa(caPem) } }],
      users: [{
        name: "u",
        user: { "client-certificate-data": btoa(clientCertPem), "client-key-data": btoa(clientKeyPem) },
      }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    };
    Deno.writeTextFileSync(`${this.#dir}/kubeconfig`, JSON.stringify(config));
  }

  command(args: string[]): Deno.Command {
    return new Deno.Command(kubectl!, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { KUBECONFIG: `${this.#dir}/kubeconfig`, HOME: this.#dir },
    });
  }

  async try(args: string, stdin = ""): Promise<Result> {
    const child = this.command(args.split(" ")).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin)).catch(() => {});
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, out: text(stdout), err: text(stderr) };
  }

  /** The output of a command that must succeed. */
  async run(args: string, stdin = ""): Promise<string> {
    const { code, out, err } = await this.try(args, stdin);
    assert.equal(code, 0, `kubectl ${args}: ${err}`);
    return out;
  }
}

const WEB = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}]
`;

Deno.test({ name: `kubectl applies, shows, changes and deletes${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  const k = new Kubectl(test);
  assert.equal(await k.run("apply -f -", WEB), "deployment.apps/web created\nservice/web created\n");
  assert.equal(await k.run("apply -f -", WEB), "deployment.apps/web unchanged\nservice/web unchanged\n");
  assert.equal(
    await k.run("apply -f -", WEB.replace("nginx:1", "nginx:2")),
    "deployment.apps/web configured\nservice/web unchanged\n",
  );
  assert.match(
    await k.run("get deploy -o wide"),
    /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2 +0 +0 +\d+s +a +nginx:2 +app=web\n$/,
  );
  assert.match(await k.run("get svc web"), /web +ClusterIP +10\.96\.\d+\.\d+ +<none> +80\/TCP/);
  assert.equal(await k.run("scale deploy web --replicas=3"), "deployment.apps/web scaled\n");
  assert.equal(await k.run("set image deploy/web a=nginx:3"), "deployment.apps/web image updated\n");
  assert.equal(await k.run("label deploy web x=y"), "deployment.apps/web labeled\n");
  assert.equal(await k.run("annotate deploy web x=y"), "deployment.apps/web annotated\n");
  assert.equal(await k.run("rollout restart deploy/web"), "deployment.apps/web restarted\n");
  assert.match(await k.run("describe deploy web"), /Replicas: +3 desired/);
  assert.match(await k.run("get all"), /service\/kubernetes .*service\/web .*deployment\.apps\/web/s);
  assert.match(await k.run("explain deployment.spec.replicas"), /FIELD: replicas <integer>/);
  assert.match(await k.run("api-resources"), /deployments +deploy +apps\/v1 +true +Deployment/);
  assert.equal(await k.run("delete deploy,svc web"), 'deployment.apps "web" deleted\nservice "web" deleted\n');
});

Deno.test({ name: `kubectl is told what is wrong${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  const k = new Kubectl(test);
  const unknown = await k.try("apply -f -", WEB.replace("replicas:", "replicaz:"));
  assert.match(unknown.err, /BadRequest.*strict decoding error: unknown field "spec\.replicaz"/);
  const invalid = await k.try("apply -f -", WEB.replace("app: web}}\n    spec", "app: other}}\n    spec"));
  assert.match(
    invalid.err,
    /The Deployment "web" is invalid: spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/s,
  );
  assert.match((await k.try("get pods nope")).err, /Error from server \(NotFound\): pods "nope" not found/);
  assert.match((await k.try("get bogus")).err, /the server doesn't have a resource type "bogus"/);
  const stranger = await k.try("apply -f -", "apiVersion: foo/v1\nkind: Nope\nmetadata: {name: x}\n");
  assert.match(stranger.err, /no matches for kind "Nope" in version "foo\/v1"/);
  runningPod(test, "p");
  assert.match((await k.try("exec p -c nope -- ls")).err, /container nope is not valid for pod p/);
  assert.match((await k.try("delete ns default")).err, /this namespace may not be deleted/);
});

Deno.test({ name: `kubectl's typed commands send Protobuf, which is read${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  const k = new Kubectl(test);
  assert.equal(await k.run("create namespace foo"), "namespace/foo created\n");
  await k.run("create deployment web --image=nginx --replicas=0 --port=80");
  assert.equal(
    await k.run(
      "get deploy web -o jsonpath={.spec.replicas}{.spec.template.spec.containers[0].ports[0].containerPort}",
    ),
    "080",
  );
  await k.run("create configmap c --from-literal=a=b");
  await k.run("create secret generic s --from-literal=a=b");
  assert.equal(await k.run("get secret s -o jsonpath={.data.a}"), btoa("b"));
  await k.run("create sa bob");
  await k.run("create job j --image=busybox -- date");
  assert.equal((await k.run("create token bob")).split(".").length, 3);
  assert.equal(await k.run("auth can-i get pods"), "yes\n");
  assert.equal((await k.try("auth can-i get pods --as=eve")).out, "no\n");
  assert.match(await k.run("auth whoami"), /kubernetes-admin/);
  assert.match(await k.run("version"), /Server Version: v1\.32/);
});

Deno.test({ name: `kubectl apply --server-side meets conflicts and forces them${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  const k = new Kubectl(test);
  assert.match(await k.run("apply --server-side -f -", WEB), /serverside-applied/);
  await k.run("scale deploy web --replicas=5");
  assert.match((await k.try("apply --server-side -f -", WEB)).err, /conflict with "kubectl".*: \.spec\.replicas/s);
  await k.run("apply --server-side --force-conflicts -f -", WEB);
  assert.equal(await k.run("get deploy web -o jsonpath={.spec.replicas}"), "2");
});

Deno.test({ name: `kubectl logs, exec and port-forward${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const k = new Kubectl(test);
  assert.equal(await k.run("logs p --tail=3"), "default/p/main tail=3\n");
  assert.equal(await k.run("exec p -- echo hi"), "out echo hi");
  assert.equal((await k.try("exec p -- exit 4")).code, 4);
  for (let i = 0; i < 5; i++) assert.equal(await k.run("exec -i p -- cat", `hello ${i}`), `hello ${i}`);

  const child = k.command(["port-forward", "pod/p", ":7"]).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await output.read();
  const port = Number(/127\.0\.0\.1:(\d+) -> 7/.exec(value)![1]);
  for (let i = 0; i < 3; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode(`ping ${i}`));
    const buffer = new Uint8Array(100);
    const count = await connection.read(buffer);
    assert.equal(new TextDecoder().decode(buffer.subarray(0, count!)), `ping ${i}`);
    connection.close();
  }
  child.kill();
  await output.cancel();
  await child.stdin.close();
  await child.stderr.cancel();
  await child.status;
});

Deno.test({ name: `kubectl watches, waits and deletes gracefully${note}`, ignore }, async () => {
  await using test = await TestServer.start();
  const k = new Kubectl(test);
  runningPod(test, "p");
  const waiting = k.run("wait --for=condition=Ready pod/p --timeout=20s");
  const conditions = [{ type: "Ready", status: "True" }];
  test.api.patch(PODS, "default", "p", "strategic", { status: { conditions } }, { subresource: "status" });
  assert.equal(await waiting, "pod/p condition met\n");
  const deleting = k.run("delete pod p");
  await eventually(() => test.api.get(PODS, "default", "p")?.metadata.deletionTimestamp, "the mark");
  test.api.delete(PODS, "default", "p", { gracePeriodSeconds: 0 });
  assert.equal(await deleting, 'pod "p" deleted\n');
});
