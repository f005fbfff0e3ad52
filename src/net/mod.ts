/**
 * Sockets for the data plane: one {@linkcode Reactor} per thread, TCP in any network namespace, TLS, and the byte pump.
 * See README.md in this folder for how a byte travels.
 */
export { type Pollable, Reactor, type ReactorOptions, type Runnable } from "./reactor.ts";
export { reactorClock } from "./reactor_clock.ts";
export type { Timer } from "./timers.ts";
export { inNetns, Netns, openNetns } from "./netns.ts";
export {
  type ConnectCallback,
  type ConnectErrorCode,
  type ConnectOptions,
  connectTcp,
  type Keepalive,
  type ListenOptions,
  listenTcp,
  PendingConnect,
  TcpListener,
} from "./tcp.ts";
export { TcpSocket } from "./tcp_socket.ts";
export { Endpoint, type EndpointMonitor, type FlowErrorCode, join } from "./endpoint.ts";
export { Pump, pump, type PumpOptions, type PumpStats } from "./pump.ts";
export { Tap, tap, type TapHandler } from "./tap.ts";
export { formatSocketAddress, type SocketAddress } from "../sys/socket_address.ts";
export { bindUdp, type DatagramHandler, type UdpOptions, UdpSocket } from "./udp.ts";
