import assert from "node:assert/strict";
import {
  encodeHello,
  encodeRequest,
  type PodHandler,
  type PodInfo,
  runZdsClient,
  type SnapshotPod,
  ZdsServer,
  type ZdsServerOptions,
} from "../../src/inpod/mod.ts";
import { libc } from "../../src/sys/libc.ts";
import { connectSeqpacket, listenSeqpacket, type SeqpacketConnection } from "../../src/sys/seqpacket.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";

const lines: string[] = [];
const logger = new Logger("test", { sink: { write: (line) => lines.push(line) } });
const INFO: PodInfo = { name: "pod", namespace: "ns", serviceAccount: "sa" };

/** Records what the agent asks for; keeps nothing open. */
class Recorder implements PodHandler {
  readonly log: string[] = [];
  fail = "";
  isConnected = false;
  add(uid: string, info: PodInfo, netns: number): Promise<void> {
    const target = Deno.readLinkSync(`/proc/self/fd/${netns}`);
    libc.close(netns);
    this.log.push(`add ${uid} ${info.namespace}/${info.name}/${info.serviceAccount} ${target.split(":")[0]}`);
    return this.fail === "" ? Promise.resolve() : Promise.reject(new Error(this.fail));
  }
  remove(uid: string): void {
    this.log.push(`remove ${uid}`);
  }
  retain(named: ReadonlySet<string>): void {
    this.log.push(`retain ${[...named].sort().join(",")}`);
  }
  connected(isConnected: boolean): void {
    this.isConnected = isConnected;
  }
}

