import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { ApiError } from "../../api_error.ts";
import type { ExecSession, PodBackend } from "../../contracts.ts";
import { serviceUnavailable } from "../errors.ts";
import { serveChannelForward } from "../streams/channel_forward.ts";
import { CHANNEL_PROTOCOLS } from "../streams/channels.ts";
import { serveExec, webSocketPeer } from "../streams/exec.ts";
import { type ForwardTarget, parsePort, SpdyPortForward } from "../streams/port_forward.ts";
import { SpdyConnection, type SpdyStream } from "../streams/spdy/connection.ts";
import { SPDY_EXEC_PROTOCOL, SpdyExec } from "../streams/spdy_exec.ts";
import { admitRequest, asApiError, type Call, type Gateway } from "./gateway.ts";
import { podAndContainer } from "./pod_requests.ts";
import { isTrue } from "./request_info.ts";

const TUNNEL = "SPDY/3.1+portforward.k8s.io";
const MESSAGE_LIMIT = 4 * 1024 * 1024;
const PING_INTERVAL_MS = 30_000;

/** Answers a request that wants to turn into another protocol: exec, attach and port-forward. */
export function handleUpgrade(
  gateway: Gateway,
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
): void {
  socket.on("error", () => {});
  try {
    const call = admitRequest(gateway, request);
    const { resource } = call.info;
    if (resource?.group !== "" || resource.resource !== "pods" || !resource.name || !resource.namespace) {
      throw noStreams();
    }
    const protocol = String(request.headers.upgrade ?? "").toLowerCase();
    switch (resource.subresource) {
      case "exec":
      case "attach":
        return upgradeExec(call, socket, head, protocol);
      case "portforward":
        return upgradePortForward(call, socket, head, protocol);
    }
    throw noStreams();
  } catch (error) {
    refuseUpgrade(socket, asApiError(gateway, error));
  }
}

function noStreams(): ApiError {
  return ApiError.badRequest("unable to upgrade: this resource has no streams");
}

function backendOf(gateway: Gateway): PodBackend {
  const backend = gateway.backend();
  if (!backend) throw serviceUnavailable("pods cannot run yet: no node has started");
  return backend;
}

function offered(request: IncomingMessage): string[] {
  return String(request.headers["sec-websocket-protocol"] ?? "").split(",").map((part) => part.trim()).filter((part) =>
    part !== ""
  );
}

/** Completes the handshake, and hands over the WebSocket before its first message. @throws {ApiError} 400 where no protocol is shared */
function openWebSocket(
  call: Call,
  socket: Duplex,
  head: Uint8Array,
  known: string[],
  onOpen: (webSocket: WebSocket) => void | Promise<void>,
): void {
  const wanted = offered(call.request);
  const protocol = known.find((name) => wanted.includes(name));
  if (wanted.length > 0 && protocol === undefined) {
    throw ApiError.badRequest(
      `unable to upgrade: none of the protocols ${wanted.join(", ")} is served; these are: ${known.join(", ")}`,
    );
  }
  // The tunnel's name holds a slash, which RFC 6455 does not allow and the library refuses; clients send it all the same.
  if (protocol !== undefined) call.request.headers["sec-websocket-protocol"] = protocol.replace("/", "-");
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_LIMIT,
    perMessageDeflate: false,
    handleProtocols: () => protocol ?? false,
  });
  server.handleUpgrade(call.request, socket, head as never, (webSocket) => {
    keepAlive(webSocket);
    Promise.resolve(onOpen(webSocket)).catch(() => webSocket.terminate());
  });
}

/** Pings, so that a client that vanished does not keep a process running. */
function keepAlive(webSocket: WebSocket): void {
  let alive = true;
  webSocket.on("pong", () => void (alive = true));
  webSocket.on("message", () => void (alive = true));
  webSocket.on("error", () => {});
  const timer = setInterval(() => {
    if (!alive) return webSocket.terminate();
    alive = false;
    webSocket.ping();
  }, PING_INTERVAL_MS);
  webSocket.on("close", () => clearInterval(timer));
}

function upgradeExec(call: Call, socket: Duplex, head: Uint8Array, protocol: string): void {
  const { query, resource } = call.info;
  const { namespace, name, subresource } = resource as { namespace: string; name: string; subresource: string };
  const { pod, container } = podAndContainer(call, query.get("container"));
  const backend = backendOf(call.gateway);
  const options = {
    stdin: isTrue(query.get("stdin")),
    stdout: isTrue(query.get("stdout")),
    stderr: isTrue(query.get("stderr")),
    tty: isTrue(query.get("tty")),
  };
  const command = query.getAll("command");
  if (subresource === "exec" && command.length === 0) {
    throw ApiError.badRequest("you must specify at least 1 command for exec");
  }
  if (!options.stdin && !options.stdout && !options.stderr) {
    throw ApiError.badRequest("you must specify at least 1 of stdin, stdout, stderr");
  }
  if (!pod.spec.nodeName) throw ApiError.badRequest(`pod ${name} does not have a host assigned`);
  if (["Succeeded", "Failed"].includes(pod.status?.phase)) {
    throw new ApiError(
      500,
      "InternalError",
      `cannot exec into a container in a completed pod; current phase is ${pod.status.phase}`,
    );
  }
  const start = (): Promise<ExecSession> => {
    if (subresource === "exec") return backend.exec(namespace, name, container, command, options);
    return backend.attach(namespace, name, container, options);
  };
  if (protocol.startsWith("spdy/3.1")) {
    const streams = ["error", ...(["stdin", "stdout", "stderr"] as const).filter((name) => options[name])];
    if (options.tty) streams.push("resize");
    return serveSpdyExec(call.request, socket, head, streams, start);
  }
  if (protocol !== "websocket") {
    throw ApiError.badRequest(`unable to upgrade: the protocol ${JSON.stringify(protocol)} is not served`);
  }
  openWebSocket(call, socket, head, CHANNEL_PROTOCOLS, (webSocket) => serveExec(webSocketPeer(webSocket), start));
}

