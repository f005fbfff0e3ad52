// What is known of the selected edge or node, or of all that is shown.

import { bytes, h, icon, millis, percent, plural, rate, replace } from "./dom.js";

const row = (name, ...value) => [h("dt", {}, name), h("dd", {}, ...value)];
const code = (text) => h("code", {}, text);
const title = (text, sub, close) =>
  h(
    "header",
    {},
    h("div", {}, h("h2", {}, text), sub && h("p", { class: "quiet" }, sub)),
    close &&
      h(
        "button",
        { type: "button", class: "icon", title: "Close", "aria-label": "Close", onclick: close },
        icon("close"),
      ),
  );

const describe = (node) =>
  node ? [node.name, node.version === "latest" ? "" : node.version].filter(Boolean).join(" ") : "?";
const find = (data, id) => data.nodes.find((node) => node.id === id);

function policyList(policies) {
  return h(
    "ul",
    { class: "plain" },
    policies.map(({ namespace, name, action, at }) =>
      h(
        "li",
        {},
        icon("shield"),
        " ",
        code(`${namespace}/${name}`),
        h("span", { class: "quiet" }, ` ${[action, `at the ${at}`].filter(Boolean).join(", ")}`),
      )
    ),
  );
}

/** Which policies refused: those that the proxy named, or else those that apply. */
function refusers(edge) {
  const certain = edge.deniedBy.filter((one) => one.certain), maybe = edge.deniedBy.filter((one) => !one.certain);
  return [
    certain.length > 0 && [h("p", {}, "The proxy names:"), policyList(certain)],
    maybe.length > 0 &&
    [
      h("p", {}, maybe.length === 1 ? "The policy that applies there:" : "Policies that apply there:"),
      policyList(maybe),
    ],
    edge.deniedBy.length === 0 &&
    h("p", {}, "The metrics do not name the policy, and none that applies is left; the proxy's log names it."),
  ];
}

function outcomes(list, unit) {
  const total = list.reduce((sum, { rate }) => sum + rate, 0);
  return h(
    "ul",
    { class: "outcomes" },
    list.map(({ name, rate: each, kind }) => {
      const bar = h("i");
      bar.style.width = `${total > 0 ? Math.max(2, each / total * 100) : 0}%`;
      return h(
        "li",
        { class: kind },
        h("span", {}, name),
        h("span", { class: "meter" }, bar),
        h("span", {}, `${rate(each)} ${unit}`),
      );
    }),
  );
}

function security(edge) {
  if (edge.mtls) return h("span", { class: "secure" }, icon("lock"), " mutual TLS");
  if (edge.mtlsShare > 0) return h("span", { class: "plain" }, icon("lock"), ` ${percent(edge.mtlsShare)} mutual TLS`);
  return h("span", { class: "plain" }, icon("unlock"), " plain text");
}

export function edgePanel(side, data, edge, close) {
  const source = find(data, edge.source), target = find(data, edge.target);
  const { http, tcp } = edge;
  replace(
    side,
    title(`${describe(source)} → ${describe(target)}`, edge.services.join(", "), close),
    edge.denied > 0 &&
      h(
        "div",
        { class: "callout refused" },
        h("b", {}, icon("ban"), ` ${rate(edge.denied)}/s refused by policy`),
        refusers(edge),
      ),
    h(
      "dl",
      {},
      row("Security", security(edge)),
      edge.sourcePrincipals.length > 0 && row("Client is", edge.sourcePrincipals.map(code)),
      edge.targetPrincipals.length > 0 && row("Server is", edge.targetPrincipals.map(code)),
      edge.waypoints.length > 0 &&
        row("By way of", edge.waypoints.map((name) => h("span", {}, icon("waypoint"), ` ${name}`))),
      edge.share !== undefined && edge.share !== null &&
        row("Share", `${percent(edge.share)} of the requests to ${edge.services[0] ?? "the service"}`),
    ),
    http && http.requests > 0 && h(
      "section",
      {},
      h("h3", {}, http.protocol === "grpc" ? "gRPC" : "HTTP"),
      h(
        "dl",
        {},
        row("Requests", `${rate(http.requests)} /s`),
        row("Failed", http.requests > 0 ? percent(http.errors / http.requests) : "–"),
        row("Mean time", millis(http.meanMs)),
      ),
      outcomes(http.outcomes, "rps"),
    ),
    tcp && h(
      "section",
      {},
      h("h3", {}, "TCP"),
      h(
        "dl",
        {},
        row("New connections", `${rate(tcp.connections)} /s`),
        tcp.failures > 0 && row("Failed", `${rate(tcp.failures)} /s`),
        row("To the server", `${bytes(tcp.bytesReceived)}/s`),
        row("To the client", `${bytes(tcp.bytesSent)}/s`),
      ),
      outcomes(tcp.outcomes, "/s"),
    ),
  );
}

