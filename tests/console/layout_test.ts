import assert from "node:assert/strict";
import { type Layout, layOut, NODE } from "../../src/console/layout.ts";

/** `a>b b>c`: nodes and edges; lone names are nodes without edges. */
function laidOut(text: string, groups: Record<string, string> = {}): Layout {
  const words = text.split(" "), nodes = [...new Set(words.flatMap((word) => word.split(">")))];
  const edges = words.filter((word) => word.includes(">")).map((id) => ({
    id,
    source: id.split(">")[0],
    target: id.split(">")[1],
  }));
  const layout = layOut({ nodes, edges, groups: new Map(Object.entries(groups)) });
  assertReadable(layout, nodes);
  return layout;
}

/** Every node has a place, none covers another, all is within the drawing. */
function assertReadable({ nodes, width, height }: Layout, ids: readonly string[]): void {
  assert.deepEqual([...nodes.keys()].sort(), [...ids].sort());
  const all = [...nodes];
  for (const [i, [a, p]] of all.entries()) {
    assert.ok(
      p.x >= NODE.width / 2 && p.x <= width - NODE.width / 2 && p.y >= NODE.height / 2 &&
        p.y <= height - NODE.height / 2,
      `${a} at ${p.x},${p.y} of ${width}x${height}`,
    );
    for (const [b, q] of all.slice(i + 1)) {
      assert.ok(Math.abs(p.x - q.x) >= NODE.width || Math.abs(p.y - q.y) >= NODE.height, `${a} covers ${b}`);
    }
  }
}

const BOOKINFO = "gateway>page sleep>page page>details page>r1 page>r2 page>r3 r2>ratings r3>ratings";

Deno.test("layOut(): calls go from left to right", () => {
  const { nodes } = laidOut(BOOKINFO);
  const x = (id: string) => nodes.get(id)!.x;
  assert.ok(x("gateway") < x("page") && x("page") < x("r1") && x("r2") < x("ratings"));
  assert.equal(x("r1"), x("r3"));
  assert.equal(x("gateway"), x("sleep"));
});

Deno.test("layOut(): the same graph looks the same, in whatever order it comes", () => {
  const forwards = laidOut(BOOKINFO), backwards = laidOut(BOOKINFO.split(" ").reverse().join(" "));
  for (const [id, point] of forwards.nodes) assert.deepEqual(backwards.nodes.get(id), point, id);
});

Deno.test("layOut(): groups stand together, in the order of their names", () => {
  const { nodes } = laidOut(`${BOOKINFO} page>q1 page>q2 q1>ratings`, { r1: "r", r2: "r", r3: "r", q1: "q", q2: "q" });
  const column = ["details", "r1", "r2", "r3", "q1", "q2"].sort((a, b) => nodes.get(a)!.y - nodes.get(b)!.y).join(" ");
  assert.match(column, /r1 r2 r3/);
  assert.match(column, /q1 q2/);
});

Deno.test("layOut(): an edge over several layers passes between their nodes", () => {
  const { nodes, edges } = laidOut("a>b b>c c>d a>d a>c");
  const path = edges.get("a>d")!;
  assert.equal(path.length, 4);
  assert.deepEqual(path[0], { x: nodes.get("a")!.x + NODE.width / 2, y: nodes.get("a")!.y });
  for (const point of path.slice(1, -1)) {
    for (const [id, node] of nodes) {
      if (node.x === point.x) assert.ok(Math.abs(node.y - point.y) > NODE.height / 2, `a>d runs through ${id}`);
    }
  }
});

Deno.test("layOut(): cycles, calls to oneself and calls both ways", () => {
  assert.equal(laidOut("a>b b>a").edges.size, 2);
  assert.equal(laidOut("a>a").edges.size, 1);
  assert.equal(laidOut("a>b b>c c>a c>d d>b").edges.size, 5);
});

Deno.test("layOut(): what is silent stands below what talks", () => {
  const { nodes } = laidOut("a>b x y z1 z2 z3 z4");
  for (const id of ["x", "y", "z1", "z4"]) assert.ok(nodes.get(id)!.y > nodes.get("a")!.y + NODE.height);
});

Deno.test("layOut(): nothing, one, and edges to what is not there", () => {
  assert.equal(layOut({ nodes: [], edges: [] }).nodes.size, 0);
  assert.equal(laidOut("a").nodes.size, 1);
  assert.equal(layOut({ nodes: ["a"], edges: [{ id: "e", source: "a", target: "b" }] }).edges.size, 0);
});

Deno.test("layOut(): chains of hundreds and dense graphs", () => {
  laidOut(Array.from({ length: 300 }, (_, i) => `n${i}>n${i + 1}`).join(" "));
  const dense: string[] = [];
  for (let i = 0; i < 60; i++) for (let j = 1; j <= 6; j++) dense.push(`n${i}>n${(i * 7 + j * 11) % 60}`);
  laidOut([...new Set(dense)].join(" "));
  const nodes = Array.from({ length: 400 }, (_, i) => `n${i}`),
    edges = Array.from({ length: 2000 }, (_, i) => {
      return { id: `e${i}`, source: `n${(i * 17) % 400}`, target: `n${(i * 31 + 7) % 400}` };
    });
  const layout = layOut({ nodes, edges });
  assertReadable(layout, nodes);
  assert.equal(layout.edges.size, 2000);
});