function upgradePortForward(call: Call, socket: Duplex, head: Uint8Array, protocol: string): void {
  const { query, resource } = call.info;
  const { core } = call.gateway;
  const pod = core.get(core.registry.get("", "pods")!, resource!.namespace, resource!.name!);
  if (pod.status?.phase && pod.status.phase !== "Running") {
    throw ApiError.badRequest(`unable to forward port because pod is not running. Current status=${pod.status.phase}`);
  }
  const target: ForwardTarget = {
    backend: backendOf(call.gateway),
    namespace: resource!.namespace!,
    pod: resource!.name!,
  };
  if (protocol.startsWith("spdy/3.1")) return serveRawSpdy(socket, head, target);
  if (protocol !== "websocket") {
    throw ApiError.badRequest(`unable to upgrade: the protocol ${JSON.stringify(protocol)} is not served`);
  }
  if (offered(call.request).includes(TUNNEL)) {
    return openWebSocket(call, socket, head, [TUNNEL], (webSocket) => serveTunnel(webSocket, target));
  }
  const ports = query.getAll("ports").flatMap((text) => text.split(",")).map(parsePort);
  if (ports.length === 0) throw ApiError.badRequest('query parameter "ports" is required');
  openWebSocket(
    call,
    socket,
    head,
    [...CHANNEL_PROTOCOLS, "portforward.k8s.io"],
    (webSocket) => serveChannelForward(webSocket, ports, target),
  );
}

/** SPDY inside the binary messages of a WebSocket: what kubectl has sent since 1.31. */
function serveTunnel(webSocket: WebSocket, target: ForwardTarget): void {
  const forward = new SpdyPortForward(target);
  const connection = new SpdyConnection(
    (bytes) =>
      new Promise((resolve) =>
        webSocket.readyState === webSocket.OPEN ? webSocket.send(bytes, () => resolve()) : resolve()
      ),
    (stream) => forward.accept(stream),
  );
  webSocket.on("message", (message: Uint8Array) => {
    connection.feed(new Uint8Array(message)).catch(() => webSocket.close(1002));
  });
  webSocket.on("close", () => {
    forward.close();
    connection.close();
  });
}

/** Port-forwarding by SPDY on the connection itself: older kubectl, Go clients. */
function serveRawSpdy(socket: Duplex, head: Uint8Array, target: ForwardTarget): void {
  const forward = new SpdyPortForward(target);
  speakSpdy(socket, head, "portforward.k8s.io", (stream) => forward.accept(stream), () => forward.close());
}

/** Exec and attach by SPDY: older kubectl, Go clients. */
function serveSpdyExec(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  streams: string[],
  start: () => Promise<ExecSession>,
): void {
  // Go repeats the header for each protocol.
  const wanted = String(request.headers["x-stream-protocol-version"] ?? "").split(",").map((name) => name.trim());
  if (!wanted.includes(SPDY_EXEC_PROTOCOL)) {
    throw ApiError.badRequest(`unable to upgrade: of the stream protocols only ${SPDY_EXEC_PROTOCOL} is served`);
  }
  const exec = new SpdyExec(streams, (peer) => void serveExec(peer, start).catch(() => socket.destroy()));
  speakSpdy(socket, head, SPDY_EXEC_PROTOCOL, (stream) => exec.accept(stream), () => exec.close());
}

/** Completes the handshake and hands out the client's streams until the connection ends. */
function speakSpdy(
  socket: Duplex,
  head: Uint8Array,
  protocol: string,
  onStream: (stream: SpdyStream) => void,
  onClosed: () => void,
): void {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  const connection = new SpdyConnection(
    (bytes) => new Promise((resolve) => socket.writable ? socket.write(bytes, () => resolve()) : resolve()),
    onStream,
  );
  const feed = (bytes: Uint8Array) => void connection.feed(bytes).catch(() => socket.destroy());
  if (head.length > 0) feed(new Uint8Array(head));
  socket.on("data", (bytes: Uint8Array) => feed(new Uint8Array(bytes)));
  socket.on("close", () => {
    onClosed();
    connection.close();
  });
  socket.on("end", () => socket.end());
}

/** Sends a `Status` instead of the upgrade. */
export function refuseUpgrade(socket: Duplex, error: ApiError): void {
  if (socket.destroyed || !socket.writable) return;
  const body = new TextEncoder().encode(JSON.stringify(error.toStatus()));
  socket.write(
    `HTTP/1.1 ${error.code} ${error.reason}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
  );
  socket.end(body);
}
