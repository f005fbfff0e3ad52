// Header compression for HTTP/2 (RFC 7541), complete in both directions.

export { HpackDecoder, type HpackErrorCode } from "./hpack_decoder.ts";
export { hpackBound, HpackEncoder } from "./hpack_encoder.ts";
