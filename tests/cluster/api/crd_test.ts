import assert from "node:assert/strict";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { loadCel } from "../../../src/cluster/api/crd/cel.ts";
import { applyDefaults, prune } from "../../../src/cluster/api/crd/decode_object.ts";
import { validateValue } from "../../../src/cluster/api/crd/validate_value.ts";
import type { Schema } from "../../../src/cluster/api/schema/schema.ts";
import { CRDS, eventually, TestServer } from "./support.ts";

const WIDGETS = { group: "example.io", resource: "widgets" };
const PATH = "/apis/example.io/v1/namespaces/default/widgets";

function definition(spec: Schema = {}, overrides: Record<string, unknown> = {}): KubeObject {
  const schema = {
    openAPIV3Schema: {
      type: "object",
      properties: {
        spec: { type: "object", ...spec },
        status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    },
  };
  const version = (name: string, storage: boolean) => ({
    name,
    served: true,
    storage,
    schema,
    subresources: { status: {}, scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" } },
    additionalPrinterColumns: [{ name: "Size", type: "integer", jsonPath: ".spec.size" }, {
      name: "Ready",
      type: "string",
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
    }],
  });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.example.io" },
    spec: {
      group: "example.io",
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget", shortNames: ["wd"], categories: ["all"] },
      versions: [version("v1", true), version("v1beta1", false)],
      ...overrides,
    },
  };
}

function widget(spec: unknown, extra: Record<string, unknown> = {}): KubeObject {
  return { apiVersion: "example.io/v1", kind: "Widget", metadata: { name: "w", namespace: "default" }, spec, ...extra };
}

const ANY: Schema = { "x-kubernetes-preserve-unknown-fields": true };

Deno.test("validateValue() holds values to the schema, with Kubernetes' texts", () => {
  const table: [Schema, unknown, string[]][] = [
    [{ type: "integer", minimum: 1, maximum: 3 }, 5, [
      "a: Invalid value: 5: a in body should be less than or equal to 3",
    ]],
    [{ type: "integer" }, "5", ['a: Invalid value: "string": a in body must be of type integer: "string"']],
    [{ type: "integer" }, 1.5, ['a: Invalid value: "number": a in body must be of type integer: "number"']],
    [{ type: "integer", format: "int32" }, 2 ** 40, [
      "a: Invalid value: 1099511627776: a in body must be of type int32: 1099511627776",
    ]],
    [{ type: "number", exclusiveMinimum: true, minimum: 0 }, 0, [
      "a: Invalid value: 0: a in body should be greater than 0",
    ]],
    [{ type: "string", enum: ["ALLOW", "DENY"] }, "X", [
      'a: Unsupported value: "X": supported values: "ALLOW", "DENY"',
    ]],
    [{ type: "string", pattern: "^[a-z]+$" }, "A1", [`a: Invalid value: "A1": a in body should match '^[a-z]+$'`]],
    [{ type: "string", maxLength: 2 }, "abc", ["a: Too long: may not be more than 2 bytes"]],
    [{ type: "string", minLength: 1 }, "", ['a: Invalid value: "": a in body should be at least 1 chars long']],
    [{ type: "string", format: "ipv4" }, "1.2.3", [
      'a: Invalid value: "1.2.3": a in body must be of type ipv4: "1.2.3"',
    ]],
    [{ type: "array", items: { type: "string" }, maxItems: 1 }, ["a", "b"], [
      "a: Too many: 2: must have at most 1 items",
    ]],
    [{ type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" }, ["a", "a"], [
      'a[1]: Duplicate value: "a"',
    ]],
    [
      {
        type: "array",
        items: { type: "object", properties: { n: ANY, v: ANY } },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
      },
      [{ n: 1 }, { n: 1, v: 2 }],
      ['a[1]: Duplicate value: {"n":1}'],
    ],
    [{ type: "object", required: ["x"], properties: { x: ANY } }, {}, ["a.x: Required value"]],
    [{ type: "object", additionalProperties: { type: "integer" }, maxProperties: 1 }, { a: "x" }, [
      'a.a: Invalid value: "string": a.a in body must be of type integer: "string"',
    ]],
    [{ "x-kubernetes-int-or-string": true }, true, [
      'a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"',
    ]],
    [{ "x-kubernetes-int-or-string": true }, "80%", []],
    [{ type: "object", oneOf: [{ required: ["x"] }, { required: ["y"] }], properties: { x: ANY, y: ANY } }, {
      x: 1,
      y: 1,
    }, ['a: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives']],
    [{ type: "object", not: { required: ["x"] }, properties: { x: ANY } }, { x: 1 }, [
      'a: Invalid value: "": "a" must not validate the schema (not)',
    ]],
    [{ type: "object", anyOf: [{ required: ["x"] }, { required: ["y"] }] }, {}, [
      'a: Invalid value: "": "a" must validate at least one schema (anyOf)',
    ]],
    [{ type: "string", nullable: true }, null, []],
    [{ type: "string" }, null, ['a: Invalid value: "null": a in body must be of type string: "null"']],
  ];
  for (const [schema, value, expected] of table) {
    assert.deepEqual(validateValue(schema, value, "a").map(({ field, message }) => `${field}: ${message}`), expected);
  }
});

Deno.test("prune() and applyDefaults() follow the schema down", () => {
  const schema: Schema = {
    type: "object",
    properties: {
      kept: { type: "object", properties: { a: { type: "string", default: "x" } }, default: {} },
      open: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      list: { type: "array", items: { type: "object", properties: { n: { type: "integer", default: 1 } } } },
      map: { type: "object", additionalProperties: { type: "object", properties: { v: { type: "string" } } } },
      embedded: { type: "object", "x-kubernetes-embedded-resource": true, properties: { spec: { type: "object" } } },
      nothing: { type: "array", items: { type: "string" } },
      maybe: { type: "string", nullable: true },
    },
  };
  const value = {
    open: { anything: { goes: 1 } },
    list: [{ bogus: 1 }],
    map: { k: { v: "1", w: "2" }, gone: null },
    embedded: { apiVersion: "v1", kind: "X", metadata: { name: "m" }, spec: { x: 1 } },
    nothing: null,
    maybe: null,
    extra: true,
  };
  const unknown: string[] = [];
  prune(schema, value, "", unknown);
  applyDefaults(schema, value);
  assert.deepEqual(unknown.sort(), ["embedded.spec.x", "extra", "list[0].bogus", "map.k.w"]);
  assert.deepEqual(value as unknown, {
    open: { anything: { goes: 1 } },
    list: [{ n: 1 }],
    map: { k: { v: "1" } },
    embedded: { apiVersion: "v1", kind: "X", metadata: { name: "m" }, spec: {} },
    kept: { a: "x" },
    maybe: null,
  });
});

Deno.test("a definition is served at once, in all its versions, with columns, scale and OpenAPI", async () => {
  await using test = await TestServer.start();
  test.api.create(
    CRDS,
    definition({
      properties: {
        size: { type: "integer" },
        replicas: { type: "integer" },
        mode: { type: "string", default: "auto" },
      },
    }),
  );
  const created = await test.call("POST", PATH, { body: widget({ size: 3, bogus: 1 }, { status: { x: 1 } }) });
  assert.equal(created.code, 201);
  assert.match(String(created.headers.warning), /unknown field \\"spec.bogus\\"/);
  assert.deepEqual(created.body.spec, { size: 3, mode: "auto" });
  assert.equal(created.body.status, undefined);
  const older = await test.call("GET", PATH.replace("/v1/", "/v1beta1/") + "/w");
  assert.equal(older.body.apiVersion, "example.io/v1beta1");
  const table = await test.call("GET", PATH, { headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" } });
  assert.deepEqual(table.body.columnDefinitions.map(({ name }: { name: string }) => name), ["Name", "Size", "Ready"]);
  assert.deepEqual(table.body.rows[0].cells, ["w", 3, null]);
  const status = await test.call("PATCH", `${PATH}/w/status`, {
    body: { status: { conditions: [{ type: "Ready", status: "True" }] }, spec: { size: 9 } },
    type: "application/merge-patch+json",
  });
  assert.equal(status.body.spec.size, 3);
  assert.equal(status.body.metadata.generation, 1);
  assert.equal(
    (await test.call("PATCH", `${PATH}/w/scale`, {
      body: { spec: { replicas: 4 } },
      type: "application/merge-patch+json",
    })).body.spec.replicas,
    4,
  );
  assert.equal(test.api.get(WIDGETS, "default", "w")!.metadata.generation, 2);
  assert.equal(
    (await test.call("PATCH", `${PATH}/w`, { body: {}, type: "application/strategic-merge-patch+json" })).code,
    415,
  );
  const openApi = await test.call("GET", "/openapi/v3/apis/example.io/v1");
  assert.equal(openApi.body.components.schemas["io.example.v1.Widget"].properties.spec.properties.size.type, "integer");
  const resources = await test.call("GET", "/apis/example.io/v1");
  assert.deepEqual(resources.body.resources.map(({ name }: { name: string }) => name), [
    "widgets",
    "widgets/scale",
    "widgets/status",
  ]);
  const conditions = await eventually(
    () => test.api.get(CRDS, undefined, "widgets.example.io")!.status?.conditions,
    "the conditions",
  );
  assert.deepEqual(conditions.map(({ type, status }: any) => `${type}=${status}`), [
    "NamesAccepted=True",
    "Established=True",
  ]);
});

Deno.test("CEL rules are evaluated, transitions only on updates, and what cannot be is said in a warning", async () => {
  await using test = await TestServer.start();
  await loadCel();
  test.api.create(
    CRDS,
    definition({
      properties: {
        size: { type: "integer" },
        name: { type: "string" },
        ports: { type: "array", items: { type: "object", properties: { n: { type: "integer" } } } },
        url: { type: "string" },
        amount: {
          type: "string",
          "x-kubernetes-validations": [{ rule: "quantity(self).isGreaterThan(quantity('1'))" }],
        },
      },
      "x-kubernetes-validations": [
        { rule: "!has(self.size) || self.size % 2 == 0", message: "size must be even" },
        {
          rule: "!has(self.ports) || self.ports.all(p, p.n > 80)",
          messageExpression: "'ports of ' + self.name + ' are low'",
        },
        {
          rule: "!has(oldSelf.name) || self.name == oldSelf.name",
          message: "name is immutable",
          fieldPath: ".name",
          reason: "FieldValueForbidden",
        },
        { rule: "!has(self.url) || url(self.url).getScheme() in ['http', 'https']" },
      ],
    }),
  );
  const post = async (spec: unknown) => await test.call("POST", PATH, { body: widget(spec) });
  assert.match(
    (await post({ size: 3 })).body.message,
    /^Widget\.example\.io "w" is invalid: spec: Invalid value: "object": size must be even$/,
  );
  assert.match((await post({ name: "x", ports: [{ n: 1 }] })).body.message, /ports of x are low/);
  assert.match((await post({ url: "ftp://x" })).body.message, /failed rule: !has\(self\.url\)/);
  const created = await post({ size: 2, name: "x", ports: [{ n: 81 }], url: "https://x/y", amount: "2" });
  assert.equal(created.code, 201, created.text);
  assert.match(String(created.headers.warning), /spec\.amount: rule .* was not evaluated/);
  const renamed = await test.call("PATCH", `${PATH}/w`, {
    body: { spec: { name: "y" } },
    type: "application/merge-patch+json",
  });
  assert.match(renamed.body.message, /spec\.name: Forbidden: name is immutable/);
});

Deno.test("definitions that cannot be served are refused", async () => {
  await using test = await TestServer.start();
  await loadCel();
  const table: [KubeObject, RegExp][] = [
    [definition({ properties: { x: { type: "thing" as any } } }), /properties\[x\]\.type: Unsupported value: "thing"/],
    [definition({ properties: { x: {} } }), /type: Required value: must not be empty/],
    [
      definition({ properties: { x: { type: "string", pattern: "(" } } }),
      /pattern: Invalid value: "\(": must be a valid regular expression/,
    ],
    [definition({ properties: { x: { type: "array" } } }), /items: Required value/],
    [definition({ "x-kubernetes-validations": [{ rule: "self.(" }] }), /compilation failed/],
    [definition({}, { scope: "Galaxy" }), /spec\.scope: Unsupported value: "Galaxy"/],
    [definition({}, { versions: [] }), /exactly one version marked as storage version/],
    [
      { ...definition(), metadata: { name: "other.example.io" } },
      /metadata\.name: Invalid value: "other\.example\.io"/,
    ],
  ];
  for (const [crd, text] of table) assert.throws(() => test.api.create(CRDS, crd), { code: 422, message: text });
  assert.equal((await test.call("GET", PATH)).code, 404);
});

Deno.test("two definitions cannot have one kind: the second is not accepted", async () => {
  await using test = await TestServer.start();
  test.api.create(CRDS, definition());
  test.api.create(CRDS, {
    ...definition({}, { names: { plural: "gadgets", kind: "Widget" } }),
    metadata: { name: "gadgets.example.io" },
  });
  const conditions = await eventually(
    () => test.api.get(CRDS, undefined, "gadgets.example.io")!.status?.conditions,
    "the conditions",
  );
  assert.equal(conditions[0].reason, "NamesConflict");
  assert.equal(conditions[1].status, "False");
});

Deno.test("deleting a definition deletes its objects first, and waits for their finalizers", async () => {
  await using test = await TestServer.start();
  test.api.create(CRDS, definition());
  await eventually(() => test.api.get(CRDS, undefined, "widgets.example.io")!.metadata.finalizers, "the finalizer");
  test.api.create(WIDGETS, widget({}));
  test.api.create(WIDGETS, {
    ...widget({}),
    metadata: { name: "held", namespace: "default", finalizers: ["x.io/hold"] },
  });
  test.api.delete(CRDS, undefined, "widgets.example.io");
  await eventually(() => !test.api.get(WIDGETS, "default", "w"), "the first object to go");
  assert.ok(test.api.get(CRDS, undefined, "widgets.example.io"));
  test.api.patch(WIDGETS, "default", "held", "merge", { metadata: { finalizers: null } });
  await eventually(() => !test.api.get(CRDS, undefined, "widgets.example.io"), "the definition to go");
  assert.equal((await test.call("GET", PATH)).code, 404);
});

Deno.test("watch() of a type that is to come starts with it", async () => {
  await using test = await TestServer.start();
  const seen: string[] = [];
  const stop = test.api.watch(WIDGETS, (type, { metadata }) => seen.push(`${type} ${metadata.name}`));
  assert.deepEqual(test.api.list(WIDGETS), []);
  test.api.create(CRDS, definition());
  test.api.create(WIDGETS, widget({}));
  await eventually(() => seen.length > 0, "the event");
  assert.deepEqual(seen, ["ADDED w"]);
  stop();
});

Deno.test("custom groups are discovered by name, whatever came first", async () => {
  await using test = await TestServer.start();
  for (const group of ["networking.example.io", "gateway.example.io"]) {
    const name = `widgets.${group}`;
    test.api.create(CRDS, { ...definition({}, { group }), metadata: { name } });
    await eventually(
      () =>
        test.api.get(CRDS, undefined, name)!.status?.conditions?.some((one: any) =>
          one.type === "Established" && one.status === "True"
        ),
      `${name} to be established`,
    );
  }
  const { body } = await test.call("GET", "/apis");
  const names: string[] = body.groups.map(({ name }: { name: string }) => name);
  assert.deepEqual(names.filter((name) => name.endsWith("example.io")), [
    "gateway.example.io",
    "networking.example.io",
  ]);
  assert.ok(names.indexOf("apps") < names.indexOf("gateway.example.io"));
});
