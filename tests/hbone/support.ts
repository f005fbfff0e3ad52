import type { CertificateAuthority } from "../../src/identity/authority.ts";
import type { WorkloadCertificate } from "../../src/identity/types.ts";
import {
  type HbonePool,
  type HboneRequest,
  HboneServer,
  type HboneStream,
  type HboneTarget,
} from "../../src/hbone/mod.ts";
import { connectTcp, listenTcp, pump, Reactor, type TcpListener, type TcpSocket } from "../../src/net/mod.ts";
import { idOf, issueWorkload, testCa } from "../identity/support.ts";

export const CLIENT_ID = idOf("shop", "cart"), SERVER_ID = idOf("depot", "stock");

/** Certificates of one CA, made once for all tests of the process. */
export interface Material {
  ca: CertificateAuthority;
  client: WorkloadCertificate;
  server: WorkloadCertificate;
}

let material: Promise<Material> | undefined;

export function testMaterial(): Promise<Material> {
  return material ??= (async () => {
    const ca = await testCa();
    return { ca, client: await issueWorkload(ca, CLIENT_ID), server: await issueWorkload(ca, SERVER_ID) };
  })();
}

/** Runs with a started reactor and stops it whatever happens. */
export async function withReactor(run: (reactor: Reactor) => Promise<void>): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  try {
    await run(reactor);
  } finally {
    await reactor.stop();
  }
}

export function connect(reactor: Reactor, port: number): Promise<TcpSocket> {
  return new Promise((resolve, reject) =>
    connectTcp(
      reactor,
      { address: "127.0.0.1", port, timeoutMs: 5000 },
      (error, socket) => error ? reject(error) : resolve(socket!),
    )
  );
}

/** An HBONE server on loopback. */
export function listenHbone(
  reactor: Reactor,
  certificate: WorkloadCertificate,
  onConnect: (request: HboneRequest) => void,
  options: Partial<ConstructorParameters<typeof HboneServer>[0]> = {},
): { server: HboneServer; listener: TcpListener; errors: Error[] } {
  const errors: Error[] = [];
  const server = new HboneServer({ reactor, onConnect, onError: (error) => errors.push(error), ...options });
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => server.serve(socket, certificate));
  return { server, listener, errors };
}

/** What `HboneServer` does in a proxy: connects to the authority, then pumps. */
export function forwardTo(reactor: Reactor): (request: HboneRequest) => void {
  return (request) => {
    const port = Number(request.authority.split(":").at(-1));
    connectTcp(reactor, { address: "127.0.0.1", port, timeoutMs: 5000 }, (error, socket) => {
      if (error) request.reject(503);
      else if (request.aborted) socket!.abort();
      else pump(request.accept([["baggage", "service.name=stock"]]), socket!, { onDone: () => {} });
    });
  };
}

export function openTunnel(pool: HbonePool, target: HboneTarget): Promise<HboneStream> {
  return new Promise((resolve, reject) =>
    pool.connect(target, (error, stream) => error ? reject(error) : resolve(stream!))
  );
}

export function targetOf(material: Material, port: number, authority: string): HboneTarget {
  return {
    certificate: material.client,
    address: "127.0.0.1",
    port,
    expectedIds: [SERVER_ID],
    authority,
    headers: [["baggage", "service.name=cart"], ["forwarded", 'for="127.0.0.1:9"']],
  };
}
