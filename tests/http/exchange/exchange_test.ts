import assert from "node:assert/strict";
import { destination, forward, get, policy, route, virtualHost, withBackend, withLab } from "./support.ts";

Deno.test("exchange: a request goes to its backend and comes back", async () => {
  const seen: { url: URL; headers: Headers }[] = [];
  await withBackend((request) => {
    seen.push({ url: new URL(request.url), headers: new Headers(request.headers) });
    return new Response("hello", { headers: { "x-app": "1" } });
  }, async (port) => {
    await withLab({
      resources: [virtualHost([route(forward(["web"]))])],
      destinations: [destination("web", [port])],
    }, async (lab) => {
      const answer = await get(lab.port, "/a?b=c", { "user-agent": "test" });
      assert.match(answer, /^HTTP\/1.1 200 OK\r\n/);
      assert.match(answer, /\r\nserver: istio-envoy\r\n/);
      assert.match(answer, /\r\nx-envoy-upstream-service-time: \d+\r\n/);
      assert.match(answer, /\r\nx-app: 1\r\n/);
      assert.ok(answer.endsWith("\r\n\r\nhello"), answer);
      const [request] = seen;
      assert.equal(request.url.pathname + request.url.search, "/a?b=c");
      assert.equal(request.headers.get("host"), "web");
      assert.equal(request.headers.get("x-envoy-attempt-count"), "1");
      assert.equal(request.headers.get("x-forwarded-proto"), "http");
      assert.equal(request.headers.get("x-forwarded-for"), "127.0.0.1");
      assert.match(
        request.headers.get("x-request-id")!,
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.match(
        lab.log[0],
        /^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET \/a\?b=c HTTP\/1\.1" 200 - via_upstream - "-" 0 5 \d+ \d+ "127\.0\.0\.1" "test" "[0-9a-f-]{36}" "web" "127\.0\.0\.1:\d+" web 127\.0\.0\.1:\d+ 127\.0\.0\.1:80 127\.0\.0\.1:\d+ - default$/,
      );
      assert.match(
        lab.registry.expose(),
        /istio_requests_total\{reporter="source",source_workload="gw",.*destination_service="web\.default\.svc\.cluster\.local",.*request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"\} 1/,
      );
    });
  });
});

Deno.test("exchange: a denied request is answered as Envoy does", async () => {
  await withLab({
    resources: [virtualHost([route(forward(["web"]))]), policy("default/nobody", {})],
  }, async (lab) => {
    const answer = await get(lab.port, "/");
    assert.match(answer, /^HTTP\/1.1 403 Forbidden\r\n/);
    assert.match(answer, /\r\ncontent-length: 19\r\n/);
    assert.match(answer, /\r\ncontent-type: text\/plain\r\n/);
    assert.ok(answer.endsWith("\r\n\r\nRBAC: access denied"));
    assert.match(lab.log[0], / 403 - rbac_access_denied_matched_policy\[none\] - "-" 0 19 /);
  });
});
