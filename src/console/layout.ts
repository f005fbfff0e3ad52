// Where nodes stand: layers from left to right in the direction of calls (Sugiyama, Tagawa and Toda's method in its simplest form).
// Pure and deterministic: the same graph always looks the same, and a small change moves little.

export interface LayoutInput {
  readonly nodes: readonly string[];
  /** What nodes belong together, such as versions of one application: they stand beside each other. */
  readonly groups?: ReadonlyMap<string, string>;
  readonly edges: readonly { readonly id: string; readonly source: string; readonly target: string }[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** Centres. */
  readonly nodes: ReadonlyMap<string, Point>;
  /** Points that each edge passes, from the source's right side to the target's left side. */
  readonly edges: ReadonlyMap<string, readonly Point[]>;
}

/** Pixels. */
export const NODE = { width: 176, height: 60 };
const GAP = { x: 164, y: 34 };
const MARGIN = 28;
/** Space between what talks and what does not. */
const IDLE_GAP = 46;
const SWEEPS = 8;
/** Places for edges that pass layers; of a graph with more, long edges run straight. */
const MAX_DUMMIES = 3_000;

interface Cell {
  readonly id: string;
  readonly layer: number;
  /** An edge passing a layer that neither of its ends is in. */
  readonly dummy: boolean;
  readonly group: string;
  readonly before: Cell[];
  readonly after: Cell[];
  order: number;
  y: number;
}

/** Lays a graph out; nodes without edges go below in rows. */
export function layOut({ nodes, edges, groups = new Map() }: LayoutInput): Layout {
  const known = new Set(nodes);
  const real = edges.filter(({ source, target }) => known.has(source) && known.has(target));
  const linked = new Set(
    real.filter(({ source, target }) => source !== target).flatMap(({ source, target }) => [source, target]),
  );
  const talking = nodes.filter((id) => linked.has(id)).sort();
  const silent = nodes.filter((id) => !linked.has(id)).sort();
  const forward = withoutCycles(talking, real);
  const layers = layersOf(talking, forward);
  const { cells, paths } = cellsOf(talking, forward, layers, groups);
  const columns = columnsOf(cells);
  for (let sweep = 0; sweep < SWEEPS; sweep++) reorder(columns, sweep % 2 === 0);
  place(columns);

  const at = new Map<string, Point>(), lines = new Map<string, Point[]>();
  const x = (layer: number) => MARGIN + NODE.width / 2 + layer * (NODE.width + GAP.x);
  const top = Math.min(0, ...cells.map(({ y }) => y)), shift = MARGIN + NODE.height / 2 - top;
  for (const cell of cells) if (!cell.dummy) at.set(cell.id, { x: x(cell.layer), y: cell.y + shift });
  let bottom = cells.length > 0 ? Math.max(...cells.map(({ y }) => y)) + shift + NODE.height / 2 : MARGIN - IDLE_GAP;
  const perRow = Math.max(4, columns.length);
  silent.forEach((id, i) => {
    const row = Math.floor(i / perRow);
    const y = bottom + IDLE_GAP + NODE.height / 2 + row * (NODE.height + GAP.y / 2);
    at.set(id, { x: x(0) + (i % perRow) * (NODE.width + GAP.x / 3), y });
  });
  if (silent.length > 0) {
    bottom += IDLE_GAP + Math.ceil(silent.length / perRow) * (NODE.height + GAP.y / 2) - GAP.y / 2;
  }
  for (const { id, source, target } of real) {
    const a = at.get(source)!, b = at.get(target)!;
    const middle = (paths.get(id) ?? []).map((cell) => ({ x: x(cell.layer), y: cell.y + shift }));
    const half = NODE.width / 2;
    lines.set(id, [{ x: a.x + half, y: a.y }, ...middle, { x: b.x - half, y: b.y }]);
  }
  const right = Math.max(0, ...[...at.values()].map((point) => point.x + NODE.width / 2));
  return { width: right + MARGIN, height: bottom + MARGIN, nodes: at, edges: lines };
}

type Edge = LayoutInput["edges"][number];

/** Every edge once, turned round where it would close a cycle; edges from a node to itself are left out. */
function withoutCycles(nodes: readonly string[], edges: readonly Edge[]): Edge[] {
  const out = new Map<string, Edge[]>(nodes.map((id) => [id, []]));
  const incoming = new Map<string, number>(nodes.map((id) => [id, 0]));
  for (const edge of edges) {
    if (edge.source === edge.target) continue;
    out.get(edge.source)!.push(edge);
    incoming.set(edge.target, incoming.get(edge.target)! + 1);
  }
  const state = new Map<string, "open" | "done">(), result: Edge[] = [];
  // Entries first, so that what they reach hangs from them. Iterative: chains may be long.
  const roots = [...nodes].sort((a, b) => incoming.get(a)! - incoming.get(b)! || (a < b ? -1 : 1));
  for (const root of roots) {
    if (state.has(root)) continue;
    const stack = [{ id: root, next: 0 }];
    state.set(root, "open");
    while (stack.length > 0) {
      const frame = stack[stack.length - 1], edge = out.get(frame.id)![frame.next++];
      if (!edge) {
        state.set(frame.id, "done");
        stack.pop();
        continue;
      }
      const seen = state.get(edge.target);
      result.push(seen === "open" ? { id: edge.id, source: edge.target, target: edge.source } : edge);
      if (seen === undefined) {
        state.set(edge.target, "open");
        stack.push({ id: edge.target, next: 0 });
      }
    }
  }
  return result;
}

/** Each node one layer after the last of those that call it; entries move up to what they call. */
function layersOf(nodes: readonly string[], edges: readonly Edge[]): Map<string, number> {
  const incoming = new Map(nodes.map((id) => [id, 0])), out = new Map<string, string[]>(nodes.map((id) => [id, []]));
  for (const { source, target } of edges) {
    incoming.set(target, incoming.get(target)! + 1);
    out.get(source)!.push(target);
  }
  const entries = nodes.filter((id) => incoming.get(id) === 0);
  const layer = new Map(nodes.map((id) => [id, 0])), queue = [...entries];
  for (let i = 0; i < queue.length; i++) {
    for (const target of out.get(queue[i])!) {
      layer.set(target, Math.max(layer.get(target)!, layer.get(queue[i])! + 1));
      incoming.set(target, incoming.get(target)! - 1);
      if (incoming.get(target) === 0) queue.push(target);
    }
  }
  for (const id of entries) {
    const targets = out.get(id)!;
    if (targets.length > 0) layer.set(id, Math.max(0, Math.min(...targets.map((target) => layer.get(target)!)) - 1));
  }
  return layer;
}

function cellsOf(
  nodes: readonly string[],
  edges: readonly Edge[],
  layers: ReadonlyMap<string, number>,
  groups: ReadonlyMap<string, string>,
): { cells: Cell[]; paths: Map<string, Cell[]> } {
  const cell = (id: string, layer: number, dummy: boolean): Cell => ({
    id,
    layer,
    dummy,
    group: groups.get(id) ?? id,
    before: [],
    after: [],
    order: 0,
    y: 0,
  });
  const byId = new Map(nodes.map((id) => [id, cell(id, layers.get(id)!, false)]));
  const cells = [...byId.values()], paths = new Map<string, Cell[]>();
  const link = (a: Cell, b: Cell) => {
    a.after.push(b);
    b.before.push(a);
  };
  for (const { id, source, target } of edges) {
    let last = byId.get(source)!;
    const end = byId.get(target)!, path: Cell[] = [];
    const routed = cells.length + end.layer - last.layer <= nodes.length + MAX_DUMMIES;
    for (let layer = last.layer + 1; routed && layer < end.layer; layer++) {
      const dummy = cell(`${id} @${layer}`, layer, true);
      cells.push(dummy);
      path.push(dummy);
      link(last, dummy);
      last = dummy;
    }
    link(last, end);
    paths.set(id, path);
  }
  return { cells, paths };
}

function columnsOf(cells: readonly Cell[]): Cell[][] {
  const columns: Cell[][] = [];
  for (const cell of cells) (columns[cell.layer] ??= []).push(cell);
  for (let layer = 0; layer < columns.length; layer++) {
    columns[layer] ??= [];
    columns[layer].sort((a, b) => a.id < b.id ? -1 : 1).forEach((cell, i) => cell.order = i);
  }
  return columns;
}

/**
 * Sorts each column by the mean place of its neighbours in the column before (or after); groups stay together, in the order of their
 * names, so that v1 stands above v2 whoever calls it.
 */
function reorder(columns: Cell[][], downwards: boolean): void {
  const all = downwards ? columns : [...columns].reverse();
  for (const column of all) {
    const sums = new Map<string, { sum: number; count: number; order: number }>();
    for (const cell of column) {
      const near = downwards ? cell.before : cell.after;
      const known = sums.get(cell.group) ?? { sum: 0, count: 0, order: cell.order };
      sums.set(cell.group, {
        sum: near.reduce((sum, { order }) => sum + order, known.sum),
        count: known.count + near.length,
        order: Math.min(known.order, cell.order),
      });
    }
    // Who has no neighbour there keeps its place.
    const place = ({ group }: Cell) => {
      const { sum, count, order } = sums.get(group)!;
      return count === 0 ? order : sum / count;
    };
    column.sort((a, b) =>
      place(a) - place(b) || sums.get(a.group)!.order - sums.get(b.group)!.order || (a.id < b.id ? -1 : 1)
    );
    column.forEach((cell, i) => cell.order = i);
  }
}

/** Heights: each cell towards the mean of its neighbours, none nearer to the next than the gap, order kept. */
function place(columns: Cell[][]): void {
  const framed = new Set<Cell>();
  for (const column of columns) {
    column.forEach((cell, i) => {
      // Groups stand together.
      if (cell.group === column[i - 1]?.group || cell.group === column[i + 1]?.group) framed.add(cell);
    });
  }
  const room = (a: Cell, b: Cell) => {
    // A frame's title and border need space.
    const frame = a.group !== b.group ? (framed.has(b) ? 34 : 0) + (framed.has(a) ? 14 : 0) : 0;
    if (a.dummy && b.dummy) return 24;
    return (a.dummy || b.dummy ? (NODE.height + GAP.y) * 0.62 : NODE.height + GAP.y) + frame;
  };
  for (const column of columns) {
    let y = 0;
    column.forEach((cell, i) => cell.y = i === 0 ? 0 : y += room(column[i - 1], cell));
    const shift = y / 2;
    for (const cell of column) cell.y -= shift;
  }
  for (let sweep = 0; sweep < SWEEPS * 2; sweep++) {
    for (const column of sweep % 2 === 0 ? columns : [...columns].reverse()) {
      const wanted = column.map((cell) => {
        const near = sweep % 4 < 2 ? [...cell.before, ...cell.after] : sweep % 2 === 0 ? cell.before : cell.after;
        return near.length === 0 ? cell.y : near.reduce((sum, { y }) => sum + y, 0) / near.length;
      });
      spread(column, wanted, room);
    }
  }
}

/** The nearest places to the wanted ones that keep the distances: blocks that collide move as one (isotonic regression). */
function spread(column: Cell[], wanted: readonly number[], room: (a: Cell, b: Cell) => number): void {
  const offsets: number[] = [];
  column.forEach((cell, i) => offsets.push(i === 0 ? 0 : offsets[i - 1] + room(column[i - 1], cell)));
  const blocks: { sum: number; count: number }[] = [];
  wanted.forEach((y, i) => {
    blocks.push({ sum: y - offsets[i], count: 1 });
    while (blocks.length > 1) {
      const last = blocks[blocks.length - 1], before = blocks[blocks.length - 2];
      if (before.sum / before.count <= last.sum / last.count) break;
      blocks.pop();
      before.sum += last.sum;
      before.count += last.count;
    }
  });
  let i = 0;
  for (const { sum, count } of blocks) for (const end = i + count; i < end; i++) column[i].y = sum / count + offsets[i];
}
