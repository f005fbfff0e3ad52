// Run by lab_main.ts inside the engine's namespaces, one after the other in one cluster.

import assert from "node:assert/strict";
import { type Lab, NODES, SLEEPER } from "./lab.ts";
import { podPath } from "../../../src/cluster/runtime/assets.ts";

export const SCENARIOS: Record<string, (lab: Lab) => Promise<void>> = {
  async "a node is registered with its addresses, its lease and its labels"({ api }) {
    const [first, second] = NODES.map((name) => api.get({ group: "", resource: "nodes" }, undefined, name)!);
    assert.equal(first.metadata.labels?.["node-role.kubernetes.io/control-plane"], "");
    assert.equal(second.metadata.labels?.["node-role.kubernetes.io/control-plane"], undefined);
    assert.equal(first.spec.taints, undefined);
    assert.deepEqual(second.status.addresses[0], { type: "InternalIP", address: "172.18.0.3" });
    assert.equal(second.spec.podCIDR, "10.244.1.0/24");
    assert.equal(second.status.conditions.find((one: any) => one.type === "Ready").status, "True");
    assert.ok(
      api.get({ group: "coordination.k8s.io", resource: "leases" }, "kube-node-lease", NODES[1])?.spec.renewTime,
    );
  },

  async "a pod gets its own network, names, files and environment"(lab) {
    lab.api.create({ group: "", resource: "configmaps" }, configMap("first", { a: "1", "b.txt": "two" }));
    const output = await lab.script(
      "identity",
      `hostname; ip -o -4 addr show eth0 | awk '{print $4}'; echo "$POD_IP $(echo $NAME)"; cat /cfg/b.txt /one; echo;
       cat /etc/resolv.conf; grep identity /etc/hosts; cat /usr/share/not-there/x/a; echo; pwd; id -u; ls /proc | grep -c '^[0-9]'`,
      {
        container: {
          workingDir: "/tmp",
          env: [
            { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "NAME", value: "ip=$(POD_IP)" },
          ],
          volumeMounts: [
            { name: "cfg", mountPath: "/cfg" },
            { name: "cfg", mountPath: "/one", subPath: "a" },
            { name: "cfg", mountPath: "/usr/share/not-there/x" },
          ],
        },
        volumes: [{ name: "cfg", configMap: { name: "first" } }],
      },
    );
    const ip = lab.status("identity").podIP;
    assert.match(ip, /^10\.244\.1\.\d+$/);
    const lines = output.split("\n");
    assert.deepEqual(lines.slice(0, 4), ["identity", `${ip}/32`, `${ip} ip=${ip}`, "two1"]);
    assert.match(
      output,
      /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local\nnameserver 10\.96\.0\.10/,
    );
    assert.match(output, new RegExp(`${ip}\tidentity`));
    assert.deepEqual(lines.slice(-5, -2), ["1", "/tmp", "0"]);
    assert.ok(Number(lines.at(-2)) < 10, "only the pod's own processes are seen");
  },

  async "a pod cannot change the host, read its secrets, or see other pods"(lab) {
    lab.pod("neighbour", { containers: [{ ...SLEEPER, command: ["sleep", "424242"] }] });
    await lab.ready("neighbour");
    const tries = `
      touch /usr/x /etc/x /x 2>&1; echo 1 > /proc/sys/kernel/panic; cat /etc/shadow; ls ${lab.dataDir}; ls -A /.ambientd/pod /.ambientd/host;
      mount -t tmpfs x /mnt; mknod /tmp/disk b 254 0; ls -A /home; ip link add x type dummy; nsenter -t 1 -n true && echo entered;
      ps aux | grep -c 42424[2]; grep CapEff /proc/self/status; umount /etc/hosts; ls /sys/fs/cgroup`;
    const output = await lab.script("burglar", tries.replaceAll(";", " 2>&1;"));
    for (
      const refused of [
        /touch: cannot touch '\/usr\/x': Read-only/,
        /touch: cannot touch '\/etc\/x': Read-only/,
        /(cannot create|Permission denied|Read-only).*\n?.*/,
        /shadow: No such file/,
        /mount: .*(permission denied|must be superuser|denied)/i,
        /mknod: .*(not permitted|denied)/i,
        /RTNETLINK answers: Operation not permitted/,
        /umount: .*(must be superuser|not permitted|denied)/i,
      ]
    ) assert.match(output, refused);
    assert.doesNotMatch(output, /entered/);
    assert.doesNotMatch(output, /state\.db|pki/);
    assert.match(output, /^0$/m, "no process of the neighbour is seen");
    assert.match(output, /CapEff:\s+00000000a00425fb/);
    lab.delete("neighbour", 0);
  },

  async "ambientd runs in a pod, by its image and by name"(lab) {
    assert.match(
      await lab.script("by-name", "ambientd version; /usr/local/bin/ambientd version || true"),
      /^ambientd \d/,
    );
    lab.pod("by-image", {
      restartPolicy: "Never",
      containers: [{ name: "c", image: "example.org/x/ambientd:1", args: ["version"] }],
    });
    await lab.ended("by-image");
    assert.match(await lab.logs("by-image"), /^ambientd \d/);
  },

  async "users, capabilities and groups are as asked where they exist"(lab) {
    const output = await lab.script(
      "privileges",
      "id -u; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status",
      {
        securityContext: { runAsUser: 1000, runAsGroup: 1001 },
        container: {
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } },
        },
      },
    );
    // Without root there is only one user.
    assert.match(output, ROOTLESS ? /^0\n/ : /^1000\n/);
    assert.match(output, /CapBnd:\s+0000000000001000/);
    assert.match(output, /NoNewPrivs:\s+1/);
  },

  async "volumes: an emptyDir is shared, ConfigMaps update, tokens name the pod, hostPaths belong to the node"(lab) {
    lab.api.create({ group: "", resource: "configmaps" }, configMap("live", { key: "old" }));
    const volumeMounts = [
      { name: "shared", mountPath: "/shared" },
      { name: "live", mountPath: "/etc/live" },
      { name: "token", mountPath: "/var/run/secrets/tokens" },
      { name: "node", mountPath: "/host/lib" },
      { name: "proc", mountPath: "/host/proc", readOnly: true },
      { name: "info", mountPath: "/info" },
    ];
    const volumes = [
      { name: "shared", emptyDir: {} },
      { name: "live", configMap: { name: "live" } },
      {
        name: "token",
        projected: { sources: [{ serviceAccountToken: { path: "t", audience: "istio-ca", expirationSeconds: 7200 } }] },
      },
      { name: "node", hostPath: { path: "/var/lib/thing" } },
      { name: "proc", hostPath: { path: "/proc" } },
      { name: "info", downwardAPI: { items: [{ path: "ip", fieldRef: { fieldPath: "metadata.labels['app']" } }] } },
    ];
    const other = { ...SLEEPER, name: "other", volumeMounts: volumeMounts.slice(0, 1) };
    lab.pod("volumes", { containers: [{ ...SLEEPER, volumeMounts }, other], volumes }, { labels: { app: "v" } });
    await lab.ready("volumes");
    const inside = await lab.sh(
      "volumes",
      "echo hi > /shared/f; echo node > /host/lib/f; cat /etc/live/key /info/ip; cat /var/run/secrets/tokens/t; ls /host/proc/1/ns/net",
    );
    assert.match(inside.stdout, /^oldv/);
    const claims = JSON.parse(atob(inside.stdout.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    assert.deepEqual([claims.aud, claims["kubernetes.io"].pod.name], [["istio-ca"], "volumes"]);
    const session = await lab.runtime.backend.exec("default", "volumes", "other", ["ls", "/shared", "/etc/live/key"], {
      ...{ stdin: false, stdout: true, stderr: true, tty: false },
    });
    assert.match(await new Response(session.stdout).text(), /f/);
    assert.match(await new Response(session.stderr!).text(), /No such file/, "each container has its own mounts");
    await session.exit;
    assert.equal(Deno.readTextFileSync(`${lab.dataDir}/nodes/${NODES[1]}/fs/var/lib/thing/f`), "node\n");
    lab.api.patch({ group: "", resource: "configmaps" }, "default", "live", "merge", { data: { key: "new" } });
    await lab.until(async () => assert.equal((await lab.sh("volumes", "cat /etc/live/key")).stdout, "new"));
    lab.api.patch({ group: "", resource: "pods" }, "default", "volumes", "merge", {
      metadata: { labels: { app: "w" } },
    });
    await lab.until(async () => assert.equal((await lab.sh("volumes", "cat /info/ip")).stdout, "w"));
    lab.delete("volumes", 0);
  },

  async "init containers run in order, sidecars first and last, and a failing one holds the pod back"(lab) {
    const step = (name: string, script: string, more: any = {}) => ({
      ...{ name, image: "busybox", command: ["sh", "-c", script], volumeMounts: [{ name: "d", mountPath: "/d" }] },
      ...more,
    });
    lab.pod("ordered", {
      restartPolicy: "Never",
      volumes: [{ name: "d", emptyDir: {} }],
      initContainers: [
        step("one", "echo one >> /d/log"),
        step("side", "echo side >> /d/log; trap 'echo side-end >> /d/log; exit 0' TERM; sleep infinity & wait", {
          restartPolicy: "Always",
        }),
        step("two", "test -s /d/tried || { echo x > /d/tried; exit 1; }; echo two >> /d/log"),
      ],
      containers: [step("main", "cat /d/log; sleep 0.1")],
    });
    await lab.ended("ordered");
    assert.equal(lab.status("ordered").phase, "Failed", "restartPolicy Never does not try an init container again");
    lab.delete("ordered", 0);
    await lab.gone("ordered");
    lab.pod("ordered", {
      restartPolicy: "OnFailure",
      volumes: [{ name: "d", emptyDir: {} }],
      initContainers: [
        step("one", "echo one >> /d/log"),
        step("side", "echo side >> /d/log; trap 'exit 0' TERM; sleep infinity & wait", { restartPolicy: "Always" }),
        step("two", "test -s /d/tried || { echo x > /d/tried; exit 1; }; echo two >> /d/log"),
      ],
      containers: [step("main", "cat /d/log")],
    });
    await lab.ended("ordered");
    assert.equal(await lab.logs("ordered"), "one\nside\ntwo\n");
    const init = lab.status("ordered").initContainerStatuses;
    assert.deepEqual(init.map((one: any) => [one.name, one.restartCount]), [["one", 0], ["side", 0], ["two", 1]]);
    assert.equal(lab.status("ordered").phase, "Succeeded");
    await lab.until(() => assert.ok(lab.status("ordered").initContainerStatuses[1].state.terminated));
  },

  async "a container that keeps ending is started again with back-off, and its previous log is kept"(lab) {
    lab.pod("crasher", {
      containers: [{
        name: "c",
        image: "busybox",
        command: ["sh", "-c", "echo start; echo gone > /dev/termination-log; exit 7"],
      }],
    });
    await lab.until(() => assert.ok(lab.container("crasher").restartCount >= 2));
    await lab.until(() => assert.equal(lab.container("crasher").state.waiting?.reason, "CrashLoopBackOff"));
    const { lastState, state } = lab.container("crasher");
    assert.match(state.waiting.message, /^back-off .*restarting failed container=c pod=crasher_default\(/);
    assert.equal(lastState.terminated.exitCode, 7);
    assert.equal(lastState.terminated.message, "gone\n");
    assert.equal(lab.status("crasher").phase, "Running");
    assert.match(await lab.logs("crasher", { previous: true }), /^start\n$/);
    assert.ok(lab.events("crasher").some((line) => line.startsWith("BackOff: ")));
    lab.delete("crasher", 0);
    await lab.gone("crasher");
  },

  async "unknown images and missing references wait with a reason, and start when it is gone"(lab) {
    lab.pod("unknown", { containers: [{ name: "c", image: "redis:7" }] });
    await lab.until(() => assert.equal(lab.container("unknown").state?.waiting?.reason, "ErrImageNeverPull"));
    assert.match(lab.container("unknown").state.waiting.message, /Known images: ambientd/);
    assert.equal(lab.status("unknown").phase, "Pending");
    lab.api.patch({ group: "", resource: "pods" }, "default", "unknown", "strategic", {
      spec: { containers: [{ name: "c", image: "registry.k8s.io/pause" }] },
    });
    await lab.ready("unknown");
    lab.delete("unknown", 0);
    lab.pod("wanting", {
      containers: [{ ...SLEEPER, env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "later", key: "a" } } }] }],
    });
    lab.pod("mounting", {
      containers: [{ ...SLEEPER, volumeMounts: [{ name: "v", mountPath: "/v" }] }],
      volumes: [{ name: "v", configMap: { name: "later" } }],
    });
    await lab.until(() => assert.equal(lab.container("wanting").state?.waiting?.reason, "CreateContainerConfigError"));
    await lab.until(() =>
      assert.ok(lab.events("mounting").some((line) => /FailedMount: .*"later" not found/.test(line)))
    );
    assert.equal(lab.container("mounting").state?.waiting?.reason, "ContainerCreating");
    lab.api.create({ group: "", resource: "configmaps" }, configMap("later", { a: "1" }));
    await Promise.all([lab.ready("wanting"), lab.ready("mounting")]);
    for (const name of ["wanting", "mounting"]) lab.delete(name, 0);
    lab.pod("absent", {
      restartPolicy: "Never",
      containers: [{ name: "c", image: "busybox", command: ["/no/such/program"] }],
    });
    await lab.ended("absent");
    assert.equal(lab.container("absent").state.terminated.exitCode, 127);
  },

  async "probes decide readiness and restarts, and come from the probe address"(lab) {
    lab.pod("web", {
      containers: [{
        name: "c",
        image: "ealen/echo-server",
        env: [{ name: "PORT", value: "8080" }],
        ports: [{ name: "http", containerPort: 8080 }],
        readinessProbe: { httpGet: { port: "http", path: "/ready" }, periodSeconds: 1 },
        livenessProbe: { tcpSocket: { port: 8080 } },
      }],
    });
    await lab.ready("web");
    const server = "Deno.serve({port:7000},(_,i)=>{console.log('from',i.remoteAddr.hostname);return new Response('')})";
    lab.pod("peer-seen", {
      containers: [{
        ...{ name: "c", image: "busybox", command: [podPath(Deno.execPath()), "eval", "--quiet", server] },
        readinessProbe: { httpGet: { port: 7000 } },
      }],
    });
    await lab.ready("peer-seen");
    assert.match(await lab.logs("peer-seen"), /^from 169\.254\.7\.127$/m);
    lab.pod("toggling", {
      containers: [{
        ...SLEEPER,
        readinessProbe: { exec: { command: ["test", "-e", "/tmp/ready"] }, periodSeconds: 1, failureThreshold: 1 },
      }],
    });
    await lab.until(() => assert.ok(lab.container("toggling").state?.running));
    assert.equal(lab.condition("toggling", "Ready"), "False");
    await lab.sh("toggling", "touch /tmp/ready");
    await lab.ready("toggling");
    await lab.sh("toggling", "rm /tmp/ready");
    await lab.until(() => assert.equal(lab.condition("toggling", "Ready"), "False"));
    lab.pod("dying", {
      containers: [{
        ...SLEEPER,
        livenessProbe: { exec: { command: ["false"] }, periodSeconds: 1, failureThreshold: 1 },
      }],
    });
    await lab.until(() => assert.ok(lab.container("dying").restartCount >= 1));
    assert.ok(lab.events("dying").some((line) => line.startsWith("Unhealthy: Liveness probe failed")));
    for (const name of ["web", "peer-seen", "toggling", "dying"]) lab.delete(name, 0);
  },

  async "termination runs the hook, asks, and insists when the time is up"(lab) {
    const volume = {
      volumes: [{ name: "h", hostPath: { path: "/var/lib/endings" } }],
      volumeMounts: [{ name: "h", mountPath: "/h" }],
    };
    const traps = (name: string) => `trap 'echo term-${name} >> /h/log' TERM; while :; do sleep 0.05; done`;
    lab.pod("polite", {
      volumes: volume.volumes,
      terminationGracePeriodSeconds: 10,
      containers: [{
        ...{ name: "c", image: "busybox", volumeMounts: volume.volumeMounts },
        command: ["sh", "-c", "trap 'echo term >> /h/log; exit 0' TERM; while :; do sleep 0.05; done"],
        lifecycle: { preStop: { exec: { command: ["sh", "-c", "echo hook >> /h/log"] } } },
      }],
    });
    lab.pod("stubborn", {
      volumes: volume.volumes,
      terminationGracePeriodSeconds: 1,
      containers: [{
        name: "c",
        image: "busybox",
        volumeMounts: volume.volumeMounts,
        command: ["sh", "-c", traps("stubborn")],
      }],
    });
    await Promise.all([lab.ready("polite"), lab.ready("stubborn")]);
    lab.delete("polite");
    await lab.gone("polite");
    const log = () => Deno.readTextFileSync(`${lab.dataDir}/nodes/${NODES[1]}/fs/var/lib/endings/log`);
    assert.equal(log(), "hook\nterm\n");
    lab.delete("stubborn");
    await lab.gone("stubborn");
    assert.match(log(), /term-stubborn/);
    assert.ok(lab.events("stubborn").some((line) => line === "Killing: Stopping container c"));
  },

  async "a pod that is active for too long has failed"(lab) {
    lab.pod("late-job", { restartPolicy: "Never", activeDeadlineSeconds: 1, containers: [SLEEPER] });
    await lab.ended("late-job");
    assert.deepEqual([lab.status("late-job").phase, lab.status("late-job").reason], ["Failed", "DeadlineExceeded"]);
    lab.delete("late-job", 0);
    await lab.gone("late-job");
  },

  async "processes that a container leaves behind go with it"(lab) {
    lab.pod("parent", {
      shareProcessNamespace: true,
      containers: [
        { name: "c", image: "busybox", command: ["sh", "-c", "setsid sleep 515151 & sleep 0.2; exit 0"] },
        { ...SLEEPER, name: "keeper" },
      ],
      restartPolicy: "Never",
    });
    await lab.until(() =>
      assert.ok(lab.status("parent").containerStatuses?.find((one: any) => one.name === "c")?.state.terminated)
    );
    const session = await lab.runtime.backend.exec("default", "parent", "keeper", ["ps", "ax"], {
      ...{ stdin: false, stdout: true, stderr: false, tty: false },
    });
    assert.doesNotMatch(await new Response(session.stdout).text(), /515151/);
    await session.exit;
    lab.delete("parent", 0);
  },

  async "hostNetwork and hostPID pods live in the node"(lab) {
    const spec = { hostNetwork: true, hostPID: true };
    const output = await lab.script(
      "on-node",
      "hostname; ip -o -4 addr show eth0 | awk '{print $4}'; cat /proc/1/comm",
      spec,
    );
    assert.match(output, new RegExp(`^${NODES[1]}\n172\\.18\\.0\\.3/16\n(deno|main)`));
    assert.equal(lab.status("on-node").podIP, "172.18.0.3");
  },

  async "exec carries input, output, exit codes and a terminal"(lab) {
    lab.pod("shell", { containers: [SLEEPER] });
    await lab.ready("shell");
    assert.deepEqual(await lab.sh("shell", "cat; echo err >&2; exit 9", "in\n"), {
      code: 9,
      stdout: "in\n",
      stderr: "err\n",
    });
    assert.equal((await lab.sh("shell", "kill -9 $$")).code, 137);
    const options = { stdin: true, stdout: true, stderr: true, tty: true };
    const session = await lab.runtime.backend.exec("default", "shell", "", [
      "sh",
      "-c",
      "while [ \"$(stty size)\" = '0 0' ]; do sleep 0.02; done; read x; tty; stty size; echo got $x; exit 4",
    ], options);
    session.resize(101, 41);
    const writer = session.stdin!.getWriter();
    const output = new Response(session.stdout).text();
    await writer.write(new TextEncoder().encode("typed\n"));
    assert.match(await output, /\/dev\/pts\/\d+\r\n41 101\r\ngot typed\r\n/);
    assert.equal(await session.exit, 4);
    await writer.close().catch(() => {});
    const endless = await lab.runtime.backend.exec("default", "shell", "", ["sleep", "616161"], {
      ...options,
      stdin: false,
      tty: false,
    });
    endless.kill();
    assert.notEqual(await endless.exit, 0);
    await Promise.all([endless.stdout, endless.stderr!].map((one) => one.cancel()));
    assert.equal((await lab.sh("shell", "ps ax | grep -c 61616[1]")).stdout, "0\n");
    await assert.rejects(
      lab.runtime.backend.exec("default", "shell", "absent", ["ls"], options),
      /container absent is not valid/,
    );
    await assert.rejects(lab.runtime.backend.exec("default", "nobody", "", ["ls"], options), /not found/);
    assert.equal((await lab.sh("shell", "exec no-such-program")).code, 127);
    lab.delete("shell", 0);
  },

  async "Services balance, hairpin, refuse and resolve; port-forward reaches loopback"(lab) {
    const labels = { app: "echo" };
    for (const name of ["echo-a", "echo-b"]) {
      const container = {
        ...{ name: "c", image: "ealen/echo-server", env: [{ name: "PORT", value: "8080" }] },
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      };
      lab.pod(name, { nodeName: NODES[name === "echo-a" ? 0 : 1], containers: [container] }, { labels });
    }
    const make = (name: string, spec: any) =>
      lab.api.create({ group: "", resource: "services" }, {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, namespace: "default" },
        spec,
      });
    make("echo", { type: "NodePort", selector: labels, ports: [{ port: 80, targetPort: 8080, nodePort: 30123 }] });
    make("echo-headless", { clusterIP: "None", selector: labels, ports: [{ name: "http", port: 8080 }] });
    make("alone", { selector: { app: "alone" }, ports: [{ port: 80 }] });
    make("itself", { selector: { app: "itself" }, ports: [{ port: 80, targetPort: 8080 }] });
    lab.pod("client", { containers: [SLEEPER] });
    lab.pod("itself", {
      containers: [{
        ...{ name: "c", image: "ealen/echo-server", env: [{ name: "PORT", value: "8080" }] },
        ports: [{ containerPort: 8080 }],
      }],
    }, { labels: { app: "itself" } });
    await Promise.all(["echo-a", "echo-b", "client", "itself"].map((name) => lab.ready(name)));
    const first = await lab.sh("client", `curl -s -o /dev/null http://${lab.status("itself").podIP}:8080/`);
    assert.equal(first.code, 0, "without a probe, a program of ours is ready when it listens");
    const host = `grep -o '"HOSTNAME":"[a-z-]*'`;
    await lab.until(async () => {
      const { stdout } = await lab.sh(
        "client",
        `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s -m 2 http://echo/ | ${host}; done`,
      );
      assert.match(stdout, /echo-a/);
      assert.match(stdout, /echo-b/);
    });
    await lab.until(async () =>
      assert.match((await lab.sh("itself", `curl -s -m 2 http://itself.default/`)).stdout, /"itself"/)
    );
    await lab.until(async () => {
      for (const node of ["172.18.0.2", "172.18.0.3"]) {
        const response = await fetch(`http://${node}:30123/`, { signal: AbortSignal.timeout(2000) });
        assert.match(await response.text(), /echo-[ab]/);
      }
    });
    assert.equal((await lab.sh("client", "curl -s -m 3 http://alone/")).code, 7, "no endpoints: refused at once");
    assert.equal((await lab.sh("client", "curl -s -m 3 http://example.org/")).code, 6, "unknown names fail at once");
    assert.equal(
      (await lab.sh(
        "client",
        "getent hosts echo-headless | wc -l; getent ahostsv4 echo-headless | awk '{print $1}' | sort -u | wc -l",
      )).stdout.split("\n")[1],
      "2",
    );
    const { stdout } = await lab.sh(
      "client",
      "curl -s --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://kubernetes.default.svc/version",
    );
    assert.match(stdout, /gitVersion/);
    const connection = await lab.runtime.backend.dial("default", "echo-a", 8080);
    const writer = connection.writable.getWriter();
    await writer.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    assert.match(await new Response(connection.readable).text(), /^HTTP\/1\.1 200/);
    connection.close();
    await assert.rejects(lab.runtime.backend.dial("default", "client", 9), /connection refused/);
    for (const name of ["echo-a", "echo-b", "client", "itself"]) lab.delete(name, 0);
  },

  async "attaching joins a container's own process, a second time too, and ephemeral containers join a pod"(lab) {
    const { backend } = lab.runtime;
    const say = async (session: { stdin?: WritableStream<Uint8Array> }, text: string) => {
      const writer = session.stdin!.getWriter();
      await writer.write(new TextEncoder().encode(text));
      writer.releaseLock();
    };
    const reading = (stream: ReadableStream<Uint8Array>) => {
      let text = "";
      void (async () => {
        for await (const chunk of stream) text += new TextDecoder().decode(chunk);
      })().catch(() => {});
      return (wanted: RegExp) => lab.until(() => assert.match(text, wanted));
    };
    const reader = `echo ready; while read -r line; do echo "got $line"; [ "$line" != bye ] || exit 7; done`;
    lab.pod("reader", {
      restartPolicy: "Never",
      containers: [{ name: "c", image: "busybox", stdin: true, command: ["sh", "-c", reader] }],
    });
    await lab.ready("reader");
    const options = { stdin: true, stdout: true, stderr: true, tty: false };
    const first = await backend.attach("default", "reader", "c", options);
    const seen = reading(first.stdout);
    await seen(/^ready\n/);
    await say(first, "one\n");
    await seen(/got one/);
    first.kill();
    assert.equal(await first.exit, 0);
    assert.ok(lab.container("reader").state.running, "leaving does not end the container");

    lab.api.patch({ group: "", resource: "pods" }, "default", "reader", "strategic", {
      spec: {
        ephemeralContainers: [{
          name: "debugger",
          image: "busybox",
          stdin: true,
          tty: true,
          command: ["sh", "-c", "tty; read -r word; echo $word; exit 3"],
        }],
      },
    }, { subresource: "ephemeralcontainers" });
    const state = () => lab.status("reader").ephemeralContainerStatuses?.[0]?.state ?? {};
    await lab.until(() => assert.ok(state().running));
    const debug = await backend.attach("default", "reader", "debugger", { ...options, tty: true });
    const onTerminal = reading(debug.stdout);
    await onTerminal(/\/dev\/pts\/\d/);
    await say(debug, "hello\n");
    await onTerminal(/hello\r\n/);
    await lab.until(() => assert.equal(state().terminated?.exitCode, 3));
    assert.equal(lab.status("reader").phase, "Running");

    const second = await backend.attach("default", "reader", "c", options);
    await say(second, "bye\n");
    await reading(second.stdout)(/got bye/);
    assert.equal(await second.exit, 0);
    assert.equal((await lab.ended("reader")).status.containerStatuses[0].state.terminated.exitCode, 7);
    assert.throws(() => backend.attach("default", "reader", "c", options), /not running/);
  },

  async "what pods use is measured by container"(lab) {
    const busy = { name: "busy", image: "busybox", command: ["sh", "-c", "while :; do :; done"] };
    lab.pod("worker", { containers: [busy, { ...SLEEPER, name: "idle" }] });
    await lab.ready("worker");
    await lab.until(() => {
      const usage = lab.runtime.backend.usage().find((one) => one.pod === "worker");
      assert.deepEqual([usage?.namespace, usage?.node], ["default", NODES[1]]);
      const [worker, idle] = ["busy", "idle"].map((name) => usage!.containers.find((one) => one.name === name)!);
      assert.ok(worker.memoryBytes > 0 && worker.memoryBytes < 64 << 20, `${worker.memoryBytes}`);
      assert.ok(worker.cpuNanocores > idle.cpuNanocores, `${worker.cpuNanocores} ${idle.cpuNanocores}`);
      assert.ok(worker.cpuSeconds > idle.cpuSeconds, `${worker.cpuSeconds} ${idle.cpuSeconds}`);
    });
    lab.delete("worker", 0);
  },

  async "a chained CNI plugin is called; while it fails the pod waits"(lab) {
    const fs = `${lab.dataDir}/nodes/${NODES[0]}/fs`, config = `${fs}/etc/cni/net.d/10-ambientd.conflist`;
    const original = Deno.readTextFileSync(config), conflist = JSON.parse(original);
    lab.pod("agent", {
      nodeName: NODES[0],
      containers: [{
        ...SLEEPER,
        securityContext: { capabilities: { add: ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"] } },
        volumeMounts: [{ name: "proc", mountPath: "/host/proc" }],
      }],
      volumes: [{ name: "proc", hostPath: { path: "/proc", type: "Directory" } }],
    });
    await lab.ready("agent");
    Deno.writeTextFileSync(
      config,
      JSON.stringify({ ...conflist, plugins: [...conflist.plugins, { type: "istio-cni", extra: 1 }] }),
    );
    lab.pod("late", { nodeName: NODES[0], containers: [SLEEPER] });
    await lab.until(() =>
      assert.ok(
        lab.events("late").some((line) => /FailedCreatePodSandBox: .*failed to find plugin "istio-cni"/.test(line)),
      )
    );
    const plugin = (text: string) => {
      Deno.writeTextFileSync(`${fs}/opt/cni/bin/istio-cni.new`, text);
      Deno.chmodSync(`${fs}/opt/cni/bin/istio-cni.new`, 0o755);
      Deno.renameSync(`${fs}/opt/cni/bin/istio-cni.new`, `${fs}/opt/cni/bin/istio-cni`);
    };
    plugin(`#!/bin/sh\necho '{"code":11,"msg":"not yet"}'\nexit 1\n`);
    await lab.until(() =>
      assert.ok(lab.events("late").some((line) => line.endsWith('plugin type="istio-cni" failed (add): not yet')))
    );
    assert.equal(lab.container("late").state?.waiting?.reason, "ContainerCreating");
    plugin(
      `#!/bin/sh\ncat > /var/run/seen.json\nenv > /var/run/seen.env\nip -o -4 addr show lo > /var/run/seen.addr\nexit 0\n`,
    );
    await lab.ready("late");
    const seen = JSON.parse(Deno.readTextFileSync(`${fs}/var/run/seen.json`)),
      env = Deno.readTextFileSync(`${fs}/var/run/seen.env`);
    const ip = lab.status("late").podIP;
    assert.equal(seen.prevResult.ips[0].address, `${ip}/24`);
    assert.equal(seen.extra, 1);
    assert.match(env, /^CNI_COMMAND=ADD$/m);
    assert.match(env, /K8S_POD_NAMESPACE=default;K8S_POD_NAME=late;/);
    assert.match(
      Deno.readTextFileSync(`${fs}/var/run/seen.addr`),
      /10\.244\.0\.1\/32/,
      "it runs in the node's namespace",
    );
    const netns = /^CNI_NETNS=(.*)$/m.exec(env)![1];
    const entered = await lab.sh("agent", `nsenter --net=/host${netns} ip -o -4 addr show eth0`);
    assert.match(entered.stdout, new RegExp(`${ip}/32`), entered.stderr);
    Deno.writeTextFileSync(config, original);
    for (const name of ["late", "agent"]) lab.delete(name, 0);
    await lab.gone("late");
  },

  async "fifty pods start together"(lab) {
    const names = Array.from({ length: 50 }, (_, i) => `many-${i}`);
    for (const [i, name] of names.entries()) lab.pod(name, { nodeName: NODES[i % 2], containers: [SLEEPER] });
    await Promise.all(names.map((name) => lab.ready(name)));
    const ips = new Set(names.map((name) => lab.status(name).podIP));
    assert.equal(ips.size, 50);
    for (const name of names) lab.delete(name, 0);
    await Promise.all(names.map((name) => lab.gone(name)));
  },

  async "a killed holder takes its pod down and the pod comes back with a new sandbox"(lab) {
    lab.pod("fragile", { containers: [SLEEPER] });
    await lab.ready("fragile");
    const { uid } = lab.get("fragile").metadata;
    const holder = [...Deno.readDirSync("/proc")].map((one) => Number(one.name)).find((pid) => {
      try {
        return pid > 1 &&
          Deno.readTextFileSync(`/proc/${pid}/mountinfo`).includes(`/pods/${uid}/etc-hosts /etc/hosts`) &&
          Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith("sleep\0infinity") &&
          /^NSpid:\s+\d+\s+1$/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
      } catch {
        return false;
      }
    });
    assert.ok(holder, "the CNI agent finds a pod's processes by the mount of its hosts file");
    Deno.kill(holder, "SIGKILL");
    await lab.until(() => assert.ok(lab.container("fragile").restartCount >= 1));
    await lab.ready("fragile");
    assert.equal((await lab.sh("fragile", "hostname")).stdout, "fragile\n");
    assert.ok(lab.events("fragile").some((line) => line.startsWith("SandboxChanged")));
    lab.delete("fragile", 0);
  },

  async "after a restart of the engine pods run again, counted, and finished ones stay finished"(lab) {
    lab.pod("survivor", { containers: [SLEEPER] });
    lab.pod("finished", {
      restartPolicy: "Never",
      containers: [{ name: "c", image: "busybox", command: ["echo", "done"] }],
    });
    await lab.ready("survivor");
    await lab.ended("finished");
    const before = lab.get("survivor");
    await lab.runtime.stop();
    assert.equal(lab.get("survivor").status.phase, "Running", "objects stay as they were");
    lab.runtime = await lab.startAgain();
    await lab.until(() => assert.equal(lab.container("survivor").restartCount, 1));
    await lab.ready("survivor");
    const after = lab.get("survivor");
    assert.equal(after.metadata.uid, before.metadata.uid);
    assert.equal(after.status.podIP, before.status.podIP);
    assert.equal(lab.container("survivor").lastState.terminated.reason, "Unknown");
    assert.equal(lab.status("finished").phase, "Succeeded");
    assert.equal(await lab.logs("finished"), "done\n");
    lab.delete("survivor", 0);
    lab.delete("finished", 0);
    await Promise.all([lab.gone("survivor"), lab.gone("finished")]);
  },
};

const ROOTLESS = Deno.readTextFileSync("/proc/self/uid_map").trim().split(/\s+/)[2] === "1";

function configMap(name: string, data: Record<string, string>) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}