export function nodePanel(side, data, node, close, chooseEdge) {
  const edges = (direction) => data.edges.filter((edge) => edge[direction] === node.id);
  const list = (edges, end) =>
    h(
      "ul",
      { class: "plain edges" },
      edges.map((edge) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "link", onclick: () => chooseEdge(edge.id) },
            describe(find(data, edge[end])),
          ),
          h(
            "span",
            { class: `quiet ${edge.health}` },
            ` ${edge.http?.requests > 0 ? `${rate(edge.http.requests)} rps` : `${rate(edge.rate)} conn/s`}${
              edge.denied > 0 ? ", refused" : ""
            }`,
          ),
          edge.mtls && icon("lock", "mutual TLS"),
        )
      ),
    );
  const incoming = edges("target"), outgoing = edges("source");
  const membership = {
    ambient: "in the mesh (ambient)",
    sidecar: "in the mesh (sidecar)",
    proxy: "one of the mesh's own proxies",
    system: "part of the cluster, not of the mesh",
    part: "partly out of mesh",
    out: "out of mesh",
    unknown: "not known to the cluster",
  }[node.membership];
  replace(
    side,
    title(describe(node), [node.kind, node.namespace].filter(Boolean).join(" in "), close),
    node.membership === "out" &&
      h(
        "div",
        { class: "callout" },
        h("b", {}, icon("warn"), " Out of mesh"),
        h(
          "p",
          {},
          "Its calls to others out of the mesh pass no proxy: they are not seen here. To enrol its namespace:",
        ),
        code(`kubectl label namespace ${node.namespace} istio.io/dataplane-mode=ambient`),
      ),
    h(
      "dl",
      {},
      node.kind !== "outside" && row("Mesh", membership),
      node.pods > 0 && row("Pods", `${node.ready} of ${node.pods} ready`),
      node.workloads.length > 0 && row("Workloads", node.workloads.join(", ")),
      node.serviceAccount && row("Identity", code(`ns/${node.namespace}/sa/${node.serviceAccount}`)),
      node.services.length > 0 && row("Services", node.services.join(", ")),
      node.waypoint && row("Waypoint", icon("waypoint"), ` ${node.waypoint}`),
      node.kind === "outside" &&
        row(
          "What is it",
          node.id === "outside:source"
            ? "Clients that belong to no workload that the mesh knows."
            : "Addresses that belong to no workload that the mesh knows, such as a load balancer’s.",
        ),
      node.kind === "service" &&
        row("What is it", "A Service whose requests came to no workload: they were refused, or failed, before."),
    ),
    node.policies.length > 0 && h("section", {}, h("h3", {}, "Policies"), policyList(node.policies)),
    incoming.length > 0 && h("section", {}, h("h3", {}, "Called by"), list(incoming, "source")),
    outgoing.length > 0 && h("section", {}, h("h3", {}, "Calls"), list(outgoing, "target")),
    node.kind === "workload" && node.pods > 0 &&
      h(
        "p",
        {},
        h("a", {
          href: `/kiali/console/namespaces/${encodeURIComponent(node.namespace)}/applications/${
            encodeURIComponent(node.name)
          }`,
        }, "Open the application"),
      ),
  );
}

export function summaryPanel(side, data, chooseEdge) {
  const sum = (value) => data.edges.reduce((total, edge) => total + value(edge), 0);
  const requests = sum(({ http }) => http?.requests ?? 0), errors = sum(({ http }) => http?.errors ?? 0);
  const denied = data.edges.filter((edge) => edge.denied > 0);
  const secured = data.edges.filter(({ mtls }) => mtls).length;
  const outside = data.nodes.reduce((total, { outOfMesh }) => total + outOfMesh, 0);
  const pods = data.nodes.reduce((total, { pods }) => total + pods, 0);
  replace(
    side,
    title(
      data.namespaces.length === 1 ? data.namespaces[0] : plural(data.namespaces.length, "namespace"),
      `${plural(data.nodes.length, "node")}, ${plural(data.edges.length, "edge")}`,
    ),
    h(
      "dl",
      { class: "big" },
      row("Requests", h("b", {}, rate(requests)), " /s"),
      row("Failed", h("b", { class: errors > 0 ? "bad" : "" }, requests > 0 ? percent(errors / requests) : "–")),
      row(
        "Mutual TLS",
        h(
          "b",
          { class: data.edges.length > 0 && secured === data.edges.length ? "secure" : "" },
          data.edges.length === 0 ? "–" : percent(secured / data.edges.length),
        ),
        " of edges",
      ),
      row("In the mesh", h("b", {}, pods - outside), ` of ${plural(pods, "pod")}`),
    ),
    denied.length > 0 && h(
      "section",
      {},
      h("h3", {}, "Refused by policy"),
      h(
        "ul",
        { class: "plain edges" },
        denied.map((edge) =>
          h(
            "li",
            {},
            icon("ban"),
            " ",
            h(
              "button",
              { type: "button", class: "link", onclick: () => chooseEdge(edge.id) },
              `${describe(find(data, edge.source))} → ${describe(find(data, edge.target))}`,
            ),
            h("span", { class: "quiet" }, ` ${rate(edge.denied)}/s`),
          )
        ),
      ),
    ),
    h(
      "p",
      { class: "quiet hint" },
      "Choose an edge or a node to see identities, policies and rates. Drag to move, scroll to zoom, 0 to fit.",
    ),
  );
}
