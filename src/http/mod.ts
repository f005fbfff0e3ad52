/**
 * HTTP for the L7 proxy: one model of messages and streams, whichever version carries them. Codecs are in codec/.
 */
export { FieldName, fieldName, Fields } from "./fields.ts";
export type { HttpVersion, RequestHead, ResponseHead } from "./message.ts";
export type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  ClientStreamHandler,
  ConnectionContext,
  RequestHandler,
  ServerConnection,
  ServerStream,
  ServerStreamHandler,
  StreamError,
  StreamErrorCode,
} from "./stream.ts";
export {
  HTTP_CLIENT_OPTIONS,
  HTTP_SERVER_OPTIONS,
  type HttpClientOptions,
  type HttpServerOptions,
} from "./codec/options.ts";
export { serveHttp, serveHttp1, serveHttp2 } from "./codec/serve.ts";
export { connectHttp1, connectHttp2 } from "./codec/connect.ts";
export { type SniffedProtocol, sniffProtocol } from "./codec/sniff.ts";
