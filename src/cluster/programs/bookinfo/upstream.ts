/** Headers that every Bookinfo service passes on, so that traces, users and requests can be followed. */
const PROPAGATED = [
  "x-request-id",
  "traceparent",
  "tracestate",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "x-ot-span-context",
  "x-cloud-trace-context",
  "grpc-trace-bin",
  "sw8",
  "user-agent",
  "end-user",
  "authorization",
  "cookie",
];

export function propagated(request: Request): Headers {
  const headers = new Headers();
  for (const name of PROPAGATED) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}

/** A connection for each call, as the services of the original make them: each is routed, and refused, by itself. */
const oneCallEach = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });

/** The address of a service from the variables that Bookinfo's images read. */
export function serviceUrl(name: string, env: (name: string) => string | undefined): string {
  const upper = name.toUpperCase();
  const domain = env("SERVICES_DOMAIN");
  const host = env(`${upper}_HOSTNAME`) || name;
  return `http://${host}${domain ? "." + domain : ""}:${env(`${upper}_SERVICE_PORT_HTTP`) || "9080"}`;
}

/** What a service answered; an unreachable service counts as status 500. */
export async function callJson(
  url: string,
  headers: Headers,
  timeoutMs: number,
): Promise<{ status: number; body: any }> {
  try {
    const response = await fetch(url, { headers, client: oneCallEach, signal: AbortSignal.timeout(timeoutMs) });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.ok ? 500 : response.status, body: undefined };
    }
  } catch {
    return { status: 500, body: undefined };
  }
}
