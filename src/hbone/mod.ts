/** HBONE: application TCP connections as CONNECT streams over HTTP/2 over mutual TLS 1.3. */
export * from "./types.ts";
export { type Baggage, formatBaggage, parseBaggage } from "./baggage.ts";
export { type HboneResponseFlag, responseFlag } from "./errors.ts";
export { splitAuthority } from "./identity.ts";
export { HBONE_PORT, HbonePool, type HbonePoolOptions } from "./pool.ts";
export { HboneServer, type HboneServerErrorCode, type HboneServerOptions } from "./server.ts";
export { type InnerTarget, openInnerTunnel, type PendingRequest } from "./client.ts";
