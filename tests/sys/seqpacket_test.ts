import assert from "node:assert/strict";
import { connectSeqpacket, listenSeqpacket, MAX_MESSAGE_BYTES } from "../../src/sys/seqpacket.ts";
import { libc } from "../../src/sys/libc.ts";

function withPath<T>(run: (path: string) => T): T {
  return run(`${Deno.makeTempDirSync()}/zds`);
}

Deno.test("seqpacket carries whole messages and descriptors both ways", async () => {
  await withPath(async (path) => {
    const listener = listenSeqpacket(path);
    const client = connectSeqpacket(path);
    const server = (await listener.accept())!;
    assert.equal(server.credentials().pid, Deno.pid);
    assert.equal(client.tryReceive(), undefined);
    const file = Deno.makeTempFileSync();
    Deno.writeTextFileSync(file, "from the other side");
    const fd = libc.open(new TextEncoder().encode(file + "\0"), 0, 0);
    assert.equal(client.trySend(new Uint8Array([1, 2, 3]), [fd, fd]), true);
    libc.close(fd);
    await client.send(new Uint8Array([4]));
    const first = (await server.receive())!;
    assert.deepEqual([...first.bytes], [1, 2, 3]);
    assert.equal(first.fds.length, 2);
    assert.equal(Deno.readTextFileSync(`/proc/self/fd/${first.fds[1]}`), "from the other side");
    first.fds.forEach((received) => libc.close(received));
    assert.deepEqual([...(await server.receive())!.bytes], [4]);
    server.trySend(new Uint8Array(MAX_MESSAGE_BYTES).fill(7));
    assert.equal((await client.receive())!.bytes.length, MAX_MESSAGE_BYTES);
    client.close();
    assert.equal(await server.receive(), null);
    server.close();
    listener.close();
  });
});

Deno.test("seqpacket refuses a message that is too long, and names what it could not reach", () => {
  withPath((path) => {
    assert.throws(() => connectSeqpacket(path), { code: "system", message: /cannot connect to ".*zds": no such file/ });
    const listener = listenSeqpacket(path);
    const client = connectSeqpacket(path);
    assert.throws(() => client.trySend(new Uint8Array(MAX_MESSAGE_BYTES + 1)), { code: "message_too_long" });
    client.close();
    listener.close();
  });
});

Deno.test("seqpacket reports a full buffer instead of blocking, and abort ends a wait", async () => {
  await withPath(async (path) => {
    const listener = listenSeqpacket(path);
    const client = connectSeqpacket(path);
    const server = listener.tryAccept()!;
    let sent = 0;
    while (sent < 10_000 && client.trySend(new Uint8Array(32 * 1024))) sent++;
    assert.ok(sent > 0 && sent < 10_000);
    await assert.rejects(client.send(new Uint8Array(1), [], AbortSignal.timeout(20)));
    for (let i = 0; i < sent; i++) assert.equal(server.tryReceive()!.bytes.length, 32 * 1024);
    assert.equal(server.tryReceive(), undefined);
    await assert.rejects(server.receive(AbortSignal.timeout(20)));
    [client, server, listener].forEach((part) => part.close());
  });
});
