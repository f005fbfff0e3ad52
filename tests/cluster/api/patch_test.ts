import assert from "node:assert/strict";
import { jsonPatch } from "../../../src/cluster/api/patch/json_patch.ts";
import { mergePatch } from "../../../src/cluster/api/patch/merge_patch.ts";
import { strategicMergePatch } from "../../../src/cluster/api/patch/strategic.ts";
import { builtinSchema } from "../../../src/cluster/api/schema/builtin.ts";

Deno.test("mergePatch() follows the examples of RFC 7386", () => {
  const table: [unknown, unknown, unknown][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, expected] of table) assert.deepEqual(mergePatch(target, patch), expected);
});

Deno.test("patches do not reach the prototype", () => {
  const evil = JSON.parse('{"__proto__":{"polluted":1}}');
  mergePatch({}, evil);
  jsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: 1 } }]);
  strategicMergePatch(undefined, {}, evil);
  assert.equal(({} as any).polluted, undefined);
});

Deno.test("jsonPatch() applies each operation", () => {
  const table: [unknown, unknown[], unknown][] = [
    [{ a: 1 }, [{ op: "add", path: "/b", value: 2 }], { a: 1, b: 2 }],
    [{ a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    [{ a: 1, b: 2 }, [{ op: "remove", path: "/a" }], { b: 2 }],
    [{ "x/y": 1 }, [{ op: "replace", path: "/x~1y", value: 2 }], { "x/y": 2 }],
    [{ a: { b: 1 } }, [{ op: "move", from: "/a/b", path: "/c" }], { a: {}, c: 1 }],
    [{ a: [1] }, [{ op: "copy", from: "/a", path: "/b" }, { op: "add", path: "/b/-", value: 2 }], {
      a: [1],
      b: [1, 2],
    }],
    [{ a: "x" }, [{ op: "test", path: "/a", value: "x" }], { a: "x" }],
  ];
  for (const [document, patch, expected] of table) assert.deepEqual(jsonPatch(document, patch), expected);
});

Deno.test("jsonPatch() refuses what does not fit", () => {
  const table: [unknown, unknown, number][] = [
    [{}, {}, 400],
    [{}, [{ op: "bogus", path: "/a" }], 400],
    [{}, [{ op: "add", path: "a", value: 1 }], 400],
    [{}, [{ op: "add", path: "/a" }], 400],
    [{}, [{ op: "remove", path: "/a" }], 422],
    [{}, [{ op: "replace", path: "/a", value: 1 }], 422],
    [{ a: [] }, [{ op: "add", path: "/a/5", value: 1 }], 422],
    [{}, [{ op: "add", path: "/a/b", value: 1 }], 422],
    [{ a: 1 }, [{ op: "test", path: "/a", value: 2 }], 422],
    [{}, Array(10_001).fill({ op: "test", path: "", value: {} }), 413],
  ];
  for (const [document, patch, code] of table) assert.throws(() => jsonPatch(document, patch), { code });
});

const spec = builtinSchema("core.PodSpec");

Deno.test("strategicMergePatch() merges lists by the key of their schema", () => {
  const table: [name: string, target: any, patch: any, expected: any][] = [
    ["merges by name", { containers: [{ name: "a", image: "1", tty: true }, { name: "b" }] }, {
      containers: [{ name: "a", image: "2" }],
    }, {
      containers: [{ name: "a", image: "2", tty: true }, { name: "b" }],
    }],
    ["appends new ones", { containers: [{ name: "a" }] }, { containers: [{ name: "b", image: "x" }] }, {
      containers: [{ name: "a" }, { name: "b", image: "x" }],
    }],
    ["$patch: delete", { containers: [{ name: "a" }, { name: "b" }] }, {
      containers: [{ name: "a", $patch: "delete" }],
    }, {
      containers: [{ name: "b" }],
    }],
    ["$patch: replace of a list", { containers: [{ name: "a" }, { name: "b" }] }, {
      containers: [{ $patch: "replace" }, { name: "c" }],
    }, {
      containers: [{ name: "c" }],
    }],
    ["$setElementOrder", { containers: [{ name: "a" }, { name: "b" }] }, {
      "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
      containers: [{ name: "a", image: "2" }],
    }, { containers: [{ name: "b" }, { name: "a", image: "2" }] }],
    ["an order alone", { containers: [{ name: "a" }, { name: "b" }] }, {
      "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
    }, {
      containers: [{ name: "b" }, { name: "a" }],
    }],
    ["others keep their place", { containers: [{ name: "x" }, { name: "a" }, { name: "b" }] }, {
      "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
      containers: [],
    }, { containers: [{ name: "x" }, { name: "b" }, { name: "a" }] }],
    ["atomic lists are replaced", { tolerations: [{ key: "a" }] }, { tolerations: [{ key: "b" }] }, {
      tolerations: [{ key: "b" }],
    }],
    ["$retainKeys", { volumes: [{ name: "v", emptyDir: {} }] }, {
      volumes: [{ name: "v", $retainKeys: ["name", "secret"], secret: { secretName: "s" } }],
    }, { volumes: [{ name: "v", secret: { secretName: "s" } }] }],
    ["null removes", { nodeSelector: { a: "b", c: "d" }, hostNetwork: true }, {
      nodeSelector: { a: null },
      hostNetwork: null,
    }, {
      nodeSelector: { c: "d" },
    }],
    ["nested keys", { containers: [{ name: "a", env: [{ name: "X", value: "1" }] }] }, {
      containers: [{ name: "a", env: [{ name: "Y", value: "2" }, { name: "X", $patch: "delete" }] }],
    }, { containers: [{ name: "a", env: [{ name: "Y", value: "2" }] }] }],
    ["nulls and directives do not enter new objects", {}, {
      securityContext: { runAsUser: null, fsGroup: 1 },
      containers: [{ name: "z", $patch: "delete" }],
    }, {
      securityContext: { fsGroup: 1 },
      containers: [],
    }],
  ];
  for (const [name, target, patch, expected] of table) {
    assert.deepEqual(strategicMergePatch(spec, target, patch), expected, name);
  }
});

Deno.test("strategicMergePatch() merges lists of scalars and deletes from them", () => {
  const meta = builtinSchema("meta.ObjectMeta");
  assert.deepEqual(strategicMergePatch(meta, { finalizers: ["a"] }, { finalizers: ["b", "a"] }), {
    finalizers: ["a", "b"],
  });
  assert.deepEqual(
    strategicMergePatch(meta, { finalizers: ["a", "b"] }, { "$deleteFromPrimitiveList/finalizers": ["a"] }),
    { finalizers: ["b"] },
  );
});

Deno.test("strategicMergePatch() refuses senseless directives", () => {
  for (
    const patch of [
      { $patch: "bogus" },
      { containers: [{ image: "x" }] },
      { containers: ["x"] },
      { $retainKeys: "x" },
      [1],
    ]
  ) {
    assert.throws(() => strategicMergePatch(spec, { containers: [{ name: "a" }] }, patch), { code: 400 });
  }
});
