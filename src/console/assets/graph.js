// The graph: toolbar, drawing, what is selected. Where things stand is the server's word (layout.ts).

import { bytes, h, icon, iconPath, millis, percent, plural, rate, replace, s } from "./dom.js";
import { edgePanel, nodePanel, summaryPanel } from "./panel.js";

const WINDOWS = [["30s", "Last 30 s"], ["1m", "Last minute"], ["5m", "Last 5 min"], ["15m", "Last 15 min"], [
  "1h",
  "Last hour",
]];
const REFRESHES = [["2", "Every 2 s"], ["5", "Every 5 s"], ["15", "Every 15 s"], ["0", "Paused"]];
const GROUPINGS = [["versioned-app", "Versioned app graph"], ["app", "App graph"], ["workload", "Workload graph"]];
/** Name, words, explanation, and whether the server has to be asked again. */
const DISPLAY = [
  ["security", "Security", "Padlocks where all of an edge is mutual TLS", false],
  ["animation", "Traffic animation", "What moves, faster where there is more of it", false],
  ["rates", "Traffic rate", "Requests, or connections and bytes, per second", false],
  ["shares", "Traffic distribution", "How a service's traffic is divided among versions", false],
  ["times", "Response time", "Mean of the requests in the window", false],
  ["boxes", "App boxes", "Versions of one application in a frame", false],
  ["idle", "Idle workloads", "What runs without traffic", true],
  ["waypoints", "Waypoint proxies", "As nodes, not as a mark on what passes them", true],
];
const KIND_ICON = {
  workload: "workload",
  gateway: "gateway",
  waypoint: "waypoint",
  service: "service",
  outside: "outside",
};

