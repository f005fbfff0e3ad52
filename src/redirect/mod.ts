/** Redirection of a pod's traffic to ztunnel's sockets: rules rendered as text, then applied in the pod's namespace. */
export * from "./apply.ts";
export * from "./host_probes.ts";
export { renderIptables } from "./iptables.ts";
export { renderNft, renderNftDrain, renderNftRemoval } from "./nft.ts";
export * from "./options.ts";
