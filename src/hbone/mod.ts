/** HBONE: application TCP connections as CONNECT streams over HTTP/2 over mutual TLS 1.3. */
export * from "./types.ts";