export function graphPage({ ask, setting, set, refresh }) {
  const on = (name) => setting(name) === "true";
  let data, selected;

  const select = (name, label, options) =>
    h(
      "select",
      { "aria-label": label, title: label, onchange: (event) => change(name, event.target.value) },
      options.map(([value, text]) => h("option", { value, selected: value === setting(name) }, text)),
    );
  function change(name, value) {
    set(name, value);
    refresh();
  }

  const namespaceMenu = h("div", { class: "choices", role: "group", "aria-label": "Namespaces" });
  const namespaceLabel = h("span", {}, "Namespaces");
  const displayMenu = h(
    "div",
    { class: "choices" },
    DISPLAY.map(([name, text, hint, server]) =>
      h(
        "label",
        { title: hint },
        h("input", {
          type: "checkbox",
          name,
          checked: on(name),
          onchange: (event) => {
            set(name, event.target.checked);
            if (server) refresh();
            else if (data) draw();
          },
        }),
        h("span", {}, text, h("small", {}, hint)),
      )
    ),
  );
  const canvas = s("svg", { class: "canvas", role: "group", "aria-label": "Graph of traffic", tabindex: 0 });
  const view = s("g", { class: "view" });
  const layers = { boxes: s("g"), edges: s("g"), flows: s("g", { class: "flows" }), labels: s("g"), nodes: s("g") };
  view.append(layers.boxes, layers.edges, layers.flows, layers.labels, layers.nodes);
  canvas.append(markers(), view);
  const notes = h("div", { class: "notes", role: "status" });
  const side = h("aside", { class: "side", "aria-label": "Details", "aria-live": "polite" });
  const element = h(
    "section",
    { class: "graph" },
    h(
      "div",
      { class: "toolbar" },
      h("details", { class: "menu" }, h("summary", {}, namespaceLabel), namespaceMenu),
      select("by", "What a node is", GROUPINGS),
      h("details", { class: "menu", id: "display" }, h("summary", {}, "Display"), displayMenu),
      h("span", { class: "spacer" }),
      select("window", "Time that rates are over", WINDOWS),
      select("refresh", "How often the graph is drawn anew", REFRESHES),
      h("button", {
        type: "button",
        class: "icon",
        title: "Now",
        "aria-label": "Refresh now",
        onclick: () => refresh(),
      }, icon("refresh")),
    ),
    h(
      "div",
      { class: "stage" },
      h("div", { class: "board" }, canvas, notes, legend(), zoomButtons()),
      side,
    ),
  );

  // ---- moving and zooming

  const camera = { x: 0, y: 0, scale: 1, touched: false };
  function aim() {
    view.style.transform = `translate(${camera.x}px, ${camera.y}px) scale(${camera.scale})`;
  }
  function fit() {
    if (!data) return;
    const { clientWidth: width, clientHeight: height } = canvas;
    camera.scale = Math.min(1.25, width / data.width, (height - 40) / data.height);
    camera.x = (width - data.width * camera.scale) / 2;
    camera.y = Math.max(8, (height - 40 - data.height * camera.scale) / 2);
    camera.touched = false;
    aim();
  }
  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(3, Math.max(0.15, camera.scale * factor)), by = scale / camera.scale;
    camera.x = x - (x - camera.x) * by;
    camera.y = y - (y - camera.y) * by;
    camera.scale = scale;
    camera.touched = true;
    aim();
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 600), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".node, .edge, .label")) return;
    const start = { x: event.clientX - camera.x, y: event.clientY - camera.y };
    let moved = false;
    canvas.setPointerCapture(event.pointerId);
    canvas.onpointermove = (move) => {
      moved ||= Math.abs(move.clientX - event.clientX) + Math.abs(move.clientY - event.clientY) > 4;
      camera.x = move.clientX - start.x;
      camera.y = move.clientY - start.y;
      camera.touched ||= moved;
      aim();
    };
    canvas.onpointerup = () => {
      canvas.onpointermove = canvas.onpointerup = null;
      if (!moved) choose(undefined);
    };
  });
  canvas.addEventListener("keydown", (event) => {
    const step = 40;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) {
      camera.x += moves[event.key][0];
      camera.y += moves[event.key][1];
      camera.touched = true;
      aim();
    } else if (event.key === "+" || event.key === "=") zoom(1.2);
    else if (event.key === "-") zoom(1 / 1.2);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") choose(undefined);
    else return;
    event.preventDefault();
  });
  const observer = new ResizeObserver(() => camera.touched || fit());
  observer.observe(canvas);
  function zoomButtons() {
    const button = (title, action, ...content) =>
      h("button", { type: "button", class: "icon", title, "aria-label": title, onclick: action }, ...content);
    return h(
      "div",
      { class: "zoom" },
      button("Nearer", () => zoom(1.25), "+"),
      button("Further", () => zoom(0.8), "−"),
      button("Fit", fit, icon("fit")),
    );
  }

  // ---- drawing: elements are kept by id, so that what stays moves and keeps the focus

  const drawn = { nodes: new Map(), edges: new Map() };
  function keep(known, items, make, update) {
    const ids = new Set(items.map(({ id }) => id));
    for (const [id, entry] of known) {
      if (ids.has(id)) continue;
      Object.values(entry).forEach((part) => part.remove());
      known.delete(id);
    }
    for (const item of items) {
      let entry = known.get(item.id);
      if (!entry) known.set(item.id, entry = make(item));
      update(entry, item);
    }
  }

  const activate = (element, item) => {
    element.addEventListener("click", () => choose(item));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      choose(item);
    });
    return element;
  };

  function makeNode({ id }) {
    const group = activate(s("g", { class: "node", tabindex: 0, role: "button" }), { kind: "node", id });
    return { group };
  }

  function updateNode({ group }, node) {
    const { width, height } = data.nodeSize;
    const out = node.membership === "out" || node.membership === "part";
    group.setAttribute(
      "class",
      classes(
        "node",
        node.kind,
        node.membership,
        node.idle && "idle",
        node.neighbour && "neighbour",
        selected?.id === node.id && "selected",
        faded({ node: node.id }) && "faded",
      ),
    );
    group.style.transform = `translate(${node.x}px, ${node.y}px)`;
    const under = [
      node.version === "latest" ? "" : node.version,
      node.neighbour || node.kind === "service" ? node.namespace : "",
      out ? (node.membership === "out" ? "out of mesh" : `${node.outOfMesh} of ${node.pods} out of mesh`) : "",
    ].filter(Boolean).join(" · ");
    const sub = node.kind === "gateway" || node.kind === "waypoint"
      ? [node.kind, node.neighbour && node.namespace].filter(Boolean).join(" · ")
      : under;
    group.setAttribute("aria-label", `${node.kind} ${node.name} ${sub}`);
    const marks = [];
    if (node.waypoint) marks.push(["waypoint", `Traffic passes waypoint ${node.waypoint}`]);
    if (node.policies.length > 0) {
      marks.push(["shield", `${plural(node.policies.length, "policy applies", "policies apply")} here`]);
    }
    if (node.pods > 0 && node.ready < node.pods) marks.push(["warn", `${node.ready} of ${node.pods} pods ready`]);
    replace(
      group,
      s("title", {}, `${node.namespace ? `${node.namespace}/` : ""}${node.name}`),
      s("rect", { class: "card", x: -width / 2, y: -height / 2, width, height, rx: 12 }),
      s("rect", { class: "stripe", x: -width / 2, y: -height / 2 + 12, width: 3.5, height: height - 24, rx: 1.75 }),
      s(
        "g",
        { class: "glyph", transform: `translate(${-width / 2 + 16}, -11) scale(1.4)` },
        iconPath(KIND_ICON[node.kind]),
      ),
      s("text", { class: "name", x: -width / 2 + 46, y: sub ? -3 : 5 }, node.name),
      sub && s("text", { class: "sub", x: -width / 2 + 46, y: 15 }, sub),
      marks.map(([name, title], i) =>
        s(
          "g",
          { class: `mark ${name}`, transform: `translate(${width / 2 - 22 - i * 20}, ${-height / 2 - 8})` },
          s("title", {}, title),
          s("circle", { cx: 8, cy: 8, r: 10 }),
          s("g", { transform: "translate(2.4, 2.4) scale(0.7)" }, iconPath(name)),
        )
      ),
    );
    // Only now, so that what is new appears in its place.
    if (!group.isConnected) layers.nodes.append(group);
    for (const line of group.querySelectorAll("text")) shorten(line, width - 56);
  }

  function makeEdge({ id }) {
    const item = { kind: "edge", id };
    const line = activate(s("g", { class: "edge" }), item);
    const label = activate(s("g", { class: "label", tabindex: 0, role: "button" }), item);
    const flow = s("path", { class: "flow" });
    layers.edges.append(line);
    layers.flows.append(flow);
    return { line, flow, label };
  }

  function updateEdge({ line, flow, label }, edge) {
    const kind = edge.http ? "http" : "tcp";
    const d = path(edge);
    const weight = 1.4 + Math.min(3.2, Math.log10(1 + edge.rate * 10));
    const state = classes(kind, edge.health, selected?.id === edge.id && "selected", faded(edge) && "faded");
    line.setAttribute("class", `edge ${state}`);
    const stroke = s("path", {
      class: "line",
      d,
      "marker-end": `url(#arrow-${edge.health === "ok" ? kind : edge.health})`,
    });
    stroke.style.strokeWidth = weight;
    replace(line, s("path", { class: "hit", d }), stroke);
    const speed = edge.rate > 10 ? "fast" : edge.rate > 1 ? "medium" : "slow";
    flow.setAttribute("class", `flow ${state} ${speed} ${edge.health === "denied" ? "stopped" : ""}`);
    flow.setAttribute("d", d);

    const words = labelWords(edge);
    const lock = on("security") && edge.mtlsShare > 0;
    const width = Math.max(0, ...words.map((word) => word.length * 6.3)) + (lock ? 20 : 0) +
      (edge.denied > 0 ? 18 : 0) + 14;
    const height = Math.max(1, words.length) * 14 + 8;
    const at = stroke.getPointAtLength(stroke.getTotalLength() / 2);
    label.setAttribute("class", `label ${state} ${words.length === 0 && !lock && !edge.denied ? "empty" : ""}`);
    label.setAttribute(
      "aria-label",
      `From ${nameOf(edge.source)} to ${nameOf(edge.target)}: ${words.join(", ") || kind}${
        edge.mtls ? ", mutual TLS" : ""
      }${edge.denied > 0 ? ", refused by policy" : ""}`,
    );
    label.style.transform = `translate(${at.x}px, ${at.y}px)`;
    let x = -width / 2 + 7;
    const parts = [s("rect", { class: "plate", x: -width / 2, y: -height / 2, width, height, rx: 7 })];
    if (edge.denied > 0) {
      parts.push(
        s(
          "g",
          { class: "ban", transform: `translate(${x}, -7.5) scale(0.94)` },
          s("title", {}, "Policy refuses some or all of it"),
          iconPath("ban"),
        ),
      );
      x += 18;
    }
    if (lock) {
      parts.push(s(
        "g",
        { class: edge.mtls ? "lock" : "lock part", transform: `translate(${x}, -7.5)`, "data-mtls": String(edge.mtls) },
        s("title", {}, edge.mtls ? "Mutual TLS" : `Mutual TLS for ${percent(edge.mtlsShare)} of it`),
        iconPath("lock"),
      ));
      x += 20;
    }
    words.forEach((word, i) => parts.push(s("text", { x, y: (i - (words.length - 1) / 2) * 14 + 4 }, word)));
    replace(label, parts);
    if (!label.isConnected) layers.labels.append(label);
  }

  function labelWords(edge) {
    const words = [];
    if (on("rates")) {
      if (edge.health === "denied") words.push(`${rate(edge.denied)}/s refused`);
      else if (edge.http?.requests > 0) words.push(`${rate(edge.http.requests)} rps`);
      else if (edge.tcp) {
        words.push(
          edge.tcp.connections > 0 || edge.denied > 0
            ? `${rate(edge.rate)} conn/s`
            : `${bytes(edge.tcp.bytesSent + edge.tcp.bytesReceived)}/s`,
        );
      }
    }
    if (on("shares") && edge.share !== undefined && edge.share !== null) {
      words.push(words.length ? `${words.pop()} · ${percent(edge.share)}` : percent(edge.share));
    }
    if (on("times") && edge.http && edge.http.meanMs !== null && edge.http.meanMs !== undefined) {
      words.push(millis(edge.http.meanMs));
    }
    return words;
  }

  const nameOf = (id) => {
    const node = data.nodes.find((one) => one.id === id);
    return node ? [node.name, node.version === "latest" ? "" : node.version].filter(Boolean).join(" ") : id;
  };

  /** With something selected, what has nothing to do with it steps back. */
  function faded(item) {
    if (!selected) return false;
    if (selected.kind === "edge") {
      const edge = data.edges.find(({ id }) => id === selected.id);
      return item.id ? item.id !== selected.id : edge && item.node !== edge.source && item.node !== edge.target;
    }
    if (item.id) return item.source !== selected.id && item.target !== selected.id;
    return item.node !== selected.id &&
      !data.edges.some(({ source, target }) =>
        (source === selected.id && target === item.node) || (target === selected.id && source === item.node)
      );
  }

  function drawBoxes() {
    const groups = new Map();
    if (on("boxes") && data.grouping === "versioned-app") {
      for (const node of data.nodes.filter(({ kind }) => kind === "workload")) {
        const key = `${node.namespace}/${node.name}/${node.x}`;
        groups.set(key, [...groups.get(key) ?? [], node]);
      }
    }
    const { width, height } = data.nodeSize, pad = 14;
    replace(
      layers.boxes,
      [...groups.values()].filter((nodes) => nodes.length > 1).flatMap((nodes) => {
        const ys = nodes.map(({ y }) => y), top = Math.min(...ys), bottom = Math.max(...ys), { x } = nodes[0];
        const foreign = data.nodes.some((node) =>
          node.x === x && node.y > top && node.y < bottom && !nodes.includes(node)
        );
        if (foreign) return [];
        return [
          s("rect", {
            class: "box",
            x: x - width / 2 - pad,
            y: top - height / 2 - pad - 16,
            width: width + 2 * pad,
            height: bottom - top + height + 2 * pad + 16,
            rx: 18,
          }),
          s(
            "text",
            { class: "box-name", x: x - width / 2 - pad + 12, y: top - height / 2 - pad + 2 },
            short(nodes[0].name, 24),
          ),
        ];
      }),
    );
  }

  function draw() {
    element.classList.toggle("animated", on("animation"));
    drawBoxes();
    keep(drawn.edges, data.edges, makeEdge, updateEdge);
    keep(drawn.nodes, data.nodes, makeNode, updateNode);
    replace(
      notes,
      data.nodes.length === 0 &&
        h(
          "p",
          { class: "empty" },
          data.namespaces.length === 0 ? "There are no namespaces to show." : "Nothing runs here yet.",
        ),
      data.notes.map(({ kind, text }) =>
        h("p", { class: `note ${kind}` }, icon(kind === "warning" ? "warn" : "info"), " ", text)
      ),
    );
    panel();
  }

  function panel() {
    const edge = selected?.kind === "edge" && data.edges.find(({ id }) => id === selected.id);
    const node = selected?.kind === "node" && data.nodes.find(({ id }) => id === selected.id);
    const close = () => choose(undefined);
    if (edge) edgePanel(side, data, edge, close);
    else if (node) nodePanel(side, data, node, close, (id) => choose({ kind: "edge", id }));
    else summaryPanel(side, data, (id) => choose({ kind: "edge", id }));
  }

  function choose(item) {
    if (!data) return;
    selected = item?.id === selected?.id ? undefined : item;
    draw();
  }

  let firstFit = true, lastSize = "";
  return {
    name: "graph",
    title: "Graph",
    element,
    load: async () => {
      const query = {
        namespaces: setting("namespaces"),
        window: setting("window"),
        by: setting("by"),
        idle: setting("idle"),
        waypoints: setting("waypoints"),
      };
      const [graph, list] = await Promise.all([ask("graph", query), ask("namespaces")]);
      return { graph, list };
    },
    show({ graph, list }) {
      data = graph;
      drawNamespaces(list.namespaces);
      draw();
      const size = `${graph.width}x${graph.height}`;
      if (firstFit || (!camera.touched && size !== lastSize)) fit();
      firstFit = false;
      lastSize = size;
    },
  };

  function drawNamespaces(namespaces) {
    const chosen = new Set(setting("namespaces").split(",").filter(Boolean));
    namespaceLabel.textContent = chosen.size === 0
      ? "All namespaces"
      : chosen.size === 1
      ? `Namespace: ${[...chosen][0]}`
      : plural(chosen.size, "namespace");
    if (namespaceMenu.contains(document.activeElement)) return;
    replace(
      namespaceMenu,
      namespaces.filter(({ workloads, name }) => workloads > 0 || chosen.has(name)).map(({ name, ambient, system }) =>
        h(
          "label",
          {},
          h("input", {
            type: "checkbox",
            checked: chosen.has(name),
            onchange: (event) => {
              if (event.target.checked) chosen.add(name);
              else chosen.delete(name);
              selected = undefined;
              camera.touched = false;
              change("namespaces", [...chosen].sort().join(","));
            },
          }),
          h("span", {}, name, h("small", {}, ambient ? "ambient" : system ? "system" : "not enrolled")),
        )
      ),
    );
  }
}

