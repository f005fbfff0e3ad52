import assert from "node:assert/strict";
import { programOf, repositoryOf } from "../../../src/cluster/runtime/images.ts";

const SELF = ["/bin/deno", "run", "/x/main.ts"];

Deno.test("repositoryOf() drops registry, tag and digest", () => {
  const cases: [string, string][] = [
    ["busybox", "busybox"],
    ["busybox:1.36", "busybox"],
    ["docker.io/curlimages/curl:8.4.0", "curlimages/curl"],
    ["localhost:5000/ambientd:dev", "ambientd"],
    ["registry.k8s.io/pause@sha256:abc", "pause"],
    ["ghcr.io/a/b/c:1@sha256:def", "a/b/c"],
    ["istio/examples-bookinfo-details-v1:1.2", "istio/examples-bookinfo-details-v1"],
  ];
  for (const [image, repository] of cases) assert.equal(repositoryOf(image), repository);
});

Deno.test("programOf() finds the program behind known images whatever their registry and tag", () => {
  const start = (image: string) => {
    const found = programOf(image, SELF);
    assert.ok("program" in found, image);
    return [...found.program.entrypoint, ...found.program.cmd];
  };
  assert.deepEqual(start("example.org/mesh/ambientd:1.2.3"), SELF);
  const bookinfo = "docker.io/istio/examples-bookinfo";
  assert.deepEqual(start(`${bookinfo}-productpage-v1:1.20.3`), [...SELF, "sample", "productpage", "--port", "9080"]);
  assert.deepEqual(start(`${bookinfo}-reviews-v3:1`), [
    ...SELF,
    "sample",
    "reviews",
    "--port",
    "9080",
    "--version",
    "v3",
  ]);
  assert.deepEqual(start("docker.io/mccutchen/go-httpbin:v2.15.0"), [...SELF, "sample", "httpbin", "--port", "8080"]);
  assert.deepEqual(start("kennethreitz/httpbin"), [...SELF, "sample", "httpbin", "--port", "80"]);
  for (const name of ["echo-basic", "echo-advanced"]) {
    assert.deepEqual(start(`registry.k8s.io/gateway-api/${name}:v1.5.1`), [...SELF, "sample", name]);
    assert.deepEqual(start(`gcr.io/k8s-staging-gateway-api/${name}`), [...SELF, "sample", name]);
  }
  assert.deepEqual(start("busybox"), ["/bin/sh"]);
  assert.deepEqual(start("registry.k8s.io/pause:3.9"), ["sleep", "infinity"]);
  assert.equal(start("curlimages/curl")[0], "/bin/sh");
  assert.deepEqual(start("ghcr.io/prometheus-operator/prometheus-config-reloader:v0.89.0"), [
    ...SELF,
    "sample",
    "config-reloader",
  ]);
});

Deno.test("programOf() runs the host's Prometheus, or names the package that has it", () => {
  const found = programOf("docker.io/prom/prometheus:v3.10.0", ["/bin/deno", "run", "/it's/main.ts"]);
  if ("problem" in found) return assert.match(found.problem, /not installed; install it \(apt install prometheus\)/);
  const [shell, flag, script, name] = found.program.entrypoint;
  assert.deepEqual([shell, flag, name], ["/bin/sh", "-c", "prometheus"]);
  assert.match(script, /exec '\/bin\/deno' 'run' '\/it'\\''s\/main.ts' sample prometheus "\$@"/);
});

Deno.test("programOf() says what to do about an image it does not have", () => {
  for (const image of ["redis:7", "", "example.org/ambientd-extra:1", "../../etc/passwd"]) {
    const found = programOf(image, SELF);
    assert.ok("problem" in found, image);
    assert.match(found.problem, /cannot be pulled/);
    assert.match(found.problem, /busybox/);
  }
});
