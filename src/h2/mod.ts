/** HTTP/2 over any transport: connections of both sides, streams that are byte endpoints, bounded against hostile peers. */
export { H2Connection } from "./connection.ts";
export type { H2ErrorCode, H2Handler } from "./handler.ts";
export { H2Stream, type H2StreamHandler } from "./stream.ts";
export { fieldOf, type HeaderFields, malformedHeaders } from "./headers.ts";
export { type H2Options, HBONE_CLIENT_OPTIONS, HBONE_SERVER_OPTIONS } from "./options.ts";
