// Envoy, configured for the same work as our proxy: see scenario.ts.

import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import {
  BACKEND_ADDRESS,
  type BackendPorts,
  otherPrefixes,
  policies,
  type ProxyPorts,
  type Scenario,
  TO_HTTP1,
  TO_HTTP2,
} from "./scenario.ts";

const TYPE = "type.googleapis.com/envoy.extensions";

/** Istio's default access log. */
const LOG = '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
  "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

export interface EnvoyInput {
  readonly scenario: Scenario;
  readonly ports: ProxyPorts;
  readonly backend: BackendPorts;
  readonly certificate: { chain: string; key: string };
  /** For the port that takes tunnels. */
  readonly workload: WorkloadCertificate;
  readonly accessLog: string;
  readonly adminPath: string;
}

/** Its static configuration. */
export function envoyConfig(input: EnvoyInput): unknown {
  const { ports, backend, certificate, workload } = input;
  const at = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const inline = (inline_string: string) => ({ inline_string });
  return {
    admin: { address: { pipe: { path: input.adminPath } } },
    bootstrap_extensions: [{
      name: "envoy.bootstrap.internal_listener",
      typed_config: { "@type": `${TYPE}.bootstrap.internal_listener.v3.InternalListener` },
    }],
    static_resources: {
      listeners: [
        { name: "http", address: at(ports.http), filter_chains: [{ filters: [requests(input, "http")] }] },
        {
          name: "https",
          address: at(ports.https),
          filter_chains: [{
            filters: [requests(input, "https")],
            transport_socket: downstreamTls({
              tls_params: { tls_minimum_protocol_version: "TLSv1_3" },
              tls_certificates: [{
                certificate_chain: inline(certificate.chain),
                private_key: inline(certificate.key),
              }],
              alpn_protocols: ["h2", "http/1.1"],
            }),
          }],
        },
        {
          name: "connect_terminate",
          address: at(ports.hbone),
          filter_chains: [{
            filters: [tunnels()],
            transport_socket: downstreamTls({
              tls_params: { tls_minimum_protocol_version: "TLSv1_3" },
              tls_certificates: [{
                certificate_chain: inline(workload.chainPem),
                private_key: inline(workload.keyPem),
              }],
              validation_context: { trusted_ca: inline(workload.rootsPem) },
              alpn_protocols: ["h2"],
            }, true),
          }],
        },
        {
          name: "main_internal",
          internal_listener: {},
          filter_chains: [{ filters: [requests(input, "main_internal")] }],
        },
      ],
      clusters: [
        cluster("http1", backend.http1, false),
        cluster("http2", backend.http2, true),
        cluster("other", backend.http1, false),
        {
          name: "main_internal",
          type: "STATIC",
          load_assignment: {
            cluster_name: "main_internal",
            endpoints: [{
              lb_endpoints: [{
                endpoint: { address: { envoy_internal_address: { server_listener_name: "main_internal" } } },
              }],
            }],
          },
          transport_socket: {
            name: "envoy.transport_sockets.internal_upstream",
            typed_config: {
              "@type": `${TYPE}.transport_sockets.internal_upstream.v3.InternalUpstreamTransport`,
              transport_socket: {
                name: "envoy.transport_sockets.raw_buffer",
                typed_config: { "@type": `${TYPE}.transport_sockets.raw_buffer.v3.RawBuffer` },
              },
            },
          },
        },
      ],
    },
  };
}

function downstreamTls(common: unknown, mutual = false) {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
      common_tls_context: common,
      require_client_certificate: mutual,
    },
  };
}

function manager(config: Record<string, unknown>) {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      ...config,
    },
  };
}

const ROUTER = {
  name: "envoy.filters.http.router",
  typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` },
};

function requests(input: EnvoyInput, name: string) {
  const retry = { retry_on: "connect-failure,refused-stream,unavailable,cancelled", num_retries: 2 };
  const route = (prefix: string, to: string) => ({
    name: prefix,
    match: { prefix },
    route: { cluster: to, timeout: "0s", retry_policy: retry },
  });
  return manager({
    stat_prefix: name,
    codec_type: "AUTO",
    normalize_path: true,
    use_remote_address: true,
    http_protocol_options: { accept_http_10: true },
    access_log: [{
      name: "envoy.access_loggers.file",
      typed_config: {
        "@type": `${TYPE}.access_loggers.file.v3.FileAccessLog`,
        path: input.accessLog,
        log_format: { text_format_source: { inline_string: LOG } },
      },
    }],
    http_filters: [rbac(input.scenario, name === "main_internal"), ROUTER],
    route_config: {
      name,
      virtual_hosts: [{
        name: "any",
        domains: ["*"],
        routes: [
          ...otherPrefixes(input.scenario.routes - 2).map((prefix) => route(prefix, "other")),
          route(TO_HTTP2, "http2"),
          route(TO_HTTP1, "http1"),
        ],
      }],
    },
  });
}

/** Within the process there are no addresses: Istio has them carried along, which is left out here. */
function rbac({ policies: count }: Scenario, internal: boolean) {
  const rules = policies(count).map(({ name, paths, methods }) => [name, {
    permissions: [{
      and_rules: {
        rules: [
          {
            or_rules: {
              rules: methods.map((exact) => ({ header: { name: ":method", string_match: { exact } } })),
            },
          },
          { url_path: { path: { prefix: paths } } },
        ],
      },
    }],
    principals: [internal ? { any: true } : { direct_remote_ip: { address_prefix: "127.0.0.0", prefix_len: 8 } }],
  }]);
  return {
    name: "envoy.filters.http.rbac",
    typed_config: {
      "@type": `${TYPE}.filters.http.rbac.v3.RBAC`,
      rules: { action: "ALLOW", policies: Object.fromEntries(rules) },
    },
  };
}

/** Ends tunnels and hands their bytes to the listener of requests within the process, as Istio's waypoints do. */
function tunnels() {
  return manager({
    stat_prefix: "connect_terminate",
    codec_type: "AUTO",
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    http_filters: [ROUTER],
    route_config: {
      name: "connect_terminate",
      virtual_hosts: [{
        name: "any",
        domains: ["*"],
        routes: [{
          match: { connect_matcher: {} },
          route: {
            cluster: "main_internal",
            timeout: "0s",
            upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
          },
        }],
      }],
    },
  });
}

function cluster(name: string, port: number, http2: boolean) {
  return {
    name,
    type: "STATIC",
    lb_policy: "LEAST_REQUEST",
    connect_timeout: "10s",
    load_assignment: {
      cluster_name: name,
      endpoints: [{
        lb_endpoints: [{
          endpoint: { address: { socket_address: { address: BACKEND_ADDRESS, port_value: port } } },
        }],
      }],
    },
    circuit_breakers: { thresholds: [{ max_connections: 1e6, max_pending_requests: 1e6, max_requests: 1e6 }] },
    typed_extension_protocol_options: http2
      ? {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          "@type": `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
          explicit_http_config: { http2_protocol_options: {} },
        },
      }
      : undefined,
  };
}
