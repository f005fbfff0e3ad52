/** ZDS: how the CNI agent tells ztunnel which pods to proxy, over a unix SOCK_SEQPACKET with descriptors attached. */
export * from "./messages.ts";
export * from "./zds_client.ts";
export * from "./zds_server.ts";