async function withDir(test: (socket: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(`${dir}/zds.sock`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function server(path: string, extra: Partial<ZdsServerOptions> = {}): ZdsServer {
  return new ZdsServer({ path, snapshot: () => [], logger, ...extra });
}

async function withNetns(test: (fd: number) => Promise<void>): Promise<void> {
  const file = await Deno.open("/proc/self/ns/net");
  // The resource's own descriptor number is not exposed: open one of our own.
  file.close();
  const fd = libc.open(new TextEncoder().encode("/proc/self/ns/net\0"), 0x80000, 0);
  assert.ok(fd >= 0);
  try {
    await test(fd);
  } finally {
    libc.close(fd);
  }
}

Deno.test("agent and ztunnel: snapshot with Add and Keep, then Add, Del, and a refusal", () =>
  withDir((path) =>
    withNetns(async (fd) => {
      const snapshot: SnapshotPod[] = [
        { uid: "a", info: INFO, netns: fd },
        { uid: "b", info: INFO, netns: undefined },
      ];
      const took: string[][] = [];
      const agent = server(path, { snapshot: () => snapshot, onSnapshot: (uids) => took.push([...uids].sort()) });
      const handler = new Recorder();
      const stop = new AbortController();
      const client = runZdsClient({ path, handler, logger, signal: stop.signal });
      await eventually(() => assert.deepEqual(took, [["a", "b"]]));
      assert.deepEqual(handler.log, ["add a ns/pod/sa net", "retain a,b"]);
      assert.equal(handler.isConnected, true);
      assert.equal(agent.connections, 1);

      await agent.add({ uid: "c", info: INFO, netns: fd });
      await agent.remove("a");
      assert.deepEqual(handler.log.slice(2), ["add c ns/pod/sa net", "remove a"]);

      handler.fail = "cannot listen";
      await assert.rejects(agent.add({ uid: "d", info: INFO, netns: fd }), /refused "add": cannot listen/);
      handler.fail = "";
      await agent.add({ uid: "d", info: INFO, netns: fd });

      stop.abort();
      await client;
      await agent.close();
      assert.equal(handler.isConnected, false);
    })
  ));

Deno.test("many pods at once are handed over in order, one at a time", () =>
  withDir((path) =>
    withNetns(async (fd) => {
      const agent = server(path);
      const handler = new Recorder();
      const stop = new AbortController();
      const client = runZdsClient({ path, handler, logger, signal: stop.signal });
      await eventually(() => assert.equal(handler.log.length, 1));
      const uids = Array.from({ length: 200 }, (_, i) => `pod-${i}`);
      await Promise.all(uids.map((uid) => agent.add({ uid, info: INFO, netns: fd })));
      assert.deepEqual(handler.log.slice(1), uids.map((uid) => `add ${uid} ns/pod/sa net`));
      stop.abort();
      await client;
      await agent.close();
    })
  ));

Deno.test("ztunnel comes back after the agent restarts and tells what it is missing", () =>
  withDir(async (path) => {
    const handler = new Recorder();
    const stop = new AbortController();
    const client = runZdsClient({ path, handler, logger, signal: stop.signal });
    const first = server(path);
    await eventually(() => assert.deepEqual(handler.log, ["retain "]));
    await first.close();
    await eventually(() => assert.equal(handler.isConnected, false));
    const second = server(path, { snapshot: () => [{ uid: "k", info: INFO, netns: undefined }] });
    await eventually(() => assert.deepEqual(handler.log, ["retain ", "retain k"]));
    stop.abort();
    await client;
    await second.close();
  }));

Deno.test("without a ztunnel an Add fails at once, and Del is done", () =>
  withDir((path) =>
    withNetns(async (fd) => {
      const agent = server(path);
      await assert.rejects(agent.add({ uid: "a", info: INFO, netns: fd }), /no ztunnel is connected/);
      await agent.remove("a");
      await agent.close();
    })
  ));

Deno.test("two ztunnels: Add goes to the newest, Del to both", () =>
  withDir((path) =>
    withNetns(async (fd) => {
      const agent = server(path);
      const old = new Recorder(), young = new Recorder();
      const stop = new AbortController();
      const clients = [runZdsClient({ path, handler: old, logger, signal: stop.signal })];
      await eventually(() => assert.equal(old.log.length, 1));
      clients.push(runZdsClient({ path, handler: young, logger, signal: stop.signal }));
      await eventually(() => assert.equal(young.log.length, 1));
      await agent.add({ uid: "a", info: INFO, netns: fd });
      await agent.remove("a");
      assert.deepEqual(old.log, ["retain ", "remove a"]);
      assert.deepEqual(young.log, ["retain ", "add a ns/pod/sa net", "remove a"]);
      stop.abort();
      await Promise.all(clients);
      await agent.close();
    })
  ));

/** A hand-made agent: takes the hello, then sends what the test says and returns the answers. */
async function againstClient(
  path: string,
  handler: PodHandler,
  packets: [bytes: Uint8Array, fds: number[]][],
): Promise<{ answers: (string | null)[]; outcome: string }> {
  const listener = listenSeqpacket(path);
  const stop = new AbortController();
  const client = runZdsClient({ path, handler, logger, signal: stop.signal })
    .then(() => "running", (thrown) => (thrown as Error).message);
  const connection = (await listener.accept()) as SeqpacketConnection;
  assert.deepEqual([...(await connection.receive())!.bytes], [8, 1]);
  const answers: (string | null)[] = [];
  for (const [bytes, fds] of packets) {
    await connection.send(bytes, fds);
    const answer = await connection.receive();
    answers.push(answer && new TextDecoder().decode(answer.bytes.subarray(2)));
  }
  connection.close();
  // A client that goes on comes back; one that has ended never does.
  const back = new AbortController();
  const settled = await Promise.race([
    client,
    listener.accept(back.signal).then((again) => {
      again?.close();
      return "still running";
    }, () => "closed"),
  ]);
  back.abort();
  stop.abort();
  await client;
  listener.close();
  return { answers, outcome: settled };
}

Deno.test("ztunnel ends when the agent breaks the order of the protocol", async (t) => {
  const snapshotSent = encodeRequest({ kind: "snapshotSent" });
  const rows: [string, () => [Uint8Array, number[]][], RegExp][] = [
    ["second SnapshotSent", () => [[snapshotSent, []], [snapshotSent, []]], /"snapshotSent" came after/],
    [
      "Keep after the snapshot",
      () => [[snapshotSent, []], [encodeRequest({ kind: "keep", uid: "u" }), []]],
      /"keep" came/,
    ],
  ];
  for (const [name, packets, error] of rows) {
    await t.step(name, () =>
      withDir(async (path) => {
        const { outcome, answers } = await againstClient(path, new Recorder(), packets());
        assert.match(outcome, error);
        assert.match(answers.at(-1) ?? "", error);
      }));
  }
  await t.step("Add without workload_info", () =>
    withDir((path) =>
      withNetns(async (fd) => {
        const packet: [Uint8Array, number[]] = [encodeRequest({ kind: "add", uid: "u", info: undefined }), [fd]];
        const { outcome } = await againstClient(path, new Recorder(), [packet]);
        assert.match(outcome, /came without its name/);
      })
    ));
});

Deno.test("ztunnel answers a bad packet, closes that connection, and goes on", async (t) => {
  const add = encodeRequest({ kind: "add", uid: "u", info: INFO });
  const rows: [string, (fd: number) => [Uint8Array, number[]], RegExp][] = [
    ["garbage", () => [new Uint8Array([0xff, 0xff, 0xff]), []], /cannot decode/],
    ["Add without a descriptor", () => [add, []], /with 0 descriptors/],
    ["Add with two descriptors", (fd) => [add, [fd, fd]], /with 2 descriptors/],
    ["Del with a descriptor", (fd) => [encodeRequest({ kind: "del", uid: "u" }), [fd]], /with 1 descriptors/],
    ["a long packet", () => [new Uint8Array(2000).fill(10), []], /2000 bytes/],
    ["no payload", () => [new Uint8Array([0x7a, 0x00]), []], /without a payload/],
  ];
  for (const [name, packet, error] of rows) {
    await t.step(name, () =>
      withDir((path) =>
        withNetns(async (fd) => {
          const handler = new Recorder();
          const { outcome, answers } = await againstClient(path, handler, [packet(fd)]);
          assert.match(answers[0] ?? "", error);
          assert.equal(outcome, "still running");
          assert.deepEqual(handler.log, []);
        })
      ));
  }
});

Deno.test("the agent drops a peer that is no ztunnel, and serves the next", async (t) => {
  const rows: [string, (peer: SeqpacketConnection) => Promise<void> | void][] = [
    ["garbage instead of a hello", (peer) => peer.send(new Uint8Array([0xff, 0xff]))],
    ["a hello of another version", (peer) => peer.send(new Uint8Array([8, 2]))],
    ["closed without a word", (peer) => peer.close()],
    ["a hello, then talk out of turn", async (peer) => {
      await peer.send(encodeHello());
      await peer.receive(); // SnapshotSent
      await peer.send(new Uint8Array([0x0a, 0x00]));
      await peer.send(new Uint8Array([0x0a, 0x00]));
    }],
    ["a hello, then an answer that is none", async (peer) => {
      await peer.send(encodeHello());
      await peer.receive();
      await peer.send(new Uint8Array([0xff]));
      await peer.send(new Uint8Array([0xff]));
    }],
  ];
  for (const [name, act] of rows) {
    await t.step(name, () =>
      withDir(async (path) => {
        const agent = server(path);
        const peer = connectSeqpacket(path);
        await act(peer);
        if (peer.fd >= 0) {
          assert.equal(await peer.receive(), null, "closed by the agent");
          peer.close();
        }
        const handler = new Recorder();
        const stop = new AbortController();
        const client = runZdsClient({ path, handler, logger, signal: stop.signal });
        await eventually(() => assert.equal(handler.log.length, 1));
        stop.abort();
        await client;
        await agent.close();
      }));
  }
});
