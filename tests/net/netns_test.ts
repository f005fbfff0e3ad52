import assert from "node:assert/strict";
import {
  bindUdp,
  connectTcp,
  inNetns,
  listenTcp,
  Netns,
  openNetns,
  Reactor,
  tap,
  type TcpSocket,
} from "../../src/net/mod.ts";
import { getOption } from "../../src/sys/socket.ts";
import { SO_MARK, SOL_SOCKET } from "../../src/sys/constants.ts";
import { eventually } from "../support/eventually.ts";
import { CAN_NETNS, NetLab } from "../support/netns.ts";

const WHY = CAN_NETNS ? "" : " (ignored: needs root or a user namespace)";
const MARK = 0x539;

async function withLab(run: (reactor: Reactor, lab: NetLab) => Promise<void>): Promise<void> {
  const reactor = new Reactor();
  const lab = await NetLab.create();
  reactor.start();
  try {
    await run(reactor, lab);
  } finally {
    await reactor.stop();
    lab.close();
  }
}

const namespace = () => Deno.readLinkSync("/proc/thread-self/ns/net");

Deno.test(`inNetns() runs inside and comes back, also from an error${WHY}`, { ignore: !CAN_NETNS }, async () => {
  await withLab(async (_reactor, lab) => {
    const pod = await lab.pod("a");
    const home = namespace();
    const inside = inNetns(pod.netns, namespace);
    assert.notEqual(inside, home);
    assert.throws(() =>
      inNetns(pod.netns, () => {
        throw new Error("within");
      }), { message: "within" });
    assert.equal(namespace(), home);
    assert.equal(inNetns(undefined, namespace), home);
    assert.throws(() => inNetns(new Netns(-1), () => {}), {
      code: "system",
      message: /cannot enter a network namespace/,
    });
    assert.throws(() => openNetns("/proc/self/ns/no-such-namespace"), { code: "system" });
  });
});

Deno.test(`sockets live in the namespace they were made in${WHY}`, { ignore: !CAN_NETNS }, async () => {
  await withLab(async (reactor, lab) => {
    const [a, b] = [await lab.pod("a"), await lab.pod("b")];
    const accepted: TcpSocket[] = [];
    const listener = listenTcp(
      reactor,
      { netns: b.netns, address: "::", port: 15008, mark: MARK },
      (socket) => accepted.push(socket),
    );
    for (const address of [b.ip, b.ip6]) {
      const socket = await new Promise<TcpSocket>((resolve, reject) =>
        connectTcp(
          reactor,
          { netns: a.netns, address, port: 15008, timeoutMs: 5000, mark: MARK },
          (error, socket) => error ? reject(error) : resolve(socket!),
        )
      );
      assert.equal(getOption(socket.fd, SOL_SOCKET, SO_MARK), MARK);
      assert.equal(socket.local.address, address === b.ip ? a.ip : a.ip6);
    }
    await eventually(() => assert.deepEqual(accepted.map((socket) => socket.remote.address), [a.ip, a.ip6]));
    assert.equal(listener.port, 15008);
    // The same port is free elsewhere.
    listenTcp(reactor, { netns: a.netns, address: "::", port: 15008 }, () => {});
    assert.throws(() => listenTcp(reactor, { netns: b.netns, address: "::", port: 15008 }, () => {}), {
      code: "system",
    });
  });
});

Deno.test(
  `a redirected connection tells where it meant to go, IPv4 and IPv6${WHY}`,
  { ignore: !CAN_NETNS },
  async () => {
    await withLab(async (reactor, lab) => {
      const pod = await lab.pod("a");
      await pod.run(
        "sh",
        "-ec",
        `nft -f - <<'EOF'
table inet t {
  chain output {
    type nat hook output priority -100
    meta mark != ${MARK} tcp dport 80 redirect to :15001
  }
}
EOF`,
      );
      const meant: unknown[] = [];
      listenTcp(reactor, { netns: pod.netns, address: "::", port: 15001, mark: MARK }, (socket) => {
        meant.push(socket.originalDestination());
        socket.close();
      });
      for (const address of ["203.0.113.7", "fd99::77"]) {
        await new Promise<void>((resolve, reject) =>
          connectTcp(
            reactor,
            { netns: pod.netns, address, port: 80, timeoutMs: 5000 },
            (error, socket) =>
              error ? reject(error) : (tap(socket!, { onData() {}, onEnd: resolve, onAbort: resolve }), undefined),
          )
        );
      }
      assert.deepEqual(meant, [{ address: "203.0.113.7", port: 80 }, { address: "fd99::77", port: 80 }]);
    });
  },
);

Deno.test(`connectTcp() can speak with an address that is not ours${WHY}`, { ignore: !CAN_NETNS }, async () => {
  await withLab(async (reactor, lab) => {
    const pod = await lab.pod("a");
    // What the CNI agent sets up: replies to marked connections come back to us through lo.
    await pod.run(
      "sh",
      "-ec",
      `ip rule add fwmark 0x111/0xfff pref 32764 lookup 100; ip route add local 0.0.0.0/0 dev lo table 100
nft -f - <<'EOF'
table ip t {
  chain prerouting {
    type filter hook prerouting priority -150
    meta mark ${MARK} ct mark set 0x111
  }
  chain output {
    type route hook output priority -150
    ct mark 0x111 meta mark set ct mark
    meta mark ${MARK} ct mark set 0x111
  }
}
EOF`,
    );
    const seen: string[] = [];
    listenTcp(reactor, { netns: pod.netns, address: pod.ip, port: 8080 }, (socket) => {
      seen.push(socket.remote.address);
      const side = tap(socket, { onData: (bytes) => side.write(bytes.slice()) });
    });
    let got = 0;
    connectTcp(reactor, {
      netns: pod.netns,
      address: pod.ip,
      port: 8080,
      bindAddress: "198.51.100.9",
      transparent: true,
      mark: MARK,
      timeoutMs: 5000,
    }, (error, socket) => {
      assert.equal(error, null);
      const side = tap(socket!, { onData: (bytes) => void (got += bytes.length) });
      side.write(new Uint8Array(3));
    });
    await eventually(() => assert.equal(got, 3));
    assert.deepEqual(seen, ["198.51.100.9"]);
  });
});

Deno.test(`UDP works in a namespace${WHY}`, { ignore: !CAN_NETNS }, async () => {
  await withLab(async (reactor, lab) => {
    const [a, b] = [await lab.pod("a"), await lab.pod("b")];
    const got: string[] = [];
    const server = bindUdp(
      reactor,
      { netns: b.netns, address: "::", port: 53 },
      (bytes, from) => server.send(bytes, from),
    );
    const client = bindUdp(reactor, { netns: a.netns, address: "0.0.0.0", port: 0 }, (bytes, from) => {
      got.push(`${new TextDecoder().decode(bytes)} ${from.address}`);
    });
    await eventually(() => {
      if (got.length === 0) client.send(new TextEncoder().encode("q"), { address: b.ip, port: 53 });
      assert.equal(got[0], `q ${b.ip}`);
    });
  });
});