const classes = (...names) => names.filter(Boolean).join(" ");
/** Cuts a drawn text until it fits. */
function shorten(line, width) {
  const text = line.textContent;
  for (let length = text.length; length > 1 && line.getComputedTextLength() > width; length--) {
    line.textContent = `${text.slice(0, length - 1)}…`;
  }
}
const short = (text, length) => text.length > length ? `${text.slice(0, length - 1)}…` : text;

/** A smooth line through the points of an edge; one that goes back bows below. */
function path({ points, source, target }) {
  const [first] = points, last = points[points.length - 1];
  if (source === target || (points.length === 2 && last.x <= first.x)) {
    const drop = Math.max(first.y, last.y) + 62, out = 46;
    return `M${first.x},${first.y} C${first.x + out},${first.y} ${first.x + out},${drop} ${
      (first.x + last.x) / 2
    },${drop} S${last.x - out},${last.y} ${last.x - 3},${last.y}`;
  }
  let d = `M${first.x},${first.y}`;
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1], b = points[i], end = i === points.length - 1;
    const bend = (b.x - a.x) / 2;
    d += ` C${a.x + bend},${a.y} ${b.x - bend},${b.y} ${b.x - (end ? 3 : 0)},${b.y}`;
  }
  return d;
}

function markers() {
  const marker = (kind) =>
    s("marker", {
      id: `arrow-${kind}`,
      class: `arrow ${kind}`,
      viewBox: "0 0 10 10",
      refX: 8,
      refY: 5,
      markerWidth: 9,
      markerHeight: 9,
      markerUnits: "userSpaceOnUse",
      orient: "auto",
    }, s("path", { d: "M0,0.8 L9,5 L0,9.2 z" }));
  return s("defs", {}, ["http", "tcp", "degraded", "failing", "denied"].map(marker));
}

function legend() {
  const sample = (kind, text) =>
    h(
      "li",
      {},
      s(
        "svg",
        { width: 34, height: 10, "aria-hidden": "true" },
        s("g", { class: `edge ${kind}` }, s("path", { class: "line", d: "M1,5 H33" })),
      ),
      text,
    );
  return h(
    "details",
    { class: "menu legend" },
    h("summary", {}, "Legend"),
    h(
      "ul",
      { class: "choices" },
      sample("http ok", "Requests (seen by a waypoint or gateway)"),
      sample("tcp ok", "Connections (seen by ztunnel)"),
      sample("http degraded", "Some fail or are refused"),
      sample("http failing", "Many fail"),
      sample("http denied", "Refused by policy"),
      h("li", {}, icon("lock"), "All of it is mutual TLS (Display: Security)"),
      h("li", {}, icon("waypoint"), "Passes a waypoint"),
      h("li", {}, icon("shield"), "Authorization policies apply"),
      h("li", {}, h("i", { class: "dashed" }), "Out of mesh"),
    ),
  );
}
