// Deno 2.9's HTTP/2 (denoland/deno#36788) frees a session when GOAWAY makes JavaScript close it, while nghttp2 is still at work on that
// frame: the process ends with SIGSEGV or an assertion, whichever side it is. Any client that closes its connection well could end
// istiod so. Sessions that grpc-js makes are therefore closed and destroyed one turn of the event loop later.

import http2 from "node:http2";

interface Session {
  close(...args: unknown[]): void;
  destroy(...args: unknown[]): void;
}

function closeLater(session: Session): void {
  const close = session.close.bind(session), destroy = session.destroy.bind(session);
  session.close = (...args) => void setImmediate(() => close(...args));
  session.destroy = (...args) => void setImmediate(() => destroy(...args));
}

type Make = (...args: unknown[]) => unknown;

let done = false;

/** Has every session that grpc-js makes from now on closed safely. */
export function closeSessionsLater(): void {
  if (done) return;
  done = true;
  const module = http2 as unknown as Record<"createServer" | "createSecureServer" | "connect", Make>;
  for (const name of ["createServer", "createSecureServer"] as const) {
    const make = module[name];
    module[name] = (...args) => {
      const server = make.apply(http2, args) as { on(event: "session", heard: (session: Session) => void): void };
      server.on("session", closeLater);
      return server;
    };
  }
  const connect = module.connect;
  module.connect = (...args) => {
    const session = connect.apply(http2, args) as Session;
    closeLater(session);
    return session;
  };
}
